//! Transactions with a key: lost answers, reuse, hanging up.

use super::*;

/// caller 1 is told Ok, though its transaction was cancelled and another call's was confirmed.
#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_not_told_ok() {
    let mut slow = Slow::new(Duration::ZERO);
    let seen = AtomicUsize::new(0);
    slow.hook = Some(Box::new(move |w| {
        let confirm = w.entry.line().contains(r#""decide":{"decision":"confirm""#);
        // The first decision to confirm never arrives; its answer is lost after 8 s.
        if confirm && seen.fetch_add(1, SeqCst) == 0 {
            Fate::LoseThenDelay(Duration::from_secs(8), None)
        } else {
            Fate::Pass
        }
    }));
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    let one = start(store.clone(), bank.clone(), |b| b).await;
    let two = start(store.clone(), bank.clone(), |b| b).await;
    let first = one.transaction("pay").timeout(Duration::from_secs(1)).key(7).run(async |tx: &Tx| {
        tx.call::<Transfer>(works(1)).await?;
        Ok::<_, Error>("first".to_owned())
    });
    let second = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        two.transaction("pay")
            .timeout(Duration::from_secs(30))
            .key(7)
            .reuse_after_cancel()
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(works(2)).await?;
                Ok::<_, Error>("second".to_owned())
            })
            .await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.unwrap(), "second");
    assert!(first.is_err(), "told {first:?}, but it was cancelled");
}

/// a key is used again; the answer to the begin is lost, and it arrives a little later.
#[tokio::test(start_paused = true)]
async fn reuse_with_a_late_begin() {
    let mut slow = Slow::new(Duration::ZERO);
    let seen = AtomicUsize::new(0);
    slow.hook = Some(Box::new(move |w| {
        if w.mode == Mode::Replace && w.entry.line().contains("\"begin\"") && seen.fetch_add(1, SeqCst) == 0 {
            Fate::LoseThenDelay(Duration::ZERO, Some(Duration::from_millis(1)))
        } else {
            Fate::Pass
        }
    }));
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    let tcc = start(store.clone(), bank.clone(), |b| b).await;
    let failing = tcc.transaction("pay").key(7).run(async |_: &Tx| Err::<u32, _>(Error::Own)).await;
    assert!(failing.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again =
        tcc.transaction("pay").key(7).reuse_after_cancel().run(async |_: &Tx| Ok::<_, Error>(1)).await;
    assert!(again.is_ok());
}

/// while the store can be read and each begin's answer is lost, the caller waits far beyond its deadline.
#[tokio::test(start_paused = true)]
async fn a_reused_key_returns_by_its_deadline() {
    let mut slow = Slow::new(Duration::ZERO);
    slow.hook = Some(Box::new(move |w| {
        if w.mode == Mode::Replace && w.entry.line().contains("\"begin\"") {
            Fate::LoseThenDelay(Duration::ZERO, None)
        } else {
            Fate::Pass
        }
    }));
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    let tcc = start(store.clone(), bank.clone(), |b| b).await;
    assert!(tcc.transaction("pay").key(7).run(async |_: &Tx| Err::<u32, _>(Error::Own)).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = tcc.transaction("pay").key(7).reuse_after_cancel().run(async |_: &Tx| Ok::<_, Error>(1));
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), again).await.is_ok(),
        "the timeout is 30 s; an hour has passed"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_request_has_the_same_digest() {
    let rig = Rig::start().await;
    let request = || (0..20).map(|n| (n.to_string(), n)).collect::<HashMap<String, u32>>();
    let call = async || {
        rig.tcc.transaction("pay").key(7).request(&request()).run(async |_: &Tx| Ok::<_, Error>(1)).await
    };
    call().await.unwrap();
    call().await.unwrap();
}

/// the caller hangs up while the begin of its key is written.
#[tokio::test(start_paused = true)]
async fn hang_up_during_a_keyed_begin() {
    let store = Arc::new(Slow::new(Duration::from_millis(10)));
    let tcc = start(store.clone(), Arc::default(), |b| b).await;
    let call = || {
        tcc.transaction("pay").timeout(Duration::from_secs(3600)).key(7).run(async |_: &Tx| Ok::<_, Error>(1))
    };
    assert!(tokio::time::timeout(Duration::from_millis(5), call()).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let unfinished = store.inner.stats(&group()).await.unwrap().unfinished;
    assert_eq!(
        unfinished, 0,
        "nobody cancels it before its deadline, an hour from now, and its key is taken"
    );
}
