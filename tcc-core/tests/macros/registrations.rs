//! What is wrong with handlers that are registered by hand, where no macro looks: said when the coordinator starts.

use std::sync::Arc;

use tcc_core::protocol::ActionName;
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, Coordinator, Handler, Never, RegisterError, Registry, Service, Settled, StartError,
    Tried,
};

/// One action, of any version and number of tries.
struct Reserve<const VERSION: u16, const TRIES: u32>;

impl<const VERSION: u16, const TRIES: u32> ActionType for Reserve<VERSION, TRIES> {
    const NAME: &'static str = "inventory.reserve";
    const VERSION: u16 = VERSION;
    const TRIES: u32 = TRIES;
    type Request = u32;
    type Output = u32;
    type Error = Never;
}

struct Inventory;

impl<const VERSION: u16, const TRIES: u32> Handler<Reserve<VERSION, TRIES>> for Inventory {
    async fn r#try(&self, _: &Branch, request: u32) -> Tried<u32, Never> {
        Ok(request)
    }

    async fn confirm(&self, _: &Branch, _: u32, _: u32) -> Settled {
        Ok(())
    }

    async fn cancel(&self, _: &Branch, _: u32, _: Option<u32>) -> Settled {
        Ok(())
    }
}

/// Registers as told.
struct ByHand(fn(&mut Registry));

impl Service for ByHand {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        self.0(registry);
    }
}

fn add<const VERSION: u16, const TRIES: u32>(registry: &mut Registry) {
    registry.add::<Reserve<VERSION, TRIES>, _>(Arc::new(Inventory));
}

/// To version 2, from this one.
fn upcast(from: u16, registry: &mut Registry) {
    registry.add_upcast::<Reserve<2, 1>, u16, u8, _>(from, Arc::new(Inventory));
}

async fn started(register: fn(&mut Registry)) -> Result<(), RegisterError> {
    let builder = Coordinator::builder("shop", MemoryStore::new()).register(ByHand(register));
    match builder.start().await {
        Ok(_) => Ok(()),
        Err(StartError::Register(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn name() -> ActionName {
    ActionName::new("inventory.reserve").unwrap()
}

#[tokio::test]
async fn a_version_has_one_handler_or_one_upcast() {
    let versions_1_and_2 = |registry: &mut Registry| {
        upcast(1, registry);
        add::<2, 1>(registry);
    };
    assert_eq!(started(versions_1_and_2).await, Ok(()));
    let cases: [fn(&mut Registry); 4] = [
        |registry| {
            upcast(1, registry);
            upcast(1, registry);
        },
        |registry| {
            upcast(1, registry);
            add::<1, 1>(registry);
        },
        |registry| {
            add::<1, 1>(registry);
            upcast(1, registry);
        },
        |registry| {
            add::<1, 1>(registry);
            add::<1, 1>(registry);
        },
    ];
    for (case, register) in cases.into_iter().enumerate() {
        let duplicate = RegisterError::Duplicate { action: name(), version: 1 };
        assert_eq!(started(register).await, Err(duplicate), "case {case}");
    }
}

#[tokio::test]
async fn only_what_is_older_is_upcast() {
    let not_older = |from| Err(RegisterError::NotOlder { action: name(), from, to: 2 });
    assert_eq!(started(|registry| upcast(2, registry)).await, not_older(2));
    assert_eq!(started(|registry| upcast(3, registry)).await, not_older(3));
    let said = not_older(3).unwrap_err().to_string();
    assert!(said.ends_with("only what is older can be, from a version below 2"), "{said}");
}

#[tokio::test]
async fn tries_are_counted_from_1_to_100() {
    let refused = |tries| Err(RegisterError::Tries { action: name(), tries });
    assert_eq!(started(add::<1, 0>).await, refused(0));
    assert_eq!(started(add::<1, 1>).await, Ok(()));
    assert_eq!(started(add::<1, 100>).await, Ok(()));
    assert_eq!(started(add::<1, 101>).await, refused(101));
}
