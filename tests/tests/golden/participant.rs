//! A participant of all actions in the golden logs, which notes every call to the last byte.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tcc_core::protocol::{Json, TxId};
use tcc_core::{ActionType, Branch, Handler, Never, Registry, Service, SettleError, Settled, Tried};

/// Notes each call, in words.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    calls: Mutex<Vec<(TxId, u16, String)>>,
}

impl Witness {
    /// The calls of a transaction, by branch.
    pub(crate) fn calls(&self, id: TxId) -> Vec<String> {
        let mut calls: Vec<(u16, String)> = self
            .calls
            .lock()
            .unwrap()
            .iter()
            .filter(|(tx, ..)| *tx == id)
            .map(|(_, branch, call)| (*branch, call.clone()))
            .collect();
        calls.sort();
        calls.into_iter().map(|(_, call)| call).collect()
    }

    /// How many calls there were.
    pub(crate) fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn note<A: ActionType>(&self, cx: &Branch, request: &Json, output: Option<&Json>) -> Settled {
        let begun = cx.begun().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let call = format!(
            "{} of {} v{} key {} begun {begun} attempt {}{}, request {}, output {}",
            cx.phase(),
            cx.action(),
            A::VERSION,
            cx.key(),
            cx.attempt(),
            if cx.is_on_confirm() { ", without a try" } else { "" },
            request.as_str(),
            output.map_or("not known", Json::as_str),
        );
        self.calls.lock().unwrap().push((cx.tx(), cx.id().number(), call));
        if A::NAME == "bank.closed" { Err(SettleError::refuse("closed for ever")) } else { Ok(()) }
    }
}

macro_rules! actions {
    ($($action:ident = $name:literal v $version:literal $(, on_confirm = $on_confirm:literal)?;)*) => {
        $(
            struct $action;
            impl ActionType for $action {
                const NAME: &'static str = $name;
                const VERSION: u16 = $version;
                $(const ON_CONFIRM: bool = $on_confirm;)?
                type Request = Json;
                type Output = Json;
                type Error = Never;
            }
        )*
        impl Service for Witness {
            fn register(self: Arc<Self>, registry: &mut Registry) {
                $(registry.add::<$action, _>(self.clone());)*
            }
        }
    };
}
actions! {
    Reserve = "inventory.reserve" v 1;
    ReserveLines = "inventory.reserve" v 2;
    Freeze = "wallet.freeze" v 1;
    Closed = "bank.closed" v 1;
    Receipt = "mail.receipt" v 1, on_confirm = true;
}

impl<A: ActionType<Request = Json, Output = Json, Error = Never>> Handler<A> for Witness {
    async fn r#try(&self, _: &Branch, _: Json) -> Tried<Json, Never> {
        panic!("what is stored is settled, and never tried again")
    }

    async fn confirm(&self, cx: &Branch, request: Json, output: Json) -> Settled {
        self.note::<A>(cx, &request, Some(&output))
    }

    async fn cancel(&self, cx: &Branch, request: Json, output: Option<Json>) -> Settled {
        self.note::<A>(cx, &request, output.as_ref())
    }
}
