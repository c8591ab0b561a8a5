//! What is written, and what is left of it when its writer dies, another was faster, or it is written twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tcc_core::protocol::{BranchState, Decision, Group, Phase, Record, Status, TxId, fold};
use tcc_core::store::{MemoryStore, Query, Select, StatusStore};
use tcc_core::testing::{Call, Fault, FaultStore, Faults, Rule, Until};
use tcc_core::{Coordinator, TransactionError, Tx};

use crate::rig::{Bank, Does, Error, Move, Rig, Transfer, works};

/// Two coordinators on one store: the first has a store of its own between, which a test breaks.
struct Pair {
    logs: Arc<MemoryStore>,
    bank: Arc<Bank>,
    first: Coordinator,
    faults: Faults,
    second: Coordinator,
}

impl Pair {
    async fn start() -> Self {
        let (logs, bank) = (Arc::new(MemoryStore::new()), Arc::new(Bank::default()));
        let store = FaultStore::new(logs.clone());
        let faults = store.faults();
        let first = Coordinator::builder("test", store).register(bank.clone()).start().await.unwrap();
        let second = Coordinator::builder("test", logs.clone()).register(bank.clone()).start().await.unwrap();
        Self { logs, bank, first, faults, second }
    }

    async fn unfinished(&self) -> u64 {
        self.logs.stats(&Group::new("test").unwrap()).await.unwrap().unfinished
    }

    async fn quiet(&self) {
        for _ in 0..10_000 {
            if self.unfinished().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("something is unfinished after 500 seconds");
    }

    /// What is in the logs of all that is unfinished. A log that can't be folded fails the test.
    async fn records(&self) -> Vec<(TxId, Record)> {
        let group = Group::new("test").unwrap();
        let query = Query { group, select: Select::Unfinished, cursor: None, limit: 100 };
        let items = self.logs.list(&query).await.unwrap().items;
        items.into_iter().map(|item| (item.id, fold(&item.log).expect("a legal log"))).collect()
    }
}

/// How a body enlists its three branches.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Sequential,
    Together,
    Keyed,
}

async fn body(tx: &Tx, shape: Shape) -> Result<(), Error> {
    if matches!(shape, Shape::Together) {
        let calls = (1..=3).map(|cents| tx.call::<Transfer>(works(cents)));
        futures_util::future::try_join_all(calls).await?;
        return Ok(());
    }
    for cents in 1..=3 {
        tx.call::<Transfer>(works(cents)).await?;
    }
    Ok(())
}

