//! Transactions with a key: once, however often they are called.

use std::sync::atomic::{AtomicU64, Ordering};

use tcc_core::{Duplicate, TransactionError, Tx};

use crate::rig::{Error, Rig, Transfer, works};

#[tokio::test(start_paused = true)]
async fn peers_08_the_same_key_runs_once_and_gives_the_first_value() {
    let rig = Rig::start().await;
    let ran = AtomicU64::new(0);
    let call = || {
        rig.tcc.transaction("pay").key("order-1").request(&1).run(async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            Ok::<_, Error>(ran.fetch_add(1, Ordering::SeqCst) + 41)
        })
    };
    let values = futures_util::future::join_all((0..64).map(|_| call())).await;
    assert!(values.into_iter().all(|value| value.unwrap() == 41));
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    rig.quiet().await;
    assert_eq!(call().await.unwrap(), 41, "from the tombstone");
    assert_eq!(ran.load(Ordering::SeqCst), 1);
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
