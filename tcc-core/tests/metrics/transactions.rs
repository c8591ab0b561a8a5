//! Transactions: started, decided, settled, recovered.

use std::time::Duration;

use tcc_core::protocol::{Cause, Status, TxId};
use tcc_core::testing::{Call, Fault, Rule};
use tcc_core::{TransactionError, Tx};

use crate::rig::{Does, Error, Rig, Told, Transfer, WORKS, about};

const STARTED: &str = "tcc_transactions_started_total";
const DECIDED: &str = "tcc_transactions_decided_total";
const SETTLED: &str = "tcc_transactions_settled_total";

/// So many of each: started, decided so and settled so. And none otherwise.
fn one(rig: &Rig, decision: &str, outcome: &str, cause: &str) {
    let name = [("group", "test"), ("name", "pay")];
    assert_eq!(rig.number(STARTED, &name), 1.0, "{cause}");
    let decided = [&name[..], &[("decision", decision), ("cause", cause)]].concat();
    assert_eq!((rig.number(DECIDED, &decided), rig.number(DECIDED, &[])), (1.0, 1.0), "{cause}");
    let settled = [&name[..], &[("outcome", outcome), ("cause", cause)]].concat();
    assert_eq!((rig.number(SETTLED, &settled), rig.number(SETTLED, &[])), (1.0, 1.0), "{cause}");
}

/// How long it took until its decision, and until it was settled.
fn times(rig: &Rig, decision: &str, outcome: &str) -> (Vec<f64>, Vec<f64>) {
    let name = [("group", "test"), ("name", "pay")];
    let decided = rig
        .times("tcc_transaction_decision_duration_seconds", &[&name[..], &[("decision", decision)]].concat());
    let settled =
        rig.times("tcc_transaction_duration_seconds", &[&name[..], &[("outcome", outcome)]].concat());
    (decided, settled)
}

