//! Branches that a version 1 has left in the log, settled by a version 2.
//!
//! The two versions are services of their own that share a store, as before and after a deploy: what the first one can't
//! settle, since its hands are tied, the second one finds.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{ActionName, Status, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, BranchError, Builder, Coordinator, Never, Registry, Service, Settled,
    TransactionError, Tried, participant,
};

type Done = Arc<Mutex<Vec<String>>>;

fn note(done: &Done, what: impl fmt::Debug) {
    done.lock().unwrap().push(format!("{what:?}"));
}

#[derive(Debug)]
#[allow(dead_code)] // what is in them is only shown when a test fails
enum Failed {
    Branch(String),
    Transaction(TransactionError),
    Other,
}

impl From<TransactionError> for Failed {
    fn from(error: TransactionError) -> Self {
        Self::Transaction(error)
    }
}

impl From<BranchError<Never>> for Failed {
    fn from(error: BranchError<Never>) -> Self {
        Self::Branch(error.to_string())
    }
}

/// Before the deploy.
mod v1 {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Reserve {
        /// With its number: `"apple*3"`.
        pub what: String,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Hold(pub u32);

    /// It settles nothing unless it is told where to note it.
    #[derive(Default)]
    pub struct Inventory {
        pub works: Option<Done>,
    }

    impl Inventory {
        fn settle(&self, what: impl fmt::Debug) -> Settled {
            let done = self.works.as_ref().ok_or_else(|| std::io::Error::other("the deploy has begun"))?;
            note(done, what);
            Ok(())
        }
    }

    #[participant("inventory")]
    impl Inventory {
        #[action(confirm = ship, cancel = release)]
        pub async fn reserve(&self, _: &Branch, req: Reserve) -> Tried<Hold, Never> {
            if req.what.ends_with("unanswered") {
                return Err(std::io::Error::other("the answer is lost").into());
            }
            Ok(Hold(7))
        }

        async fn ship(&self, _: &Branch, req: Reserve, hold: Hold) -> Settled {
            self.settle(("ship v1", req.what, hold.0))
        }

        async fn release(&self, _: &Branch, req: Reserve, hold: Option<Hold>) -> Settled {
            self.settle(("release v1", req.what, hold.map(|hold| hold.0)))
        }

        #[on_confirm]
        pub async fn receipt(&self, _: &Branch, to: String) -> Settled {
            self.settle(("receipt v1", to))
        }
    }
}

/// After it.
#[derive(Debug, Serialize, Deserialize)]
struct Reserve {
    sku: String,
    count: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hold {
    shelf: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    to: String,
    copies: u8,
}

#[derive(Debug, thiserror::Error)]
#[error("it does not say how many")]
struct NoCount;

impl TryFrom<v1::Reserve> for Reserve {
    type Error = NoCount;

    fn try_from(old: v1::Reserve) -> Result<Self, NoCount> {
        let (sku, count) = old.what.split_once('*').ok_or(NoCount)?;
        let count = count.trim_end_matches(" unanswered").parse().map_err(|_| NoCount)?;
        Ok(Self { sku: sku.to_owned(), count })
    }
}

impl From<v1::Hold> for Hold {
    fn from(old: v1::Hold) -> Self {
        Self { shelf: old.0 }
    }
}

impl From<String> for Receipt {
    fn from(to: String) -> Self {
        Self { to, copies: 1 }
    }
}

#[derive(Default)]
struct Inventory {
    done: Done,
}

#[participant("inventory")]
impl Inventory {
    #[action(confirm = ship, cancel = release, version = 2, upcast(1: v1::Reserve -> v1::Hold))]
    async fn reserve(&self, _: &Branch, req: Reserve) -> Tried<Hold, Never> {
        Ok(Hold { shelf: req.count })
    }

    async fn ship(&self, _: &Branch, req: Reserve, hold: Hold) -> Settled {
        note(&self.done, ("ship", req.sku, req.count, hold.shelf));
        Ok(())
    }

