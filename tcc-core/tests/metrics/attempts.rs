//! Calls of participants.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tcc_core::protocol::{BranchId, Status};
use tcc_core::testing::{Call, Fault, Rule};
use tcc_core::{Coordinator, Tx};

use crate::rig::{Does, Error, Rig, Seen, Told, Transfer, WORKS, about, start};

const ATTEMPTS: &str = "tcc_attempts_total";

/// How many attempts of a phase there were, by their answer, and that there were no others.
fn attempts(rig: &Rig, phase: &str, answers: &[(&str, f64)]) {
    let labels = [("group", "test"), ("action", "bank.transfer"), ("phase", phase)];
    for (answer, count) in answers {
        let labels = [&labels[..], &[("answer", *answer)]].concat();
        assert_eq!(rig.number(ATTEMPTS, &labels), *count, "{phase} {answer}");
    }
    let all = answers.iter().map(|(_, count)| count).sum::<f64>();
    assert_eq!(rig.number(ATTEMPTS, &labels), all, "{phase}");
}

fn times(rig: &Rig, phase: &str) -> Vec<f64> {
    let labels = [("group", "test"), ("action", "bank.transfer"), ("phase", phase)];
    rig.times("tcc_attempt_duration_seconds", &labels)
}

#[tokio::test(start_paused = true)]
async fn what_is_done_counts_as_ok_with_its_time() {
    let rig = Rig::start().await;
    rig.pay(&[WORKS, Told { r#try: Does::Slowly, confirm: Does::Slowly, ..WORKS }]).await.unwrap();
    attempts(&rig, "try", &[("ok", 2.0)]);
    attempts(&rig, "confirm", &[("ok", 2.0)]);
    attempts(&rig, "cancel", &[]);
    assert!(about(&times(&rig, "try"), &[0.0, 2.0]), "{:?}", times(&rig, "try"));
    assert!(about(&times(&rig, "confirm"), &[0.0, 2.0]), "{:?}", times(&rig, "confirm"));
}

#[tokio::test(start_paused = true)]
async fn every_answer_of_a_try_is_told_apart() {
    for (does, answer, time) in [
        (Does::Refuse, "refused", 0.0),
        (Does::Fail, "unknown", 0.0),
        (Does::Panic, "panicked", 0.0),
        (Does::Hang, "timeout", 5.0),
        (Does::TooLate, "too_late", 0.0),
    ] {
        let rig = Rig::start().await;
        rig.pay(&[Told { r#try: does, ..WORKS }]).await.unwrap_err();
        attempts(&rig, "try", &[(answer, 1.0)]);
        attempts(&rig, "cancel", &[("ok", 1.0)]);
        assert!(about(&times(&rig, "try"), &[time]), "{answer}: {:?}", times(&rig, "try"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_that_nobody_waits_for_is_dropped() {
    let rig = Rig::start().await;
    let body = async |tx: &Tx| {
        let call = tx.call::<Transfer>(Told { r#try: Does::Hang, ..WORKS });
        tokio::time::timeout(Duration::from_secs(1), call).await.map_err(|_| Error::Own)??;
        Ok::<_, Error>(())
    };
    rig.tcc.run("pay", body).await.unwrap_err();
    attempts(&rig, "try", &[("dropped", 1.0)]);
    assert!(times(&rig, "try").is_empty(), "what has no answer has no time");
}

#[tokio::test(start_paused = true)]
async fn every_answer_of_a_confirm_is_told_apart() {
    for (does, answer, time) in [
        (Does::Fail, "unknown", 0.0),
        (Does::Panic, "panicked", 0.0),
        (Does::Hang, "timeout", 5.0),
        (Does::Refuse, "refused", 0.0),
    ] {
        let rig = Rig::start().await;
        rig.pay(&[Told { confirm: does, ..WORKS }]).await.unwrap();
        let labels = [("phase", "confirm"), ("answer", answer)];
        assert_eq!(rig.number(ATTEMPTS, &labels), 1.0, "{answer}");
        assert!(about(&times(&rig, "confirm"), &[time]), "{answer}: {:?}", times(&rig, "confirm"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_calls_for_help_once_and_is_shown_until_it_is_settled() {
    let rig = Rig::with(|builder| builder.alert_after(5)).await;
    let id = rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    let alerts = [("group", "test"), ("alert", "stuck"), ("action", "bank.transfer"), ("phase", "confirm")];
    assert!(rig.seen.series().iter().any(|(name, _)| name == "tcc_alerts_total"), "it begins at 0");
    assert_eq!(rig.number("tcc_alerts_total", &alerts), 0.0);
    // Each look wants a tick of the gauges before.
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert!(rig.number(ATTEMPTS, &[("answer", "unknown")]) > 20.0);
    assert_eq!(rig.number("tcc_alerts_total", &alerts), 1.0);
    assert_eq!(rig.number("tcc_alerts_total", &[]), 1.0);
    assert_eq!(stuck(&rig).await, 1.0);
    rig.bank.up.store(true, Ordering::SeqCst);
    assert_eq!(rig.tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
    assert_eq!(stuck(&rig).await, 0.0);
}

/// What was shown at the last of some ticks.
async fn stuck(rig: &Rig) -> f64 {
    let [stuck] = rig.seen.gauges(["tcc_transactions_stuck"]).await;
    stuck
}

/// Each process shows what it has; whoever claims it shows it from then on, and the first no more.
#[tokio::test(start_paused = true)]
async fn a_stuck_transaction_is_shown_by_who_has_it() {
    let rig = Rig::with(|builder| builder.alert_after(5)).await;
    rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(stuck(&rig).await, 1.0);
    rig.tcc.shutdown().await;
    let seen = Seen::install();
    let _second = start(&rig.store, &rig.bank, |builder| builder.alert_after(5)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(seen.gauges(["tcc_transactions_stuck"]).await, [1.0]);
    assert_eq!(seen.number("tcc_alerts_total", &[]), 1.0, "each instance calls for help once");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_lost_a_stuck_transaction_shows_it_no_more() {
    let rig = Rig::with(|builder| builder.alert_after(5)).await;
    rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(stuck(&rig).await, 1.0);
    // From now on another claims it: this process can claim nothing.
    rig.store.faults().add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
    let seen = Seen::install();
    let _second = start(rig.store.inner(), &rig.bank, |builder| builder.alert_after(5)).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!((stuck(&rig).await, seen.gauges(["tcc_transactions_stuck"]).await), (0.0, [1.0]));
}

/// It was never put back: its lease was renewed for as long as nobody else wrote to its log.
#[tokio::test(start_paused = true)]
async fn a_process_that_lost_the_lease_of_a_stuck_transaction_shows_it_no_more() {
    let lease = Duration::from_secs(600);
    let rig = Rig::with(|builder| builder.alert_after(5).lease(lease)).await;
    let id = rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    tokio::time::sleep(lease).await;
    assert_eq!(stuck(&rig).await, 1.0);
    rig.store.faults().add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
    let seen = Seen::install();
    let _second = start(rig.store.inner(), &rig.bank, |builder| builder.alert_after(5).lease(lease)).await;
    assert!(rig.tcc.operator().retry_now(id).await.unwrap());
    tokio::time::sleep(lease).await;
    assert_eq!((stuck(&rig).await, seen.gauges(["tcc_transactions_stuck"]).await), (0.0, [1.0]));
}

/// From the claim on, and not only once the next attempt has failed as well.
#[tokio::test(start_paused = true)]
async fn a_stuck_transaction_is_shown_while_it_is_tried_again() {
    let rig = Rig::with(|builder| builder.alert_after(5)).await;
    rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    rig.bank.hangs.store(true, Ordering::SeqCst);
    let before = rig.bank.calls.lock().unwrap().len();
    for _ in 0..2_000 {
        let [stuck] = rig.seen.gauges_within(Duration::from_millis(50), ["tcc_transactions_stuck"]).await;
        if rig.bank.calls.lock().unwrap().len() > before {
            assert_eq!(stuck, 1.0);
            return;
        }
    }
    panic!("it was not tried again for 100 s");
}

#[tokio::test(start_paused = true)]
async fn a_refused_confirm_is_heuristic() {
    let rig = Rig::start().await;
    let id = rig.pay(&[Told { confirm: Does::Refuse, ..WORKS }, WORKS]).await.unwrap();
    assert_eq!(rig.tcc.settled(id).await.unwrap(), Some(Status::Heuristic));
    attempts(&rig, "confirm", &[("refused", 1.0), ("ok", 1.0)]);
    let alerts = [("alert", "heuristic"), ("action", "bank.transfer"), ("phase", "confirm")];
    assert_eq!(rig.number("tcc_alerts_total", &alerts), 1.0);
    assert_eq!(rig.number("tcc_alerts_total", &[]), 1.0);
    let settled = [("name", "pay"), ("outcome", "heuristic"), ("cause", "none")];
    assert_eq!(rig.number("tcc_transactions_settled_total", &settled), 1.0);
}

/// No process settles it any more, so the one that the operator asked counts it.
#[tokio::test(start_paused = true)]
async fn what_an_operator_makes_heuristic_is_counted() {
    let rig = Rig::start().await;
    let id = rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    rig.tcc.operator().refuse(id, BranchId::new(0), "ada", "gone").await.unwrap();
    assert_eq!(rig.tcc.settled(id).await.unwrap(), Some(Status::Heuristic));
    let settled = [("name", "pay"), ("outcome", "heuristic"), ("cause", "none")];
    assert_eq!(rig.number("tcc_transactions_settled_total", &settled), 1.0);
    assert_eq!(rig.number("tcc_alerts_total", &[("alert", "heuristic")]), 1.0);
}

/// The branch waits for an instance that knows its action.
#[tokio::test(start_paused = true)]
async fn an_action_that_nobody_here_knows_is_named_with_its_version() {
    let rig = Rig::start().await;
    let id = rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    rig.tcc.shutdown().await;
    let seen = Seen::install();
    let unknowing = Coordinator::builder("test", rig.store.clone()).start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let labels = [("group", "test"), ("action", "bank.transfer"), ("version", "1")];
    let unknown = seen.number("tcc_unknown_actions_total", &labels);
    assert!((1.0..10.0).contains(&unknown), "{unknown}");
    assert_eq!(seen.number("tcc_unknown_actions_total", &[]), unknown);
    assert_eq!(seen.number(ATTEMPTS, &[]), 0.0, "nobody was asked");
    assert_eq!(unknowing.outcome(id).await.unwrap(), Some(Status::Confirming));
}