#[tokio::test(start_paused = true)]
async fn what_is_confirmed_counts_with_its_times() {
    let rig = Rig::start().await;
    rig.pay(&[Told { r#try: Does::Slowly, confirm: Does::Slowly, ..WORKS }, WORKS]).await.unwrap();
    one(&rig, "confirm", "confirmed", "none");
    let (decided, settled) = times(&rig, "confirm", "confirmed");
    assert!(about(&decided, &[2.0]) && about(&settled, &[4.0]), "{decided:?} {settled:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_without_branches_decides_nothing() {
    let rig = Rig::start().await;
    rig.tcc.run("pay", async |_: &Tx| Ok::<_, Error>(())).await.unwrap();
    assert_eq!(rig.number(STARTED, &[("name", "pay")]), 1.0);
    let nothing = [("name", "pay"), ("decision", "nothing"), ("cause", "none")];
    assert_eq!((rig.number(DECIDED, &nothing), rig.number(DECIDED, &[])), (1.0, 1.0));
    assert_eq!(rig.number(SETTLED, &[]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_a_key_starts_nothing() {
    let rig = Rig::start().await;
    let body = async |tx: &Tx| tx.call::<Transfer>(WORKS).await.map_err(Error::from);
    for _ in 0..3 {
        rig.tcc.transaction("pay").key("a").run(body).await.unwrap();
    }
    one(&rig, "confirm", "confirmed", "none");
}

#[tokio::test(start_paused = true)]
async fn a_failed_body_counts_as_failed() {
    let rig = Rig::start().await;
    rig.pay(&[WORKS, Told { r#try: Does::Refuse, cancel: Does::Slowly, ..WORKS }]).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(10)).await;
    one(&rig, "cancel", "cancelled", "failed");
    let (decided, settled) = times(&rig, "cancel", "cancelled");
    assert!(about(&decided, &[0.0]) && about(&settled, &[2.0]), "{decided:?} {settled:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_counts_as_panicked() {
    let rig = Rig::start().await;
    let tcc = rig.tcc.clone();
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(WORKS).await?;
        panic!("as told");
        #[allow(unreachable_code, reason = "it says what the body returns")]
        Ok::<(), Error>(())
    };
    tokio::spawn(async move { tcc.run("pay", body).await }).await.unwrap_err();
    one(&rig, "cancel", "cancelled", "panicked");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_counts_as_dropped() {
    let rig = Rig::start().await;
    let hanging = Told { r#try: Does::Hang, ..WORKS };
    tokio::time::timeout(Duration::from_secs(1), rig.pay(&[WORKS, hanging])).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(1)).await;
    one(&rig, "cancel", "cancelled", "dropped");
}

#[tokio::test(start_paused = true)]
async fn what_runs_past_its_deadline_counts_as_timed_out() {
    let rig = Rig::start().await;
    // On a clock that stands still it would be due for everybody at the very moment of its deadline.
    rig.store.faults().next_append(Fault::DelayBefore(Duration::from_secs(1)));
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(WORKS).await?;
        std::future::pending::<()>().await;
        Ok::<(), Error>(())
    };
    let error = rig.tcc.run("pay", body).await.unwrap_err();
    assert!(matches!(error, Error::Transaction(TransactionError::TimedOut { .. })), "{error}");
    one(&rig, "cancel", "cancelled", "timed_out");
    let (decided, settled) = times(&rig, "cancel", "cancelled");
    assert!(about(&decided, &[30.0]) && about(&settled, &[30.0]), "{decided:?} {settled:?}");
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_cancels_counts_as_the_operators() {
    let rig = Rig::start().await;
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(WORKS).await?;
        rig.tcc.operator().cancel(tx.id(), "ada", "by phone").await.unwrap();
        Ok::<(), Error>(())
    };
    let error = rig.tcc.run("pay", body).await.unwrap_err();
    let Error::Transaction(TransactionError::Cancelled { id, cause: Cause::Operator { .. } }) = error else {
        panic!("{error}");
    };
    assert_eq!(rig.tcc.settled(id).await.unwrap(), Some(Status::Cancelled));
    one(&rig, "cancel", "cancelled", "operator");
    assert_eq!(times(&rig, "cancel", "cancelled").0.len(), 1);
}

/// Its answer was lost, and another has taken the transaction over before it is looked for: it is this process's all the
/// same, whether the log still shows it or is a tombstone already.
#[tokio::test(start_paused = true)]
async fn a_decision_counts_once_whoever_settles_it() {
    for confirm in [Does::Slowly, Does::Work] {
        let rig = Rig::start().await;
        let faults = rig.store.faults();
        faults.add(Rule::new(Fault::AnswerLost).on(Call::Append).when_change("decide"));
        faults.next(Call::Read, Fault::DelayBefore(Duration::from_secs(1)));
        let branches = [Told { confirm, ..WORKS }];
        let paying = rig.pay(&branches);
        let taking_over = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let id = rig.bank.calls.lock().unwrap()[0].0;
            assert!(rig.tcc.operator().retry_now(id).await.unwrap());
        };
        let (paid, ()) = tokio::join!(paying, taking_over);
        paid.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        one(&rig, "confirm", "confirmed", "none");
        let recovered = [("name", "pay"), ("status", "confirming")];
        assert_eq!(rig.number("tcc_transactions_recovered_total", &recovered), 1.0);
    }
}

/// A coordinator on a runtime of its own, which dies with all its tasks in the middle of a body.
fn leave_undecided(rig: &Rig) -> TxId {
    let (store, bank) = (rig.store.clone(), rig.bank.clone());
    let dying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let id = runtime.block_on(async move {
            let tcc = crate::rig::start(&store, &bank, |builder| builder).await;
            let body = async |tx: &Tx| {
                tx.call::<Transfer>(Told { r#try: Does::Hang, ..WORKS }).await?;
                Ok::<_, Error>(())
            };
            let running = tokio::spawn(async move { tcc.run("pay", body).await });
            while bank.calls.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            running.abort();
            bank.calls.lock().unwrap()[0].0
        });
        runtime.shutdown_background();
        id
    });
    dying.join().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_coordinator_left_counts_as_recovered_and_abandoned() {
    let rig = Rig::start().await;
    let id = leave_undecided(&rig);
    assert_eq!(rig.tcc.settled(id).await.unwrap(), Some(Status::Cancelled));
    let name = [("group", "test"), ("name", "pay")];
    assert_eq!(rig.number(STARTED, &[]), 0.0, "the dead one has another recorder");
    let recovered = [&name[..], &[("status", "trying")]].concat();
    let all = rig.number("tcc_transactions_recovered_total", &[]);
    assert_eq!((rig.number("tcc_transactions_recovered_total", &recovered), all), (1.0, 1.0));
    let decided = [&name[..], &[("decision", "cancel"), ("cause", "abandoned")]].concat();
    assert_eq!((rig.number(DECIDED, &decided), rig.number(DECIDED, &[])), (1.0, 1.0));
    let settled = [&name[..], &[("outcome", "cancelled"), ("cause", "abandoned")]].concat();
    assert_eq!((rig.number(SETTLED, &settled), rig.number(SETTLED, &[])), (1.0, 1.0));
    // By the wall clock, which does not stand still here: some milliseconds, and no hours.
    let (decided, settled) = times(&rig, "cancel", "cancelled");
    assert!(
        matches!((&decided[..], &settled[..]), ([a], [b]) if *a <= *b && *b < 600.0),
        "{decided:?} {settled:?}"
    );
}

/// Names are meant to be few. Who makes them of ids fills no memory behind the recorder.
#[tokio::test(start_paused = true)]
async fn names_are_of_bounded_number() {
    let rig = Rig::start().await;
    for number in 0..300 {
        rig.tcc.run(&format!("pay-{number}"), async |_: &Tx| Ok::<_, Error>(())).await.unwrap();
    }
    assert_eq!(rig.number(STARTED, &[("name", "pay-0")]), 1.0);
    assert_eq!(rig.number(STARTED, &[("name", "pay-255")]), 1.0);
    assert_eq!(rig.number(STARTED, &[("name", "(other)")]), 44.0);
    assert_eq!(rig.number(STARTED, &[]), 300.0);
    // One that was met before keeps its own.
    rig.tcc.run("pay-7", async |_: &Tx| Ok::<_, Error>(())).await.unwrap();
    assert_eq!(rig.number(STARTED, &[("name", "pay-7")]), 2.0);
}
