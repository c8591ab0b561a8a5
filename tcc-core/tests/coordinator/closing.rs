//! A coordinator that closes while its participants are busy.

use std::sync::mpsc;
use std::time::Duration;

use tcc_core::Tx;
use tcc_core::protocol::{Phase, Status};

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
