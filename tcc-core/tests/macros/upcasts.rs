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
    ActionType, Branch, BranchError, Builder, Coordinator, Handler, Never, RegisterError, Registry, Service,
    Settled, StartError, TransactionError, Tried, participant,
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

    pub struct Inventory;

    fn broken() -> Settled {
        Err(std::io::Error::other("the deploy has begun").into())
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

        async fn ship(&self, _: &Branch, _: Reserve, _: Hold) -> Settled {
            broken()
        }

        async fn release(&self, _: &Branch, _: Reserve, _: Option<Hold>) -> Settled {
            broken()
        }

        #[on_confirm]
        pub async fn receipt(&self, _: &Branch, _: String) -> Settled {
            broken()
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

fn builder(store: &MemoryStore) -> Builder {
    Coordinator::builder("shop", store.clone())
}

/// A transaction of version 1, decided and not settled when its process goes.
async fn left_by_v1(store: &MemoryStore, what: &str, confirm: bool) -> TxId {
    let tcc = builder(store).register(v1::Inventory).start().await.unwrap();
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
    let tcc = builder(store).start().await.unwrap();
    let status = tcc.operator().timeline(id).await.unwrap().unwrap().record().status();
    tcc.shutdown().await;
    assert_eq!(status, if confirm { Status::Confirming } else { Status::Cancelling });
    id
}

/// What version 2 does of it.
async fn settled_by(tcc: &Coordinator, id: TxId, done: &Done) -> Vec<String> {
    tokio::time::timeout(Duration::from_secs(600), tcc.settled(id)).await.expect("it is settled").unwrap();
    let mut done = done.lock().unwrap().clone();
    done.sort();
    done
}

#[tokio::test(start_paused = true)]
async fn a_branch_of_version_1_is_settled_by_version_2() {
    for (what, confirm, expected) in [
        ("apple*3", true, &[r#"("receipt", "ann", 1)"#, r#"("ship", "apple", 3, 7)"#][..]),
        ("pear*2", false, &[r#"("release", "pear", 2, Some(7))"#]),
        ("plum*4 unanswered", false, &[r#"("release", "plum", 4, None)"#]),
    ] {
        let store = MemoryStore::new();
        let id = left_by_v1(&store, what, confirm).await;
        let inventory = Inventory::default();
        let done = inventory.done.clone();
        let tcc = builder(&store).register(inventory).start().await.unwrap();
        assert_eq!(settled_by(&tcc, id, &done).await, expected);
        tcc.shutdown().await;
    }
}
