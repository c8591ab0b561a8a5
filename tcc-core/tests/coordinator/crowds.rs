//! What must stay true when much waits, hangs or is done by hand: found by a review of the operator's tools.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tcc_core::protocol::{BranchId, Phase, Status};
use tcc_core::{
    ActionType, Backoff, Branch, Coordinator, Handler, Registry, Service, Settled, TransactionError, Tried,
    Tx,
};
use tokio::time::Instant;

use crate::rig::{Does, Error, Move, Rig, Transfer, works};

async fn pay(rig: &Rig, one: Move) -> Result<tcc_core::protocol::TxId, Error> {
    rig.tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Transfer>(one).await?;
            Ok::<_, Error>(tx.id())
        })
        .await
}

struct Take;
impl ActionType for Take {
    const NAME: &'static str = "till.take";
    type Request = u32;
    type Output = u32;
    type Error = String;
}
#[derive(Default)]
struct Till {
    settled: AtomicUsize,
}
impl Handler<Take> for Till {
    async fn r#try(&self, _: &Branch, n: u32) -> Tried<u32, String> {
        Ok(n)
    }
    async fn confirm(&self, _: &Branch, _: u32, _: u32) -> Settled {
        self.settled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn cancel(&self, _: &Branch, _: u32, _: Option<u32>) -> Settled {
        self.settled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
impl Service for Till {
    fn register(self: Arc<Self>, r: &mut Registry) {
        r.add::<Take, _>(self);
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_done_is_not_asked_at_each_success() {
    for traffic in [false, true] {
        let rig = Rig::start().await;
        let id = pay(&rig, Move { confirm: Does::Fail, ..works(1) }).await.unwrap();
        for _ in 0..3600 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if traffic {
                pay(&rig, works(1)).await.unwrap();
            }
        }
        let asked = rig.bank.calls_of(id, Phase::Confirm);
        assert!(asked < 200, "asked {asked} times in half an hour, traffic: {traffic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolved_key_is_kept_as_long_as_promised() {
    let rig = Rig::with(|b| {
        b.key_retention(Duration::from_secs(7 * 86400)).audit_retention(Duration::from_secs(3600))
    })
    .await;
    let go = async |n: i64| {
        rig.tcc
            .transaction("pay")
            .key(7)
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(Move { confirm: Does::Refuse, ..works(n) }).await?;
                Ok::<_, Error>(tx.id())
            })
            .await
    };
    let id = go(1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.tcc.outcome(id).await.unwrap(), Some(Status::Heuristic));
    rig.tcc.operator().resolve(id, BranchId::new(0), "me", "paid by hand").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3700)).await;
    assert_eq!(go(2).await.unwrap(), id, "the first value");
    assert_eq!(rig.bank.calls_of(id, Phase::Try), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_cancelled_and_replaced_is_not_called_lost() {
    let rig = Rig::start().await;
    let (send, got) = tokio::sync::oneshot::channel();
    let tcc = rig.tcc.clone();
    let first = tokio::spawn(async move {
        tcc.transaction("pay")
            .key(7)
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(works(1)).await?;
                tx.call::<Transfer>(works(2)).await?;
                send.send(tx.id()).unwrap();
                tokio::time::sleep(Duration::from_secs(10)).await;
                Ok::<_, Error>(1)
            })
            .await
    });
    let id = got.await.unwrap();
    rig.tcc.operator().cancel(id, "me", "because").await.unwrap();
    let second = rig.tcc.transaction("pay").key(7).reuse_after_cancel().run(async |tx: &Tx| {
        tx.call::<Transfer>(works(3)).await?;
        tokio::time::sleep(Duration::from_secs(15)).await;
        Ok::<_, Error>(2)
    });
    let (first, second) = tokio::join!(first, second);
    let first = first.unwrap();
    assert!(matches!(first, Err(Error::Transaction(TransactionError::TimedOut { .. }))), "{first:?}");
    assert_eq!(second.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn peers_06_a_hung_participant_holds_up_no_recovery_of_others() {
    for (limit, hung) in [(1024usize, 600usize), (8, 300)] {
        let till = Arc::new(Till::default());
        let t = till.clone();
        let rig = Rig::with(|b| b.register(t).calls_at_once(limit)).await;
        let mut all = Vec::new();
        let mut bodies = Vec::new();
        for i in 0..=hung {
            let (send, got) = tokio::sync::oneshot::channel();
            let tcc = rig.tcc.clone();
            bodies.push(tokio::spawn(async move {
                tcc.transaction("sell")
                    .timeout(Duration::from_secs(20_000))
                    .run(async |tx: &Tx| {
                        if i < hung {
                            tx.call::<Transfer>(Move { cancel: Does::Hang, ..works(1) }).await.unwrap();
                        } else {
                            tx.call::<Take>(1).await.unwrap();
                        }
                        send.send(tx.id()).unwrap();
                        std::future::pending::<()>().await;
                        Ok::<(), Error>(())
                    })
                    .await
            }));
            all.push(got.await.unwrap());
        }
        for id in &all[..hung] {
            rig.tcc.operator().cancel(*id, "me", "x").await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let since = Instant::now();
        rig.tcc.operator().cancel(all[hung], "me", "x").await.unwrap();
        while till.settled.load(Ordering::SeqCst) == 0 && since.elapsed() < Duration::from_secs(7200) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let waited = since.elapsed();
        assert!(waited < Duration::from_secs(30), "limit {limit}, {hung} hung: recovered after {waited:?}");
        for body in bodies {
            body.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_turns() {
    let rig = Rig::with(|b| b.calls_at_once(4)).await;
    for _ in 0..200 {
        let tcc = rig.tcc.clone();
        tokio::spawn(async move {
            tcc.run("pay", async |tx: &Tx| {
                tx.call::<Transfer>(Move { confirm: Does::Hang, ..works(1) }).await?;
                Ok::<_, Error>(())
            })
            .await
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let since = Instant::now();
    rig.tcc.shutdown().await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}; a call takes at most 5 s", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn peers_37_who_waits_long_is_still_woken() {
    let rig =
        Rig::with(|b| b.backoff(Backoff { base: Duration::from_secs(60), cap: Duration::from_secs(600) }))
            .await;
    for _ in 0..200 {
        pay(&rig, Move { confirm: Does::WhenUp, ..works(1) }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    rig.bank.up.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    pay(&rig, works(1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.unfinished().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_was_put_off_is_not_held_up_by_its_sibling() {
    let till = Arc::new(Till::default());
    let t = till.clone();
    let rig = Rig::with(|b| {
        b.register(t)
            .call_timeout(Duration::from_secs(600))
            .backoff(Backoff { base: Duration::from_secs(20), cap: Duration::from_secs(20) })
    })
    .await;
    let tcc = rig.tcc.clone();
    let (send, got) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        tcc.run("pay", async |tx: &Tx| {
            tx.call::<Transfer>(Move { confirm: Does::FailTimes(2), ..works(1) }).await?;
            tx.call::<Transfer>(Move { confirm: Does::Hang, ..works(2) }).await?;
            send.send(tx.id()).unwrap();
            Ok::<_, Error>(())
        })
        .await
    });
    let id = got.await.unwrap();
    let since = Instant::now();
    while !rig.bank.phases(id).iter().any(|p| p.contains(&Phase::Confirm))
        && since.elapsed() < Duration::from_secs(7200)
    {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_done_by_hand_is_neither_done_again_nor_forgotten() {
    let rig = Rig::start().await;
    let (send, got) = tokio::sync::oneshot::channel();
    let tcc = rig.tcc.clone();
    let first = tokio::spawn(async move {
        tcc.transaction("pay")
            .key(7)
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(Move { cancel: Does::Refuse, ..works(1) }).await?;
                send.send(tx.id()).unwrap();
                std::future::pending::<()>().await;
                Ok::<_, Error>(1)
            })
            .await
    });
    let id = got.await.unwrap();
    rig.tcc.operator().cancel(id, "me", "because").await.unwrap();
    first.abort();
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.tcc.operator().resolve(id, BranchId::new(0), "me", "refunded by hand").await.unwrap();
    let again =
        rig.tcc.transaction("pay").key(7).reuse_after_cancel().run(async |_: &Tx| Ok::<_, Error>(2)).await;
    assert!(matches!(again, Err(Error::Transaction(TransactionError::Duplicate { .. }))), "{again:?}");
    let events = rig.tcc.operator().timeline(id).await.unwrap().unwrap().events;
    assert!(events.iter().any(|event| event.what.contains("refunded by hand")), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_key_begins_nothing_after_a_shutdown_began() {
    let rig = Rig::start().await;
    let tcc = rig.tcc.clone();
    tokio::spawn(async move {
        tcc.transaction("pay")
            .key(7)
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(Move { cancel: Does::FailTimes(8), ..works(1) }).await?;
                Err::<i32, _>(Error::Own)
            })
            .await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let tcc = rig.tcc.clone();
    let other = rig.another().await;
    let second = tokio::spawn(async move {
        tcc.transaction("pay")
            .timeout(Duration::from_secs(3600))
            .key(7)
            .reuse_after_cancel()
            .run(async |_: &Tx| Ok::<_, Error>(2))
            .await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let since = Instant::now();
    rig.tcc.shutdown().await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let second = second.await.unwrap();
    assert!(matches!(second, Err(Error::Transaction(TransactionError::Closed))), "{second:?}");
    drop(other);
}

/// One call for one caller, two for some, and a third for as long as very many wait.
#[tokio::test(start_paused = true)]
async fn the_more_wait_the_more_calls_are_under_way_up_to_three() {
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    for (callers, more, calls) in [(1, 0, 1), (8, 0, 2), (8, 8, 2), (300, 0, 3), (8, 60, 3)] {
        let rig = Rig::start().await;
        rig.store.slow.store(true, Ordering::SeqCst);
        let start = |callers: usize, times: usize| {
            let pay = |tcc: Coordinator| async move {
                for _ in 0..times {
                    let pay = async |tx: &Tx| tx.call::<Transfer>(works(1)).await.map_err(Error::from);
                    tcc.run("pay", pay).await.unwrap();
                }
            };
            (0..callers).map(|_| tokio::spawn(pay(rig.tcc.clone()))).collect::<Vec<_>>()
        };
        // Their first calls are under way when the others come, and are so still when it is looked.
        let mut crowd = start(callers, 2);
        pause(1).await;
        crowd.extend(start(more.min(4), 2));
        pause(1).await;
        crowd.extend(start(more.saturating_sub(4), 2));
        pause(1).await;
        let seen = rig.store.at_once.load(Ordering::SeqCst);
        assert_eq!(seen, calls, "{callers} callers, and {more} a little later");

        // Some stay when the crowd has gone.
        let few = start(10, 40);
        assert!(futures_util::future::join_all(crowd).await.iter().all(Result::is_ok));
        pause(20).await;
        rig.store.at_once.store(0, Ordering::SeqCst);
        assert!(futures_util::future::join_all(few).await.iter().all(Result::is_ok));
        rig.tcc.shutdown().await;
        let seen = rig.store.at_once.load(Ordering::SeqCst);
        assert!(seen <= 2, "{seen} calls at once for the 10 that are left of {callers} and {more}");
    }
}
