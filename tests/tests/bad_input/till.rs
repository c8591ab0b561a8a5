//! A participant of these tests: a till that is down for some customers, and remembers whom it served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{Phase, Status, TxId};
use tcc_core::store::StatusStore;
use tcc_core::{
    ActionType, Backoff, Branch, BranchError, Builder, Coordinator, Handler, Never, Registry, Service,
    Settled, TransactionError, Tried, Tx,
};

use crate::said::soon;

pub(crate) const LEASE: Duration = Duration::from_millis(400);

#[derive(Default)]
pub(crate) struct Till {
    /// Customers whose confirms and cancels fail.
    down_for: Mutex<BTreeSet<String>>,
    /// What had its effect: once each, as if behind a fence.
    served: Mutex<BTreeMap<String, Vec<Phase>>>,
}

/// The request is the customer's name.
pub(crate) struct Pay;

impl ActionType for Pay {
    const NAME: &'static str = "till.pay";
    type Request = String;
    type Output = ();
    type Error = Never;
}

impl Till {
    fn serve(&self, cx: &Branch, customer: String) {
        let mut served = self.served.lock().unwrap();
        let phases = served.entry(customer).or_default();
        if !phases.contains(&cx.phase()) {
            phases.push(cx.phase());
        }
    }

    fn settle(&self, cx: &Branch, customer: String) -> Settled {
        if self.down_for.lock().unwrap().contains(&customer) {
            return Err(std::io::Error::other("the till is closed").into());
        }
        self.serve(cx, customer);
        Ok(())
    }

    pub(crate) fn close(&self, customer: &str) {
        self.down_for.lock().unwrap().insert(customer.to_owned());
    }

    pub(crate) fn open(&self) {
        self.down_for.lock().unwrap().clear();
    }

    pub(crate) fn served(&self, customer: &str) -> Vec<Phase> {
        self.served.lock().unwrap().get(customer).cloned().unwrap_or_default()
    }
}

impl Handler<Pay> for Till {
    async fn r#try(&self, cx: &Branch, customer: String) -> Tried<(), Never> {
        self.serve(cx, customer);
        Ok(())
    }

    async fn confirm(&self, cx: &Branch, customer: String, (): ()) -> Settled {
        self.settle(cx, customer)
    }

    async fn cancel(&self, cx: &Branch, customer: String, _: Option<()>) -> Settled {
        self.settle(cx, customer)
    }
}

impl Service for Till {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Pay, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// A coordinator that is quick.
pub(crate) fn builder(store: impl StatusStore, till: &Arc<Till>) -> Builder {
    Coordinator::builder("shop", store)
        .register(till.clone())
        .timeout(Duration::from_secs(2))
        .lease(LEASE)
        .backoff(Backoff { base: Duration::from_millis(50), cap: LEASE })
}

pub(crate) async fn pay(tcc: &Coordinator, customer: &str) -> Result<TxId, Error> {
    let body = async |tx: &Tx| {
        tx.call::<Pay>(customer.to_owned()).await?;
        Ok(tx.id())
    };
    soon(tcc.run("pay", body)).await
}

/// Waits for the end of a transaction.
pub(crate) async fn confirmed(tcc: &Coordinator, id: TxId) {
    assert_eq!(soon(tcc.settled(id)).await.unwrap(), Some(Status::Confirmed));
}

/// Waits until it holds.
pub(crate) async fn until(holds: impl AsyncFn() -> bool) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
