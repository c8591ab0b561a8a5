//! Transactions with a key: once, however often they are called.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tcc_core::protocol::Phase;
use tcc_core::{Coordinator, Duplicate, StartError, TransactionError, Tx};

use crate::rig::{Error, Rig, Transfer, works};

#[tokio::test(start_paused = true)]
async fn peers_08_the_same_key_runs_once_and_gives_the_first_value() {
    let rig = Rig::start().await;
    let other = rig.another().await;
    let ran = AtomicU64::new(0);
    let call = |number: usize| {
        let tcc = if number.is_multiple_of(2) { &rig.tcc } else { &other };
        tcc.transaction("pay").key("order-1").request(&1).run(async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            // The others come while it runs.
            tokio::time::sleep(Duration::from_secs(1)).await;
            tx.call::<Transfer>(works(2)).await?;
            Ok::<_, Error>(ran.fetch_add(1, Ordering::SeqCst) + 41)
        })
    };
    let values = futures_util::future::join_all((0..64).map(call)).await;
    assert!(values.into_iter().all(|value| value.unwrap() == 41));
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    rig.quiet().await;
    assert_eq!(call(0).await.unwrap(), 41, "from the tombstone");
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    // One set of tries, and all of it is settled.
    let effects = rig.bank.effects.lock().unwrap();
    let effects: Vec<_> = effects.values().cloned().collect();
    assert_eq!(effects, vec![vec![Phase::Try, Phase::Confirm]; 2]);
}

/// The first call is still undecided when the second one's patience ends.
#[tokio::test(start_paused = true)]
async fn peers_08_the_key_of_a_running_transaction_is_an_error_after_a_while() {
    let rig = Rig::start().await;
    let first = rig.tcc.transaction("pay").timeout(Duration::from_secs(600)).key(7).run(async |tx: &Tx| {
        tx.call::<Transfer>(works(1)).await?;
        tokio::time::sleep(Duration::from_secs(300)).await;
        Ok::<_, Error>(1)
    });
    let second = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.tcc
            .transaction("pay")
            .key(7)
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(works(1)).await?;
                Ok::<_, Error>(2)
            })
            .await
    };
    let (first, second) = tokio::join!(first, second);
    let Err(Error::Transaction(TransactionError::Duplicate { id, why, .. })) = second else {
        panic!("{second:?}")
    };
    assert_eq!((first.unwrap(), why), (1, Duplicate::Undecided));
    assert_eq!(rig.bank.calls_of(id, Phase::Try), 1, "the second one's tries don't run");
}

/// Too long by one: said before anything is written, and not cut to what fits.
#[tokio::test(start_paused = true)]
async fn peers_36_a_long_name_or_key_is_refused_before_anything_is_written() {
    let rig = Rig::start().await;
    let pay = async |tx: &Tx| {
        tx.call::<Transfer>(works(1)).await?;
        Ok::<_, Error>(tx.id())
    };
    let (longest_name, longest_key) = ("n".repeat(64), "k".repeat(512));
    let name = rig.tcc.run(&format!("{longest_name}x"), pay).await.unwrap_err();
    assert!(matches!(name, Error::Transaction(TransactionError::Name(_))), "{name}");
    assert!(name.to_string().contains("65 bytes: at most 64"), "{name}");
    let key = rig.tcc.transaction("pay").key(format!("{longest_key}x")).run(pay).await.unwrap_err();
    assert!(matches!(key, Error::Transaction(TransactionError::Limit { value: 513, max: 512, .. })), "{key}");
    // In bytes, as they are kept.
    let key = rig.tcc.transaction("pay").key("ü".repeat(257)).run(pay).await.unwrap_err();
    assert!(matches!(key, Error::Transaction(TransactionError::Limit { value: 514, .. })), "{key}");
    let group = Coordinator::builder(&format!("{longest_name}x"), rig.store.clone()).start().await;
    assert!(matches!(group, Err(StartError::Group(_))), "{group:?}");
    assert_eq!((rig.appends(), rig.bank.calls.lock().unwrap().len()), (0, 0));

    // The longest are taken whole: two that differ in their last byte are two.
    let mut ids = Vec::new();
    for end in ["a", "b"] {
        let (name, key) = (format!("{}{end}", &longest_name[1..]), format!("{}{end}", &longest_key[1..]));
        ids.push(rig.tcc.transaction(&name).key("k").run(pay).await.unwrap());
        ids.push(rig.tcc.transaction("pay").key(&key).run(pay).await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_with_another_request_is_a_duplicate() {
    let rig = Rig::start().await;
    let call = async |request: u32| {
        rig.tcc.transaction("pay").key(7).request(&request).run(async |_: &Tx| Ok::<_, Error>(request)).await
    };
    assert_eq!(call(1).await.unwrap(), 1);
    let error = call(2).await.unwrap_err();
    let Error::Transaction(TransactionError::Duplicate { why, .. }) = error else { panic!("{error}") };
    assert_eq!(why, Duplicate::AnotherRequest);
    // Another transaction may have the same key.
    assert_eq!(rig.tcc.transaction("refund").key(7).run(async |_: &Tx| Ok::<_, Error>(3)).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_cancelled_call_a_key_is_used_again_only_if_the_call_says_so() {
    let rig = Rig::start().await;
    let failing = rig.tcc.transaction("pay").key(7).run(async |tx: &Tx| {
        tx.call::<Transfer>(works(1)).await?;
        Err::<u32, _>(Error::Own)
    });
    assert!(matches!(failing.await, Err(Error::Own)));
    let again = rig.tcc.transaction("pay").key(7).run(async |_: &Tx| Ok::<_, Error>(1)).await;
    let Err(Error::Transaction(TransactionError::Duplicate { why, .. })) = again else { panic!("{again:?}") };
    assert_eq!(why, Duplicate::Cancelled);
    let ran = AtomicU64::new(0);
    let again = || {
        rig.tcc.transaction("pay").key(7).reuse_after_cancel().run(async |tx: &Tx| {
            ran.fetch_add(1, Ordering::SeqCst);
            tx.call::<Transfer>(works(2)).await?;
            Ok::<_, Error>(2)
        })
    };
    let values = futures_util::future::join_all((0..16).map(|_| again())).await;
    assert!(values.into_iter().all(|value| value.unwrap() == 2));
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_key_in_another_group_is_another_transaction() {
    let store = std::sync::Arc::new(tcc_core::store::MemoryStore::new());
    let mut ids = Vec::new();
    for group in ["shop", "warehouse", "shop"] {
        let tcc = tcc_core::Coordinator::builder(group, store.clone()).start().await.unwrap();
        let id = tcc.transaction("pay").key(7).run(async |tx: &Tx| Ok::<_, Error>(tx.id())).await.unwrap();
        ids.push(id);
    }
    assert_eq!(ids[0], ids[2]);
    assert_ne!(
        ids[0], ids[1],
        "a participant that serves both groups would take one for a repeat of the other"
    );
}
