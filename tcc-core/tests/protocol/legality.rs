//! The transition table, cell by cell.

use tcc_core::protocol::*;

fn id(number: u16) -> BranchId {
    BranchId::new(number)
}

fn json() -> Json {
    Json::of(&1).unwrap()
}

fn enlisted(number: u16) -> Enlisted {
    let action = ActionName::new("inventory.reserve").unwrap();
    Enlisted { id: id(number), action, version: 1, request: json(), on_confirm: false }
}

fn begin() -> Begin {
    Begin {
        name: Name::new("checkout").unwrap(),
        begun_ms: 1,
        timeout_ms: 1,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        traceparent: None,
        branches: vec![enlisted(0), enlisted(1)],
    }
}

fn decide(decision: Decision) -> Change {
    let outputs = match decision {
        Decision::Confirm => vec![Output { id: id(0), output: json() }],
        Decision::Cancel => vec![],
    };
    Change::Decide(Decide { decision, branches: vec![], outputs, cause: None, value: None })
}

fn settle(number: u16, phase: Decision, verdict: Verdict) -> Change {
    Change::Settle(Settle { settled: vec![Settled { id: id(number), phase, verdict }], failed: vec![] })
}

fn failed(number: u16, attempts: u32) -> Change {
    Change::Settle(Settle {
        settled: vec![],
        failed: vec![Failed { id: id(number), attempts, error: "x".into() }],
    })
}

fn claim() -> Change {
    Change::Claim(Claim { by: Owner::from_u64(2) })
}

fn resolve(number: u16) -> Change {
    Change::Resolve(Resolve { id: id(number), who: "ada".into(), why: "by hand".into() })
}

fn no() -> Verdict {
    Verdict::Refused("no".into())
}

/// Two branches; the first acknowledged by the decision to confirm, the second never.
fn after(changes: &[Change]) -> Record {
    let mut record = Record::begin(&begin()).unwrap();
    for change in changes {
        record.apply(change).unwrap();
    }
    record
}

use Decision::{Cancel, Confirm};

fn statuses() -> Vec<(&'static str, Record)> {
    let done = Verdict::Done;
    vec![
        ("trying", after(&[])),
        ("trying, claimed", after(&[claim()])),
        ("confirming", after(&[decide(Confirm)])),
        ("cancelling", after(&[decide(Cancel)])),
        ("confirming, claimed", after(&[decide(Confirm), claim()])),
        ("cancelling, claimed", after(&[claim(), decide(Cancel)])),
        (
            "confirmed",
            after(&[decide(Confirm), settle(0, Confirm, done.clone()), settle(1, Cancel, done.clone())]),
        ),
        (
            "cancelled",
            after(&[decide(Cancel), settle(0, Cancel, done.clone()), settle(1, Cancel, done.clone())]),
        ),
        (
            "heuristic confirm",
            after(&[decide(Confirm), settle(0, Confirm, no()), settle(1, Cancel, done.clone())]),
        ),
        ("heuristic cancel", after(&[decide(Cancel), settle(0, Cancel, no()), settle(1, Cancel, done)])),
    ]
}

fn changes() -> Vec<(&'static str, Change)> {
    let enlist = Enlist { branches: vec![enlisted(2)], outputs: vec![] };
    vec![
        ("begin", Change::Begin(begin())),
        ("snapshot", Change::Snapshot(after(&[]).snapshot())),
        ("enlist", Change::Enlist(enlist)),
        ("decide confirm", decide(Confirm)),
        ("decide cancel", decide(Cancel)),
        ("settle confirm", settle(0, Confirm, Verdict::Done)),
        ("settle cancel", settle(0, Cancel, Verdict::Done)),
        ("failed", failed(0, 1)),
        ("claim", claim()),
        ("resolve", resolve(0)),
    ]
}

