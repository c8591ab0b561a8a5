//! Many writes in one call of the script.

mod common;

use std::time::Duration;

use common::*;
use tcc_core::protocol::{Position, TxId};
use tcc_core::store::{Append, Due, Mode, StatusStore, StoreError};
use tcc_test_servers::RedisServer;

/// What a write that expects one entry of op 1, or no log, finds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Finds {
    What,
    Nothing,
    AnotherOp,
    Itself,
}

/// What is known of a transaction: its log, its time to live, and its scores in the indexes.
fn state(keys: &str, id: TxId) -> [String; 4] {
    let (key, id) = (format!("{keys}{id}"), id.to_string());
    [
        ask(shared(), &["GET", &key]),
        ask(shared(), &["PTTL", &key]),
        ask(shared(), &["ZSCORE", &format!("{keys}due"), &id]),
        ask(shared(), &["ZSCORE", &format!("{keys}kept"), &id]),
    ]
}

fn letter(answer: &Result<(), StoreError>, write: &Append) -> char {
    match answer {
        Ok(()) => '=',
        Err(StoreError::Conflict { id }) if *id == write.id => 'c',
        Err(StoreError::NotFound { id }) if *id == write.id => 'n',
        Err(other) => panic!("{write:?}: {other}"),
    }
}

#[tokio::test]
async fn one_call_may_hold_every_kind_of_write_and_each_has_its_own_answer() {
    const LATER: Due = Due::In(Duration::from_secs(600));
    let (store, keys) = store_of_its_own().await;
    let (mut before, mut cases) = (Vec::new(), Vec::new());
    for finds in [Finds::What, Finds::Nothing, Finds::AnotherOp, Finds::Itself] {
        for due in [IN_A_MINUTE, Due::In(2 * MINUTE), Due::Keep, FOR_A_MINUTE, FOR_EVER] {
            for (mode, after) in [
                (Mode::Extend, at(1, 1)),
                (Mode::Replace, at(1, 1)),
                (Mode::Extend, Position::START),
                (Mode::Replace, Position::START),
            ] {
                let id = cases.len() as u64;
                let begins = after == Position::START;
                let (ops, wanted): (&[u64], char) = match finds {
                    Finds::What if begins => (&[], '='),
                    Finds::What => (&[1], '='),
                    Finds::Nothing => (&[], if begins { '=' } else { 'n' }),
                    Finds::AnotherOp => (&[7], 'c'),
                    Finds::Itself if begins => (&[2], '='),
                    Finds::Itself => (&[1, 2], '='),
                };
                let mut end = Position::START;
                for &number in ops {
                    before.push(append(id, end, number, LATER));
                    end = at(end.entries + 1, number);
                }
                cases.push((finds, Append { mode, ..append(id, after, 2, due) }, wanted));
            }
        }
    }
    assert!(store.append_all(&before).await.iter().all(Result::is_ok));
    let stood: Vec<_> = cases.iter().map(|(_, write, _)| state(&keys, write.id)).collect();

    // The order of a call is not that of its kinds: 37 and 80 have no divisor in common.
    let order: Vec<usize> = (0..cases.len()).map(|i| i * 37 % cases.len()).collect();
    let writes: Vec<Append> = order.iter().map(|&i| cases[i].1.clone()).collect();
    let answers = store.append_all(&writes).await;

    let now: u64 = ask(shared(), &["TIME"]).lines().next().unwrap().parse().unwrap();
    for (answer, i) in answers.iter().zip(order) {
        let (finds, write, wanted) = &cases[i];
        assert_eq!(letter(answer, write), *wanted, "{finds:?}: {write:?}");
        let [log, ttl, due, kept] = state(&keys, write.id);
        if *wanted != '=' || *finds == Finds::Itself {
            assert_eq!([log, ttl, due, kept], stood[i], "{finds:?}: {write:?}");
            continue;
        }
        let alone = write.after == Position::START || write.mode == Mode::Replace;
        assert_eq!(log.lines().count(), if alone { 1 } else { 2 }, "{write:?}");
        assert!(log.ends_with(&format!(" {:08x} {}\n", write.after.entries + 1, op(2))), "{write:?}: {log}");
        assert_eq!(
            (ttl != "-1", kept == "0"),
            (write.due == FOR_A_MINUTE, write.due == FOR_EVER),
            "{write:?}"
        );
        let wait = match write.due {
            Due::Never { .. } => None,
            Due::In(wait) => Some(wait.as_secs()),
            Due::Keep if write.after == Position::START => Some(0),
            Due::Keep => Some(600),
        };
        match wait {
            Some(wait) => {
                let at: u64 = due.parse().unwrap();
                assert!((at / 1_000_000).abs_diff(now + wait) < 30, "{write:?}: {due}, and now is {now}");
            }
            None => assert_eq!(due, "", "{write:?}"),
        }
    }
}

#[tokio::test]
async fn a_beginning_that_finds_a_log_changes_no_index() {
    let (store, keys) = store_of_its_own().await;
    store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    store.append(&append(2, Position::START, 1, FOR_A_MINUTE)).await.unwrap();
    store.append(&append(3, Position::START, 1, FOR_EVER)).await.unwrap();
    let indexes = || {
        ["due", "kept"]
            .map(|index| ask(shared(), &["ZRANGE", &format!("{keys}{index}"), "0", "-1", "WITHSCORES"]))
    };
    let before = indexes();
    for due in [Due::In(2 * MINUTE), Due::Keep, FOR_A_MINUTE, FOR_EVER] {
        let writes: Vec<Append> = (1..=4).map(|id| append(id, Position::START, 2, due)).collect();
        let answers = store.append_all(&writes).await;
        assert!(
            answers[..3].iter().all(|answer| matches!(answer, Err(StoreError::Conflict { .. })))
                && answers[3].is_ok(),
            "{answers:?}"
        );
        ask(shared(), &["DEL", &format!("{keys}{}", tx(4))]);
        ask(shared(), &["ZREM", &format!("{keys}due"), &tx(4).to_string()]);
        ask(shared(), &["ZREM", &format!("{keys}kept"), &tx(4).to_string()]);
        assert_eq!(indexes(), before, "{due:?}");
    }
}

#[tokio::test]
async fn a_log_is_in_one_call_once() {
    let server = RedisServer::start();
    let store = store(&server).await;
    store.append(&append(0, Position::START, 1, IN_A_MINUTE)).await.unwrap(); // fixes the number of shards
    let before = calls(&server, "evalsha");
    let writes = [
        append(1, Position::START, 1, IN_A_MINUTE),
        append(2, Position::START, 1, IN_A_MINUTE),
        append(1, at(1, 1), 2, Due::Keep),
        append(3, Position::START, 1, IN_A_MINUTE),
        append(1, at(2, 2), 3, FOR_A_MINUTE),
    ];
    assert!(store.append_all(&writes).await.iter().all(Result::is_ok));
    assert_eq!(calls(&server, "evalsha") - before, 3);
    assert_eq!(ops(&store.read(&shop(), tx(1)).await.unwrap().unwrap()), [1, 2, 3]);
}
