//! What a log says about a write whose answer was lost: the whole table.

use tcc_core::protocol::*;

use crate::arbitrary::entry;

const OURS: u64 = 0xaa;

fn begin() -> Change {
    Change::Begin(Begin {
        name: Name::new("checkout").unwrap(),
        begun_ms: 1,
        timeout_ms: 1,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        traceparent: None,
        branches: vec![Enlisted {
            id: BranchId::new(0),
            action: ActionName::new("inventory.reserve").unwrap(),
            version: 1,
            request: Json::of(&1).unwrap(),
            on_confirm: false,
        }],
    })
}

fn enlist() -> Change {
    Change::Enlist(Enlist { branches: vec![], outputs: vec![] })
}

fn claim() -> Change {
    Change::Claim(Claim { by: Owner::from_u64(2) })
}

fn cancel() -> Change {
    Change::Decide(Decide {
        decision: Decision::Cancel,
        branches: vec![],
        outputs: vec![],
        cause: None,
        value: None,
    })
}

fn log(changes: &[(u64, Change)]) -> Log {
    let entries: Vec<_> = changes.iter().map(|(op, change)| entry(*op, change)).collect();
    Log::new(entries, changes.len() as u32).unwrap()
}

fn verdict(log: &Log, after: Position) -> &'static str {
    match judge(Op::from_u64(OURS), after, Some(log)).unwrap() {
        Doubt::Applied(record) => {
            assert_eq!(*record, fold(log).unwrap());
            "applied"
        }
        Doubt::Decided(record) => {
            assert!(record.decision().is_some());
            "decided"
        }
        Doubt::Claimed(record) => {
            assert!(record.is_claimed() && record.status() == Status::Trying);
            "claimed"
        }
        Doubt::Taken(record) => {
            assert_eq!(*record, fold(log).unwrap());
            "taken"
        }
        Doubt::Open => "open",
        Doubt::NoLog => "no log",
        Doubt::Lost(end) => {
            assert_eq!(end, log.position());
            "lost"
        }
    }
}

/// The write is to follow the second entry: `begin`, then an enlist of op 2.
#[test]
fn every_log_has_its_verdict() {
    let before = [(1, begin()), (2, enlist())];
    let after = log(&before).position();
    let then = |more: &[(u64, Change)]| log(&[&before[..], more].concat());
    let snapshot = |changes: &[(u64, Change)], op: u64, appended: u32| {
        let record = fold(&log(changes)).unwrap();
        Log::new(vec![entry(op, &Change::Snapshot(record.snapshot()))], appended).unwrap()
    };
    let table = [
        ("it ends where the write was to follow", then(&[]), "open"),
        ("it ends with the write", then(&[(OURS, enlist())]), "applied"),
        ("the write, then a claim", then(&[(OURS, enlist()), (3, claim())]), "applied"),
        ("the write, a claim, a decision", then(&[(OURS, enlist()), (3, claim()), (4, cancel())]), "applied"),
        ("a claim instead", then(&[(3, claim())]), "claimed"),
        ("two claims instead", then(&[(3, claim()), (4, claim())]), "claimed"),
        ("a claim and a decision instead", then(&[(3, claim()), (4, cancel())]), "decided"),
        ("a decision instead", then(&[(3, cancel())]), "decided"),
        (
            "a snapshot of a claimed one instead",
            snapshot(&[&before[..], &[(3, claim())]].concat(), 4, 4),
            "claimed",
        ),
        (
            "a snapshot of a decided one instead",
            snapshot(&[&before[..], &[(3, cancel())]].concat(), 4, 4),
            "decided",
        ),
        ("shorter than was acknowledged", log(&before[..1]), "lost"),
        ("as long, with another op", log(&[(1, begin()), (9, enlist())]), "lost"),
        ("longer, unclaimed and without the write", then(&[(9, enlist())]), "lost"),
        ("shorter, and claimed since", log(&[(1, begin()), (9, claim())]), "lost"),
        ("shorter, and decided since", log(&[(1, begin()), (9, cancel())]), "decided"),
    ];
    for (what, log, wanted) in table {
        assert_eq!(verdict(&log, after), wanted, "{what}");
    }
    assert_eq!(judge(Op::from_u64(OURS), after, None), Ok(Doubt::NoLog));
}

/// The write is the begin itself.
#[test]
fn a_begin_is_judged_as_well() {
    assert_eq!(verdict(&log(&[(OURS, begin())]), Position::START), "applied");
    assert_eq!(verdict(&log(&[(OURS, begin()), (2, claim())]), Position::START), "applied");
    assert_eq!(verdict(&log(&[(1, begin())]), Position::START), "taken");
    assert_eq!(verdict(&log(&[(1, begin()), (2, cancel())]), Position::START), "taken");
    assert_eq!(judge(Op::from_u64(OURS), Position::START, None), Ok(Doubt::NoLog));
}

#[test]
fn a_log_that_cannot_be_read_has_no_verdict() {
    let garbage = Entry::new(Op::from_u64(2), "garbage").unwrap();
    let log = Log::new(vec![entry(1, &begin()), garbage], 2).unwrap();
    let answer = judge(Op::from_u64(OURS), log.position(), Some(&log));
    assert!(matches!(answer, Err(LogError::Malformed { entry: 2, .. })), "{answer:?}");
}
