//! How long things are kept: what is unfinished for ever, what is finished as long as was said.

use std::time::Duration;

use tcc_core::protocol::{Phase, Status, TxId};
use tcc_core::store::StatusStore;
use tcc_core::{Backoff, Builder, Tx};

use crate::rig::{Does, Error, Move, Rig, Transfer, works};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longer than every retention of [`impatient`].
const WEEKS: Duration = Duration::from_secs(60 * 24 * 3600);

/// Everything finished goes after as short a time as may be set; looks for work once an hour, so that weeks are soon over.
fn impatient(builder: Builder) -> Builder {
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let builder = builder.lease(hour).backoff(Backoff { base: minute, cap: hour });
    let least = Duration::from_secs(80); // the least that may be set
    builder.retention(least).key_retention(Duration::from_secs(110)).audit_retention(least)
}

async fn pay(rig: &Rig, one: Move, cancels: bool) -> TxId {
    let mut id = None;
    let told = rig.tcc.run("pay", async |tx: &Tx| {
        id = Some(tx.id());
        tx.call::<Transfer>(one.clone()).await?;
        tx.call::<Transfer>(works(2)).await?;
        if cancels { Err(Error::Own) } else { Ok(()) }
    });
    assert_eq!(told.await.is_err(), cancels);
    id.unwrap()
}

/// In every state that is not finished, for weeks, with the shortest retentions.
#[tokio::test(start_paused = true)]
async fn peers_11_nothing_unfinished_expires() {
    let rig = Rig::with(impatient).await;
    let confirming = pay(&rig, Move { confirm: Does::WhenUp, ..works(1) }, false).await;
    let cancelling = pay(&rig, Move { cancel: Does::WhenUp, ..works(1) }, true).await;
    let heuristic = pay(&rig, Move { confirm: Does::Refuse, ..works(1) }, false).await;
    let (send, trying) = tokio::sync::oneshot::channel();
    let tcc = rig.tcc.clone();
    let open = tokio::spawn(async move {
        tcc.transaction("pay")
            .timeout(DAY)
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(works(1)).await?;
                send.send(tx.id()).unwrap();
                tokio::time::sleep(DAY - Duration::from_secs(1)).await;
                Ok::<_, Error>(())
            })
            .await
    });
    let trying = trying.await.unwrap();
    tokio::time::sleep(DAY - Duration::from_secs(60)).await;
    assert_eq!(rig.tcc.outcome(trying).await.unwrap(), Some(Status::Trying));
    open.await.unwrap().unwrap();
    tokio::time::sleep(WEEKS).await;
    for (id, status) in [
        (confirming, Some(Status::Confirming)),
        (cancelling, Some(Status::Cancelling)),
        (heuristic, Some(Status::Heuristic)),
        // It was finished in time: that, and nothing else, has gone.
        (trying, None),
    ] {
        assert_eq!(rig.tcc.outcome(id).await.unwrap(), status);
    }
    let stats = rig.tcc.operator().stats().await.unwrap();
    assert_eq!((stats.unfinished, stats.kept), (2, 1));
}

/// Weeks of failed attempts take nothing away: the transaction is there, is asked, and ends as it was decided.
#[tokio::test(start_paused = true)]
async fn peers_33_what_is_retried_for_weeks_is_never_deleted() {
    let rig = Rig::with(impatient).await;
    let confirming = pay(&rig, Move { confirm: Does::WhenUp, ..works(1) }, false).await;
    let cancelling = pay(&rig, Move { cancel: Does::WhenUp, ..works(1) }, true).await;
    let mut asked = (0, 0);
    for _ in 0..6 {
        tokio::time::sleep(WEEKS / 6).await;
        let now =
            (rig.bank.calls_of(confirming, Phase::Confirm), rig.bank.calls_of(cancelling, Phase::Cancel));
        assert!(now.0 > asked.0 && now.1 > asked.1, "nobody asks any more: {asked:?}, then {now:?}");
        asked = now;
        for id in [confirming, cancelling] {
            let log = rig.store.read(rig.tcc.group(), id).await.unwrap().expect("its log is there");
            assert!(log.entries().len() <= 65, "a log does not grow for ever: {}", log.entries().len());
        }
    }
    rig.bank.up.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(rig.tcc.settled(confirming).await.unwrap(), Some(Status::Confirmed));
    assert_eq!(rig.tcc.settled(cancelling).await.unwrap(), Some(Status::Cancelled));
    assert_eq!(rig.bank.phases(confirming), vec![vec![Phase::Try, Phase::Confirm]; 2]);
    assert_eq!(rig.bank.phases(cancelling), vec![vec![Phase::Try, Phase::Cancel]; 2]);
}

/// What is finished goes when it was said to: by itself, or its key would never be free again.
#[tokio::test(start_paused = true)]
async fn peers_15_what_is_finished_goes_after_the_time_that_was_set() {
    for minutes in [2, 10, 60] {
        let retention = Duration::from_secs(60 * minutes);
        let rig = Rig::with(|builder| builder.retention(retention)).await;
        let id = pay(&rig, works(1), false).await;
        rig.quiet().await;
        tokio::time::sleep(retention - Duration::from_secs(10)).await;
        assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Confirmed));
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(rig.tcc.outcome(id).await.unwrap(), None);
    }
}
