//! The store with faults does what its plan says, and without a plan nothing.

use std::time::Duration;

use async_trait::async_trait;
use std::sync::Arc;
use tcc_core::protocol::{Change, Entry, Group, Op, Owner, Position, TxId};
use tcc_core::store::{Append, Claim, Due, MemoryStore, Mode, StatusStore, StoreError};
use tcc_core::testing::{Call, Fault, FaultKind, FaultStore, Rates, Rule, StoreFixture, Until};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn group() -> Group {
    Group::new("shop").unwrap()
}

fn entry(op: u64) -> Entry {
    let change = Change::Claim(tcc_core::protocol::Claim { by: Owner::from_u64(op) });
    Entry::new(Op::from_u64(op), change.encode()).unwrap()
}

fn write(id: u64, after: Position, op: u64) -> Append {
    let id = TxId::from_time(id, [0; 10]);
    Append { group: group(), id, after, entry: entry(op), due: Due::Keep, mode: Mode::Extend }
}

fn first(id: u64) -> Append {
    write(id, Position::START, id + 100)
}

fn claim(limit: usize) -> Claim {
    Claim { group: group(), entry: entry(7), lease: 60 * SECOND, limit }
}

async fn entries(store: &FaultStore<MemoryStore>, write: &Append) -> usize {
    store.inner().read(&write.group, write.id).await.unwrap().map_or(0, |log| log.entries().len())
}

fn unavailable(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable { .. }))
}

fn ambiguous(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Err(StoreError::Ambiguous { .. }))
}

