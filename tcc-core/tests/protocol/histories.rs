//! What holds for every history.

use proptest::prelude::*;
use tcc_core::protocol::*;

use crate::arbitrary::{Step, entry, history, legal, log, step};

/// All that must hold of a record, whatever brought it about: written anew, from the design.
fn sound(record: &Record) {
    let states: Vec<&BranchState> = record.branches().iter().map(|branch| &branch.state).collect();
    let settled = states.iter().all(|state| state.is_settled());
    let refused = states.iter().any(|state| matches!(state, BranchState::Refused { .. }));
    let expected = match record.decision() {
        None => Status::Trying,
        Some(_) if settled && refused => Status::Heuristic,
        Some(Decision::Confirm) if settled => Status::Confirmed,
        Some(Decision::Cancel) if settled => Status::Cancelled,
        Some(Decision::Confirm) => Status::Confirming,
        Some(Decision::Cancel) => Status::Cancelling,
    };
    assert_eq!(record.status(), expected, "{record:?}");
    for (index, branch) in record.branches().iter().enumerate() {
        assert_eq!(branch.id.index(), index);
        let acknowledged = branch.output.is_some() || branch.on_confirm;
        match &branch.state {
            BranchState::Trying => assert!(!acknowledged),
            BranchState::Acknowledged => assert!(acknowledged),
            // Safety 2: no confirm without the decision, none for an unacknowledged branch.
            BranchState::Confirmed => assert!(acknowledged && record.decision() == Some(Decision::Confirm)),
            BranchState::Cancelled => {
                // Safety 3: under a confirm only what never answered is cancelled.
                assert!(record.decision() == Some(Decision::Cancel) || !acknowledged);
            }
            BranchState::Refused { phase, .. } | BranchState::Resolved { phase, .. } => {
                let confirm = record.decision() == Some(Decision::Confirm) && acknowledged;
                assert_eq!(*phase == Decision::Confirm, confirm);
            }
        }
    }
}

/// What may follow what.
fn follows(before: &Record, after: &Record) {
    // Safety 1: one decision, never changed.
    assert!(before.decision().is_none() || before.decision() == after.decision());
    assert!(before.value().is_none() || before.value() == after.value());
    assert!(before.branches().len() <= after.branches().len());
    if before.decision().is_some() {
        assert_eq!(before.branches().len(), after.branches().len(), "PEERS 5: the decision seals the set");
    }
    assert!(!before.is_claimed() || after.is_claimed());
    for (before, after) in before.branches().iter().zip(after.branches()) {
        assert!(before.attempts <= after.attempts);
        assert!(before.output.is_none() || before.output == after.output);
        // Safety 9: an answer is never changed; a refusal may be resolved, and no more.
        match (&before.state, &after.state) {
            (BranchState::Refused { phase, .. }, BranchState::Resolved { phase: same, .. }) => {
                assert_eq!(phase, same)
            }
            (from, to) if from.is_settled() => assert_eq!(from, to),
            (BranchState::Acknowledged, to) => assert_ne!(*to, BranchState::Trying),
            _ => {}
        }
    }
}

/// The plan of a record, as the design has it.
fn planned(record: &Record) {
    let plan = record.plan();
    match record.status() {
        Status::Trying if record.is_claimed() => assert_eq!(plan, Plan::Decide(Decision::Cancel)),
        Status::Trying => assert_eq!(plan, Plan::Await),
        Status::Confirming | Status::Cancelling => {
            let decision = record.decision().unwrap();
            let unsettled = record.branches().iter().filter(|branch| !branch.state.is_settled());
            let steps: Vec<_> = unsettled
                .map(|branch| {
                    let confirm = decision == Decision::Confirm && branch.state == BranchState::Acknowledged;
                    let phase = if confirm { Decision::Confirm } else { Decision::Cancel };
                    tcc_core::protocol::Step { id: branch.id, phase }
                })
                .collect();
            assert!(!steps.is_empty(), "liveness: what is decided and not finished has a step");
            assert_eq!(plan, Plan::Settle(steps));
        }
        Status::Confirmed | Status::Cancelled => assert_eq!(plan, Plan::Finish),
        Status::Heuristic => assert_eq!(plan, Plan::Keep),
    }
}

