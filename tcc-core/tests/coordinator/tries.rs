//! A try that is asked more than once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{BranchKey, Phase, Status};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{CallFault, CallRule, FaultParticipant};
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};

/// Is asked up to five times.
struct Ring;

impl ActionType for Ring {
    const NAME: &'static str = "bell.ring";
    const TRIES: u32 = 5;
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(1));
    type Request = u32;
    type Output = u32;
    type Error = Never;
}

/// Remembers each call that arrives: of which branch, and which attempt it was said to be.
#[derive(Default)]
struct Bell(Mutex<Vec<(BranchKey, Phase, u32)>>);

impl Bell {
    fn heard(&self, cx: &Branch) {
        self.0.lock().unwrap().push((cx.key(), cx.phase(), cx.attempt()));
    }
}

impl Handler<Ring> for Bell {
    async fn r#try(&self, cx: &Branch, times: u32) -> Tried<u32, Never> {
        self.heard(cx);
        Ok(times)
    }

    async fn confirm(&self, cx: &Branch, _: u32, _: u32) -> Settled {
        self.heard(cx);
        Ok(())
    }

    async fn cancel(&self, cx: &Branch, _: u32, _: Option<u32>) -> Settled {
        self.heard(cx);
        Ok(())
    }
}

impl Service for Bell {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Ring, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// The network repeats the call, or loses its answer so that the coordinator does.
#[tokio::test(start_paused = true)]
async fn peers_26_a_repeated_call_is_the_same_branch() {
    let faults = [(CallFault::AnswerLost, 4), (CallFault::FailsAfter, 4), (CallFault::Repeats(5), 1)];
    for (fault, times) in faults {
        let bell = Arc::new(Bell::default());
        let wrapped = FaultParticipant::new(bell.clone());
        wrapped.faults().add(CallRule::new(fault).on(Phase::Try).times(times));
        let store = Arc::new(MemoryStore::new());
        let tcc = Coordinator::builder("test", store).register(wrapped).start().await.unwrap();
        let told = tcc.run("ring", async |tx: &Tx| {
            let (first, second) = (tx.call::<Ring>(1).await?, tx.call::<Ring>(2).await?);
            Ok::<_, Error>((tx.id(), first, second))
        });
        let (id, first, second) = told.await.unwrap();
        assert_eq!((first, second), (1, 2));
        assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
        let heard = bell.0.lock().unwrap().clone();
        let tries: Vec<_> = heard.iter().filter(|(_, phase, _)| *phase == Phase::Try).collect();
        assert_eq!(tries.len(), 6, "{fault:?}: five of the first branch, one of the second: {heard:?}");
        assert!(tries[..5].iter().all(|(key, ..)| *key == tries[0].0), "{fault:?}: {tries:?}");
        assert_ne!(tries[5].0, tries[0].0);
        // Two branches and no third: each is confirmed once, and no other is known.
        let confirms: Vec<_> = heard.iter().filter(|(_, phase, _)| *phase == Phase::Confirm).collect();
        let mut keys: Vec<_> = confirms.iter().map(|(key, ..)| *key).collect();
        keys.sort();
        assert_eq!(keys, [tries[0].0, tries[5].0], "{fault:?}");
        let numbers: Vec<_> = keys.iter().map(|key| key.branch.number()).collect();
        assert_eq!(numbers, [0, 1]);
        if times == 4 {
            let attempts: Vec<_> = tries[..5].iter().map(|(.., attempt)| *attempt).collect();
            assert_eq!(attempts, [1, 2, 3, 4, 5], "{fault:?}");
        }
    }
}

/// An action that never rests.
struct Spin;

impl ActionType for Spin {
    const NAME: &'static str = "top.spin";
    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(20));
    type Request = ();
    type Output = ();
    type Error = Never;
}

struct Top;

impl Handler<Spin> for Top {
    async fn r#try(&self, _: &Branch, (): ()) -> Tried<(), Never> {
        loop {
            // Each step ends when nothing more may be done in it, not even a look at a timer.
            tokio::task::consume_budget().await;
        }
    }

    async fn confirm(&self, _: &Branch, (): (), (): ()) -> Settled {
        Ok(())
    }

    async fn cancel(&self, _: &Branch, (): (), _: Option<()>) -> Settled {
        Ok(())
    }
}

impl Service for Top {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Spin, _>(self);
    }
}

/// On a real clock: a paused one does not advance while anything is to be done.
#[tokio::test]
async fn one_that_uses_up_all_its_turns_is_stopped_in_time() {
    let tcc = Coordinator::builder("test", MemoryStore::new()).register(Top).start().await.unwrap();
    let spun = tcc.transaction("spin").timeout(Duration::from_secs(10));
    let spun = spun.run(async |tx: &Tx| tx.call::<Spin>(()).await.map_err(Error::from)).await;
    let error = spun.unwrap_err();
    assert!(matches!(error, Error::Branch(BranchError::Unknown(_))), "not stopped by its own limit: {error}");
}
