//! Phase two: retried, independent, leased, recovered.

use std::sync::Arc;
use std::time::Duration;

use tcc_core::protocol::{Group, Phase, Status};
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::testing::{Call, Fault, FaultStore, Rule};
use tcc_core::{Coordinator, Tx};

use crate::rig::{Does, Error, Move, Rig, Transfer, settled, works};

async fn pay(rig: &Rig, first: Move, second: Move) -> tcc_core::protocol::TxId {
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(first.clone()).await?;
        tx.call::<Transfer>(second.clone()).await?;
        Ok::<_, Error>(tx.id())
    };
    rig.tcc.run("pay", body).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn peers_16_17_a_failing_confirm_is_retried_and_holds_up_no_sibling() {
    let rig = Rig::start().await;
    let id = pay(&rig, Move { confirm: Does::FailTimes(3), ..works(1) }, works(2)).await;
    // The caller is back; the second branch is confirmed already.
    assert_eq!(rig.bank.phases(id)[1], [Phase::Try, Phase::Confirm]);
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    assert_eq!(rig.bank.phases(id), vec![vec![Phase::Try, Phase::Confirm]; 2]);
    assert_eq!(rig.bank.calls_of(id, Phase::Confirm), 5);
    assert_eq!(rig.bank.calls_of(id, Phase::Cancel), 0);
}

#[tokio::test(start_paused = true)]
async fn peers_18_it_never_gives_up() {
    let rig = Rig::start().await;
    let id = pay(&rig, Move { confirm: Does::FailTimes(100), ..works(1) }, works(2)).await;
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    assert_eq!(rig.bank.calls_of(id, Phase::Confirm), 102, "the sibling is not confirmed again and again");
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn peers_1_a_panicking_handler_is_a_failed_attempt() {
    let rig = Rig::start().await;
    let id = pay(&rig, Move { confirm: Does::Panic, ..works(1) }, works(2)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Confirming));
    assert!(rig.bank.calls_of(id, Phase::Confirm) > 10);
    // Everything else goes on.
    let other = pay(&rig, works(3), works(4)).await;
    assert_eq!(rig.settled(other).await, Some(Status::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn peers_6_branches_that_hang_hold_up_nobody() {
    let rig = Rig::start().await;
    let mut hung = Vec::new();
    for _ in 0..300 {
        let tcc = rig.tcc.clone();
        hung.push(tokio::spawn(async move {
            let body = async |tx: &Tx| {
                tx.call::<Transfer>(Move { confirm: Does::Hang, ..works(1) }).await?;
                Ok::<_, Error>(tx.id())
            };
            tcc.run("pay", body).await
        }));
    }
    for hung in hung {
        let back =
            tokio::time::timeout(Duration::from_secs(60), hung).await.expect("a call has a time limit");
        back.unwrap().unwrap();
    }
    let before = tokio::time::Instant::now();
    let other = pay(&rig, works(3), works(4)).await;
    assert_eq!(rig.settled(other).await, Some(Status::Confirmed));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refused_confirm_makes_it_heuristic_and_is_kept() {
    let rig = Rig::start().await;
    let id = pay(&rig, Move { confirm: Does::Refuse, ..works(1) }, works(2)).await;
    assert_eq!(rig.settled(id).await, Some(Status::Heuristic));
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(
        rig.tcc.outcome(id).await.unwrap(),
        Some(Status::Heuristic),
        "kept for longer than anything else"
    );
    assert_eq!(rig.bank.calls_of(id, Phase::Confirm), 2, "a refusal is not asked again");
    assert_eq!(rig.unfinished().await, 0);
}

#[tokio::test(start_paused = true)]
async fn peers_3_a_confirm_longer_than_the_lease_runs_once() {
    let rig =
        Rig::with(|builder| builder.lease(Duration::from_secs(1)).call_timeout(Duration::from_secs(60)))
            .await;
    let other = rig.another().await;
    let id = {
        let body = async |tx: &Tx| {
            tx.call::<Transfer>(Move { confirm: Does::Hang, ..works(1) }).await?;
            Ok::<_, Error>(tx.id())
        };
        let tcc = rig.tcc.clone();
        tokio::spawn(async move { tcc.run("pay", body).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.bank.calls.lock().unwrap().first().expect("its try is called at once").0.tx
    };
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(rig.bank.calls_of(id, Phase::Confirm), 1, "the lease is renewed while its holder lives");
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn peers_19_what_a_dead_coordinator_left_undecided_is_cancelled_after_its_deadline() {
    let rig = Rig::start().await;
    let other = rig.another().await;
    // A coordinator on a runtime of its own, which dies with all its tasks.
    let (store, bank) = (rig.store.clone(), rig.bank.clone());
    let id = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let id = runtime.block_on(async move {
            let tcc =
                tcc_core::Coordinator::builder("test", store).register(bank.clone()).start().await.unwrap();
            let running = tokio::spawn(async move {
                let body = async |tx: &Tx| {
                    tx.call::<Transfer>(works(1)).await?;
                    tx.call::<Transfer>(Move { r#try: Does::Hang, ..works(2) }).await?;
                    Ok::<_, Error>(())
                };
                tcc.run("pay", body).await
            });
            for _ in 0..10_000 {
                if bank.calls.lock().unwrap().len() == 2 {
                    break;
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(bank.calls.lock().unwrap().len(), 2, "both tries are called");
            running.abort();
            bank.calls.lock().unwrap()[0].0.tx
        });
        runtime.shutdown_background();
        id
    })
    .join()
    .unwrap();
    assert_eq!(settled(&other, id).await, Some(Status::Cancelled));
    assert_eq!(rig.bank.phases(id), [vec![Phase::Try, Phase::Cancel], vec![Phase::Cancel]]);
    rig.quiet().await;
}

/// A transaction without branches is settled by its decision, and still due until its tombstone is written.
#[tokio::test(start_paused = true)]
async fn what_is_settled_and_was_not_finished_is_finished_by_the_next() {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    let (store, group) = (Arc::new(store), Group::new("test").unwrap());
    let tcc = Coordinator::builder("test", store.clone()).start().await.unwrap();
    // The tombstone is refused until the lease is over.
    faults.add(Rule::new(Fault::Unavailable).on(Call::AppendAll).always());
    let body = async |_: &Tx| Ok::<_, Error>(7);
    tcc.transaction("pay").key("a").run(body).await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(store.stats(&group).await.unwrap().unfinished, 1);
    faults.clear();
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if store.stats(&group).await.unwrap().unfinished == 0 {
            assert_eq!(tcc.transaction("pay").key("a").run(body).await.unwrap(), 7);
            return;
        }
    }
    panic!("it is not finished after a minute");
}