#[tokio::test(start_paused = true)]
async fn what_is_unavailable_is_not_applied() {
    let store = FaultStore::new(MemoryStore::new());
    store.faults().next_append(Fault::Unavailable);
    let write = first(1);
    assert!(unavailable(&store.append(&write).await));
    assert_eq!(entries(&store, &write).await, 0);
    store.append(&write).await.unwrap();
    assert_eq!(entries(&store, &write).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_applied_and_a_lost_request_is_not() {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    faults.next_append(Fault::AnswerLost);
    faults.next_append(Fault::RequestLost);
    let [applied, lost] = [first(1), first(2)];
    assert!(ambiguous(&store.append(&applied).await));
    assert!(ambiguous(&store.append(&lost).await));
    assert_eq!(entries(&store, &applied).await, 1);
    assert_eq!(entries(&store, &lost).await, 0);
    assert_eq!((faults.struck(FaultKind::AnswerLost), faults.struck(FaultKind::RequestLost)), (1, 1));
    assert_eq!(faults.struck(FaultKind::Unavailable), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lingering_write_arrives_in_its_time() {
    let store = FaultStore::new(MemoryStore::new());
    store.faults().next_append(Fault::Lingers(Until::After(10 * SECOND)));
    let write = first(1);
    assert!(ambiguous(&store.append(&write).await));
    sleep(9 * SECOND).await;
    assert_eq!(entries(&store, &write).await, 0);
    sleep(2 * SECOND).await;
    assert_eq!(entries(&store, &write).await, 1);
}

#[tokio::test(start_paused = true)]
async fn lingering_writes_arrive_in_order_when_released() {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    faults.add(Rule::new(Fault::Lingers(Until::Released)).on(Call::Append).times(2));
    let begin = first(1);
    let next = write(1, Position::START.then(begin.entry.op()), 5);
    assert!(ambiguous(&store.append(&begin).await));
    assert!(ambiguous(&store.append(&next).await));
    assert_eq!((faults.lingering(), entries(&store, &begin).await), (2, 0));
    assert_eq!(faults.release().await, 2);
    assert_eq!((faults.lingering(), entries(&store, &begin).await), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_late_write_is_refused_once_the_log_went_on() {
    let store = FaultStore::new(MemoryStore::new());
    let begin = first(1);
    store.append(&begin).await.unwrap();
    store.faults().next_append(Fault::Lingers(Until::Released));
    let late = write(1, Position::START.then(begin.entry.op()), 5);
    assert!(ambiguous(&store.append(&late).await));
    store.claim(&claim(1)).await.unwrap();
    store.faults().release().await;
    let log = store.read(&group(), begin.id).await.unwrap().unwrap();
    assert!(!log.contains(late.entry.op()));
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_twice_gives_its_first_answer() {
    let store = FaultStore::new(MemoryStore::new());
    store.faults().next_append(Fault::Twice);
    let write = first(1);
    store.append(&write).await.unwrap();
    assert_eq!(entries(&store, &write).await, 1, "the second time it is a replay");
    store.append(&first(2)).await.unwrap();
    store.faults().next(Call::Claim, Fault::Twice);
    let claimed = store.claim(&claim(1)).await.unwrap();
    assert_eq!(claimed.logs.len(), 1);
    assert_eq!(store.claim(&claim(1)).await.unwrap().logs.len(), 0, "the repeat has leased the other");
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_before_or_after() {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    faults.next_append(Fault::DelayBefore(10 * SECOND));
    faults.next_append(Fault::DelayAfter(10 * SECOND));
    faults.next_append(Fault::DelayBefore(10 * SECOND));
    let [before, after, waited] = [first(1), first(2), first(3)];
    assert!(timeout(SECOND, store.append(&before)).await.is_err());
    assert!(timeout(SECOND, store.append(&after)).await.is_err());
    assert_eq!(entries(&store, &before).await, 0, "its caller took it along");
    assert_eq!(entries(&store, &after).await, 1, "it was applied, and its caller did not wait");
    let begun = Instant::now();
    store.append(&waited).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_hangs_until_it_is_released() {
    let store = Arc::new(FaultStore::new(MemoryStore::new()));
    let faults = store.faults();
    faults.next_append(Fault::Hangs);
    let write = first(1);
    let mut hanging = tokio::spawn({
        let (store, write) = (Arc::clone(&store), write.clone());
        async move { store.append(&write).await }
    });
    assert!(timeout(3_600 * SECOND, &mut hanging).await.is_err());
    assert_eq!(entries(&store, &write).await, 0);
    faults.release().await;
    hanging.await.unwrap().unwrap();
    assert_eq!(entries(&store, &write).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rule_strikes_what_it_names_and_no_other() {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    faults.add(Rule::new(Fault::Unavailable).on(Call::Append).nth(2).times(2));
    let answers = [1, 2, 3, 4].map(|id| (id, first(id)));
    let mut struck = Vec::new();
    for (id, write) in &answers {
        if store.append(write).await.is_err() {
            struck.push(*id);
        }
    }
    assert_eq!(struck, [2, 3]);

    faults.add(Rule::new(Fault::Unavailable).when(|entry| entry.op() == Op::from_u64(0xbad)).always());
    store.append(&first(5)).await.unwrap();
    for _ in 0..3 {
        assert!(unavailable(&store.append(&write(6, Position::START, 0xbad)).await));
    }
    store.stats(&group()).await.unwrap();
    faults.clear();
    store.append(&write(6, Position::START, 0xbad)).await.unwrap();

    faults.add(Rule::new(Fault::Unavailable).when_change("decide"));
    store.append(&first(7)).await.unwrap();
    faults.clear();
    faults.add(Rule::new(Fault::Unavailable).when_change("claim"));
    assert!(unavailable(&store.append(&first(8)).await));
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_a_rule_strikes_one_write_or_all() {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    let batch = [first(1), first(2), first(3)];
    faults.add(Rule::new(Fault::AnswerLost).on(Call::Append).nth(2));
    let answers = store.append_all(&batch).await;
    assert!(answers[0].is_ok() && ambiguous(&answers[1]) && answers[2].is_ok(), "{answers:?}");
    for write in &batch {
        assert_eq!(entries(&store, write).await, 1);
    }
    let batch = [first(4), first(5)];
    for (fault, applied) in [(Fault::Unavailable, 0), (Fault::RequestLost, 0), (Fault::AnswerLost, 1)] {
        faults.next(Call::AppendAll, fault);
        let answers = store.append_all(&batch).await;
        assert!(answers.len() == 2 && answers.iter().all(Result::is_err), "{answers:?}");
        for write in &batch {
            assert_eq!(entries(&store, write).await, applied, "{fault:?}");
        }
    }
    assert_eq!((faults.calls(Call::AppendAll), faults.calls(Call::Append)), (4, 9));
}

#[tokio::test(start_paused = true)]
async fn while_it_is_down_every_call_is_unavailable() {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    faults.down();
    assert!(unavailable(&store.append(&first(1)).await));
    assert!(unavailable(&store.append_all(&[first(1)]).await[0]));
    assert!(matches!(store.claim(&claim(1)).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.read(&group(), first(1).id).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.stats(&group()).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.check().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.sweep(1).await, Err(StoreError::Unavailable { .. })));
    faults.up();
    store.append(&first(1)).await.unwrap();
    assert_eq!(faults.struck(FaultKind::Unavailable), 7);
}

/// What came of two hundred writes under this seed.
async fn stormy(seed: u64) -> (Vec<String>, Duration) {
    let store = FaultStore::random(MemoryStore::new(), seed, Rates::STORMY);
    let begun = Instant::now();
    let mut answers = Vec::new();
    for id in 0..200 {
        answers.push(format!("{:?}", store.append(&first(id)).await));
    }
    answers.push(format!("{:?}", store.faults().struck_all()));
    (answers, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn chance_is_the_same_for_the_same_seed() {
    let (one, again, other) = (stormy(1).await, stormy(1).await, stormy(2).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
}

#[tokio::test(start_paused = true)]
async fn chance_strikes_about_as_often_as_its_rates_say() {
    let store = FaultStore::random(MemoryStore::new(), 3, Rates { unavailable: 0.5, ..Rates::NONE });
    for id in 0..1_000 {
        let _ = store.append(&first(id)).await;
    }
    let struck = store.faults().struck(FaultKind::Unavailable);
    assert!((400..600).contains(&struck), "{struck} of 1000 where about 500 were expected");
    assert_eq!(store.faults().struck_all().len(), 1);

    let store = FaultStore::random(MemoryStore::new(), 3, Rates::STORMY);
    for id in 0..1_000 {
        let _ = store.append(&first(id)).await;
    }
    assert_eq!(
        store.faults().struck_all().len(),
        7,
        "every kind of chance: {:?}",
        store.faults().struck_all()
    );
    store.faults().clear();
    for id in 2_000..2_200 {
        store.append(&first(id)).await.unwrap();
    }
}

/// Without a plan it is as good a store as the one within.
struct Unplanned(Arc<MemoryStore>);

#[async_trait]
impl StoreFixture for Unplanned {
    type Store = FaultStore<Arc<MemoryStore>>;

    async fn start() -> Self {
        Self(Arc::default())
    }

    async fn open(&self) -> Self::Store {
        FaultStore::new(Arc::clone(&self.0))
    }
}

mod unplanned {
    tcc_core::testing::store_suite!(super::Unplanned, start_paused = true);
}
