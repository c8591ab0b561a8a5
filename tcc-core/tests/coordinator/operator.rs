//! Operators: list, look, cancel, retry, resolve; alerts; the order of settling; limits on participants.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{
    Begin, BranchId, BranchState, Change, Claim, Entry, Name, Op, Owner, Phase, Position, Status, TxId,
};
use tcc_core::store::{Append, Due, Mode, StatusStore};
use tcc_core::{Filter, OperatorError, SettleOrder, TransactionError, Tx};

use crate::rig::{Does, Error, Move, Rig, Transfer, works};

/// Runs transfers one after the other, as a transaction of this name.
async fn pay(rig: &Rig, name: &str, moves: &[Move]) -> TxId {
    let body = async |tx: &Tx| {
        for wanted in moves {
            tx.call::<Transfer>(wanted.clone()).await?;
        }
        Ok::<_, Error>(tx.id())
    };
    rig.tcc.run(name, body).await.unwrap()
}

/// A coordinator that looks for work once an hour, so that months of quiet are soon over.
async fn patient() -> Rig {
    Rig::with(|builder| builder.lease(Duration::from_secs(3600))).await
}

fn stuck() -> Move {
    Move { confirm: Does::Fail, ..works(1) }
}

fn refused() -> Move {
    Move { confirm: Does::Refuse, ..works(1) }
}

