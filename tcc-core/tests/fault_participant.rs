//! What `FaultParticipant` does to the calls of a participant, fault by fault.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{BranchKey, Group, Phase};
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::testing::{CallFault, CallFaults, CallRule, FaultParticipant, Until};
use tcc_core::{
    Branch, BranchError, Coordinator, Delivered, DeliveryId, Settled, TransactionError, Tried, TryFailure,
    participant, refuse,
};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(2);

/// Remembers every call that arrives, and knows which branches are over.
#[derive(Default)]
struct Hall {
    calls: Mutex<Vec<Phase>>,
    /// Which delivery each of them was; twice, as a handler may clone it.
    deliveries: Mutex<Vec<[DeliveryId; 2]>>,
    over: Mutex<BTreeSet<BranchKey>>,
}

#[participant("hall")]
impl Hall {
    #[action(confirm = take, cancel = free, timeout = "2s")]
    async fn hold(&self, cx: &Branch, seats: u32) -> Tried<u32, String> {
        self.arrives(cx);
        if self.over.lock().unwrap().contains(&cx.key()) {
            return Err(TryFailure::TooLate);
        }
        if seats == 0 { refuse("none".into()) } else { Ok(seats) }
    }

    async fn take(&self, cx: &Branch, _: u32, _: u32) -> Settled {
        self.arrives(cx);
        Ok(())
    }

    async fn free(&self, cx: &Branch, _: u32, _: Option<u32>) -> Settled {
        self.arrives(cx);
        self.over.lock().unwrap().insert(cx.key());
        Ok(())
    }
}

