//! Callers that are kept and not polled hold up nobody.

use super::*;

/// two futures that are not polled hold both places; every other write of the coordinator waits for ever.
#[tokio::test(start_paused = true)]
async fn callers_that_are_not_polled_hold_up_no_write() {
    let tcc = start(Arc::new(Slow::new(Duration::from_millis(5))), Arc::default(), |b| b).await;
    let pay = |cents| {
        let tcc = tcc.clone();
        async move {
            tcc.run("pay", async |tx: &Tx| tx.call::<Transfer>(works(cents)).await.map_err(Error::from)).await
        }
    };
    // Perfectly ordinary user code: a stream of checkouts, and one more transaction per result.
    let work = futures_util::stream::iter(0..200).map(&pay).buffer_unordered(8).for_each(|done| {
        done.unwrap();
        pay(100).map(|r| {
            r.unwrap();
        })
    });
    tokio::pin!(work);
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), &mut work).await.is_ok(),
        "deadlock: an hour later nothing has moved"
    );
}

/// The same, and an unrelated task is stopped with it.
#[tokio::test(start_paused = true)]
async fn callers_that_are_not_polled_hold_up_no_other_task() {
    let tcc = start(Arc::new(Slow::new(Duration::from_millis(5))), Arc::default(), |b| b).await;
    let pay = || {
        let tcc = tcc.clone();
        async move {
            tcc.run("pay", async |tx: &Tx| tx.call::<Transfer>(works(1)).await.map_err(Error::from)).await
        }
    };
    let (mut a, mut b) = (Box::pin(pay()), Box::pin(pay()));
    for _ in 0..3 {
        let _ = futures_util::poll!(&mut a);
        let _ = futures_util::poll!(&mut b);
    }
    // a and b are kept, and not polled (a client's body is slow, a stream's consumer works ...).
    let other = tokio::spawn(pay());
    let r = tokio::time::timeout(Duration::from_secs(3600), other).await;
    drop((a, b));
    assert!(matches!(r, Ok(Ok(Ok(_)))), "an unrelated transaction can't be done: {r:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_checkouts() {
    let mut bad = Vec::new();
    for width in 2..=12usize {
        for seed in 0..6u64 {
            let tcc = start(Arc::new(Slow::new(Duration::from_millis(3))), Arc::default(), |b| b).await;
            let pay = |n: u64| {
                let tcc = tcc.clone();
                async move {
                    tcc.run("pay", async |tx: &Tx| {
                        for k in 0..(n * 5 + seed) % 3 + 1 {
                            tx.call::<Transfer>(works(1)).await?;
                            tokio::time::sleep(Duration::from_millis((n * 31 + k * 17 + seed * 13) % 9))
                                .await;
                        }
                        Ok::<_, Error>(())
                    })
                    .await
                }
            };
            let failed = std::cell::Cell::new(0);
            let work = futures_util::stream::iter(0..60).map(&pay).buffer_unordered(width).for_each(|done| {
                if done.is_err() {
                    failed.set(failed.get() + 1)
                }
                pay(0).map(|r| {
                    if r.is_err() {
                        failed.set(failed.get() + 1)
                    }
                })
            });
            let hung = tokio::time::timeout(Duration::from_secs(3 * 3600), work).await.is_err();
            if hung || failed.get() > 0 {
                bad.push((width, seed, hung, failed.get()));
            }
        }
    }
    assert!(bad.is_empty(), "(width, seed, hung for hours, failed of 120): {bad:?}");
}

/// Shutdown waits for ever as well, and so does a decision (no deadline bounds it).
#[tokio::test(start_paused = true)]
async fn a_body_that_holds_another_transaction() {
    let tcc = start(Arc::new(Slow::new(Duration::from_millis(5))), Arc::default(), |b| b).await;
    let pay = || {
        let tcc = tcc.clone();
        async move {
            tcc.run("pay", async |tx: &Tx| tx.call::<Transfer>(works(1)).await.map_err(Error::from)).await
        }
    };
    let other = tokio::spawn(pay());
    tokio::time::sleep(Duration::from_millis(40)).await; // may be done; what matters comes now
    let _ = other.await;
    let (mut a, mut b) = (Box::pin(pay()), Box::pin(pay()));
    for _ in 0..3 {
        let _ = futures_util::poll!(&mut a);
        let _ = futures_util::poll!(&mut b);
    }
    let keyed = tokio::spawn({
        let tcc = tcc.clone();
        async move { tcc.transaction("pay").key(1).run(async |_: &Tx| Ok::<_, Error>(1)).await }
    });
    let r = tokio::time::timeout(Duration::from_secs(3600), keyed).await;
    drop((a, b));
    assert!(r.is_ok(), "a keyed call with a deadline of 30 s has not returned after an hour");
}