#[tokio::test(start_paused = true)]
async fn what_is_unfinished_is_listed_by_filter_and_in_pages() {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(pay(&rig, if n % 2 == 0 { "even" } else { "odd" }, &[stuck()]).await);
    }
    let operator = rig.tcc.operator();
    let all = operator.list(&Filter::new(), None, 100).await.unwrap();
    assert_eq!((all.items.len(), all.next), (10, None));
    let (mut seen, mut cursor) = (Vec::new(), None);
    let filter =
        Filter::new().status(Status::Confirming).name(Name::new("even").unwrap()).participant("bank");
    loop {
        let page = operator.list(&filter, cursor, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|item| item.id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let mut even: Vec<TxId> = ids.into_iter().step_by(2).collect();
    seen.sort();
    even.sort();
    assert_eq!(seen, even);
    for none in [
        Filter::new().status(Status::Trying),
        Filter::new().participant("nobody"),
        Filter::new().failed_attempts(1_000),
        Filter::new().overdue(Duration::from_secs(3600)),
    ] {
        assert_eq!(operator.list(&none, None, 100).await.unwrap().items, []);
    }
    assert_eq!(operator.stats().await.unwrap().unfinished, 10);
}

#[tokio::test(start_paused = true)]
async fn a_log_is_shown_as_a_timeline() {
    let rig = Rig::start().await;
    let id = pay(&rig, "pay", &[works(1), refused()]).await;
    rig.settled(id).await;
    let timeline = rig.tcc.operator().timeline(id).await.unwrap().unwrap();
    let said: Vec<&str> = timeline.events.iter().map(|event| event.what.as_str()).collect();
    assert!(said[0].starts_with("begin pay by "), "{said:?}");
    assert!(said[0].ends_with(", branch 0 bank.transfer v1"), "{said:?}");
    assert_eq!(said[1], "enlist, branch 1 bank.transfer v1, branch 0 acknowledged");
    assert_eq!(said[2], "decide confirm, branch 1 acknowledged");
    assert_eq!(said[3], "settle, branch 0 confirmed, branch 1 refused its confirm: never");
    assert_eq!(timeline.record.unwrap().status(), Status::Heuristic);
    assert_eq!(rig.tcc.operator().timeline(TxId::from_time(1, [0; 10])).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn peers_30_an_operator_cancels_what_is_undecided_and_says_why() {
    let rig = patient().await;
    let tcc = rig.tcc.clone();
    let running = tokio::spawn(async move {
        let body = async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            tokio::time::sleep(Duration::from_secs(10)).await;
            tx.call::<Transfer>(works(2)).await?;
            Ok::<_, Error>(())
        };
        tcc.run("pay", body).await
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let operator = rig.tcc.operator();
    let id = operator.list(&Filter::new(), None, 1).await.unwrap().items[0].id;
    assert!(matches!(operator.cancel(id, "ada", " ").await, Err(OperatorError::Unsigned)));
    operator.cancel(id, "ada", "wrong price").await.unwrap();
    assert_eq!(rig.settled(id).await, Some(Status::Cancelled));
    assert!(matches!(operator.cancel(id, "ada", "again").await, Err(OperatorError::Illegal { .. })));
    let error = running.await.unwrap().unwrap_err();
    let Error::Branch(tcc_core::BranchError::Transaction(TransactionError::Cancelled { cause, .. })) = error
    else {
        panic!("{error}")
    };
    assert_eq!(cause.to_string(), "cancelled by ada: wrong price");
    assert_eq!(rig.bank.phases(id), [vec![Phase::Try, Phase::Cancel]], "the second try was not called");
    // Who and why is kept for longer than an outcome.
    tokio::time::sleep(Duration::from_secs(80 * 24 * 3600)).await;
    let timeline = operator.timeline(id).await.unwrap().unwrap();
    assert_eq!(timeline.record.unwrap().cause().unwrap().to_string(), "cancelled by ada: wrong price");
}

#[tokio::test(start_paused = true)]
async fn peers_20_retry_now_does_not_wait_for_the_backoff() {
    let rig = Rig::start().await;
    // Down for an hour: the backoff is at its cap.
    let id = pay(&rig, "pay", &[Move { confirm: Does::FailTimes(20), ..works(1) }]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let operator = rig.tcc.operator();
    for _ in 0..100 {
        if rig.tcc.outcome(id).await.unwrap() != Some(Status::Confirming) {
            break;
        }
        operator.retry_all_now(&Filter::new().failed_attempts(1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = tokio::time::Instant::now();
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert!(!operator.retry_now(id).await.unwrap(), "there is nothing to retry");
    assert!(matches!(
        operator.retry_now(TxId::from_time(1, [0; 10])).await,
        Err(OperatorError::NotFound { .. })
    ));
}

/// An hour of outage, and nobody does anything: the longest wait is a minute.
#[tokio::test(start_paused = true)]
async fn peers_20_after_an_hour_of_outage_nothing_waits_longer_than_the_cap() {
    let rig = Rig::start().await;
    let waits = Move { confirm: Does::WhenUp, ..works(1) };
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(pay(&rig, "pay", std::slice::from_ref(&waits)).await);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // One is retried at once, and after it all that wait for the same participant.
    assert!(rig.tcc.operator().retry_now(ids[7]).await.unwrap());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.unfinished().await, 20, "it is still down");
    rig.bank.up.store(true, Ordering::SeqCst);
    let before = tokio::time::Instant::now();
    rig.quiet().await;
    assert!(before.elapsed() <= Duration::from_secs(62), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn peers_20_retry_now_settles_the_one_that_was_named() {
    let rig = Rig::start().await;
    let id = pay(&rig, "pay", &[Move { confirm: Does::WhenUp, ..works(1) }]).await;
    for _ in 0..10 {
        rig.bank.up.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let asked = rig.bank.calls_of(id, Phase::Confirm);
        assert!(rig.tcc.operator().retry_now(id).await.unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(rig.bank.calls_of(id, Phase::Confirm) > asked, "it was not asked at once");
    }
    rig.bank.up.store(true, Ordering::SeqCst);
    assert!(rig.tcc.operator().retry_now(id).await.unwrap());
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(rig.unfinished().await, 0);
}

#[tokio::test(start_paused = true)]
async fn peers_30_a_refused_branch_is_resolved_and_the_reason_kept() {
    let rig = patient().await;
    let id = pay(&rig, "pay", &[works(1), refused()]).await;
    rig.settled(id).await;
    let operator = rig.tcc.operator();
    let heuristic = Filter::new().status(Status::Heuristic);
    assert_eq!(operator.list(&heuristic, None, 10).await.unwrap().items[0].id, id);
    assert_eq!(operator.stats().await.unwrap().kept, 1);
    let not_refused = operator.resolve(id, BranchId::new(0), "ada", "by hand").await;
    assert!(matches!(not_refused, Err(OperatorError::Illegal { .. })));
    operator.resolve(id, BranchId::new(1), "ada", "refunded by hand").await.unwrap();
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Confirmed));
    assert_eq!(operator.list(&heuristic, None, 10).await.unwrap().items, []);
    assert_eq!(operator.stats().await.unwrap().kept, 0);
    tokio::time::sleep(Duration::from_secs(80 * 24 * 3600)).await;
    let record = operator.timeline(id).await.unwrap().unwrap().record.unwrap();
    let BranchState::Resolved { who, why, .. } = &record.branches()[1].state else { panic!("{record:?}") };
    assert_eq!((who.as_str(), why.as_str()), ("ada", "refunded by hand"));
    tokio::time::sleep(Duration::from_secs(20 * 24 * 3600)).await;
    assert_eq!(operator.timeline(id).await.unwrap(), None);
}

/// A branch that is resolved while another is still being settled.
#[tokio::test(start_paused = true)]
async fn what_was_resolved_early_is_finished_with_its_reason() {
    let rig = Rig::start().await;
    let id = pay(&rig, "pay", &[Move { confirm: Does::FailTimes(8), ..works(1) }, refused()]).await;
    let operator = rig.tcc.operator();
    for _ in 0..1_000 {
        match operator.resolve(id, BranchId::new(1), "ada", "by hand").await {
            Ok(()) => break,
            // Not in the log yet.
            Err(OperatorError::Illegal { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    rig.quiet().await;
    let record = operator.timeline(id).await.unwrap().unwrap().record.unwrap();
    assert!(matches!(record.branches()[1].state, BranchState::Resolved { .. }));
}

#[tokio::test(start_paused = true)]
async fn stuck_and_heuristic_transactions_call_for_help() {
    let (calls, seen) =
        (Arc::new(Mutex::new(Vec::new())), |kind: &'static str, calls: &Arc<Mutex<Vec<String>>>| {
            let calls = calls.clone();
            move |alert: &tcc_core::Alert| {
                calls.lock().unwrap().push(format!("{kind} {} {}", alert.name, alert.attempts));
                panic!("a hook that panics harms nobody");
            }
        });
    let (on_stuck, on_heuristic) = (seen("stuck", &calls), seen("heuristic", &calls));
    let rig = Rig::with(|builder| builder.alert_after(3).on_stuck(on_stuck).on_heuristic(on_heuristic)).await;
    pay(&rig, "first", &[stuck()]).await;
    pay(&rig, "second", &[refused()]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*calls.lock().unwrap(), ["heuristic second 0", "stuck first 3"]);
}

/// A deploy that alerts sooner, or an instance that takes over what has failed often already: neither passes over it, and
/// neither tells of it at each attempt.
#[tokio::test(start_paused = true)]
async fn what_is_stuck_already_calls_for_help_once_per_instance() {
    let rig = Rig::with(|builder| builder.alert_after(1000)).await;
    let id = pay(&rig, "pay", &[stuck()]).await;
    for _ in 0..1_000 {
        if rig.bank.calls_of(id, Phase::Confirm) > 20 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    rig.tcc.shutdown().await;
    let before = rig.bank.calls_of(id, Phase::Confirm);
    let alerts = Arc::new(Mutex::new(Vec::new()));
    let seen = alerts.clone();
    let next = tcc_core::Coordinator::builder("test", rig.store.clone())
        .register(rig.bank.clone())
        .alert_after(3)
        .on_stuck(move |alert| seen.lock().unwrap().push(alert.attempts))
        .start()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert!(rig.bank.calls_of(id, Phase::Confirm) > before + 10, "it is retried all the same");
    let alerts = alerts.lock().unwrap().clone();
    assert!(alerts.len() == 1 && alerts[0] > 20, "{alerts:?}");
    next.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_no_longer_for_room_than_a_call_may_take() {
    for order in [SettleOrder::Concurrent, SettleOrder::Reverse] {
        let rig = Rig::with(|builder| {
            builder.calls_at_once(1).call_timeout(Duration::from_secs(2)).settle_order(order)
        })
        .await;
        let slow = || Move { confirm: Does::HangTimes(1), ..works(1) };
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let tcc = rig.tcc.clone();
            callers.spawn(async move {
                let began = std::sync::Mutex::new(tokio::time::Instant::now());
                let body = async |tx: &Tx| {
                    tx.call::<Transfer>(slow()).await?;
                    tx.call::<Transfer>(slow()).await?;
                    *began.lock().unwrap() = tokio::time::Instant::now();
                    Ok::<_, Error>(tx.id())
                };
                let id = tcc.run("pay", body).await.unwrap();
                (id, began.into_inner().unwrap().elapsed())
            });
        }
        let mut longest = Duration::ZERO;
        let mut ids = Vec::new();
        while let Some(caller) = callers.join_next().await {
            let (id, waited) = caller.unwrap();
            longest = longest.max(waited);
            ids.push(id);
        }
        assert_eq!(longest, Duration::from_secs(2), "{order:?}");
        // The wait goes on in the background.
        for id in ids {
            assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_one_line_whatever_others_wrote() {
    let rig = Rig::with(|builder| builder.alert_after(1)).await;
    let id = pay(&rig, "pay", &[Move { confirm: Does::FailInLines, ..works(1) }]).await;
    let branch = BranchId::new(0);
    let operator = rig.tcc.operator();
    for _ in 0..1_000 {
        match operator.refuse(id, branch, "ada\nlovelace", "no\nway").await {
            Ok(()) => break,
            Err(OperatorError::NotFailed { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
    operator.resolve(id, branch, "ada\nlovelace", "by\nhand").await.unwrap();
    let timeline = operator.timeline(id).await.unwrap().unwrap();
    let said: Vec<&str> = timeline.events.iter().map(|event| event.what.as_str()).collect();
    assert!(said.iter().any(|line| line.contains(r"one\r\ntwo\u{2028}three\u{1b}[2J")), "{said:#?}");
    assert!(
        said.iter().any(|line| line.contains(r"by ada\nlovelace, for its participant: no\nway")),
        "{said:#?}"
    );
    assert!(said.iter().any(|line| line.contains(r"resolved by ada\nlovelace: by\nhand")), "{said:#?}");
    for line in said {
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
    }
    // What an operator cancels is told in the same way.
    let cause = tcc_core::protocol::Cause::Operator { who: "a\nb".into(), why: "c\rd".into() };
    let decide = tcc_core::protocol::Change::Decide(tcc_core::protocol::Decide {
        decision: tcc_core::protocol::Decision::Cancel,
        branches: Vec::new(),
        outputs: Vec::new(),
        cause: Some(cause),
        value: None,
    });
    assert_eq!(decide.to_string(), r"decide cancel (cancelled by a\nb: c\rd)");
}

#[tokio::test(start_paused = true)]
async fn branches_are_settled_in_reverse_if_asked() {
    let rig = Rig::with(|builder| builder.settle_order(SettleOrder::Reverse)).await;
    let id = pay(&rig, "pay", &[works(1), Move { confirm: Does::FailTimes(12), ..works(2) }, works(3)]).await;
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    let confirmed: Vec<u16> = {
        let calls = rig.bank.calls.lock().unwrap();
        let confirms = calls.iter().filter(|(_, phase)| *phase == Phase::Confirm);
        confirms.map(|(key, _)| key.branch.number()).collect()
    };
    let mut wanted = vec![1; 13];
    wanted.insert(0, 2);
    wanted.push(0);
    assert_eq!(confirmed, wanted);
}

#[tokio::test(start_paused = true)]
async fn peers_37_the_first_success_of_a_participant_wakes_what_waits_for_it() {
    let rig = Rig::start().await;
    let waits = || Move { confirm: Does::WhenUp, ..works(1) };
    for _ in 0..50 {
        pay(&rig, "pay", &[waits()]).await;
    }
    // Down for ten minutes: all wait in backoff, up to a minute.
    tokio::time::sleep(Duration::from_secs(600)).await;
    rig.bank.up.store(true, Ordering::SeqCst);
    pay(&rig, "pay", &[works(1)]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.unfinished().await, 0, "all were settled at once");
}

#[tokio::test(start_paused = true)]
async fn a_participant_gets_no_more_calls_at_once_than_it_bears() {
    let rig = Rig::with(|builder| builder.calls_at_once(2).call_timeout(Duration::from_secs(1))).await;
    let before = tokio::time::Instant::now();
    let body = async |tx: &Tx| {
        let hang = || tx.call::<Transfer>(Move { r#try: Does::Hang, ..works(1) });
        let _ = tokio::join!(hang(), hang(), hang(), hang());
        Err::<(), _>(Error::Own)
    };
    assert!(matches!(rig.tcc.run("pay", body).await, Err(Error::Own)));
    assert_eq!(before.elapsed(), Duration::from_secs(2), "two at a time, a second each");
}

/// A transaction that its coordinator left undecided, and that is due in a day: claimed or not.
async fn undecided(rig: &Rig, number: u64, claimed: bool) -> TxId {
    let id = TxId::from_time(number, [1; 10]);
    let (owner, day) = (Owner::from_u64(1), Due::In(Duration::from_secs(86_400)));
    let begin = Change::Begin(Begin {
        name: Name::new("pay").unwrap(),
        begun_ms: 0,
        timeout_ms: 86_400_000,
        by: owner,
        key: None,
        run: None,
        traceparent: None,
        branches: Vec::new(),
    });
    let claim = Change::Claim(Claim { by: owner });
    let mut after = Position::START;
    for change in [begin, claim].iter().take(if claimed { 2 } else { 1 }) {
        let entry = Entry::new(Op::from_u64(u64::from(after.entries) + 1), change.encode()).unwrap();
        let next = after.then(entry.op());
        let group = rig.tcc.group().clone();
        rig.store.append(&Append { group, id, after, entry, due: day, mode: Mode::Extend }).await.unwrap();
        after = next;
    }
    id
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_undecided_can_be_cancelled_now_and_nothing_else_that_is_undecided() {
    let rig = Rig::start().await;
    let (claimed, unclaimed) = (undecided(&rig, 1, true).await, undecided(&rig, 2, false).await);
    let operator = rig.tcc.operator();
    assert!(operator.retry_now(claimed).await.unwrap());
    assert!(!operator.retry_now(unclaimed).await.unwrap(), "its initiator may still confirm it");
    let settled = tokio::time::timeout(Duration::from_secs(60), rig.tcc.settled(claimed)).await;
    assert_eq!(settled.expect("it waits for a day").unwrap(), Some(Status::Cancelled));
    assert_eq!(rig.tcc.outcome(unclaimed).await.unwrap(), Some(Status::Trying));
}

/// Who began it may not have heard, and asks until its deadline: what is left of it must be there for so long.
#[tokio::test(start_paused = true)]
async fn what_an_operator_cancelled_is_kept_beyond_its_deadline() {
    let short = Duration::from_secs(80);
    let rig = Rig::with(|b| b.retention(short).audit_retention(short).key_retention(short)).await;
    let id = undecided(&rig, 1, false).await;
    rig.tcc.operator().cancel(id, "ann", "she asked for it").await.unwrap();
    assert_eq!(rig.tcc.settled(id).await.unwrap(), Some(Status::Cancelled));
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Cancelled), "it could be begun once more");
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), None);
}