/// What is legal where, a row per status and a column per change in the order of [`changes`]: `+` legal; else why not:
/// `B`eginning, `S`tatus, `C`laimed, `P`hase, the state of the branch `b`.
const TABLE: &[(&str, &str)] = &[
    ("trying", "BB+++SSS+S"),
    ("trying, claimed", "BBCC+SSS+S"),
    ("confirming", "BBSSS+P++b"),
    ("cancelling", "BBSSSP+++b"),
    ("confirming, claimed", "BBSSS+P++b"),
    ("cancelling, claimed", "BBSSSP+++b"),
    ("confirmed", "BBSSSSSS+S"),
    ("cancelled", "BBSSSSSS+S"),
    ("heuristic confirm", "BBSSSSSS++"),
    ("heuristic cancel", "BBSSSSSS++"),
];

fn letter(answer: &Result<(), Illegal>) -> char {
    match answer {
        Ok(()) => '+',
        Err(Illegal::AnotherBeginning { .. }) => 'B',
        Err(Illegal::Status { .. }) => 'S',
        Err(Illegal::Claimed { .. }) => 'C',
        Err(Illegal::Phase { .. }) => 'P',
        Err(Illegal::Branch { .. }) => 'b',
        Err(Illegal::BranchNumber { .. }) => 'n',
        Err(Illegal::UnknownBranch { .. }) => 'u',
        Err(Illegal::Attempts { .. }) => 'a',
        Err(other) => panic!("{other}"),
    }
}

