//! What is stuck holds up nothing else (liveness 3): no other branch, no other transaction, live or recovered.

use std::time::Duration;

use tcc_core::protocol::{Phase, Status, TxId};
use tcc_core::testing::{Call, Fault, Rule};
use tcc_core::{Coordinator, Tx};
use tcc_tests::bank::{Error, Manner, Move, Transfer};
use tcc_tests::world::{LEASE, STORE_TIMEOUT, World, on_paused_time};

/// For so long a branch is stuck: its first attempts don't return.
const STUCK: Duration = Duration::from_secs(100);

/// Runs a transaction of three branches on a task of its own, one of which may be stuck in its confirm; says its id once
/// all of them were tried.
async fn begin(world: &World, tcc: &Coordinator, stuck: Option<usize>) -> TxId {
    let (sender, id) = tokio::sync::oneshot::channel();
    let tcc = tcc.clone();
    tokio::spawn(async move {
        tcc.run("pay", async |tx: &Tx| {
            for number in 0..3 {
                let manner = if stuck == Some(number) { Manner::Sticks(STUCK) } else { Manner::Quick };
                tx.call::<Transfer>(Move { cents: 1, manner }).await?;
            }
            sender.send(tx.id()).expect("it is waited for");
            Ok::<_, Error>(())
        })
        .await
    });
    let id = id.await.unwrap();
    assert_eq!(world.bank.branches(id).len(), 3);
    id
}

fn confirmed(world: &World, id: TxId) -> Vec<bool> {
    world.bank.branches(id).iter().map(|(_, row)| row.effects.contains(&Phase::Confirm)).collect()
}

#[test]
fn a_stuck_branch_holds_up_no_sibling_wherever_it_stands() {
    for stuck in 0..3 {
        on_paused_time(async {
            let world = World::start(STORE_TIMEOUT).await;
            let id = begin(&world, &world.first, Some(stuck)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let expected: Vec<bool> = (0..3).map(|number| number != stuck).collect();
            assert_eq!(confirmed(&world, id), expected);
            world.finished().await.unwrap();
            assert_eq!(confirmed(&world, id), [true; 3]);
            assert_eq!(world.violations(), Ok(()));
        });
    }
}

#[test]
fn a_stuck_transaction_holds_up_no_other() {
    on_paused_time(async {
        let world = World::start(STORE_TIMEOUT).await;
        begin(&world, &world.first, Some(0)).await;
        let other = begin(&world, &world.first, None).await;
        let settled = world.first.settled(other);
        let settled =
            tokio::time::timeout(Duration::from_secs(1), settled).await.expect("it waits for the other");
        assert_eq!(settled.unwrap(), Some(Status::Confirmed));
    });
}

/// One coordinator falls silent, and the next finds what it left: some of it is stuck.
#[test]
fn what_is_stuck_holds_up_no_recovery_of_others() {
    on_paused_time(async {
        let world = World::start(STORE_TIMEOUT).await;
        for kind in ["settle", "claim", "snapshot"] {
            let silent = Rule::new(Fault::Unavailable).on(Call::Append).when_change(kind);
            world.first_faults.add(silent.always());
        }
        world.first_faults.add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
        for _ in 0..20 {
            begin(&world, &world.first, Some(1)).await;
        }
        // The first alone settles it at first; nothing of that is in the log.
        let other = begin(&world, &world.first, None).await;
        let settled = tokio::time::timeout(4 * LEASE, world.second.settled(other));
        assert_eq!(settled.await.expect("it waits for the others").unwrap(), Some(Status::Confirmed));
        world.finished().await.unwrap();
        assert_eq!(world.violations(), Ok(()));
    });
}
