//! Phase two: retried, independent, leased, recovered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tcc_core::protocol::{Group, Phase, Status};
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::testing::{Call, Fault, FaultStore, Rule, Until};
use tcc_core::{BranchError, Coordinator, Filter, Tx};

use crate::rig::{Bank, Does, Error, Move, Rig, Transfer, works};

async fn pay(rig: &Rig, first: Move, second: Move) -> tcc_core::protocol::TxId {
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(first.clone()).await?;
        tx.call::<Transfer>(second.clone()).await?;
        Ok::<_, Error>(tx.id())
    };
    rig.tcc.run("pay", body).await.unwrap()
}

/// However a confirm fails, and however often: it is asked again, and its cancel never.
#[tokio::test(start_paused = true)]
async fn peers_16_a_failing_confirm_never_ends_in_a_cancel() {
    for does in [Does::FailTimes(40), Does::Panic, Does::Hang, Does::Fail] {
        let rig = Rig::start().await;
        let id = pay(&rig, Move { confirm: does, ..works(1) }, works(2)).await;
        // For hours, and by another coordinator as well.
        let other = rig.another().await;
        tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        let ended = match does {
            // Finished, and its tombstone has gone.
            Does::FailTimes(_) => None,
            _ => Some(Status::Confirming),
        };
        assert_eq!(other.outcome(id).await.unwrap(), ended, "{does:?}");
        assert!(rig.bank.calls_of(id, Phase::Confirm) > 40, "{does:?}");
        assert_eq!(rig.bank.calls_of(id, Phase::Cancel), 0, "{does:?}");
        assert!(rig.bank.phases(id).contains(&vec![Phase::Try, Phase::Confirm]), "{does:?}: the sibling");
    }
}

/// The failing one stands first, so that whoever goes by the order comes to it first; in the transaction, and in what is
/// recovered.
#[tokio::test(start_paused = true)]
async fn peers_17_a_failing_branch_holds_up_no_sibling() {
    let rig = Rig::start().await;
    let id = pay(&rig, Move { confirm: Does::FailTimes(3), ..works(1) }, works(2)).await;
    // The caller is back; the second branch is confirmed already.
    assert_eq!(rig.bank.phases(id)[1], [Phase::Try, Phase::Confirm]);
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    assert_eq!(rig.bank.phases(id), vec![vec![Phase::Try, Phase::Confirm]; 2]);
    assert_eq!(rig.bank.calls_of(id, Phase::Confirm), 5);

    // What another process finds: fifty that fail for ever and are the most overdue, and one that waits behind them.
    let hopeless = || Move { confirm: Does::Fail, ..works(1) };
    for _ in 0..50 {
        pay(&rig, hopeless(), works(2)).await;
    }
    let behind = pay(&rig, hopeless(), Move { confirm: Does::WhenUp, ..works(2) }).await;
    rig.tcc.shutdown().await;
    rig.bank.up.store(true, Ordering::SeqCst);
    let _next = rig.another().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.bank.phases(behind).last().unwrap(), &[Phase::Try, Phase::Confirm]);
}

#[tokio::test(start_paused = true)]
async fn peers_18_it_never_gives_up_and_calls_for_help() {
    let calls = Arc::new(AtomicU32::new(0));
    let called = calls.clone();
    let rig = Rig::with(|builder| {
        builder.alert_after(30).on_stuck(move |_| {
            called.fetch_add(1, Ordering::SeqCst);
        })
    })
    .await;
    let stuck = pay(&rig, Move { confirm: Does::WhenUp, ..works(1) }, works(2)).await;
    let id = pay(&rig, Move { confirm: Does::FailTimes(100), ..works(1) }, works(2)).await;
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    assert_eq!(rig.bank.calls_of(id, Phase::Confirm), 102, "the sibling is not confirmed again and again");
    tokio::time::sleep(Duration::from_secs(10 * 3600)).await;
    let asked = rig.bank.calls_of(stuck, Phase::Confirm);
    assert!(asked > 500, "asked {asked} times in ten hours");
    assert_eq!(calls.load(Ordering::SeqCst), 2, "one call for help for each");
    let shown = rig.tcc.operator().list(&Filter::new().failed_attempts(30), None, 10).await.unwrap();
    assert_eq!(shown.items.iter().map(|item| item.id).collect::<Vec<_>>(), [stuck]);
    rig.bank.up.store(true, Ordering::SeqCst);
    assert_eq!(rig.tcc.settled(stuck).await.unwrap(), Some(Status::Confirmed));
    rig.quiet().await;
}

