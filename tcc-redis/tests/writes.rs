//! What is written, as the server itself sees it: keys, times to live, commands, garbage, memory.

mod common;

use std::time::Duration;

use common::*;
use tcc_core::protocol::{Entry, Group, Position};
use tcc_core::store::{Append, Claim, Due, DueAge, Query, Select, StatusStore, StoreError};
use tcc_redis::RedisStore;
use tcc_test_servers::RedisServer;

fn get(key: &str) -> String {
    ask(shared(), &["GET", key])
}

fn is_conflict(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Err(StoreError::Conflict { .. }))
}

#[tokio::test]
async fn a_log_is_lines_with_their_position() {
    let (store, keys) = store_of_its_own().await;
    store.append(&append(1, Position::START, 0xa, IN_A_MINUTE)).await.unwrap();
    store.append(&append(1, at(1, 0xa), 0xb, Due::Keep)).await.unwrap();
    let id = tx(1);
    let first = "{\"entry\":10} 00000001 000000000000000a\n";
    let second = "{\"entry\":11} 00000002 000000000000000b\n";
    assert_eq!(get(&format!("{keys}{id}")), format!("{first}{second}"));

    store.append(&replace(1, at(2, 0xb), 0xc, FOR_A_MINUTE)).await.unwrap();
    assert_eq!(get(&format!("{keys}{id}")), "{\"entry\":12} 00000003 000000000000000c\n");
}

#[tokio::test]
async fn both_halves_of_the_position_are_compared() {
    let (store, keys) = store_of_its_own().await;
    store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    store.append(&append(1, at(1, 1), 2, IN_A_MINUTE)).await.unwrap();
    let log = get(&format!("{keys}{}", tx(1)));
    for wrong in
        [at(1, 2), at(3, 2), at(2, 1), at(2, 3), at(1, 1), Position::START, at(0, 2), at(u32::MAX, 2)]
    {
        for due in [Due::Keep, IN_A_MINUTE, FOR_A_MINUTE, FOR_EVER] {
            assert!(is_conflict(&store.append(&append(1, wrong, 9, due)).await), "{wrong:?}");
            assert!(is_conflict(&store.append(&replace(1, wrong, 9, due)).await), "{wrong:?}");
        }
    }
    assert_eq!(get(&format!("{keys}{}", tx(1))), log);
    assert_eq!(ask(shared(), &["ZCARD", &format!("{keys}due")]), "1");
    assert_eq!(ask(shared(), &["EXISTS", &format!("{keys}kept")]), "0");
}

#[tokio::test]
async fn a_repeat_is_done_and_changes_nothing() {
    let (store, keys) = store_of_its_own().await;
    let first = append(1, Position::START, 1, IN_A_MINUTE);
    store.append(&first).await.unwrap();
    let due = ask(shared(), &["ZSCORE", &format!("{keys}due"), &tx(1).to_string()]);
    store.append(&first).await.unwrap();
    assert_eq!(ask(shared(), &["ZSCORE", &format!("{keys}due"), &tx(1).to_string()]), due);
    assert_eq!(get(&format!("{keys}{}", tx(1))).lines().count(), 1);
}

