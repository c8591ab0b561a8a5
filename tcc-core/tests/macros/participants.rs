//! `#[participant]`: its actions, called through the stub and settled by the coordinator.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{ActionName, BranchId, BranchKey, Phase, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Participant, Registry, Service, Settled,
    TransactionError, Tried, participant, refuse,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reserve {
    sku: String,
    count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Hold {
    count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum StockError {
    Out { sku: String },
}

impl fmt::Display for StockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What was done, in the order in which it was.
type Done = Arc<Mutex<Vec<String>>>;

fn note(done: &Done, what: impl fmt::Debug) {
    done.lock().unwrap().push(format!("{what:?}"));
}

#[derive(Default)]
struct Inventory {
    done: Done,
}

#[participant("inventory")]
impl Inventory {
    const STOCK: u32 = 5;

    /// Puts stock aside until the order settles.
    #[action(confirm = ship, cancel = release, timeout = "5s")]
    async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> {
        tokio::task::yield_now().await;
        note(&self.done, (cx.phase(), &req.sku));
        if req.count > Self::STOCK {
            return refuse(StockError::Out { sku: req.sku });
        }
        Ok(Hold { count: req.count })
    }

    async fn ship(&self, cx: &Branch, req: Reserve, hold: Hold) -> Settled {
        note(&self.done, (cx.phase(), req.sku, hold.count));
        Ok(())
    }

    async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled {
        note(&self.done, (cx.phase(), req.sku, hold.map(|hold| hold.count)));
        Ok(())
    }

    /// Sends the receipt.
    #[on_confirm]
    async fn receipt(&self, cx: &Branch, to: String) -> Settled {
        note(&self.done, (cx.phase(), to));
        Ok(())
    }
}

#[derive(Debug)]
#[allow(dead_code)] // what is in them is only shown when a test fails
enum Failed {
    Branch(Option<StockError>),
    Transaction(TransactionError),
    Other,
}

impl From<TransactionError> for Failed {
    fn from(error: TransactionError) -> Self {
        Self::Transaction(error)
    }
}

impl From<BranchError<StockError>> for Failed {
    fn from(error: BranchError<StockError>) -> Self {
        match error {
            BranchError::Refused(error) => Self::Branch(Some(error)),
            _ => Self::Branch(None),
        }
    }
}

fn reserve(sku: &str, count: u32) -> Reserve {
    Reserve { sku: sku.to_owned(), count }
}

#[tokio::test]
async fn a_participant_is_called_and_settled() {
    let inventory = Arc::new(Inventory::default());
    let done = inventory.done.clone();
    // An `Arc` of a service is registered as the service itself is.
    let tcc = Coordinator::builder("shop", MemoryStore::default())
        .register(inventory.clone())
        .start()
        .await
        .unwrap();

    let bought = tcc
        .run("buy", async |tx| {
            let stock = tx.on::<Inventory>();
            let (one, two) =
                tokio::try_join!(stock.reserve(reserve("a", 1)), stock.reserve(reserve("b", 2)))?;
            // A stub that lives no longer than the statement.
            tx.on::<Inventory>().receipt("ann".to_owned()).await?;
            Ok::<_, Failed>(one.count + two.count)
        })
        .await;
    assert_eq!(bought.unwrap(), 3);
    let mut seen = std::mem::take(&mut *done.lock().unwrap());
    assert_eq!(seen.len(), 5, "{seen:?}");
    seen.sort();
    assert_eq!(seen[0], r#"(Confirm, "a", 1)"#);
    assert_eq!(seen[1], r#"(Confirm, "ann")"#);

    let refused = tcc
        .run("buy", async |tx| {
            tx.on::<Inventory>().reserve(reserve("a", 1)).await?;
            tx.on::<Inventory>().receipt("bob".to_owned()).await?;
            tx.on::<Inventory>().reserve(reserve("c", 9)).await?;
            Ok::<_, Failed>(())
        })
        .await;
    assert!(matches!(refused, Err(Failed::Branch(Some(StockError::Out { sku }))) if sku == "c"));
    let mut seen = done.lock().unwrap().clone();
    seen.sort();
    assert!(seen.contains(&r#"(Cancel, "a", Some(1))"#.to_owned()), "{seen:?}");
    assert!(seen.contains(&r#"(Cancel, "c", None)"#.to_owned()), "{seen:?}");
    assert!(!seen.iter().any(|done| done.contains("bob")), "{seen:?}");
    tcc.shutdown().await;
}

fn branch() -> Branch {
    let key = BranchKey::new(TxId::from_bytes([7; 16]), BranchId::new(0));
    Branch::new(key, ActionName::new("a.b").unwrap(), Phase::Try)
}

#[tokio::test]
async fn methods_stay_callable_and_an_action_can_be_faked() {
    let inventory = Inventory::default();
    assert_eq!(inventory.reserve(&branch(), reserve("a", 2)).await.unwrap(), Hold { count: 2 });
    inventory.ship(&branch(), reserve("a", 2), Hold { count: 2 }).await.unwrap();

    /// Only the action's type is needed to stand in for its service.
    struct Full;
    impl Handler<InventoryReserve> for Full {
        async fn r#try(&self, _: &Branch, request: Reserve) -> Tried<Hold, StockError> {
            Ok(Hold { count: request.count })
        }
        async fn confirm(&self, _: &Branch, _: Reserve, _: Hold) -> Settled {
            Ok(())
        }
        async fn cancel(&self, _: &Branch, _: Reserve, _: Option<Hold>) -> Settled {
            Ok(())
        }
    }
    impl Service for Full {
        fn register(self: Arc<Self>, registry: &mut Registry) {
            registry.add::<InventoryReserve, _>(self.clone());
        }
    }
    let tcc = Coordinator::builder("shop", MemoryStore::default()).register(Full).start().await.unwrap();
    let held =
        tcc.run("buy", async |tx| Ok::<_, Failed>(tx.on::<Inventory>().reserve(reserve("a", 99)).await?));
    assert_eq!(held.await.unwrap().count, 99);
}

#[test]
fn the_types_say_what_is_persisted() {
    assert_eq!((InventoryReserve::NAME, InventoryReserve::VERSION), ("inventory.reserve", 1));
    assert_eq!(
        (InventoryReserve::TIMEOUT, InventoryReserve::ON_CONFIRM),
        (Some(Duration::from_secs(5)), false)
    );
    assert_eq!((InventoryReceipt::NAME, InventoryReceipt::ON_CONFIRM), ("inventory.receipt", true));
    assert_eq!(InventoryReceipt::TIMEOUT, None);
    assert_eq!(<Inventory as Participant>::NAME, "inventory");
}

/// A service with parameters, whose own module keeps its types to itself.
mod ledger {
    use super::*;

    pub(super) trait Clock: Send + Sync + 'static {
        fn now(&self) -> impl Future<Output = u64> + Send;
    }

    pub(super) struct Fixed(pub(super) u64);

    impl Clock for Fixed {
        async fn now(&self) -> u64 {
            self.0
        }
    }

    pub(super) struct Ledger<C, const N: usize> {
        pub(super) clock: C,
        pub(super) done: Done,
    }

    /// An alias: the output and the refusal are found by the type system.
    type Answer = tcc_core::Tried<Entry, StockError>;

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub(super) struct Entry {
        at: u64,
    }

    #[participant("ledger")]
    impl<C: Clock, const N: usize> Ledger<C, N>
    where
        C: Send,
    {
        #[action(cancel = reverse, version = 2)]
        async fn book(&self, _: &Branch, (account, amount): (String, u64)) -> Answer {
            note(&self.done, (&account, amount));
            Ok(Entry { at: self.clock.now().await + N as u64 })
        }

        /// The payload of before.
        #[action(cancel = none, rename = "book")]
        async fn book_v1(
            &self,
            _: &Branch,
            account: String,
        ) -> Result<Entry, tcc_core::TryFailure<StockError>> {
            note(&self.done, account);
            Ok(Entry { at: 1 })
        }

        async fn reverse(&self, _: &Branch, _: (String, u64), entry: Option<Entry>) -> Settled {
            note(&self.done, entry.map(|entry| entry.at));
            Ok(())
        }

        #[action(cancel = none)]
        #[cfg(not(test))]
        async fn absent(&self, _: &Branch, it: Absent) -> Tried<Absent, Absent> {
            Ok(it)
        }
    }
}

#[tokio::test]
async fn a_generic_service_has_one_name_and_two_versions_side_by_side() {
    let done = Done::default();
    let service = ledger::Ledger::<_, 3> { clock: ledger::Fixed(4), done: done.clone() };
    let tcc = Coordinator::builder("shop", MemoryStore::default()).register(service).start().await.unwrap();
    let failed: Result<(), Failed> = tcc
        .run("book", async |tx| {
            let ledger = tx.on::<ledger::Ledger<ledger::Fixed, 3>>();
            ledger.book(("ann".to_owned(), 5)).await?;
            ledger.book_v1("bob".to_owned()).await?;
            Err(Failed::Other)
        })
        .await;
    assert!(matches!(failed, Err(Failed::Other)));
    assert_eq!(*done.lock().unwrap(), [r#"("ann", 5)"#, r#""bob""#, "Some(7)"]);
}

/// A service without bounds: whether it can be shared is asked where it is registered. Its types are written otherwise in
/// each phase, and are the same.
struct Shelf<D> {
    db: D,
    done: Done,
}

type Asked = Reserve;
type Answered = Result<(), tcc_core::SettleError>;

#[participant("shelf")]
impl<D> Shelf<D> {
    #[action(confirm = ship, cancel = release)]
    async fn reserve(&self, _: &Branch, req: Reserve) -> Tried<Box<u32>, StockError> {
        let _ = &self.db;
        tokio::task::yield_now().await;
        Ok(Box::new(req.count))
    }

    async fn ship(&self, _: &Branch, req: self::Asked, count: Box<dyn fmt::Debug + Send>) -> Answered {
        tokio::task::yield_now().await;
        note(&self.done, ("ship", req.count, count));
        Ok(())
    }

    async fn release(&self, _: &Branch, req: self::Reserve, count: std::option::Option<Box<u32>>) -> Settled {
        note(&self.done, ("release", req.count, count));
        Ok(())
    }

    #[on_confirm]
    async fn count(&self, _: &Branch, sku: String) -> Answered {
        note(&self.done, sku);
        Ok(())
    }
}

#[tokio::test]
async fn types_may_be_written_otherwise_in_each_phase_and_a_service_without_bounds() {
    let done = Done::default();
    let service = Shelf { db: "db".to_owned(), done: done.clone() };
    let tcc = Coordinator::builder("shop", MemoryStore::default()).register(service).start().await.unwrap();
    for failed in [false, true] {
        let ended: Result<(), Failed> = tcc
            .run("book", async |tx| {
                let shelf = tx.on::<Shelf<String>>();
                shelf.reserve(Reserve { sku: "apple".to_owned(), count: 3 }).await?;
                shelf.count("apple".to_owned()).await?;
                if failed { Err(Failed::Other) } else { Ok(()) }
            })
            .await;
        assert_eq!(ended.is_err(), failed);
    }
    let mut done = done.lock().unwrap().clone();
    done.sort_unstable();
    assert_eq!(done, [r#""apple""#, r#"("release", 3, Some(3))"#, r#"("ship", 3, 3)"#]);
}

trait Post {
    type Letter;
}

struct Office;

impl Post for Office {
    type Letter = String;
}

#[participant("post-office", crate = ::tcc_core)]
impl Office {
    /// `Self` in a payload's type is the service.
    #[action(cancel = none)]
    async fn stamp(
        &self,
        _: &Branch,
        letter: <Self as Post>::Letter,
    ) -> Tried<<Self as Post>::Letter, StockError> {
        Ok(letter + "!")
    }
}

#[tokio::test]
async fn self_in_a_payload_is_the_service() {
    let tcc = Coordinator::builder("shop", MemoryStore::default()).register(Office).start().await.unwrap();
    let stamped =
        tcc.run("send", async |tx| Ok::<_, Failed>(tx.on::<Office>().stamp("hello".to_owned()).await?));
    assert_eq!(stamped.await.unwrap(), "hello!");
}

/// Every name that the macro takes is one that the log takes.
#[test]
fn the_longest_name_is_registered() {
    struct Long;
    #[participant("abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")]
    impl Long {
        #[on_confirm]
        async fn x(&self, _: &Branch, _: ()) -> Settled {
            Ok(())
        }
    }
    let mut registry = Registry::default();
    Arc::new(Long).register(&mut registry);
    assert_eq!((registry.errors(), registry.actions().count()), (&[][..], 1));
}