/// More panics than any pool of workers has threads, in every phase; what comes after is carried out.
#[tokio::test(start_paused = true)]
async fn peers_01_a_panicking_handler_is_a_failed_attempt() {
    let rig = Rig::start().await;
    let id = pay(&rig, Move { confirm: Does::Panic, ..works(1) }, works(2)).await;
    for _ in 0..100 {
        pay(&rig, Move { confirm: Does::Panic, ..works(1) }, works(2)).await;
        let tried = rig.tcc.run("pay", async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            tx.call::<Transfer>(Move { r#try: Does::Panic, cancel: Does::Panic, ..works(2) }).await?;
            Ok::<_, Error>(())
        });
        assert!(matches!(tried.await, Err(Error::Branch(BranchError::Unknown(_)))));
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Confirming));
    assert!(rig.bank.calls_of(id, Phase::Confirm) > 10);
    assert_eq!(rig.bank.phases(id), [vec![Phase::Try], vec![Phase::Try, Phase::Confirm]], "one branch alone");
    let record = rig.tcc.operator().timeline(id).await.unwrap().unwrap().record.unwrap();
    let error = record.branches()[0].last_error.clone().unwrap();
    assert!(error.contains("panicked: as told"), "{error}");
    // Everything else goes on.
    let other = pay(&rig, works(3), works(4)).await;
    assert_eq!(rig.settled(other).await, Some(Status::Confirmed));
}

#[tokio::test(start_paused = true)]
async fn peers_06_branches_that_hang_hold_up_nobody() {
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
async fn peers_03_a_confirm_longer_than_the_lease_runs_once() {
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

/// The first holder is cut off from its store while its confirm runs; the next one finishes. Then the first one's writes
/// arrive, late.
#[tokio::test(start_paused = true)]
async fn peers_03_who_lost_the_lease_writes_nothing() {
    let (logs, group) = (Arc::new(MemoryStore::new()), Group::new("test").unwrap());
    let bank = Arc::new(Bank::default());
    let store = FaultStore::new(logs.clone());
    let faults = store.faults();
    let first = Coordinator::builder("test", store).register(bank.clone()).start().await.unwrap();
    for change in ["settle", "claim", "snapshot"] {
        let late = Rule::new(Fault::Lingers(Until::Released)).on(Call::Append).when_change(change).always();
        faults.add(late);
    }
    faults.add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
    let id = first
        .run("pay", async |tx: &Tx| {
            tx.call::<Transfer>(Move { confirm: Does::WhenUp, ..works(1) }).await?;
            tx.call::<Transfer>(works(2)).await?;
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(faults.lingering() > 0, "the first one has something to say");
    bank.up.store(true, Ordering::SeqCst);
    let second = Coordinator::builder("test", logs.clone()).register(bank.clone()).start().await.unwrap();
    assert_eq!(second.settled(id).await.unwrap(), Some(Status::Confirmed));
    second.shutdown().await;
    let finished = logs.read(&group, id).await.unwrap();
    faults.clear();
    faults.release().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(faults.lingering(), 0);
    assert_eq!(logs.read(&group, id).await.unwrap(), finished, "a finished transaction was overwritten");
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
    let settled = tokio::time::timeout(Duration::from_secs(120), other.settled(id)).await;
    assert_eq!(settled.expect("its deadline is after 30 s").unwrap(), Some(Status::Cancelled));
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

/// The lease is to be renewed while the caller waits, and the store does not answer: that is no affair of the caller's.
#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_the_first_attempts_and_for_no_store() {
    for (confirm, waits) in [(Does::HangTimes(1), 8), (Does::WorkFor(Duration::from_secs(6)), 8)] {
        let store = FaultStore::new(MemoryStore::new());
        let (faults, bank) = (store.faults(), Arc::new(Bank::default()));
        let builder = Coordinator::builder("test", store).register(bank.clone());
        let tcc = builder.call_timeout(Duration::from_secs(8)).start().await.unwrap();
        for change in ["settle", "claim"] {
            faults.add(Rule::new(Fault::Hangs).on(Call::Append).when_change(change).always());
        }
        faults.add(Rule::new(Fault::Hangs).on(Call::Read).always());
        let began = tokio::time::Instant::now();
        let body = async |tx: &Tx| {
            tx.call::<Transfer>(Move { confirm, ..works(1) }).await?;
            Ok::<_, Error>(())
        };
        tcc.run("pay", body).await.unwrap();
        assert!(began.elapsed() <= Duration::from_secs(waits), "{confirm:?}: {:?}", began.elapsed());
    }
    // With a store that answers, a caller is back when the first attempt is, however often the lease is renewed meanwhile.
    let rig = Rig::with(|builder| builder.lease(Duration::from_secs(1))).await;
    let began = tokio::time::Instant::now();
    let id = pay(&rig, Move { confirm: Does::WorkFor(Duration::from_secs(4)), ..works(1) }, works(2)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(4));
    assert_eq!(rig.bank.phases(id), vec![vec![Phase::Try, Phase::Confirm]; 2]);
}
