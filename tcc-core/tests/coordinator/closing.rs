//! A coordinator that closes while its participants are busy.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tcc_core::protocol::{Phase, Status};
use tcc_core::{TransactionError, Tx};

use crate::rig::{Does, Error, Move, Rig, Transfer, works};

/// Wakes a test on paused time that is kept busy: no clock of its own would ever advance.
fn watchdog(patience: Duration) -> (mpsc::Sender<()>, tokio::sync::oneshot::Receiver<()>) {
    let ((over, waits), (barks, heard)) = (mpsc::channel::<()>(), tokio::sync::oneshot::channel());
    std::thread::spawn(move || {
        if waits.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Who does not listen any more is done.
            let _ = barks.send(());
        }
    });
    (over, heard)
}

/// One branch hangs and has the participant's only place; its sibling waits for its turn. The wait ends with the
/// coordinator, and the processor rests until the call under way has ended.
#[tokio::test(start_paused = true)]
async fn what_had_not_its_turn_is_put_back_and_not_asked_without_end() {
    let rig = Rig::with(|builder| builder.calls_at_once(1)).await;
    let tcc = rig.tcc.clone();
    let caller = tokio::spawn(async move {
        let body = async |tx: &Tx| {
            tx.call::<Transfer>(Move { confirm: Does::HangTimes(1), ..works(1) }).await?;
            tx.call::<Transfer>(Move { confirm: Does::HangTimes(1), ..works(2) }).await?;
            Ok::<_, Error>(tx.id())
        };
        tcc.run("pay", body).await
    });
    let confirms = || rig.bank.calls.lock().unwrap().iter().filter(|(_, p)| *p == Phase::Confirm).count();
    for _ in 0..1_000 {
        if confirms() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(confirms(), 1, "one hangs, the other waits for its turn");
    let (_over, busy) = watchdog(Duration::from_secs(20));
    tokio::select! {
        () = rig.tcc.shutdown() => {}
        Ok(()) = busy => panic!("the processor is kept busy while a participant hangs"),
    }
    assert_eq!(confirms(), 1, "a coordinator that closes asks nobody again");
    let id = caller.await.unwrap().unwrap();
    let next = rig.another().await;
    assert_eq!(crate::rig::settled(&next, id).await, Some(Status::Confirmed));
}

/// A thread that belongs to no runtime waits for a decision while the coordinator's runtime goes: it may be durable.
#[test]
fn a_decision_whose_runtime_goes_is_in_doubt_for_who_waits_in_a_thread() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_time().worker_threads(2).build().unwrap();
    let rig = runtime.block_on(Rig::start());
    let (handle, tcc, store) = (runtime.handle().clone(), rig.tcc.clone(), rig.store.clone());
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        let body = async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            rig.store.hangs.store(true, Ordering::SeqCst);
            Ok::<_, Error>(())
        };
        let waits = std::panic::AssertUnwindSafe(|| handle.block_on(tcc.run("pay", body)));
        sender.send(std::panic::catch_unwind(waits)).expect("somebody waits");
    });
    let begun = Instant::now();
    while !(store.hangs.load(Ordering::SeqCst) && store.under_way.load(Ordering::SeqCst) > 0) {
        assert!(begun.elapsed() < Duration::from_secs(20), "the decision is not written");
        std::thread::yield_now();
    }
    runtime.shutdown_background();
    let told = told.recv_timeout(Duration::from_secs(20)).expect("who waits is told");
    let told = told.expect("without a panic");
    assert!(matches!(told, Err(Error::Transaction(TransactionError::InDoubt { .. }))), "{told:?}");
}

/// A caller on a runtime of its own, which goes while an entry is written: its timers panic from then on.
#[test]
fn a_write_whose_timers_have_gone_holds_up_no_shutdown() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_time().worker_threads(2).build().unwrap();
    let rig = runtime.block_on(Rig::start());
    rig.store.hangs.store(true, Ordering::SeqCst);
    let another =
        tokio::runtime::Builder::new_multi_thread().enable_time().worker_threads(1).build().unwrap();
    let (tcc, store) = (rig.tcc.clone(), rig.store.clone());
    another.spawn(async move {
        let body = async |tx: &Tx| tx.call::<Transfer>(works(1)).await.map_err(Error::from);
        tcc.run("pay", body).await
    });
    let begun = Instant::now();
    while store.appends.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is written");
        std::thread::yield_now();
    }
    another.shutdown_background();
    store.hangs.store(false, Ordering::SeqCst);
    let closed =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), rig.tcc.shutdown()).await });
    assert!(closed.is_ok(), "the shutdown waits for a write that nobody makes");
}
