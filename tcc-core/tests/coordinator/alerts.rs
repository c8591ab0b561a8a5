//! Calls for help: once for what is stuck, and about each branch that needs an operator.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{BranchId, Phase, Status};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{Call, Fault, FaultStore, Rule};
use tcc_core::{OperatorError, Tx};

use crate::rig::{Bank, Does, Error, Move, Rig, Transfer, works};

fn stuck() -> Move {
    Move { confirm: Does::Fail, ..works(1) }
}

fn refused() -> Move {
    Move { confirm: Does::Refuse, ..works(1) }
}

/// The store is away for longer than the lease, after the call for help: what is taken up again begins to count where the log
/// ends, and comes to the same number of attempts once more.
#[tokio::test(start_paused = true)]
async fn what_is_stuck_calls_for_help_once_though_its_lease_was_lost() {
    let (alerts, bank) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Bank::default()));
    let seen = alerts.clone();
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    let tcc = tcc_core::Coordinator::builder("test", store)
        .register(bank.clone())
        .alert_after(3)
        .on_stuck(move |alert| seen.lock().unwrap().push(alert.attempts))
        .start()
        .await
        .unwrap();
    for change in ["settle", "claim"] {
        faults.add(Rule::new(Fault::Unavailable).on(Call::Append).when_change(change).always());
    }
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(stuck()).await?;
        Ok::<_, Error>(tx.id())
    };
    let id = tcc.run("pay", body).await.unwrap();
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(*alerts.lock().unwrap(), [3]);
    faults.clear();
    let before = bank.calls_of(id, Phase::Confirm);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(bank.calls_of(id, Phase::Confirm) > before + 5, "it was taken up again");
    assert_eq!(*alerts.lock().unwrap(), [3], "called for help twice about one branch");
}

/// A participant refused one branch, an operator the other: the transaction is heuristic by the operator's hand, and the
/// first branch needs somebody all the same.
#[tokio::test(start_paused = true)]
async fn what_an_operator_makes_heuristic_calls_for_help_about_every_refused_branch() {
    let alerts = Arc::new(Mutex::new(Vec::new()));
    let seen = alerts.clone();
    let rig = Rig::with(|builder| {
        builder.on_heuristic(move |alert| seen.lock().unwrap().push(alert.branch.number()))
    })
    .await;
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(refused()).await?;
        tx.call::<Transfer>(stuck()).await?;
        Ok::<_, Error>(tx.id())
    };
    let id = rig.tcc.run("pay", body).await.unwrap();
    let operator = rig.tcc.operator();
    for _ in 0..1_000 {
        match operator.refuse(id, BranchId::new(1), "ada", "gone").await {
            Ok(()) => break,
            Err(OperatorError::NotFailed { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Heuristic));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(*alerts.lock().unwrap(), [0, 1]);
}
