//! What blocks its thread can't be stopped at its time limit: it is told of, and a try that answers late has not answered.

use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tcc_core::protocol::{Phase, Status};
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The warnings of this thread that something blocked, as long as it is there.
struct Warnings(
    Arc<Mutex<Vec<String>>>,
    #[expect(dead_code, reason = "it only has to be there")] DefaultGuard,
);

impl Warnings {
    fn listen() -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(Listener(said.clone())));
        Self(said, guard)
    }

    fn said(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|said| said.contains("blocked")).cloned().collect()
    }
}

struct Listener(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN {
            let mut message = Message(String::new());
            event.record(&mut message);
            self.0.lock().unwrap().push(message.0);
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        }
    }
}

/// Lets the time pass without an await, as what blocks its thread does.
async fn block(time: Duration) {
    let mut advance = pin!(tokio::time::advance(time));
    poll_fn(|cx| {
        let _ = advance.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

/// Which phase takes how long, and how.
#[derive(Clone, Copy, Default)]
struct Stall {
    phase: Option<Phase>,
    blocks: Duration,
    sleeps: Duration,
    /// Blocks a real thread in real time.
    really: bool,
}

#[derive(Default)]
struct Inventory {
    stall: Stall,
    calls: Mutex<Vec<Phase>>,
}

impl Inventory {
    async fn act(&self, cx: &Branch) {
        self.calls.lock().unwrap().push(cx.phase());
        if self.stall.phase != Some(cx.phase()) {
            return;
        }
        if self.stall.really {
            #[expect(clippy::disallowed_methods, reason = "what this test is about")]
            std::thread::sleep(self.stall.blocks);
        } else {
            block(self.stall.blocks).await;
        }
        if !self.stall.sleeps.is_zero() {
            tokio::time::sleep(self.stall.sleeps).await;
        }
    }
}

struct Reserve;
impl ActionType for Reserve {
    const NAME: &'static str = "inventory.reserve";
    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(400));
    type Request = u32;
    type Output = u32;
    type Error = Never;
}

impl Handler<Reserve> for Inventory {
    async fn r#try(&self, cx: &Branch, number: u32) -> Tried<u32, Never> {
        self.act(cx).await;
        Ok(number)
    }

    async fn confirm(&self, cx: &Branch, _: u32, _: u32) -> Settled {
        self.act(cx).await;
        Ok(())
    }

    async fn cancel(&self, cx: &Branch, _: u32, _: Option<u32>) -> Settled {
        self.act(cx).await;
        Ok(())
    }
}

impl Service for Inventory {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Reserve, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// Runs one reservation; how it ended, where it stands at last, which phases were called, and what was warned of.
async fn reserve(stall: Stall) -> (Result<(), Error>, Option<Status>, Vec<Phase>, Vec<String>) {
    let warnings = Warnings::listen();
    let inventory = Arc::new(Inventory { stall, ..Inventory::default() });
    let tcc =
        Coordinator::builder("test", MemoryStore::new()).register(inventory.clone()).start().await.unwrap();
    let mut id = None;
    let body = async |tx: &Tx| {
        id = Some(tx.id());
        tx.call::<Reserve>(1).await?;
        Ok(())
    };
    let ended = tcc.run("checkout", body).await;
    let status = tcc.settled(id.unwrap()).await.unwrap();
    tcc.shutdown().await;
    let calls = inventory.calls.lock().unwrap().clone();
    (ended, status, calls, warnings.said())
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_try_that_blocks_beyond_its_limit_is_told_of_and_unknown() {
    let stall = Stall { phase: Some(Phase::Try), blocks: 1500 * MS, ..Stall::default() };
    let (ended, status, calls, warned) = reserve(stall).await;
    assert!(matches!(ended, Err(Error::Branch(BranchError::Unknown(_)))), "{ended:?}");
    assert_eq!((status, calls), (Some(Status::Cancelled), vec![Phase::Try, Phase::Cancel]));
    assert_eq!(
        warned,
        [
            "the try of inventory.reserve blocked its thread: it took 1500 ms where 400 ms are allowed; use spawn_blocking"
        ]
    );
}

/// What is done is done: asked again it would block once more, and never be settled.
#[tokio::test(start_paused = true)]
async fn a_confirm_that_blocks_beyond_its_limit_is_told_of_and_done() {
    let stall = Stall { phase: Some(Phase::Confirm), blocks: 1500 * MS, ..Stall::default() };
    let (ended, status, calls, warned) = reserve(stall).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!((status, calls), (Some(Status::Confirmed), vec![Phase::Try, Phase::Confirm]));
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].starts_with("the confirm of inventory.reserve blocked its thread"), "{warned:?}");
}

#[tokio::test]
async fn a_thread_that_really_sleeps_is_told_of() {
    let stall = Stall { phase: Some(Phase::Try), blocks: 450 * MS, really: true, ..Stall::default() };
    let (ended, _, _, warned) = reserve(stall).await;
    assert!(matches!(ended, Err(Error::Branch(BranchError::Unknown(_)))), "{ended:?}");
    assert_eq!(warned.len(), 1, "{warned:?}");
}

#[tokio::test(start_paused = true)]
async fn who_awaits_or_blocks_for_a_moment_is_not_blamed() {
    // Timers count milliseconds: now they are late by some hundred microseconds, as they are in real time.
    tokio::time::advance(Duration::from_micros(300)).await;
    let awaits = Stall { phase: Some(Phase::Try), blocks: 100 * MS, sleeps: 1000 * MS, ..Stall::default() };
    let (ended, _, _, warned) = reserve(awaits).await;
    assert!(matches!(ended, Err(Error::Branch(BranchError::Unknown(_)))), "{ended:?}");
    assert_eq!(warned, Vec::<String>::new(), "it was stopped at its limit");
    let in_time = Stall { phase: Some(Phase::Try), blocks: 399 * MS, ..Stall::default() };
    let (ended, status, _, warned) = reserve(in_time).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!((status, warned), (Some(Status::Confirmed), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_blocks_beyond_its_deadline_is_told_of() {
    let warnings = Warnings::listen();
    let tcc = Coordinator::builder("test", MemoryStore::new()).start().await.unwrap();
    let late = async |_: &Tx| {
        block(Duration::from_secs(4)).await;
        Ok::<_, Error>(())
    };
    let ended = tcc.transaction("checkout").timeout(Duration::from_secs(3)).run(late).await;
    assert!(matches!(ended, Err(Error::Transaction(TransactionError::TimedOut { .. }))), "{ended:?}");
    assert_eq!(
        warnings.said(),
        [
            "the body of transaction checkout blocked its thread: it took 4 s where 3 s are allowed; use spawn_blocking"
        ]
    );
}
