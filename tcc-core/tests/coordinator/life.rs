//! A transaction from its first line to its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{Phase, Status, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{Call, Fault, FaultStore, Rule};
use tcc_core::{Backoff, BranchError, Coordinator, TransactionError, Tx};
use tokio_util::sync::CancellationToken;

use crate::rig::{Bank, Does, Error, Move, Notice, Rig, Transfer, works};

#[tokio::test(start_paused = true)]
async fn all_is_confirmed() {
    let rig = Rig::start().await;
    let id = rig
        .tcc
        .run("pay", async |tx: &Tx| {
            tx.enlist::<Notice>(works(0))?;
            assert_eq!(tx.call::<Transfer>(works(1)).await?, 1);
            assert_eq!(tx.call::<Transfer>(works(2)).await?, 2);
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    let (tried, only_confirmed) = (vec![Phase::Try, Phase::Confirm], vec![Phase::Confirm]);
    assert_eq!(rig.bank.phases(id), [only_confirmed, tried.clone(), tried]);
    assert_eq!(rig.settled(id).await, Some(Status::Confirmed));
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_future_of_a_transaction_is_send() {
    let rig = Rig::start().await;
    let tcc = rig.tcc.clone();
    let run = async move {
        tcc.run("pay", async |tx: &Tx| {
            let (a, b) = tokio::try_join!(tx.call::<Transfer>(works(1)), tx.call::<Transfer>(works(2)))?;
            Ok::<_, Error>(a + b)
        })
        .await
    };
    assert_eq!(tokio::spawn(run).await.unwrap().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_sequential_branches_cost_four_appends_and_two_together_three() {
    let rig = Rig::start().await;
    let pay = async |tx: &Tx| {
        tx.call::<Transfer>(works(1)).await?;
        tx.call::<Transfer>(works(2)).await?;
        Ok::<_, Error>(())
    };
    rig.tcc.run("pay", pay).await.unwrap();
    rig.tcc.shutdown().await;
    assert_eq!(rig.appends(), 4);

    let rig = Rig::start().await;
    let pay = async |tx: &Tx| {
        tokio::try_join!(tx.call::<Transfer>(works(1)), tx.call::<Transfer>(works(2)))?;
        Ok::<_, Error>(())
    };
    rig.tcc.run("pay", pay).await.unwrap();
    rig.tcc.shutdown().await;
    assert_eq!(rig.appends(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_that_start_together_cost_one_write() {
    let rig = Rig::start().await;
    let pay = async |tx: &Tx| {
        let calls = (0..64).map(|cents| tx.call::<Transfer>(works(cents)));
        let outputs = futures_util::future::try_join_all(calls).await?;
        Ok::<_, Error>(outputs.into_iter().sum::<i64>())
    };
    assert_eq!(rig.tcc.run("pay", pay).await.unwrap(), 2016);
    rig.tcc.shutdown().await;
    assert_eq!(rig.appends(), 3);
}

/// Whoever polls it: the body's own task does not know of this one.
#[tokio::test(start_paused = true)]
async fn a_branch_that_is_called_in_another_runtime_goes_on() {
    let rig = Rig::start().await;
    let pay = async |tx: &Tx| {
        let call = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(tx.call::<Transfer>(works(1)))
        };
        let there = std::thread::scope(|threads| threads.spawn(call).join().unwrap())?;
        Ok::<_, Error>(there + tx.call::<Transfer>(works(2)).await?)
    };
    assert_eq!(rig.tcc.run("pay", pay).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_branches_never_touches_the_store() {
    let rig = Rig::start().await;
    assert_eq!(rig.tcc.run("pay", async |_: &Tx| Ok::<_, Error>(7)).await.unwrap(), 7);
    assert!(matches!(rig.tcc.run("pay", async |_: &Tx| Err::<(), _>(Error::Own)).await, Err(Error::Own)));
    rig.tcc.shutdown().await;
    assert_eq!(rig.appends(), 0);
}

/// The id of the transaction whose body ran last.
#[derive(Default, Clone)]
struct Seen(Arc<Mutex<Option<TxId>>>);

impl Seen {
    fn see(&self, tx: &Tx) {
        *self.0.lock().unwrap() = Some(tx.id());
    }

    fn id(&self) -> TxId {
        self.0.lock().unwrap().expect("a body ran")
    }
}

async fn cancelled(rig: &Rig, id: TxId, branches: usize) {
    assert_eq!(rig.settled(id).await, Some(Status::Cancelled));
    let phases = rig.bank.phases(id);
    assert_eq!(phases.len(), branches);
    assert!(phases.iter().all(|phases| !phases.contains(&Phase::Confirm) && phases.contains(&Phase::Cancel)));
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_bodys_error_cancels_all() {
    let (rig, seen) = (Rig::start().await, Seen::default());
    let pay = async |tx: &Tx| {
        seen.see(tx);
        tx.call::<Transfer>(works(1)).await?;
        tx.enlist::<Notice>(works(0))?;
        Err::<(), _>(Error::Own)
    };
    assert!(matches!(rig.tcc.run("pay", pay).await, Err(Error::Own)));
    cancelled(&rig, seen.id(), 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_typed_and_its_branch_is_cancelled_all_the_same() {
    let (rig, seen) = (Rig::start().await, Seen::default());
    let pay = async |tx: &Tx| {
        seen.see(tx);
        tx.call::<Transfer>(works(1)).await?;
        tx.call::<Transfer>(Move { r#try: Does::Refuse, ..works(2) }).await?;
        Ok::<_, Error>(())
    };
    let error = rig.tcc.run("pay", pay).await.unwrap_err();
    assert!(matches!(error, Error::Branch(BranchError::Refused(why)) if why == "no"));
    cancelled(&rig, seen.id(), 2).await;
}

#[tokio::test(start_paused = true)]
async fn peers_38_a_body_may_survive_a_branch_that_failed_and_only_that_one_is_cancelled() {
    for does in [Does::Refuse, Does::Fail, Does::Panic, Does::Hang] {
        let rig = Rig::start().await;
        let pay = async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            let coupon = tx.call::<Transfer>(Move { r#try: does, ..works(2) }).await;
            assert!(coupon.is_err(), "{does:?}");
            Ok::<_, Error>(tx.id())
        };
        let id = rig.tcc.run("pay", pay).await.unwrap();
        assert_eq!(rig.settled(id).await, Some(Status::Confirmed), "{does:?}");
        assert_eq!(rig.bank.phases(id), [vec![Phase::Try, Phase::Confirm], vec![Phase::Cancel]], "{does:?}");
    }
}

/// Three branches, one of which fails, wherever it stands and however: none of them is confirmed.
#[tokio::test(start_paused = true)]
async fn peers_38_what_not_all_have_acknowledged_is_not_confirmed() {
    for does in [Does::Refuse, Does::Fail, Does::Panic, Does::Hang] {
        for (failing, together) in [(0, true), (1, true), (2, true), (0, false), (1, false), (2, false)] {
            let (rig, seen) = (Rig::start().await, Seen::default());
            let how = |branch| if branch == failing { Move { r#try: does, ..works(1) } } else { works(1) };
            let pay = async |tx: &Tx| {
                seen.see(tx);
                if together {
                    let calls = (0..3).map(|branch| tx.call::<Transfer>(how(branch)));
                    futures_util::future::try_join_all(calls).await?;
                } else {
                    for branch in 0..3 {
                        tx.call::<Transfer>(how(branch)).await?;
                    }
                }
                Ok::<_, Error>(())
            };
            assert!(rig.tcc.run("pay", pay).await.is_err(), "{does:?} {failing}");
            cancelled(&rig, seen.id(), if together { 3 } else { failing + 1 }).await;
            assert_eq!(rig.bank.calls_of(seen.id(), Phase::Confirm), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_body_cancels_and_goes_on() {
    let (rig, seen) = (Rig::start().await, Seen::default());
    let (tcc, see) = (rig.tcc.clone(), seen.clone());
    let run = async move {
        tcc.run("pay", async |tx: &Tx| {
            see.see(tx);
            tx.call::<Transfer>(works(1)).await?;
            if tx.id() == see.id() {
                panic!("the body's own panic");
            }
            Ok::<_, Error>(())
        })
        .await
    };
    let panic = tokio::spawn(run).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the body's own panic"));
    cancelled(&rig, seen.id(), 1).await;
}

#[tokio::test(start_paused = true)]
async fn peers_21_a_caller_that_hangs_up_cancels() {
    // The call is dropped in its try, so the try is unknown.
    let (rig, seen) = (Rig::start().await, Seen::default());
    let pay = async |tx: &Tx| {
        seen.see(tx);
        tx.call::<Transfer>(works(1)).await?;
        tx.call::<Transfer>(Move { r#try: Does::Hang, ..works(2) }).await?;
        Ok::<_, Error>(())
    };
    tokio::select! {
        _ = rig.tcc.run("pay", pay) => panic!("it hangs"),
        () = tokio::time::sleep(Duration::from_millis(1)) => {}
    }
    let before = tokio::time::Instant::now();
    cancelled(&rig, seen.id(), 2).await;
    assert!(before.elapsed() < Duration::from_secs(2), "not at once, but after {:?}", before.elapsed());
}

/// The caller's future is dropped while the decision is written, and while a participant confirms or cancels: both go on
/// without it, at once and once. Whether that is soon, or when others have seen already that it takes its time.
#[tokio::test(start_paused = true)]
async fn peers_21_phase_two_is_not_on_the_callers_future() {
    let (long, short) = (Duration::from_secs(1), Duration::from_millis(10));
    for confirms in [true, false] {
        for (work, decision_takes) in
            [(long, long), (long, Duration::ZERO), (short, short), (short, Duration::ZERO)]
        {
            let store = FaultStore::new(MemoryStore::new());
            let delay = Rule::new(Fault::DelayBefore(decision_takes)).on(Call::Append).when_change("decide");
            store.faults().add(delay);
            let bank = Arc::new(Bank::default());
            let tcc = Coordinator::builder("test", store).register(bank.clone()).start().await.unwrap();
            let slow = Does::WorkFor(work);
            let seen = Seen::default();
            let pay = async |tx: &Tx| {
                seen.see(tx);
                tx.call::<Transfer>(Move { confirm: slow, cancel: slow, ..works(1) }).await?;
                if confirms { Ok(()) } else { Err(Error::Own) }
            };
            // In the middle of the first that takes time after the body.
            let dropped = tokio::time::timeout(work / 2, tcc.run("pay", pay)).await;
            assert!(dropped.is_err(), "it was to be dropped in the middle");
            let (phase, status) = if confirms {
                (Phase::Confirm, Status::Confirmed)
            } else {
                (Phase::Cancel, Status::Cancelled)
            };
            // Before any lease ends, so it is no recovery that does it.
            tokio::time::sleep(3 * work).await;
            assert_eq!(tcc.outcome(seen.id()).await.unwrap(), Some(status), "{decision_takes:?}");
            assert_eq!(bank.phases(seen.id()), [vec![Phase::Try, phase]]);
            assert_eq!(bank.calls_of(seen.id(), phase), 1);
        }
    }
}

/// A coordinator whose begins take a second to be written.
async fn slow_to_begin() -> (Coordinator, Arc<Bank>) {
    let store = FaultStore::new(MemoryStore::new());
    let slow = Rule::new(Fault::DelayBefore(Duration::from_secs(1))).on(Call::Append).when_change("begin");
    store.faults().add(slow);
    let bank = Arc::new(Bank::default());
    let tcc = Coordinator::builder("test", store).register(bank.clone()).start().await.unwrap();
    (tcc, bank)
}

/// There is one write at a time, for each names the position that it follows.
#[tokio::test(start_paused = true)]
async fn a_branch_that_comes_while_another_is_written_waits_for_that() {
    let (tcc, bank) = slow_to_begin().await;
    let pay = async |tx: &Tx| {
        let late = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            tx.call::<Transfer>(works(2)).await
        };
        tokio::try_join!(tx.call::<Transfer>(works(1)), late)?;
        Ok::<_, Error>(tx.id())
    };
    let id = tcc.run("pay", pay).await.unwrap();
    assert_eq!(bank.phases(id), [[Phase::Try, Phase::Confirm], [Phase::Try, Phase::Confirm]]);
}

/// What is written for a call that was dropped is not overtaken by the decision: it would find nothing to be cancelled.
#[tokio::test(start_paused = true)]
async fn a_decision_waits_for_the_entry_of_a_call_that_was_dropped() {
    let ((tcc, bank), seen) = (slow_to_begin().await, Seen::default());
    let pay = async |tx: &Tx| {
        seen.see(tx);
        let call = tokio::time::timeout(Duration::from_millis(500), tx.call::<Transfer>(works(1))).await;
        assert!(call.is_err(), "it was to be dropped in the middle");
        Err::<(), _>(Error::Own)
    };
    assert!(matches!(tcc.run("pay", pay).await, Err(Error::Own)));
    // Long before its deadline, so it is no recovery that does it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(tcc.outcome(seen.id()).await.unwrap(), Some(Status::Cancelled));
    assert_eq!(bank.calls_of(seen.id(), Phase::Try), 0, "its entry came too late");
}

#[tokio::test(start_paused = true)]
async fn what_runs_past_its_deadline_is_cancelled() {
    let (rig, seen) = (Rig::start().await, Seen::default());
    let pay = async |tx: &Tx| {
        seen.see(tx);
        tx.call::<Transfer>(works(1)).await?;
        std::future::pending::<()>().await;
        Ok::<_, Error>(())
    };
    let before = tokio::time::Instant::now();
    let error = rig.tcc.transaction("pay").timeout(Duration::from_secs(3)).run(pay).await.unwrap_err();
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    let Error::Transaction(TransactionError::TimedOut { id }) = error else { panic!("{error}") };
    cancelled(&rig, id, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_does_not_start_inside_another_unless_it_says_so() {
    let rig = Rig::start().await;
    let outer = async |_: &Tx| {
        let inner = rig.tcc.run("inner", async |_: &Tx| Ok::<_, Error>(())).await.unwrap_err();
        assert!(matches!(inner, Error::Transaction(TransactionError::Nested { .. })));
        rig.tcc.transaction("inner").independent().run(async |_: &Tx| Ok::<_, Error>(())).await
    };
    rig.tcc.run("outer", outer).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_range_is_refused_before_anything_begins() {
    let rig = Rig::start().await;
    for timeout in [Duration::ZERO, Duration::from_secs(86_401)] {
        let error = rig.tcc.transaction("pay").timeout(timeout).run(async |_: &Tx| Ok::<_, Error>(())).await;
        assert!(matches!(error, Err(Error::Transaction(TransactionError::Timeout { .. }))));
    }
    let error = rig.tcc.run("not a name", async |_: &Tx| Ok::<_, Error>(())).await;
    assert!(matches!(error, Err(Error::Transaction(TransactionError::Name(_)))));
    let many = async |tx: &Tx| {
        for _ in 0..64 {
            tx.enlist::<Notice>(works(0))?;
        }
        match tx.enlist::<Notice>(works(0)) {
            Err(TransactionError::Limit { value: 65, max: 64, .. }) => Ok::<_, Error>(()),
            other => panic!("{other:?}"),
        }
    };
    rig.tcc.run("pay", many).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn settings_out_of_range_and_doubled_actions_are_said_at_the_start() {
    let store = Arc::new(tcc_core::store::MemoryStore::new());
    let builder = || Coordinator::builder("test", store.clone());
    let text = |result: Result<Coordinator, tcc_core::StartError>| result.unwrap_err().to_string();
    assert_eq!(
        text(builder().timeout(Duration::ZERO).start().await),
        "the setting timeout is 0 s: 1 ms to 24 h is permitted"
    );
    assert_eq!(
        text(builder().alert_after(0).start().await),
        "the setting alert_after is 0: 1 or more is permitted"
    );
    let backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(1) };
    assert_eq!(
        text(builder().backoff(backoff).start().await),
        "the setting backoff.base is 2 s: 1 ms to 1 s is permitted"
    );
    let bank = Arc::new(crate::rig::Bank::default());
    assert!(
        text(builder().register(bank.clone()).register(bank).start().await).contains("registered twice"),
        "a doubled action"
    );
    assert!(Coordinator::builder("no group", store).start().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_begins_and_nothing_is_left() {
    let rig = Rig::start().await;
    let slow = {
        let tcc = rig.tcc.clone();
        let pay = async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            tx.call::<Transfer>(works(2)).await?;
            Ok::<_, Error>(tx.id())
        };
        tokio::spawn(async move { tcc.run("pay", pay).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    rig.tcc.shutdown().await;
    let late = rig.tcc.run("pay", async |_: &Tx| Ok::<_, Error>(())).await;
    assert!(matches!(late, Err(Error::Transaction(TransactionError::Closed))));
    assert_eq!(rig.unfinished().await, 0);
    let id = slow.await.unwrap().unwrap();
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Confirmed));
}

/// A store that locks its file can be opened anew at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_shutdown_and_the_last_handle_nobody_holds_the_store() {
    for round in 0..50 {
        let store = Arc::new(tcc_core::store::MemoryStore::new());
        let bank = Arc::new(crate::rig::Bank::default());
        let tcc = Coordinator::builder("test", store.clone()).register(bank).start().await.unwrap();
        let mut payments = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let tcc = tcc.clone();
            payments.spawn(async move {
                let pay = async |tx: &Tx| Ok::<_, Error>(tx.call::<Transfer>(works(1)).await?);
                tcc.run("pay", pay).await
            });
        }
        while let Some(paid) = payments.join_next().await {
            paid.unwrap().unwrap();
        }
        // Twice at once, and once more, which must not wait for what has ended.
        tokio::join!(tcc.shutdown(), tcc.shutdown());
        tcc.shutdown().await;
        drop(tcc);
        assert_eq!(Arc::strong_count(&store), 1, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_token_begins_the_shutdown() {
    let token = CancellationToken::new();
    let rig = Rig::with(|builder| builder.shutdown_on(token.clone())).await;
    rig.tcc.run("pay", async |tx: &Tx| Ok::<_, Error>(tx.call::<Transfer>(works(1)).await?)).await.unwrap();
    token.cancel();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let late = rig.tcc.run("pay", async |_: &Tx| Ok::<_, Error>(())).await;
    assert!(matches!(late, Err(Error::Transaction(TransactionError::Closed))));
    rig.tcc.shutdown().await;
    assert_eq!(rig.unfinished().await, 0);
}

/// A body that blocks its thread can't be stopped at its deadline.
#[tokio::test(start_paused = true)]
async fn a_body_that_returns_after_its_deadline_is_cancelled() {
    let rig = Rig::start().await;
    let late = async |tx: &Tx| {
        tx.call::<Transfer>(works(1)).await?;
        tokio::time::advance(Duration::from_secs(4)).await;
        Ok::<_, Error>(())
    };
    let error = rig.tcc.transaction("pay").timeout(Duration::from_secs(3)).run(late).await.unwrap_err();
    let Error::Transaction(TransactionError::TimedOut { id }) = error else { panic!("{error}") };
    cancelled(&rig, id, 1).await;
}
