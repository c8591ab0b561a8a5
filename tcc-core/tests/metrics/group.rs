//! The group in numbers: from the store, the same from every process, and at no cost if nobody looks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tcc_core::Tx;
use tcc_core::store::MemoryStore;
use tcc_core::testing::{Call, Fault, FaultStore, Rule};

use crate::rig::{Bank, Does, Error, Rig, Seen, Told, Transfer, WORKS, start};

const GAUGES: [&str; 3] =
    ["tcc_transactions_unfinished", "tcc_transactions_heuristic", "tcc_most_overdue_seconds"];

#[tokio::test(start_paused = true)]
async fn two_coordinators_of_a_group_show_the_same() {
    let (store, bank) = (Arc::new(FaultStore::new(MemoryStore::new())), Arc::<Bank>::default());
    let first_sees = Seen::install();
    let first = start(&store, &bank, |builder| builder).await;
    let second_sees = Seen::install();
    let _second = start(&store, &bank, |builder| builder).await;
    let pay = async |told: Told| {
        let body = async |tx: &Tx| tx.call::<Transfer>(told).await.map_err(Error::from);
        first.run("pay", body).await.unwrap();
    };
    for _ in 0..3 {
        pay(Told { confirm: Does::WhenUp, ..WORKS }).await;
    }
    for _ in 0..2 {
        pay(Told { confirm: Does::Refuse, ..WORKS }).await;
    }
    pay(WORKS).await;
    // Nobody can claim what is due.
    store.faults().add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
    tokio::time::sleep(Duration::from_secs(600)).await;
    let (first, second) = tokio::join!(first_sees.gauges(GAUGES), second_sees.gauges(GAUGES));
    assert_eq!(first[..2], [3.0, 2.0]);
    assert_eq!(first, second);
    assert!(first[2] > 400.0, "{first:?}");

    store.faults().clear();
    bank.up.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let both = tokio::join!(first_sees.gauges(GAUGES), second_sees.gauges(GAUGES));
    assert_eq!(both, ([0.0, 2.0, 0.0], [0.0, 2.0, 0.0]));
}

/// A number that was true once would be taken for one that is.
#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_say_is_not_a_number() {
    let rig = Rig::start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.store.faults().add(Rule::new(Fault::Unavailable).on(Call::Stats).always());
    let shown = rig.seen.gauges(GAUGES).await;
    assert!(shown.iter().all(|shown| shown.is_nan()), "{shown:?}");
}

/// What has been shown last would else stand for ever.
#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_is_shown() {
    let rig = Rig::with(|builder| builder.alert_after(3)).await;
    for _ in 0..5 {
        rig.pay(&[Told { confirm: Does::WhenUp, ..WORKS }]).await.unwrap();
    }
    // Some are put back, and some are tried just now.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.seen.gauges(["tcc_transactions_stuck"]).await, [5.0]);
    rig.bank.hangs.store(true, Ordering::SeqCst);
    let (before, tried) = (rig.bank.calls.lock().unwrap().len(), || rig.bank.calls.lock().unwrap().len());
    while tried() == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ([unfinished, stuck], ()) = tokio::join!(
        rig.seen.gauges(["tcc_transactions_unfinished", "tcc_transactions_stuck"]),
        rig.tcc.shutdown()
    );
    assert!(unfinished.is_nan() && stuck == 0.0, "{unfinished} unfinished, {stuck} stuck");
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_now_and_then() {
    let rig = Rig::start().await;
    tokio::time::sleep(Duration::from_secs(65)).await;
    // Once at its start, whatever is measured; and then each ten seconds.
    assert_eq!(rig.store.faults().calls(Call::Stats), 1 + 7);
    rig.tcc.shutdown().await;
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(rig.store.faults().calls(Call::Stats), 1 + 7, "after a shutdown nobody asks");
}

/// Features are unified: with another crate's wish for metrics, and no recorder, a coordinator must cost no more.
#[tokio::test(start_paused = true)]
async fn without_a_recorder_the_store_is_not_asked() {
    let store = Arc::new(FaultStore::new(MemoryStore::new()));
    let _tcc = start(&store, &Arc::default(), |builder| builder).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(store.faults().calls(Call::Stats), 1, "at its start, and never again");
}