#[tokio::test]
async fn every_write_of_a_batch_has_its_own_answer() {
    let (store, keys) = store_of_its_own().await;
    store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    store.append(&append(2, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    let key = |number: u64| format!("{keys}{}", tx(number));
    ask(shared(), &["RPUSH", &key(3), "garbage"]);
    ask(shared(), &["SET", &key(4), "garbage"]);
    ask(shared(), &["SET", &key(5), ""]);
    let writes = [
        append(1, at(1, 1), 2, Due::Keep),           // 0 done
        append(2, at(1, 7), 2, Due::Keep),           // 1 another op
        append(3, at(1, 1), 2, FOR_A_MINUTE),        // 2 a list
        append(3, Position::START, 2, IN_A_MINUTE),  // 3 a list
        append(4, at(1, 1), 2, FOR_A_MINUTE),        // 4 no trailer
        append(4, Position::START, 2, IN_A_MINUTE),  // 5 no trailer
        append(5, at(1, 1), 2, FOR_A_MINUTE),        // 6 an empty string
        append(6, at(1, 1), 2, IN_A_MINUTE),         // 7 no log
        append(2, at(2, 1), 1, IN_A_MINUTE),         // 8 conflict: the op again, at another number
        append(2, Position::START, 1, FOR_A_MINUTE), // 9 a repeat
        append(7, Position::START, 1, IN_A_MINUTE),  // 10 begins
        append(7, at(1, 1), 2, FOR_EVER),            // 11 goes on
        append(7, at(2, 2), 3, FOR_A_MINUTE),        // 12 ends
        append(7, Position::START, 4, IN_A_MINUTE),  // 13 begins again: no
        append(7, at(2, 2), 3, IN_A_MINUTE),         // 14 a repeat of 12
    ];
    let answers: String = store
        .append_all(&writes)
        .await
        .iter()
        .map(|answer| match answer {
            Ok(()) => '=',
            Err(StoreError::Conflict { .. }) => 'c',
            Err(StoreError::NotFound { .. }) => 'n',
            Err(StoreError::Corrupt { .. }) => 'g',
            Err(other) => panic!("{other}"),
        })
        .collect();
    assert_eq!(answers, "=cgggggnc====c=");
    assert_eq!(ask(shared(), &["LRANGE", &key(3), "0", "-1"]), "garbage");
    assert_eq!(get(&key(4)), "garbage");
    assert_eq!(ask(shared(), &["STRLEN", &key(5)]), "0");
    assert_eq!(ops(&store.read(&shop(), tx(7)).await.unwrap().unwrap()), [1, 2, 3]);
    assert_eq!(ask(shared(), &["ZRANGE", &format!("{keys}due"), "0", "-1"]), format!("{}\n{}", tx(1), tx(2)));
    assert_eq!(ask(shared(), &["EXISTS", &format!("{keys}kept")]), "0");
    assert!(ask(shared(), &["PTTL", &key(7)]).parse::<i64>().unwrap() > 50_000);
}

#[tokio::test]
async fn garbage_under_a_new_log_is_not_overwritten() {
    let (store, keys) = store_of_its_own().await;
    let key = format!("{keys}{}", tx(1));
    ask(shared(), &["SET", &key, ""]);
    for due in [IN_A_MINUTE, Due::Keep, FOR_A_MINUTE, FOR_EVER] {
        let answer = store.append(&append(1, Position::START, 1, due)).await;
        assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}");
    }
    assert_eq!(ask(shared(), &["EXISTS", &key]), "1");
    assert_eq!(ask(shared(), &["STRLEN", &key]), "0");
    assert_eq!(ask(shared(), &["EXISTS", &format!("{keys}due"), &format!("{keys}kept")]), "0");
    assert!(matches!(store.read(&shop(), tx(1)).await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn peers_11_only_what_is_finished_has_a_time_to_live() {
    let (store, keys) = store_of_its_own().await;
    let ttl =
        |number: u64| ask(shared(), &["PTTL", &format!("{keys}{}", tx(number))]).parse::<i64>().unwrap();
    let index = |name: &str| ask(shared(), &["ZCARD", &format!("{keys}{name}")]);
    // Every way from one kind of due to another, by an entry that follows and by one that takes the place of all.
    let kinds = [IN_A_MINUTE, Due::Keep, FOR_A_MINUTE, FOR_EVER];
    let mut number = 0;
    for from in kinds {
        for to in kinds {
            for write in [append, replace] {
                for batched in [false, true] {
                    number += 1;
                    let writes = [write(number, Position::START, 1, from), write(number, at(1, 1), 2, to)];
                    if batched {
                        assert!(store.append_all(&writes).await.iter().all(Result::is_ok));
                    } else {
                        store.append(&writes[0]).await.unwrap();
                        store.append(&writes[1]).await.unwrap();
                    }
                    let end = if to == Due::Keep { from } else { to };
                    let wanted = match end {
                        Due::Never { .. } if end == FOR_A_MINUTE => (true, "0", "0"),
                        Due::Never { .. } => (false, "0", "1"),
                        Due::Keep | Due::In(_) => (false, "1", "0"),
                    };
                    let found = (ttl(number) > 50_000, &*index("due"), &*index("kept"));
                    assert_eq!(found, wanted, "{from:?} then {to:?}, batched: {batched}");
                    assert!(wanted.0 || ttl(number) == -1, "{from:?} then {to:?}: {}", ttl(number));
                    ask(shared(), &["DEL", &format!("{keys}due"), &format!("{keys}kept")]);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_listed_as_kept_is_never_due() {
    let (store, _) = store_of_its_own().await;
    store.append(&append(1, Position::START, 1, FOR_EVER)).await.unwrap();
    let query = Query { group: shop(), select: Select::Kept, cursor: None, limit: 10 };
    let page = store.list(&query).await.unwrap();
    assert_eq!(
        page.items.iter().map(|item| (item.id, item.due)).collect::<Vec<_>>(),
        [(tx(1), DueAge::Never)]
    );
}

#[tokio::test]
async fn one_append_is_one_command_and_so_are_128() {
    let server = RedisServer::start();
    let store = store(&server).await;
    store.append(&append(0, Position::START, 1, IN_A_MINUTE)).await.unwrap(); // fixes the number of shards
    let commands = || {
        let stats = ask(&server, &["INFO", "stats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    // What a look itself costs, found by looking twice.
    let (first, second) = (commands(), commands());
    let look = second - first;

    let (before, scripts) = (commands(), calls(&server, "evalsha"));
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();
    assert_eq!(calls(&server, "evalsha") - scripts, 1);
    // Inside of it: TIME, GETRANGE, ZADD, SET; each is counted by the server, too.
    let sent = commands() - before;
    assert!(sent <= look + 3 + 5, "{sent}");

    let (before, eval) = (calls(&server, "evalsha"), calls(&server, "eval"));
    let writes: Vec<Append> = (2..130).map(|id| append(id, Position::START, 1, IN_A_MINUTE)).collect();
    let (times, adds) = (calls(&server, "time"), calls(&server, "zadd"));
    assert!(store.append_all(&writes).await.iter().all(Result::is_ok));
    assert_eq!((calls(&server, "evalsha") - before, calls(&server, "eval") - eval), (1, 0));
    assert_eq!((calls(&server, "time") - times, calls(&server, "zadd") - adds), (1, 1));

    let before = calls(&server, "evalsha");
    let writes: Vec<Append> = (2..131).map(|id| append(id, at(1, 1), 2, Due::Keep)).collect();
    let answers = store.append_all(&writes).await;
    assert_eq!(calls(&server, "evalsha") - before, 2);
    assert!(matches!(answers[128], Err(StoreError::NotFound { .. })));
    assert!(answers[..128].iter().all(Result::is_ok));

    let before = calls(&server, "evalsha");
    assert!(store.claim(&claim(10)).await.unwrap().logs.len() == 1); // the first append above was due at once
    assert!(store.claim(&claim(10)).await.unwrap().logs.is_empty());
    assert_eq!(calls(&server, "evalsha") - before, 3, "two for what is due, one for nothing");
}

#[tokio::test]
async fn a_transaction_of_two_branches_costs_four_commands() {
    let server = RedisServer::start();
    let store = store(&server).await;
    store.append(&append(0, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    let before = (calls(&server, "evalsha"), calls(&server, "eval"), calls(&server, "get"));
    store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    store.append(&append(1, at(1, 1), 2, Due::Keep)).await.unwrap();
    store.append(&append(1, at(2, 2), 3, IN_A_MINUTE)).await.unwrap();
    store.append(&replace(1, at(3, 3), 4, FOR_A_MINUTE)).await.unwrap();
    let after = (calls(&server, "evalsha"), calls(&server, "eval"), calls(&server, "get"));
    assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), (4, 0, 0));
}

#[tokio::test]
async fn long_entries_are_divided_among_calls() {
    let server = RedisServer::start();
    let store = store(&server).await;
    let long = Entry::new(op(1), "x".repeat(400_000)).unwrap();
    let writes: Vec<Append> = (0..5)
        .map(|id| Append { entry: long.clone(), ..append(id, Position::START, 1, Due::Keep) })
        .collect();
    let before = calls(&server, "evalsha");
    assert!(store.append_all(&writes).await.iter().all(Result::is_ok));
    assert_eq!(calls(&server, "evalsha") - before, 3);
    assert_eq!(store.read(&shop(), tx(4)).await.unwrap().unwrap().entries(), [long]);
}

#[tokio::test]
async fn forgotten_scripts_are_brought_back() {
    let server = RedisServer::start();
    let store = store(&server).await;
    for number in 0..3 {
        ask(&server, &["SCRIPT", "FLUSH"]);
        store.append(&append(number, Position::START, 1, Due::Keep)).await.unwrap();
        ask(&server, &["SCRIPT", "FLUSH"]);
        assert_eq!(store.claim(&claim(10)).await.unwrap().logs.len(), 1);
    }
    let before = calls(&server, "eval");
    store.append(&append(9, Position::START, 1, Due::Keep)).await.unwrap();
    assert_eq!(calls(&server, "eval"), before);
}

#[tokio::test]
async fn a_claim_reports_what_it_cannot_read_and_goes_on() {
    let (store, keys) = store_of_its_own().await;
    let key = |number: u64| format!("{keys}{}", tx(number));
    let due = format!("{keys}due");
    for number in 1..=6 {
        store.append(&append(number, Position::START, 1, Due::Keep)).await.unwrap();
    }
    ask(shared(), &["DEL", &key(1)]);
    ask(shared(), &["DEL", &key(2)]);
    ask(shared(), &["RPUSH", &key(2), "garbage"]);
    ask(shared(), &["SET", &key(3), "no trailer"]);
    // Good at its end, and garbage before: nothing may be appended to it.
    let inner = "garbage\n{} 00000002 0000000000000002\n";
    ask(shared(), &["SET", &key(4), inner]);
    ask(
        shared(),
        &["EVAL", "return redis.call('SET', KEYS[1], '\\255 00000001 0000000000000001\\n')", "1", &key(5)],
    );
    ask(shared(), &["ZADD", &due, "1", "no transaction"]);
    ask(shared(), &["ZADD", &due, "-inf", "neither"]);

    // One at a time: what can't be read must not keep the good one from being found.
    let mut unreadable = Vec::new();
    let mut logs = Vec::new();
    for _ in 0..8 {
        let claimed = store.claim(&claim(1)).await.unwrap();
        unreadable.extend(claimed.unreadable.into_iter().map(|one| one.id));
        logs.extend(claimed.logs.into_iter().map(|(id, _)| id));
    }
    assert_eq!(unreadable, [tx(1), tx(2), tx(3), tx(4), tx(5)]);
    assert_eq!(logs, [tx(6)]);
    assert_eq!(ask(shared(), &["EXISTS", &key(1)]), "0");
    assert_eq!(ask(shared(), &["LRANGE", &key(2), "0", "-1"]), "garbage");
    assert_eq!(get(&key(3)), "no trailer");
    assert_eq!(get(&key(4)), inner);
    assert_eq!(ask(shared(), &["STRLEN", &key(5)]), "28");
    assert_eq!(ask(shared(), &["ZCARD", &due]), "8", "nothing is forgotten");
    // A minute from now, all of them.
    let now: u64 = ask(shared(), &["TIME"]).lines().next().unwrap().parse().unwrap();
    let later = ((now + 30) * 1_000_000).to_string();
    assert_eq!(ask(shared(), &["ZCOUNT", &due, &later, "+inf"]), "8");

    // A list shows them, too.
    let query = Query { group: shop(), select: Select::Unfinished, cursor: None, limit: 10 };
    let page = store.list(&query).await.unwrap();
    assert_eq!((page.items.len(), page.unreadable.len()), (1, 5));
}

#[tokio::test]
async fn an_index_that_is_none_is_said() {
    let (store, keys) = store_of_its_own().await;
    ask(shared(), &["SET", &format!("{keys}due"), "garbage"]);
    let answer = store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await;
    assert!(
        matches!(&answer, Err(StoreError::Unavailable { what, .. }) if what.contains("WRONGTYPE")),
        "{answer:?}"
    );
    // No log without its place in the index.
    assert_eq!(ask(shared(), &["EXISTS", &format!("{keys}{}", tx(1))]), "0");
}

#[tokio::test]
async fn pages_do_not_miss_what_stays_when_many_are_due_at_once() {
    let (store, keys) = store_of_its_own().await;
    let due = format!("{keys}due");
    for number in 1..=50 {
        store.append(&append(number, Position::START, 1, IN_A_MINUTE)).await.unwrap();
        ask(shared(), &["ZADD", &due, "1700000000000000", &tx(number).to_string()]);
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let query = Query { group: shop(), select: Select::Unfinished, cursor, limit: 7 };
        let page = store.list(&query).await.unwrap();
        assert!(page.items.len() <= 7);
        seen.extend(page.items.iter().map(|item| item.id));
        cursor = page.next;
        let Some(_) = cursor else { break };
        // The last one seen goes, and one before all of them comes.
        ask(shared(), &["ZREM", &due, &seen.last().unwrap().to_string()]);
        ask(shared(), &["ZADD", &due, "1", &tx(1).to_string()]);
    }
    assert_eq!(seen, (1..=50).map(tx).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_keeps_its_number_of_shards() {
    let namespace = namespace();
    let with = async |shards| {
        let builder = RedisStore::builder(shared().url()).namespace(&namespace).shards(shards);
        builder.connect().await.unwrap()
    };
    let (one, four) = (with(1).await, with(4).await);
    // Who only reads, fixes nothing.
    assert_eq!(one.stats(&shop()).await.unwrap().unfinished, 0);
    four.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    assert_eq!(ask(shared(), &["GET", &format!("{{{namespace}:shop}}:shards")]), "4");
    let refusals = [
        one.append(&append(2, Position::START, 1, IN_A_MINUTE)).await.unwrap_err(),
        one.append_all(&[append(2, Position::START, 1, IN_A_MINUTE)]).await.remove(0).unwrap_err(),
        one.claim(&claim(1)).await.unwrap_err(),
        one.read(&shop(), tx(1)).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert!(matches!(&refusal, StoreError::Invalid { what } if what.contains("shards(4)")), "{refusal}");
    }
    // Another group is free to differ.
    let other = Group::new("other").unwrap();
    one.append(&Append { group: other, ..append(2, Position::START, 1, IN_A_MINUTE) }).await.unwrap();
}

#[tokio::test]
async fn a_batch_may_hold_several_groups() {
    let (store, keys) = store_of_its_own().await;
    let other = Group::new("other").unwrap();
    let elsewhere = |write: Append| Append { group: other.clone(), ..write };
    let writes = [
        append(1, Position::START, 1, Due::Keep),
        elsewhere(append(1, Position::START, 2, Due::Keep)),
        append(1, at(1, 1), 3, Due::Keep),
        elsewhere(append(1, at(1, 1), 4, Due::Keep)),
    ];
    let answers = store.append_all(&writes).await;
    assert!(answers[..3].iter().all(Result::is_ok) && is_conflict(&answers[3]), "{answers:?}");
    assert_eq!(get(&format!("{keys}{}", tx(1))).lines().count(), 2);
}

#[tokio::test]
async fn without_memory_a_log_is_whole_or_not_there() {
    let server = RedisServer::start();
    let store = store(&server).await;
    store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    ask(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    let writes = [
        append(1, at(1, 1), 2, Due::Keep),
        append(2, Position::START, 1, IN_A_MINUTE),
        replace(1, at(1, 1), 3, FOR_A_MINUTE),
    ];
    for write in &writes {
        let answer = store.append(write).await;
        assert!(
            matches!(&answer, Err(StoreError::Unavailable { what, .. }) if what.contains("OOM")),
            "{answer:?}"
        );
    }
    for answer in store.append_all(&writes).await {
        assert!(
            matches!(&answer, Err(StoreError::Unavailable { .. }) | Err(StoreError::Conflict { .. })),
            "{answer:?}"
        );
    }
    ask(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(ops(&store.read(&shop(), tx(1)).await.unwrap().unwrap()), [1]);
    assert_eq!(store.read(&shop(), tx(2)).await.unwrap(), None);
    assert_eq!(ask(&server, &["ZCARD", "{tcc:shop:0}:due"]), "1");
    assert_eq!(ask(&server, &["PTTL", &format!("{{tcc:shop:0}}:{}", tx(1))]), "-1");
    store.append(&writes[0]).await.unwrap();
}

#[tokio::test]
async fn without_a_permission_a_log_is_whole_or_not_there() {
    let server = RedisServer::start();
    let url = format!("redis://clerk:hush@127.0.0.1:{}", server.port());
    ask(&server, &["ACL", "SETUSER", "clerk", "on", ">hush", "~*", "+@all"]);
    let store = RedisStore::connect(url).await.unwrap();
    store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    for (number, forbidden) in (2..).zip(["evalsha", "zadd", "mset", "exists", "time"]) {
        ask(&server, &["ACL", "SETUSER", "clerk", &format!("-{forbidden}")]);
        let answer = store.append(&append(number, Position::START, 1, IN_A_MINUTE)).await;
        assert!(
            matches!(answer, Err(StoreError::Unavailable { .. } | StoreError::Ambiguous { .. })),
            "{answer:?}"
        );
        assert_eq!(store.read(&shop(), tx(number)).await.unwrap(), None, "{forbidden}");
        ask(&server, &["ACL", "SETUSER", "clerk", "+@all"]);
        store.append(&append(number, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    }
    // Others of the same call are not refused with it.
    ask(&server, &["ACL", "SETUSER", "clerk", "-mset"]);
    let writes = [append(20, Position::START, 1, IN_A_MINUTE), append(2, at(1, 1), 2, Due::Keep)];
    let answers = store.append_all(&writes).await;
    assert!(
        matches!(&answers[0], Err(StoreError::Unavailable { what, .. }) if what.contains("mset")),
        "{answers:?}"
    );
    assert!(answers[1].is_ok(), "{answers:?}");
    ask(&server, &["ACL", "SETUSER", "clerk", "+@all"]);
    store.append(&writes[0]).await.unwrap();

    ask(&server, &["ACL", "SETUSER", "clerk", "-append", "-set"]);
    for write in [append, replace] {
        let answer = store.append(&write(1, at(1, 1), 2, FOR_A_MINUTE)).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
    // It stays due, without a time to live.
    assert_eq!(ask(&server, &["ZSCORE", "{tcc:shop:0}:due", &tx(1).to_string()]).len(), 16);
    assert_eq!(ask(&server, &["PTTL", &format!("{{tcc:shop:0}}:{}", tx(1))]), "-1");
}

#[tokio::test]
async fn long_logs_are_read_in_parts() {
    let (store, _) = store_of_its_own().await;
    let long = Entry::new(op(1), "x".repeat(200_000)).unwrap();
    let writes: Vec<Append> = (0..40)
        .map(|id| Append { entry: long.clone(), ..append(id, Position::START, 1, Due::Keep) })
        .collect();
    assert!(store.append_all(&writes).await.iter().all(Result::is_ok));

    let query = |cursor| Query { group: shop(), select: Select::Unfinished, cursor, limit: 100 };
    let first = store.list(&query(None)).await.unwrap();
    assert_eq!(first.items.len(), 32);
    let rest = store.list(&query(first.next)).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (8, None));

    let first = store.claim(&claim(100)).await.unwrap();
    assert_eq!((first.logs.len(), first.next_due), (32, Some(std::time::Duration::ZERO)));
    let rest = store.claim(&claim(100)).await.unwrap();
    assert_eq!(rest.logs.len(), 8);
    assert!(rest.next_due.is_some_and(|wait| wait > MINUTE / 2), "{:?}", rest.next_due);
}

#[tokio::test]
async fn an_id_without_a_log_is_forgotten_when_an_operator_says_so_and_not_before() {
    let (store, keys) = store_of_its_own().await;
    store.append(&append(1, Position::START, 1, IN_A_MINUTE)).await.unwrap();
    store.append(&append(2, Position::START, 1, FOR_EVER)).await.unwrap();
    for (number, index) in [(3, "due"), (4, "kept")] {
        ask(shared(), &["ZADD", &format!("{keys}{index}"), "0", &tx(number).to_string()]);
    }
    ask(shared(), &["RPUSH", &format!("{keys}{}", tx(5)), "garbage"]);
    ask(shared(), &["ZADD", &format!("{keys}due"), "0", &tx(5).to_string()]);

    // However often it is claimed, it stays and is reported.
    for _ in 0..3 {
        let claimed = store.claim(&Claim { lease: Duration::ZERO, ..claim(10) }).await.unwrap();
        assert_eq!(claimed.unreadable.iter().filter(|unreadable| unreadable.id == tx(3)).count(), 1);
    }
    for number in [1, 2, 5] {
        let answer = store.forget(&shop(), tx(number)).await;
        assert!(matches!(answer, Err(StoreError::Invalid { .. })), "{number}: {answer:?}");
    }
    for number in [3, 4] {
        assert!(store.forget(&shop(), tx(number)).await.unwrap());
        assert!(!store.forget(&shop(), tx(number)).await.unwrap(), "once");
    }
    assert_eq!(ask(shared(), &["ZRANGE", &format!("{keys}due"), "0", "-1"]).lines().count(), 2);
    assert_eq!(ask(shared(), &["ZRANGE", &format!("{keys}kept"), "0", "-1"]), tx(2).to_string());
    let page = Query { group: shop(), select: Select::Unfinished, cursor: None, limit: 10 };
    assert_eq!(store.list(&page).await.unwrap().unreadable.len(), 1, "what has no log but garbage");
}