impl Hall {
    fn arrives(&self, cx: &Branch) {
        self.calls.lock().unwrap().push(cx.phase());
        self.deliveries.lock().unwrap().push([cx.delivery(), cx.clone().delivery()]);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<String>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

struct Rig {
    hall: Arc<Hall>,
    faults: CallFaults,
    store: Arc<MemoryStore>,
    tcc: Coordinator,
}

impl Rig {
    async fn start(rules: impl IntoIterator<Item = CallRule>) -> Self {
        let (hall, store) = (Arc::new(Hall::default()), Arc::new(MemoryStore::new()));
        let wrapped = FaultParticipant::new(hall.clone());
        let faults = wrapped.faults();
        rules.into_iter().for_each(|rule| faults.add(rule));
        let tcc = Coordinator::builder("test", store.clone()).register(wrapped).start().await.unwrap();
        Self { hall, faults, store, tcc }
    }

    /// One transaction of one branch.
    async fn hold(&self) -> Result<u32, Error> {
        self.tcc.run("hold", async |tx| Ok(tx.on::<Hall>().hold(1).await?)).await
    }

    /// What arrived, once nothing is unfinished.
    async fn arrived(&self) -> Vec<Phase> {
        while self.store.stats(&Group::new("test").unwrap()).await.unwrap().unfinished > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.hall.calls.lock().unwrap().clone()
    }
}

fn unknown(answer: Result<u32, Error>) -> String {
    match answer.unwrap_err() {
        Error::Branch(BranchError::Unknown(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

use Phase::{Cancel, Confirm, Try};

#[tokio::test(start_paused = true)]
async fn without_a_rule_every_call_passes() {
    let rig = Rig::start([]).await;
    assert_eq!(rig.hold().await.unwrap(), 1);
    let refused = rig.tcc.run("none", async |tx| Ok::<_, Error>(tx.on::<Hall>().hold(0).await?)).await;
    assert!(matches!(refused, Err(Error::Branch(BranchError::Refused(_)))), "{refused:?}");
    assert_eq!(rig.arrived().await, [Try, Confirm, Try, Cancel]);
    assert_eq!(rig.faults.struck(), []);
}

#[tokio::test(start_paused = true)]
async fn a_confirm_fails_three_times_and_then_passes() {
    let rig = Rig::start([CallRule::new(CallFault::Fails).of("hall.hold").on(Confirm).times(3)]).await;
    rig.hold().await.unwrap();
    assert_eq!(rig.arrived().await, [Try, Confirm]);
    let struck = rig.faults.struck();
    assert_eq!(struck.len(), 3);
    assert!(struck.iter().all(|struck| struck.phase == Confirm && struck.action.as_str() == "hall.hold"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_never_arrives_and_one_that_fails_after_did() {
    let rig =
        Rig::start([CallRule::new(CallFault::Fails), CallRule::new(CallFault::FailsAfter).on(Try)]).await;
    let began = Instant::now();
    assert!(unknown(rig.hold().await).contains("the call did not arrive"));
    assert!(unknown(rig.hold().await).contains("the answer did not arrive"));
    assert!(began.elapsed() < LIMIT, "both are told at once");
    assert_eq!(rig.arrived().await, [Cancel, Try, Cancel]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_and_a_lost_answer_are_waited_for_in_vain() {
    for (fault, arrived) in [(CallFault::Lost, vec![Cancel]), (CallFault::AnswerLost, vec![Try, Cancel])] {
        let rig = Rig::start([CallRule::new(fault)]).await;
        let began = Instant::now();
        assert!(unknown(rig.hold().await).contains("did not answer in time"));
        assert!(began.elapsed() >= LIMIT);
        assert_eq!(rig.arrived().await, arrived, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_shorter_than_the_limit_is_only_a_delay() {
    let time = LIMIT / 2;
    let rules = [CallRule::new(CallFault::DelayBefore(time)), CallRule::new(CallFault::DelayAfter(time))];
    let rig = Rig::start(rules).await;
    let began = Instant::now();
    rig.hold().await.unwrap();
    assert_eq!(rig.arrived().await, [Try, Confirm]);
    assert!(began.elapsed() >= 2 * time);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_goes_with_its_caller() {
    let rig = Rig::start([CallRule::new(CallFault::DelayBefore(2 * LIMIT))]).await;
    unknown(rig.hold().await);
    tokio::time::sleep(3 * LIMIT).await;
    assert_eq!(rig.arrived().await, [Cancel]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_arrives_as_often_as_was_said() {
    let rig = Rig::start([CallRule::new(CallFault::Repeats(3)).always()]).await;
    rig.hold().await.unwrap();
    assert_eq!(rig.arrived().await, [Try, Try, Try, Confirm, Confirm, Confirm]);
    assert_eq!(rig.faults.struck().len(), 2);
    rig.faults.clear();
    rig.hold().await.unwrap();
    assert_eq!(rig.arrived().await.len(), 8);
    // Each is another delivery: a fence tells them from a handler that asks it twice.
    let deliveries = rig.hall.deliveries.lock().unwrap();
    assert!(deliveries.iter().all(|[one, clone]| one == clone), "{deliveries:?}");
    let different: HashSet<_> = deliveries.iter().collect();
    assert_eq!(different.len(), deliveries.len(), "{deliveries:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt() {
    let panics = || CallRule::new(CallFault::Panics);
    let rig = Rig::start([panics().on(Confirm), panics().on(Try).nth(2)]).await;
    rig.hold().await.unwrap();
    assert_eq!(rig.arrived().await, [Try, Confirm]);
    assert!(unknown(rig.hold().await).contains("by plan"));
    assert_eq!(rig.arrived().await, [Try, Confirm, Cancel]);
    assert_eq!(rig.faults.struck().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_goes_on_when_it_is_released() {
    let rig = Rig::start([CallRule::new(CallFault::Hangs).on(Try)]).await;
    let (answer, ()) = tokio::join!(rig.hold(), async {
        rig.faults.until_struck(1).await;
        assert!(rig.hall.calls.lock().unwrap().is_empty());
        rig.faults.release();
    });
    answer.unwrap();
    assert_eq!(rig.arrived().await, [Try, Confirm]);
}

#[tokio::test(start_paused = true)]
async fn a_late_call_arrives_though_nobody_waits_for_it() {
    let rules = [
        CallRule::new(CallFault::Late(Until::After(3 * LIMIT))),
        CallRule::new(CallFault::Late(Until::Released)).on(Try),
    ];
    let rig = Rig::start(rules).await;
    unknown(rig.hold().await);
    unknown(rig.hold().await);
    rig.faults.until_late(1).await;
    assert_eq!(rig.arrived().await, [Cancel, Cancel, Try]);
    rig.faults.release();
    rig.faults.until_late(2).await;
    let late = rig.faults.late();
    assert!(late.iter().all(|late| late.answer == Delivered::TooLate && late.call.phase == Try), "{late:?}");
    assert_eq!(rig.arrived().await, [Cancel, Cancel, Try, Try]);
}

#[tokio::test(start_paused = true)]
async fn a_try_is_held_back_until_after_its_cancel() {
    let rig = Rig::start([CallRule::new(CallFault::AfterCancel)]).await;
    unknown(rig.hold().await);
    rig.faults.until_late(1).await;
    assert_eq!(rig.arrived().await, [Cancel, Try]);
    assert_eq!(rig.faults.late()[0].answer, Delivered::TooLate);
}

#[tokio::test(start_paused = true)]
async fn a_rule_strikes_the_nth_call_that_it_fits() {
    let rules = [
        CallRule::new(CallFault::Fails).of("another.action").always(),
        CallRule::new(CallFault::Fails).on(Try).nth(2).times(2),
    ];
    let rig = Rig::start(rules).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(rig.hold().await.is_ok());
    }
    assert_eq!(answers, [true, false, false, true]);
}