/// Its coordinator dies after each of its writes, and before the first: from then on it reaches its store no more.
#[tokio::test(start_paused = true)]
async fn peers_04_a_crash_between_any_two_writes_leaves_whole_branches_that_are_all_settled() {
    for shape in [Shape::Sequential, Shape::Together, Shape::Keyed] {
        let mut ends = Vec::new();
        for writes in 0.. {
            let pair = Pair::start().await;
            pair.faults.add(Rule::new(Fault::Unavailable).on(Call::Append).nth(writes + 1).always());
            pair.faults.add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
            let tcc = pair.first.clone();
            let running = tokio::spawn(async move {
                let whole = async |tx: &Tx| body(tx, shape).await;
                match shape {
                    Shape::Keyed => tcc.transaction("pay").key(7).run(whole).await,
                    Shape::Sequential | Shape::Together => tcc.run("pay", whole).await,
                }
            });
            let struck = || pair.faults.calls(Call::Append) > writes;
            for _ in 0..5_000 {
                let finished = pair.faults.calls(Call::Append) > 0 && pair.unfinished().await == 0;
                if struck() || finished {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let struck = struck();
            running.abort();
            let called = pair.bank.calls.lock().unwrap().clone();
            let left = pair.records().await;
            for (id, record) in &left {
                for (cents, branch) in (1..).zip(record.branches()) {
                    // Whole: what its cancel or confirm needs is all there.
                    assert_eq!(branch.action.as_str(), "bank.transfer");
                    let request: Move = branch.request.to().unwrap();
                    assert_eq!(request.cents, cents, "{shape:?}, {writes} writes: {id}");
                }
            }
            for (key, _) in &called {
                let log = pair.logs.read(&Group::new("test").unwrap(), key.tx).await.unwrap();
                let record = log.map(|log| fold(&log).expect("a legal log"));
                let known = record.is_some_and(|record| {
                    record.status().is_finished() || record.branch(key.branch).is_some()
                });
                assert!(known, "{shape:?}, {writes} writes: {key} was called, and is not in the log");
            }
            pair.quiet().await;
            let effects = pair.bank.effects.lock().unwrap().clone();
            let confirmed = effects.values().filter(|phases| phases.contains(&Phase::Confirm)).count();
            assert!(
                confirmed == 0 || confirmed == 3,
                "{shape:?}, {writes} writes: {confirmed} of 3 are confirmed"
            );
            for (key, phases) in &effects {
                let settled = if confirmed == 0 { Phase::Cancel } else { Phase::Confirm };
                assert!(
                    phases.contains(&settled),
                    "{shape:?}, {writes} writes: {key} was left at {phases:?}"
                );
            }
            for (id, _) in &left {
                assert!(pair.second.outcome(*id).await.unwrap().is_some_and(Status::is_finished));
            }
            ends.push((called.len(), confirmed));
            if !struck {
                break;
            }
        }
        // It was struck everywhere: before its first try, between its tries, and after its decision.
        assert_eq!(ends.first(), Some(&(0, 0)), "{shape:?}");
        assert!(ends.len() >= 3 && ends.iter().any(|(called, confirmed)| *called > 0 && *confirmed == 0));
        assert_eq!(ends.last().map(|(_, confirmed)| *confirmed), Some(3), "{shape:?}: {ends:?}");
    }
}

/// The second branch is on its way into the log when an operator, or another coordinator after the deadline, decides.
#[tokio::test(start_paused = true)]
async fn peers_05_a_branch_that_comes_after_the_decision_is_an_error_and_its_try_is_not_called() {
    for (by_operator, on_its_way) in [(true, 5), (true, 0), (false, 0)] {
        let pair = Pair::start().await;
        let delay = Duration::from_secs(on_its_way);
        pair.faults.add(Rule::new(Fault::DelayBefore(delay)).on(Call::Append).when_change("enlist"));
        let (operator, logs) = (pair.second.clone(), pair.logs.clone());
        let late = pair.first.run("pay", async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            let decide = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if by_operator {
                    operator.operator().cancel(tx.id(), "ada", "wrong price").await.unwrap();
                }
            };
            let enlist = async {
                if on_its_way == 0 {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                if !by_operator {
                    // Its own clock stands still beyond the deadline, and another one claims it.
                    claim_now(&logs, tx.id()).await;
                }
                tx.call::<Transfer>(works(2)).await
            };
            let ((), second) = tokio::join!(decide, enlist);
            assert!(second.is_err(), "by operator: {by_operator}: a late branch was answered {second:?}");
            second?;
            Ok::<_, Error>(())
        });
        let Err(Error::Branch(tcc_core::BranchError::Transaction(error))) = late.await else {
            panic!("the late branch's error is the body's")
        };
        let id = error.id().unwrap();
        let expected = if by_operator {
            matches!(error, TransactionError::Cancelled { .. })
        } else {
            matches!(error, TransactionError::TimedOut { .. })
        };
        assert!(expected, "{error:?}");
        assert_eq!(pair.second.settled(id).await.unwrap(), Some(Status::Cancelled));
        assert_eq!(pair.bank.phases(id), [vec![Phase::Try, Phase::Cancel]], "only the first was called");
        pair.quiet().await;
    }
}

/// A claim such as another coordinator makes once the transaction is due.
async fn claim_now(logs: &MemoryStore, id: TxId) {
    use tcc_core::protocol::{Change, Claim, Entry, Op, Owner};
    let group = Group::new("test").unwrap();
    let log = logs.read(&group, id).await.unwrap().unwrap();
    let claim = Change::Claim(Claim { by: Owner::from_u64(99) });
    let append = tcc_core::store::Append {
        group,
        id,
        after: log.position(),
        entry: Entry::new(Op::from_u64(99), claim.encode()).unwrap(),
        due: tcc_core::store::Due::In(Duration::from_secs(1)),
        mode: tcc_core::store::Mode::Extend,
    };
    logs.append(&append).await.unwrap();
}

/// The write of the decision is lost, repeated by the network, or lingers until all is over.
#[tokio::test(start_paused = true)]
async fn peers_10_a_decision_repeated_is_the_same_decision() {
    let faults = [
        Fault::AnswerLost,
        Fault::RequestLost,
        Fault::Twice,
        Fault::Lingers(Until::After(Duration::from_millis(5))),
        Fault::Lingers(Until::After(Duration::from_secs(300))),
    ];
    for fault in faults {
        for confirm in [true, false] {
            let pair = Pair::start().await;
            pair.faults.add(Rule::new(fault).on(Call::Append).when_change("decide"));
            let mut seen = None;
            let told = pair.first.run("pay", async |tx: &Tx| {
                seen = Some(tx.id());
                body(tx, Shape::Sequential).await?;
                if confirm { Ok(()) } else { Err(Error::Own) }
            });
            assert_eq!(told.await.is_ok(), confirm, "{fault:?}");
            let id = seen.unwrap();
            let (settled, other, status) = if confirm {
                (Phase::Confirm, Phase::Cancel, Status::Confirmed)
            } else {
                (Phase::Cancel, Phase::Confirm, Status::Cancelled)
            };
            assert_eq!(pair.first.settled(id).await.unwrap(), Some(status), "{fault:?}");
            // Whatever lingered has arrived: no second decision, and no branch lost by one.
            tokio::time::sleep(Duration::from_secs(400)).await;
            let kept = pair.logs.read(&Group::new("test").unwrap(), id).await.unwrap().unwrap();
            assert_eq!(fold(&kept).map(|record| record.status()), Ok(status), "{fault:?}");
            assert_eq!(pair.bank.phases(id), vec![vec![Phase::Try, settled]; 3], "{fault:?}");
            assert_eq!(pair.bank.calls_of(id, other), 0, "{fault:?}");
            assert_eq!(pair.faults.struck(fault.kind()), 1);
        }
    }
}

/// A decision that comes once more, from wherever, decides nothing: the table says so.
#[test]
fn peers_10_a_second_decision_is_illegal_whatever_it_says() {
    use tcc_core::protocol::{Begin, Change, Decide, Name, Owner};
    let begin = Begin {
        name: Name::new("pay").unwrap(),
        begun_ms: 1,
        timeout_ms: 1,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        traceparent: None,
        branches: Vec::new(),
    };
    let decide = |decision| {
        let (branches, outputs) = (Vec::new(), Vec::new());
        Change::Decide(Decide { decision, branches, outputs, cause: None, value: None })
    };
    for first in [Decision::Confirm, Decision::Cancel] {
        for second in [Decision::Confirm, Decision::Cancel] {
            let mut record = Record::begin(&begin).unwrap();
            record.apply(&decide(first)).unwrap();
            assert!(record.apply(&decide(second)).is_err(), "{first} and then {second}");
            assert_eq!(record.decision(), Some(first));
        }
    }
}

/// What each write of a transaction weighs. Requests and outputs are all of one length.
#[tokio::test(start_paused = true)]
async fn peers_28_an_enlist_writes_the_change_and_not_the_record() {
    const BRANCHES: usize = 60;
    let rig = Rig::start().await;
    let id = rig
        .tcc
        .run("pay", async |tx: &Tx| {
            for _ in 0..BRANCHES {
                tx.call::<Transfer>(works(10)).await?;
            }
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    rig.tcc.shutdown().await;
    let bytes = rig.store.bytes.lock().unwrap().clone();
    assert_eq!(bytes.len() as u64, rig.store.appends.load(Ordering::SeqCst));
    // A begin, 59 enlists, the decision, the tombstone.
    assert_eq!(bytes.len(), BRANCHES + 2, "{id}: {bytes:?}");
    let enlists = &bytes[1..BRANCHES];
    let (least, most) = (enlists.iter().min().unwrap(), enlists.iter().max().unwrap());
    // The numbers of branches have one digit or two.
    assert!(most - least <= 4, "an enlist weighs {least} bytes or {most}: {bytes:?}");
    assert!(bytes[BRANCHES] < 2 * most, "the decision weighs {}: {bytes:?}", bytes[BRANCHES]);
    assert!(bytes[BRANCHES + 1] < 2 * most, "the tombstone weighs {}: {bytes:?}", bytes[BRANCHES + 1]);
}

/// What settling writes: that an attempt failed, not the sixty branches that stand by.
#[tokio::test(start_paused = true)]
async fn peers_28_a_failed_attempt_writes_the_change_and_not_the_record() {
    let rig = Rig::start().await;
    let id = rig
        .tcc
        .run("pay", async |tx: &Tx| {
            for _ in 0..40 {
                tx.call::<Transfer>(works(10)).await?;
            }
            tx.call::<Transfer>(Move { confirm: Does::Fail, ..works(10) }).await?;
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    let enlist = *rig.store.bytes.lock().unwrap()[1..40].iter().max().unwrap();
    let before = rig.appends() as usize;
    // Long enough for many attempts, whatever chance makes of the waits between them.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let bytes = rig.store.bytes.lock().unwrap()[before..].to_vec();
    // The first holds forty answers; what follows, one. Once in a while a snapshot takes the place of a long log.
    let small = bytes.iter().skip(2).take(4).all(|bytes| *bytes < 2 * enlist);
    assert!(small, "{bytes:?}, where an enlist weighs {enlist}");
    assert!(bytes.len() >= 6, "it is tried again: {bytes:?}");
    let record = rig.tcc.operator().timeline(id).await.unwrap().unwrap().record.unwrap();
    let open = record.branches().iter().filter(|branch| branch.state != BranchState::Confirmed).count();
    assert_eq!(open, 1);
}
