//! A decision and phase two in the task of who waits for them: what that task does, or leaves undone, is not to be seen.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use tcc_core::protocol::{Phase, Status};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{Call, Fault, FaultStore, Rule};
use tcc_core::{ActionType, Branch, Coordinator, Handler, Never, Registry, Service, Settled, Tried, Tx};

use crate::rig::{Bank, Does, Error, Move, Transfer, works};

/// The caller's future is kept, and not polled: while the decision is written, and while a participant confirms or cancels.
/// A participant in the middle of its work would hold what its database has locked.
#[tokio::test(start_paused = true)]
async fn peers_21_a_caller_that_is_not_polled_holds_up_no_participant() {
    let a_while = Duration::from_millis(100);
    for confirms in [true, false] {
        for decision_takes in [a_while, Duration::ZERO] {
            let store = FaultStore::new(MemoryStore::new());
            let delay = Rule::new(Fault::DelayBefore(decision_takes)).on(Call::Append).when_change("decide");
            store.faults().add(delay);
            let bank = Arc::new(Bank::default());
            let tcc = Coordinator::builder("test", store).register(bank.clone()).start().await.unwrap();
            let slow = Does::WorkFor(a_while);
            let seen = OnceLock::new();
            let pay = async |tx: &Tx| {
                tx.call::<Transfer>(Move { confirm: slow, cancel: slow, ..works(1) }).await?;
                seen.set(tx.id()).unwrap();
                if confirms { Ok(()) } else { Err(Error::Own) }
            };
            let mut caller = Box::pin(tcc.run("pay", pay));
            // Polled until the body has ended, and once more for what is done at once after that.
            while seen.get().is_none() {
                assert!(futures_util::poll!(&mut caller).is_pending());
                tokio::task::yield_now().await;
            }
            assert!(futures_util::poll!(&mut caller).is_pending());
            // Before any lease ends, so it is no recovery that does it.
            tokio::time::sleep(10 * a_while).await;
            let (phase, status) = if confirms {
                (Phase::Confirm, Status::Confirmed)
            } else {
                (Phase::Cancel, Status::Cancelled)
            };
            let id = *seen.get().unwrap();
            assert_eq!(tcc.outcome(id).await.unwrap(), Some(status), "decided in {decision_takes:?}");
            assert_eq!(bank.phases(id), [vec![Phase::Try, phase]]);
            assert_eq!(bank.calls_of(id, phase), 1);
            // It finds its answer when it comes back.
            assert_eq!(caller.await.is_ok(), confirms);
        }
    }
}