proptest! {
    /// Every history folds to a legal record, or is illegal at its first wrong change and leaves the record as it was.
    #[test]
    fn a_change_is_legal_or_changes_nothing((begin, steps) in history()) {
        let mut record = Record::begin(&begin.begin()).unwrap();
        let mut changes = vec![Change::Begin(begin.begin())];
        sound(&record);
        for step in &steps {
            let change = match step.fitting(&record) {
                Some(change) if step.fits => change,
                _ => step.wild(),
            };
            let before = record.clone();
            changes.push(change);
            match record.apply(changes.last().unwrap()) {
                Ok(()) => {
                    sound(&record);
                    planned(&record);
                    follows(&before, &record);
                    prop_assert_eq!(fold(&log(&changes)), Ok(record.clone()));
                }
                Err(illegal) => {
                    prop_assert!(!step.fits || step.fitting(&before).is_none());
                    prop_assert_eq!(&before, &record, "an illegal change changes nothing");
                    let entry = changes.len() as u32;
                    prop_assert_eq!(fold(&log(&changes)), Err(LogError::Illegal { entry, source: illegal }));
                    changes.pop();
                }
            }
        }
    }

    /// A snapshot stands for all that came before it, wherever it is taken.
    #[test]
    fn a_snapshot_stands_for_what_came_before(history in history(), split in any::<prop::sample::Index>()) {
        let (changes, record) = legal(&history);
        let split = 1 + split.index(changes.len());
        let before = fold(&log(&changes[..split])).unwrap();
        let mut entries = vec![entry(1_000, &Change::Snapshot(before.snapshot()))];
        entries.extend((2_000..).zip(&changes[split..]).map(|(op, change)| entry(op, change)));
        let replaced = Log::new(entries, changes.len() as u32 + 1).unwrap();
        prop_assert_eq!(fold(&replaced), Ok(record));
    }

    /// What is done first and what is wrong first is named by its number in the log, after a replacement too.
    #[test]
    fn an_error_names_the_entry(history in history()) {
        let (changes, record) = legal(&history);
        let appended = changes.len() as u32 + 40;
        let wrong = Change::Begin(history.0.begin());
        let entries = vec![entry(1, &Change::Snapshot(record.snapshot())), entry(2, &wrong)];
        let source = Illegal::AnotherBeginning { found: "begin" };
        let answer = fold(&Log::new(entries, appended).unwrap());
        prop_assert_eq!(answer, Err(LogError::Illegal { entry: appended, source }));
    }

    /// A tombstone tells the outcome, the key and the value, and is otherwise empty.
    #[test]
    fn a_tombstone_tells_the_outcome(history in history()) {
        let (_, record) = legal(&history);
        prop_assume!(record.status().is_finished());
        let buried = Log::new(vec![entry(9, &Change::Snapshot(record.tombstone()))], 7).unwrap();
        let read = fold(&buried).unwrap();
        prop_assert_eq!(read.status(), record.status());
        prop_assert_eq!(read.decision(), record.decision());
        prop_assert_eq!(read.key(), record.key());
        prop_assert_eq!(read.value(), record.value());
        prop_assert_eq!(read.cause(), record.cause());
        prop_assert_eq!(read.name(), record.name());
        prop_assert_eq!(read.branches().len(), 0);
        prop_assert_eq!(read.plan(), Plan::Finish);
    }

    /// Liveness 1: doing what the plan says, one step at a time and with failures between, ends.
    #[test]
    fn following_the_plan_ends(history in history(), answers in prop::collection::vec(step(), 8)) {
        let (_, mut record) = legal(&history);
        // Liveness 2: who does not decide is claimed.
        if record.plan() == Plan::Await {
            record.apply(&Change::Claim(Claim { by: Owner::from_u64(1) })).unwrap();
        }
        let mut answers = answers.iter().cycle();
        for turn in 0.. {
            prop_assert!(turn < 200, "no end in sight: {:?}", record);
            match record.plan() {
                Plan::Await => prop_assert!(false, "what was claimed awaits nobody"),
                Plan::Decide(decision) => {
                    let decide = Decide { decision, branches: vec![], outputs: vec![], cause: Some(Cause::Abandoned), value: None };
                    record.apply(&Change::Decide(decide)).unwrap();
                }
                Plan::Settle(steps) => {
                    let fitting = answers.next().and_then(|answer: &Step| answer.fitting(&record));
                    if let Some(change) = fitting {
                        record.apply(&change).unwrap();
                    }
                    if turn > 50 {
                        // In the end each participant answers.
                        let tcc_core::protocol::Step { id, phase } = steps[0];
                        let settled = vec![Settled { id, phase, verdict: Verdict::Done }];
                        let _ = record.apply(&Change::Settle(Settle { settled, failed: vec![] }));
                    }
                }
                Plan::Keep => {
                    let refused = |branch: &&BranchRecord| matches!(branch.state, BranchState::Refused { .. });
                    let id = record.branches().iter().find(refused).unwrap().id;
                    let resolve = Resolve { id, who: "ada".into(), why: "refunded by hand".into() };
                    record.apply(&Change::Resolve(resolve)).unwrap();
                }
                Plan::Finish => break,
            }
        }
        prop_assert!(record.status().is_finished());
    }
}
