//! What recovery has in hand while callers wait, and that it never starves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{
    ActionName, Begin, BranchId, Change, Enlisted, Entry, Group, Json, Name, Op, Owner, Position, TxId,
};
use tcc_core::store::{Append, Due, MemoryStore, Mode, StatusStore};
use tcc_core::{
    ActionType, Backoff, Branch, BranchError, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};
use tokio::time::Instant;

/// How long a till works on one that was left.
const WORK: Duration = Duration::from_millis(5);
/// So many are in hand at least, and beside so few callers at most.
const LEAST: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// Of a caller: done at once.
    Quick,
    /// Takes [`WORK`].
    Left,
    Hangs,
    /// Fails until the till is up, and takes [`WORK`] then.
    Waits,
}

struct Take;

impl ActionType for Take {
    const NAME: &'static str = "till.take";
    type Request = Kind;
    type Output = ();
    type Error = Never;
}

/// Another participant, for callers whose success is to wake nobody.
struct Look;

impl ActionType for Look {
    const NAME: &'static str = "window.look";
    type Request = Kind;
    type Output = ();
    type Error = Never;
}

#[derive(Default)]
struct Till {
    up: AtomicBool,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    settled: AtomicUsize,
}

impl Till {
    async fn settle(&self, kind: Kind) -> Settled {
        match kind {
            Kind::Quick => return Ok(()),
            Kind::Hangs => std::future::pending().await,
            Kind::Waits if !self.up.load(Ordering::SeqCst) => Err(std::io::Error::other("down"))?,
            Kind::Left | Kind::Waits => {}
        }
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        tokio::time::sleep(WORK).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        self.settled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Waits until so many that were left are settled, and says how long that took.
    async fn settled(&self, count: usize) -> Duration {
        let since = Instant::now();
        while self.settled.load(Ordering::SeqCst) < count {
            assert!(since.elapsed() < Duration::from_secs(600), "not settled after ten minutes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        since.elapsed()
    }
}

impl<A: ActionType<Request = Kind, Output = (), Error = Never>> Handler<A> for Till {
    async fn r#try(&self, _: &Branch, _: Kind) -> Tried<(), Never> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }

    async fn confirm(&self, _: &Branch, kind: Kind, (): ()) -> Settled {
        self.settle(kind).await
    }

    async fn cancel(&self, _: &Branch, kind: Kind, _: Option<()>) -> Settled {
        self.settle(kind).await
    }
}

impl Service for Till {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Take, _>(self.clone());
        registry.add::<Look, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

struct Shop {
    store: Arc<MemoryStore>,
    till: Arc<Till>,
    tcc: Coordinator,
}

impl Shop {
    async fn open() -> Self {
        let (store, till) = (Arc::new(MemoryStore::new()), Arc::<Till>::default());
        // What fails is put back for hours: what would be tried again within half a lease is not.
        let day = Duration::from_secs(24 * 3600);
        let tcc = Coordinator::builder("pace", store.clone())
            .register(till.clone())
            .backoff(Backoff { base: day, cap: day })
            .lease(Duration::from_millis(200))
            .start()
            .await
            .unwrap();
        Self { store, till, tcc }
    }

    /// So many callers, each of whom begins the next transaction when the last has returned.
    fn callers(&self, count: usize) {
        for _ in 0..count {
            let tcc = self.tcc.clone();
            tokio::spawn(async move {
                loop {
                    let look = async |tx: &Tx| Ok::<_, Error>(tx.call::<Look>(Kind::Quick).await?);
                    tcc.run("look", look).await.unwrap();
                }
            });
        }
    }

    async fn take(&self, kind: Kind) {
        let take = async |tx: &Tx| Ok::<_, Error>(tx.call::<Take>(kind).await?);
        self.tcc.run("take", take).await.unwrap();
    }

    /// Transactions of a process that is gone, due in a second: those that come first are due first.
    async fn left(&self, kinds: impl Iterator<Item = Kind>) {
        for (number, kind) in kinds.enumerate() {
            let begin = Change::Begin(Begin {
                name: Name::new("take").unwrap(),
                begun_ms: 0,
                timeout_ms: 1_000,
                by: Owner::from_u64(1),
                key: None,
                run: None,
                traceparent: None,
                branches: vec![Enlisted {
                    id: BranchId::new(0),
                    action: ActionName::new(Take::NAME).unwrap(),
                    version: Take::VERSION,
                    request: Json::of(&kind).unwrap(),
                    on_confirm: false,
                }],
            });
            let number = number as u64;
            let append = Append {
                group: Group::new("pace").unwrap(),
                id: TxId::from_time(number, [0; 10]),
                after: Position::START,
                entry: Entry::new(Op::from_u64(number + 1), begin.encode()).unwrap(),
                due: Due::In(Duration::from_secs(1) + Duration::from_nanos(number)),
                mode: Mode::Extend,
            };
            self.store.append(&append).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_takes_all_it_may_while_nobody_else_is_here() {
    let shop = Shop::open().await;
    shop.left(std::iter::repeat_n(Kind::Left, 1_000)).await;
    shop.till.settled(1_000).await;
    let most = shop.till.most_at_once.load(Ordering::SeqCst);
    assert!((200..=256).contains(&most), "{most} at once");
}

#[tokio::test(start_paused = true)]
async fn recovery_leaves_callers_their_share_and_is_not_starved_by_them() {
    let shop = Shop::open().await;
    shop.left(std::iter::repeat_n(Kind::Left, 1_000)).await;
    shop.callers(LEAST);
    let took = shop.till.settled(1_000).await;
    let most = shop.till.most_at_once.load(Ordering::SeqCst);
    assert_eq!(most, LEAST);
    // It is due after one second, and as many as that are in hand all the time.
    let at_best = Duration::from_secs(1) + WORK * (1_000 / LEAST) as u32;
    assert!(took < 3 * at_best, "it took {took:?}; without a pause between two it would take {at_best:?}");
}

#[tokio::test(start_paused = true)]
async fn peers_06_beside_callers_what_hangs_holds_up_no_other_that_was_left() {
    let shop = Shop::open().await;
    shop.left(std::iter::repeat_n(Kind::Hangs, 200).chain([Kind::Left])).await;
    shop.callers(1);
    let took = shop.till.settled(1).await;
    assert!(took < Duration::from_secs(3), "behind 200 that hang it took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_woken_leaves_callers_their_share() {
    let shop = Shop::open().await;
    for _ in 0..100 {
        shop.take(Kind::Waits).await;
    }
    shop.callers(LEAST);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.till.settled.load(Ordering::SeqCst), 0);
    shop.till.up.store(true, Ordering::SeqCst);
    // The first success of the till.
    shop.take(Kind::Quick).await;
    let took = shop.till.settled(100).await;
    assert_eq!(shop.till.most_at_once.load(Ordering::SeqCst), LEAST);
    assert!(took < Duration::from_secs(1), "the woken took {took:?}");
}