    async fn release(&self, _: &Branch, req: Reserve, hold: Option<Hold>) -> Settled {
        note(&self.done, ("release", req.sku, req.count, hold.map(|hold| hold.shelf)));
        Ok(())
    }

    #[on_confirm(version = 2, upcast(1: String))]
    async fn receipt(&self, _: &Branch, receipt: Receipt) -> Settled {
        note(&self.done, ("receipt", receipt.to, receipt.copies));
        Ok(())
    }
}

fn builder(store: &Arc<MemoryStore>) -> Builder {
    Coordinator::builder("shop", store.clone())
}

/// A transaction of version 1, decided and not settled when its process goes.
async fn left_by_v1(store: &Arc<MemoryStore>, what: &str, confirm: bool) -> TxId {
    let tcc = builder(store).register(v1::Inventory::default()).start().await.unwrap();
    let mut id = None;
    let decided = tcc
        .run("buy", async |tx| {
            id = Some(tx.id());
            let inventory = tx.on::<v1::Inventory>();
            let held = inventory.reserve(v1::Reserve { what: what.to_owned() }).await;
            inventory.receipt("ann".to_owned()).await?;
            if confirm { Ok(held.map(drop)?) } else { Err(Failed::Other) }
        })
        .await;
    assert_eq!(decided.is_ok(), confirm, "{decided:?}");
    tcc.shutdown().await;
    let id = id.unwrap();
    let left = if confirm { Status::Confirming } else { Status::Cancelling };
    assert_eq!(tcc.outcome(id).await.unwrap(), Some(left));
    id
}

/// Waits until a transaction is settled, and says what was done for that.
async fn settled(tcc: &Coordinator, id: TxId, done: &Done) -> Vec<String> {
    let status = tokio::time::timeout(Duration::from_secs(600), tcc.settled(id)).await;
    assert!(matches!(status, Ok(Ok(Some(Status::Confirmed | Status::Cancelled)))), "{status:?}");
    tcc.shutdown().await;
    let mut done = std::mem::take(&mut *done.lock().unwrap());
    done.sort();
    done
}

/// The errors of branches that were asked for again and again, and are still to be settled.
async fn parked(tcc: &Coordinator, id: TxId) -> Vec<String> {
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let record = tcc.operator().timeline(id).await.unwrap().unwrap().record.unwrap();
        assert!(!record.status().is_settled());
        let open: Vec<_> =
            record.branches().iter().filter(|branch| !branch.state.is_settled()).cloned().collect();
        if open.iter().all(|branch| branch.attempts >= 8) {
            return open.into_iter().map(|branch| branch.last_error.unwrap()).collect();
        }
    }
    panic!("it is not asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_branch_of_version_1_is_settled_by_version_2() {
    for (what, confirm, expected) in [
        ("apple*3", true, &[r#"("receipt", "ann", 1)"#, r#"("ship", "apple", 3, 7)"#][..]),
        ("pear*2", false, &[r#"("release", "pear", 2, Some(7))"#]),
        ("plum*4 unanswered", false, &[r#"("release", "plum", 4, None)"#]),
    ] {
        let store = Arc::new(MemoryStore::new());
        let id = left_by_v1(&store, what, confirm).await;
        let inventory = Inventory::default();
        let done = inventory.done.clone();
        let tcc = builder(&store).register(inventory).start().await.unwrap();
        assert_eq!(settled(&tcc, id, &done).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_upcast_is_parked_and_named_and_another_instance_settles_it() {
    let store = Arc::new(MemoryStore::new());
    let id = left_by_v1(&store, "apples", true).await;
    let inventory = Inventory::default();
    let done = inventory.done.clone();
    let tcc = builder(&store).register(inventory).start().await.unwrap();
    let errors = parked(&tcc, id).await;
    let named =
        "the request in the log, of version 1, can't be upcast to version 2: it does not say how many";
    assert_eq!(errors, [named]);
    tcc.shutdown().await;
    assert_eq!(
        *done.lock().unwrap(),
        [r#"("receipt", "ann", 1)"#],
        "the other branch is none the worse for it"
    );

    let old = v1::Inventory { works: Some(done.clone()) };
    let tcc = builder(&store).register(old).start().await.unwrap();
    assert!(settled(&tcc, id, &done).await.contains(&r#"("ship v1", "apples", 7)"#.to_owned()));
}

/// A service that handles both, each in a method of its own.
#[derive(Default)]
struct Both {
    done: Done,
}

#[participant("inventory")]
impl Both {
    #[action(confirm = ship, cancel = none, version = 2)]
    async fn reserve(&self, _: &Branch, req: Reserve) -> Tried<Hold, Never> {
        Ok(Hold { shelf: req.count })
    }

    async fn ship(&self, _: &Branch, req: Reserve, hold: Hold) -> Settled {
        note(&self.done, ("ship", req.sku, hold.shelf));
        Ok(())
    }

    #[action(confirm = ship_v1, cancel = none, rename = "reserve", version = 1)]
    async fn reserve_v1(&self, _: &Branch, _: v1::Reserve) -> Tried<v1::Hold, Never> {
        Ok(v1::Hold(9))
    }

    async fn ship_v1(&self, _: &Branch, req: v1::Reserve, hold: v1::Hold) -> Settled {
        note(&self.done, ("ship v1", req.what, hold.0));
        Ok(())
    }

    #[on_confirm]
    async fn receipt(&self, _: &Branch, to: String) -> Settled {
        note(&self.done, ("receipt", to));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn two_versions_are_handled_side_by_side() {
    let store = Arc::new(MemoryStore::new());
    let id = left_by_v1(&store, "apples", true).await;
    let both = Both::default();
    let done = both.done.clone();
    let tcc = builder(&store).register(both).start().await.unwrap();
    let mut new = None;
    let bought = tcc.run("buy", async |tx| {
        new = Some(tx.id());
        tx.on::<Both>().reserve(Reserve { sku: "pear".to_owned(), count: 2 }).await?;
        tx.on::<Both>().reserve_v1(v1::Reserve { what: "plum".to_owned() }).await?;
        Ok::<_, Failed>(())
    });
    bought.await.unwrap();
    tcc.settled(new.unwrap()).await.unwrap();
    let expected = [
        r#"("receipt", "ann")"#,
        r#"("ship v1", "apples", 7)"#,
        r#"("ship v1", "plum", 9)"#,
        r#"("ship", "pear", 2)"#,
    ];
    assert_eq!(settled(&tcc, id, &done).await, expected);
}

#[participant("inventory")]
trait Stock {
    #[action(confirm = ship, cancel = none, version = 3, upcast(1: v1::Reserve -> v1::Hold, 2: Reserve))]
    async fn reserve(&self, _: &Branch, req: Reserve) -> Tried<Hold, Never>;
    async fn ship(&self, _: &Branch, req: Reserve, hold: Hold) -> Settled;

    #[on_confirm]
    async fn receipt(&self, _: &Branch, to: String) -> Settled;
}

impl Stock for Both {
    async fn reserve(&self, _: &Branch, _: Reserve) -> Tried<Hold, Never> {
        Ok(Hold { shelf: 5 })
    }

    async fn ship(&self, cx: &Branch, req: Reserve, hold: Hold) -> Settled {
        note(&self.done, (cx.action().as_str(), req.sku, req.count, hold.shelf));
        Ok(())
    }

    async fn receipt(&self, _: &Branch, _: String) -> Settled {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_traits_action_is_upcast_too() {
    let store = Arc::new(MemoryStore::new());
    let id = left_by_v1(&store, "apple*3", true).await;
    let both = Both::default();
    let done = both.done.clone();
    let tcc = builder(&store).register(StockClient::serve(both)).start().await.unwrap();
    assert_eq!(settled(&tcc, id, &done).await, [r#"("inventory.reserve", "apple", 3, 7)"#]);
}

/// As version 1 called it, by hand.
struct ReserveV1;

impl ActionType for ReserveV1 {
    const NAME: &'static str = "inventory.reserve";
    type Request = v1::Reserve;
    type Output = v1::Hold;
    type Error = Never;
}

#[tokio::test]
async fn an_upcast_takes_no_new_tries() {
    let tcc = builder(&Arc::new(MemoryStore::new())).register(Inventory::default()).start().await.unwrap();
    let called: Result<(), TransactionError> = tcc
        .run("buy", async |tx| {
            let id = tx.id();
            match tx.call::<ReserveV1>(v1::Reserve { what: "apple*1".to_owned() }).await {
                Err(BranchError::Transaction(error)) => {
                    assert!(
                        matches!(error, TransactionError::NotRegistered { version: 1, id: of, .. } if of == id),
                        "{error:?}"
                    );
                    Err(error)
                }
                other => panic!("{other:?}"),
            }
        })
        .await;
    assert!(matches!(called, Err(TransactionError::NotRegistered { .. })), "{called:?}");
}

/// One that had a try and became a message.
struct Became;

#[participant("inventory")]
impl Became {
    #[on_confirm(version = 2, upcast(1: v1::Reserve))]
    async fn reserve(&self, _: &Branch, _: Reserve) -> Settled {
        Ok(())
    }

    #[action(cancel = none, version = 2, upcast(1: String))]
    async fn receipt(&self, _: &Branch, _: Receipt) -> Tried<(), Never> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_had_a_try_is_not_settled_by_what_has_none() {
    for confirm in [true, false] {
        let store = Arc::new(MemoryStore::new());
        let id = left_by_v1(&store, "apple*3", confirm).await;
        let tcc = builder(&store).register(Became).start().await.unwrap();
        let errors = parked(&tcc, id).await;
        assert_eq!(errors.len(), if confirm { 2 } else { 1 }, "{errors:?}");
        for error in errors {
            assert!(error.contains("one has a try and the other has none"), "{error}");
        }
        tcc.shutdown().await;
    }
}

/// The same, and its version was forgotten.
struct BecameUnsaid;

#[participant("inventory")]
impl BecameUnsaid {
    #[on_confirm]
    async fn reserve(&self, _: &Branch, _: v1::Reserve) -> Settled {
        Ok(())
    }

    #[on_confirm]
    async fn receipt(&self, _: &Branch, _: String) -> Settled {
        Ok(())
    }
}

/// A message has nothing to cancel: it would call cancelled what is still put aside.
#[tokio::test(start_paused = true)]
async fn what_had_a_try_is_not_settled_by_what_has_none_of_the_same_version_either() {
    let store = Arc::new(MemoryStore::new());
    let id = left_by_v1(&store, "plum*4 unanswered", false).await;
    let tcc = builder(&store).register(BecameUnsaid).start().await.unwrap();
    let errors = parked(&tcc, id).await;
    assert!(errors.len() == 1 && errors[0].contains("give it a version of its own"), "{errors:?}");
    tcc.shutdown().await;
}

/// Registered by hand, as told.
struct ByHand(fn(Arc<Inventory>, &mut Registry));

impl Service for ByHand {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        self.0(Arc::default(), registry);
    }
}

fn upcast(version: u16, inventory: &Arc<Inventory>, registry: &mut Registry) {
    registry.add_upcast::<InventoryReserve, v1::Reserve, v1::Hold, _>(version, inventory.clone());
}

#[tokio::test(start_paused = true)]
async fn an_upcast_may_be_written_by_hand() {
    let store = Arc::new(MemoryStore::new());
    let id = left_by_v1(&store, "apple*3", false).await;
    let tcc = builder(&store).register(ByHand(|inventory, registry| upcast(1, &inventory, registry)));
    let tcc = tcc.start().await.unwrap();
    settled(&tcc, id, &Done::default()).await;
    let mut registry = Registry::default();
    upcast(1, &Arc::default(), &mut registry);
    let action = registry.action(&ActionName::new("inventory.reserve").unwrap(), 1).unwrap();
    assert_eq!((action.version(), action.handled_as(), action.is_on_confirm()), (1, 2, false));
}