/// What goes on for longer than one step does so in a task at once, not only when its caller has not come back for a while.
#[tokio::test(start_paused = true)]
async fn peers_21_no_participant_is_in_the_middle_of_its_work_in_a_callers_future() {
    let (bank, step) = (Arc::new(Bank::default()), Duration::from_millis(1));
    let tcc = Coordinator::builder("test", MemoryStore::new()).register(bank.clone()).start().await.unwrap();
    let pay = async |tx: &Tx| {
        tx.call::<Transfer>(Move { confirm: Does::WorkFor(step), ..works(1) }).await?;
        Ok::<_, Error>(())
    };
    let mut caller = Box::pin(tcc.run("pay", pay));
    let confirms = || bank.calls.lock().unwrap().iter().filter(|(_, phase)| *phase == Phase::Confirm).count();
    while confirms() == 0 {
        assert!(futures_util::poll!(&mut caller).is_pending());
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(2 * step).await;
    let done: Vec<Vec<Phase>> = bank.effects.lock().unwrap().values().cloned().collect();
    assert_eq!(done, [[Phase::Try, Phase::Confirm]]);
    drop(caller);
}

/// What a participant is asked, and where.
struct Nested;

impl ActionType for Nested {
    const NAME: &'static str = "nest.nested";
    type Request = ();
    type Output = ();
    type Error = Never;
}

/// Begins a transaction of its own when it confirms, and notes on which runtime it does.
#[derive(Default)]
struct Nest {
    tcc: OnceLock<Coordinator>,
    runtimes: Mutex<Vec<tokio::runtime::Id>>,
    inner: AtomicU32,
}

impl Handler<Nested> for Nest {
    async fn r#try(&self, _: &Branch, (): ()) -> Tried<(), Never> {
        Ok(())
    }

    async fn confirm(&self, _: &Branch, (): (), (): ()) -> Settled {
        self.runtimes.lock().unwrap().push(tokio::runtime::Handle::current().id());
        if let Some(tcc) = self.tcc.get() {
            tcc.run("inner", async |_: &Tx| Ok::<_, Error>(())).await?;
            self.inner.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn cancel(&self, _: &Branch, (): (), _: Option<()>) -> Settled {
        Ok(())
    }
}

impl Service for Nest {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Nested, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Branch(#[from] tcc_core::BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] tcc_core::TransactionError),
}

async fn nest(tcc: &Coordinator, independent: bool) -> Result<(), Failed> {
    let transaction = tcc.transaction("nest");
    let transaction = if independent { transaction.independent() } else { transaction };
    transaction.run(async |tx: &Tx| Ok(tx.call::<Nested>(()).await?)).await
}

/// A transaction inside the body of another is an error. A participant of one that stands by itself is not inside that
/// body, though its caller is.
#[tokio::test(start_paused = true)]
async fn a_participant_is_not_within_the_body_of_who_calls_it() {
    let service = Arc::new(Nest::default());
    let builder = Coordinator::builder("test", MemoryStore::new()).register(service.clone());
    let tcc = builder.start().await.unwrap();
    service.tcc.set(tcc.clone()).unwrap();
    tcc.run("outer", async |_: &Tx| nest(&tcc, true).await).await.unwrap();
    assert_eq!(service.inner.load(Ordering::SeqCst), 1, "at its first attempt");
}

/// A caller's own runtime may end at any time, and what is tied to its timers and sockets with it.
#[test]
fn participants_are_settled_on_the_coordinators_runtime() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ours, callers) = (runtime(), runtime());
    let service = Arc::new(Nest::default());
    let builder = Coordinator::builder("test", MemoryStore::new()).register(service.clone());
    let tcc = ours.block_on(builder.start()).unwrap();
    ours.block_on(nest(&tcc, false)).unwrap();
    callers.block_on(nest(&tcc, false)).unwrap();
    assert_eq!(*service.runtimes.lock().unwrap(), [ours.handle().id(); 2]);
}

/// A payload that is not wholly in the log, and counts how often it is read from there.
#[derive(Debug, Clone, Serialize)]
struct Partly {
    logged: u32,
    #[serde(skip)]
    left_out: u32,
}

static READ: AtomicU32 = AtomicU32::new(0);

impl<'de> Deserialize<'de> for Partly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Logged {
            logged: u32,
        }
        READ.fetch_add(1, Ordering::SeqCst);
        Logged::deserialize(deserializer).map(|Logged { logged }| Self { logged, left_out: 0 })
    }
}

struct Keep;

impl ActionType for Keep {
    const NAME: &'static str = "keeper.keep";
    type Request = Partly;
    type Output = Partly;
    type Error = Never;
}

/// What its confirms were given; the first one fails.
#[derive(Default)]
struct Keeper(Mutex<Vec<[u32; 4]>>);

impl Handler<Keep> for Keeper {
    async fn r#try(&self, _: &Branch, request: Partly) -> Tried<Partly, Never> {
        assert_eq!((request.logged, request.left_out), (1, 2), "the try is given what its caller gave");
        Ok(Partly { logged: 3, left_out: 4 })
    }

    async fn confirm(&self, cx: &Branch, request: Partly, output: Partly) -> Settled {
        self.0.lock().unwrap().push([request.logged, request.left_out, output.logged, output.left_out]);
        if cx.attempt() == 1 { Err(std::io::Error::other("not yet").into()) } else { Ok(()) }
    }

    async fn cancel(&self, _: &Branch, _: Partly, _: Option<Partly>) -> Settled {
        Ok(())
    }
}

impl Service for Keeper {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Keep, _>(self);
    }
}

/// The first attempt is given what any other process would be: what is in the log, not what the try had in its hands. It
/// need not be read there once more for that.
#[tokio::test(start_paused = true)]
async fn peers_22_a_confirm_is_given_what_is_in_the_log() {
    let service = Arc::new(Keeper::default());
    let builder = Coordinator::builder("test", MemoryStore::new()).register(service.clone());
    let tcc = builder.start().await.unwrap();
    let body = async |tx: &Tx| {
        tx.call::<Keep>(Partly { logged: 1, left_out: 2 }).await?;
        Ok::<_, Failed>(tx.id())
    };
    let id = tcc.run("keep", body).await.unwrap();
    assert_eq!(READ.load(Ordering::SeqCst), 2, "the request and the output, when they were written");
    assert_eq!(crate::rig::settled(&tcc, id).await, Some(Status::Confirmed));
    assert_eq!(*service.0.lock().unwrap(), [[1, 0, 3, 0]; 2]);
    assert_eq!(READ.load(Ordering::SeqCst), 4, "and both by the repeat");
}