/// The row of one record: each change tried on its own, and nothing changed by what is illegal.
fn row(record: &Record, changes: &[(&'static str, Change)]) -> String {
    let try_one = |(name, change): &(&'static str, Change)| {
        let mut tried = record.clone();
        let answer = tried.apply(change);
        assert!(answer.is_ok() || tried == *record, "{name} is illegal and yet changes the record");
        letter(&answer)
    };
    changes.iter().map(try_one).collect()
}

#[test]
fn every_change_in_every_status() {
    let statuses = statuses();
    assert_eq!(statuses.len(), TABLE.len());
    for ((status, record), (name, wanted)) in statuses.iter().zip(TABLE) {
        assert_eq!(status, name);
        assert_eq!(row(record, &changes()), *wanted, "{status}");
    }
}

#[test]
fn the_first_change_begins() {
    for (name, change) in changes() {
        let first = Record::first(&change);
        match name {
            "begin" | "snapshot" => assert!(first.is_ok(), "{name}"),
            _ => assert_eq!(first, Err(Illegal::NotABeginning { found: change.kind() })),
        }
    }
}

/// Every state of a branch under each decision, the other branch being unsettled, so that the transaction stays open.
#[test]
fn every_answer_in_every_state_of_a_branch() {
    let answers = [
        ("done confirm", settle(0, Confirm, Verdict::Done)),
        ("done cancel", settle(0, Cancel, Verdict::Done)),
        ("refused confirm", settle(0, Confirm, no())),
        ("refused cancel", settle(0, Cancel, no())),
        ("failed", failed(0, 1)),
        ("resolve", resolve(0)),
    ];
    let unacknowledged = Change::Decide(Decide {
        decision: Confirm,
        branches: vec![],
        outputs: vec![],
        cause: None,
        value: None,
    });
    let table = [
        ("acknowledged, confirm", after(&[decide(Confirm)]), "+P+P+b"),
        ("unacknowledged, confirm", after(std::slice::from_ref(&unacknowledged)), "P+P++b"),
        ("confirmed", after(&[decide(Confirm), settle(0, Confirm, Verdict::Done)]), "bbbbbb"),
        ("cancelled under confirm", after(&[unacknowledged, settle(0, Cancel, Verdict::Done)]), "bbbbbb"),
        ("confirm refused", after(&[decide(Confirm), settle(0, Confirm, no())]), "bbbbb+"),
        ("confirm resolved", after(&[decide(Confirm), settle(0, Confirm, no()), resolve(0)]), "bbbbbb"),
        ("unsettled, cancel", after(&[decide(Cancel)]), "P+P++b"),
        ("cancelled", after(&[decide(Cancel), settle(0, Cancel, Verdict::Done)]), "bbbbbb"),
        ("cancel refused", after(&[decide(Cancel), settle(0, Cancel, no())]), "bbbbb+"),
        ("cancel resolved", after(&[decide(Cancel), settle(0, Cancel, no()), resolve(0)]), "bbbbbb"),
    ];
    for (state, record, wanted) in table {
        assert!(!record.status().is_settled(), "{state}");
        assert_eq!(row(&record, &answers), wanted, "{state}");
    }
}

/// Branches are numbered one after the other, and only what is enlisted has an answer.
#[test]
fn branches_are_numbered_and_known() {
    let enlist = |numbers: &[u16], outputs: &[u16]| {
        let outputs = outputs.iter().map(|number| Output { id: id(*number), output: json() }).collect();
        Change::Enlist(Enlist { branches: numbers.iter().copied().map(enlisted).collect(), outputs })
    };
    let outputs = |ids: &[u16]| {
        let outputs = ids.iter().map(|number| Output { id: id(*number), output: json() }).collect();
        Change::Decide(Decide { decision: Confirm, branches: vec![], outputs, cause: None, value: None })
    };
    let trying = [
        ("the next two", enlist(&[2, 3], &[])),
        ("none", enlist(&[], &[])),
        ("one that is there", enlist(&[1], &[])),
        ("one too far", enlist(&[3], &[])),
        ("the same twice", enlist(&[2, 2], &[])),
        ("out of order", enlist(&[3, 2], &[])),
        ("an output with it", enlist(&[2], &[0, 1])),
        ("an output of one just enlisted", enlist(&[2], &[2])),
        ("an output twice", enlist(&[], &[0, 0])),
        ("an unknown output", enlist(&[], &[7])),
        ("a decision with outputs", outputs(&[1, 0])),
        ("a decision with an output twice", outputs(&[1, 1])),
        ("a decision with an unknown output", outputs(&[2])),
    ];
    assert_eq!(row(&after(&[]), &trying), "++nnnn+ubu+bu");
    assert_eq!(row(&after(&[enlist(&[], &[0])]), &[("an output of one acknowledged", outputs(&[0]))]), "b");

    let both = |settled: &[u16], failures: &[(u16, u32)]| {
        let settled =
            settled.iter().map(|n| Settled { id: id(*n), phase: Cancel, verdict: Verdict::Done }).collect();
        let failed = failures.iter().map(|(n, attempts)| Failed {
            id: id(*n),
            attempts: *attempts,
            error: "x".into(),
        });
        Change::Settle(Settle { settled, failed: failed.collect() })
    };
    let cancelling = [
        ("both", both(&[0, 1], &[])),
        ("the same twice", both(&[0, 0], &[])),
        ("one settled, one failed", both(&[0], &[(1, 1)])),
        ("one both settled and failed", both(&[0], &[(0, 1)])),
        ("one failed twice", both(&[], &[(0, 1), (0, 2)])),
        ("an unknown one settled", both(&[2], &[])),
        ("an unknown one failed", both(&[], &[(2, 1)])),
        ("an unknown one resolved", resolve(2)),
        ("no attempt", both(&[], &[(0, 0)])),
        ("attempts that were not logged", both(&[], &[(0, 9)])),
        ("nothing", both(&[], &[])),
    ];
    assert_eq!(row(&after(&[decide(Cancel)]), &cancelling), "+b+bbuuua++");
    let twice = after(&[decide(Cancel), failed(0, 2)]);
    let attempts = [("fewer", failed(0, 1)), ("as many", failed(0, 2)), ("more", failed(0, 3))];
    assert_eq!(row(&twice, &attempts), "aa+");

    assert_eq!(
        Record::begin(&Begin { branches: vec![enlisted(1)], ..begin() }),
        Err(Illegal::BranchNumber { found: id(1), expected: 0 })
    );
}

/// What a change says is in the record afterwards.
#[test]
fn what_a_change_says_is_kept() {
    let mut record = after(&[]);
    assert_eq!((record.owner(), record.is_claimed()), (Some(Owner::from_u64(1)), false));
    record.apply(&claim()).unwrap();
    assert_eq!((record.owner(), record.is_claimed()), (Some(Owner::from_u64(2)), true));
    let cause = Some(Cause::Operator { who: "ada".into(), why: "by phone".into() });
    let cancel =
        Decide { decision: Cancel, branches: vec![], outputs: vec![], cause: cause.clone(), value: None };
    record.apply(&Change::Decide(cancel)).unwrap();
    assert_eq!((record.decision(), record.cause()), (Some(Cancel), cause.as_ref()));
    record.apply(&failed(0, 3)).unwrap();
    let branch = record.branch(id(0)).unwrap();
    assert_eq!((branch.attempts, branch.last_error.as_deref()), (3, Some("x")));
    record.apply(&settle(0, Cancel, no())).unwrap();
    assert_eq!(record.branch(id(0)).unwrap().state, BranchState::Refused { phase: Cancel, why: "no".into() });
    record.apply(&resolve(0)).unwrap();
    let resolved = BranchState::Resolved { phase: Cancel, who: "ada".into(), why: "by hand".into() };
    assert_eq!(record.branch(id(0)).unwrap().state, resolved);

    let value = Some(Json::of("thanks").unwrap());
    let outputs = vec![Output { id: id(1), output: Json::of(&17).unwrap() }];
    let confirm = Change::Decide(Decide {
        decision: Confirm,
        branches: vec![],
        outputs,
        cause: None,
        value: value.clone(),
    });
    let record = after(&[confirm]);
    assert_eq!(record.value(), value.as_ref());
    assert_eq!(record.branch(id(1)).unwrap().output, Some(Json::of(&17).unwrap()));
    assert_eq!(record.branch(id(0)).unwrap().output, None);
}

/// What has no try is acknowledged by being enlisted: confirmed by a confirm, and by a cancel already done with.
#[test]
fn what_has_no_try_is_acknowledged() {
    let mail = Enlisted { on_confirm: true, ..enlisted(0) };
    let begin = Begin { branches: vec![mail], ..begin() };
    let record = Record::begin(&begin).unwrap();
    assert_eq!(record.branch(id(0)).unwrap().state, BranchState::Acknowledged);
    let decide = |decision| {
        Change::Decide(Decide { decision, branches: vec![], outputs: vec![], cause: None, value: None })
    };
    let mut confirmed = record.clone();
    confirmed.apply(&decide(Confirm)).unwrap();
    assert_eq!(confirmed.plan(), Plan::Settle(vec![Step { id: id(0), phase: Confirm }]));
    let mut cancelled = record;
    cancelled.apply(&decide(Cancel)).unwrap();
    assert_eq!((cancelled.status(), cancelled.plan()), (Status::Cancelled, Plan::Finish));
}

/// A branch without a try may join with the confirm itself; no other may, and none with a cancel.
#[test]
fn a_decision_enlists_only_what_has_no_try() {
    let mail = Enlisted { on_confirm: true, ..enlisted(2) };
    let decide = |decision, branches: &[Enlisted]| {
        let branches = branches.to_vec();
        Change::Decide(Decide { decision, branches, outputs: vec![], cause: None, value: None })
    };
    let mut record = after(&[]);
    for (change, wrong) in [
        (decide(Confirm, &[enlisted(2)]), Illegal::SealedBranch { id: id(2) }),
        (decide(Cancel, std::slice::from_ref(&mail)), Illegal::SealedBranch { id: id(2) }),
        (
            decide(Confirm, &[Enlisted { id: id(3), ..mail.clone() }]),
            Illegal::BranchNumber { found: id(3), expected: 2 },
        ),
    ] {
        let before = record.clone();
        assert_eq!(record.apply(&change), Err(wrong));
        assert_eq!(record, before);
    }
    record.apply(&decide(Confirm, &[mail])).unwrap();
    assert_eq!(record.branch(id(2)).unwrap().state, BranchState::Acknowledged);
    assert!(
        matches!(record.plan(), Plan::Settle(steps) if steps.contains(&Step { id: id(2), phase: Confirm }))
    );
}

/// A transaction without branches is finished by its decision.
#[test]
fn what_has_no_branch_is_finished_by_its_decision() {
    for (decision, status) in [(Confirm, Status::Confirmed), (Cancel, Status::Cancelled)] {
        let mut record = Record::begin(&Begin { branches: vec![], ..begin() }).unwrap();
        record
            .apply(&Change::Decide(Decide {
                decision,
                branches: vec![],
                outputs: vec![],
                cause: None,
                value: None,
            }))
            .unwrap();
        assert_eq!((record.status(), record.plan()), (status, Plan::Finish));
    }
}
