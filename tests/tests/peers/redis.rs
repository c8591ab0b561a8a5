//! What is in Redis while a transaction runs, and after it: times to live, sizes, bytes.

use std::time::Duration;

use tcc_core::protocol::{Status, TxId};
use tcc_core::{Coordinator, StartError, Tx};
use tcc_redis::RedisStore;
use tcc_test_servers::{AppendFsync, RedisServer};

use crate::rig::*;

async fn store(server: &RedisServer) -> RedisStore {
    RedisStore::connect(server.url()).await.unwrap()
}

/// One in every state that is not finished. No key of any of them may ever go by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_11_no_key_of_what_is_unfinished_has_a_time_to_live() {
    let server = RedisServer::start();
    let account = Account::new().await;
    let tcc = coordinator(store(&server).await).register(account.clone()).start().await.unwrap();
    let waits = || Amount { waits: true, ..cents(1) };
    let pay = async |confirms: bool, amount: Amount| -> TxId {
        let mut id = None;
        let told = tcc.run("pay", async |tx: &Tx| {
            id = Some(tx.id());
            tx.call::<Freeze>(amount).await?;
            if confirms { Ok(()) } else { Err(Error::Own) }
        });
        assert_eq!(told.await.is_ok(), confirms);
        id.unwrap()
    };
    let confirming = pay(true, waits()).await;
    let cancelling = pay(false, waits()).await;
    // A key whose first run was cancelled, and has a tombstone that would go; its second run takes its place.
    let keyed = async |amount: Amount, confirms: bool| {
        let transaction = tcc.transaction("pay").key("order-1").reuse_after_cancel();
        transaction
            .run(async |tx: &Tx| {
                tx.call::<Freeze>(amount).await?;
                if confirms { Ok(tx.id().to_string()) } else { Err(Error::Own) }
            })
            .await
    };
    keyed(cents(1), false).await.unwrap_err();
    let again: TxId = keyed(waits(), true).await.unwrap().parse().unwrap();
    // Its body is still at work.
    let (send, trying) = tokio::sync::oneshot::channel();
    let (go_on, may) = tokio::sync::oneshot::channel::<()>();
    let running = {
        let tcc = tcc.clone();
        tokio::spawn(async move {
            tcc.run("pay", async |tx: &Tx| {
                tx.call::<Freeze>(cents(1)).await?;
                send.send(tx.id()).unwrap();
                let _ = may.await;
                Ok::<_, Error>(())
            })
            .await
        })
    };
    let trying = trying.await.unwrap();
    let all = [
        (confirming, Status::Confirming),
        (cancelling, Status::Cancelling),
        (again, Status::Confirming),
        (trying, Status::Trying),
    ];
    for (id, status) in all {
        assert_eq!(tcc.outcome(id).await.unwrap(), Some(status));
    }
    // Four logs, the due index, the number of shards.
    let keys = ask(&server, &["KEYS", "*"]);
    assert_eq!(keys.lines().count(), 6, "{keys}");
    for key in keys.lines() {
        assert_eq!(ttl(&server, key), -1, "{key} would go by itself");
    }
    account.up.store(true, std::sync::atomic::Ordering::SeqCst);
    go_on.send(()).unwrap();
    running.await.unwrap().unwrap();
    until("all is finished", async || ask(&server, &["ZCARD", &due()]) == "0").await;
    let minutes = |id| ttl(&server, &key(id)) as f64 / 60_000.0;
    for id in [confirming, cancelling, trying] {
        assert!((9.0..=10.0).contains(&minutes(id)), "{}", minutes(id));
    }
    assert!((1430.0..=1440.0).contains(&minutes(again)), "{}", minutes(again));
}

#[tokio::test]
async fn peers_12_a_coordinator_does_not_start_on_a_server_that_evicts() {
    for policy in ["allkeys-lru", "volatile-lru", "allkeys-random", "volatile-ttl"] {
        let server = RedisServer::builder().config("maxmemory-policy", policy).start();
        let Err(error) = Coordinator::builder(GROUP, store(&server).await).start().await else {
            panic!("it started on {policy}")
        };
        assert!(matches!(error, StartError::NotReady(_)), "{error:?}");
        let text = error.to_string();
        let says = text.contains(&format!("maxmemory-policy {policy}"))
            && text.contains("set `maxmemory-policy noeviction`");
        assert!(says, "{text}");
        assert_eq!(ask(&server, &["DBSIZE"]), "0", "nothing was written");
        ask(&server, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        Coordinator::builder(GROUP, store(&server).await).start().await.unwrap();
    }
}

/// What is left of five hundred transactions whose payloads weigh four KiB each, and for how long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_15_what_is_finished_is_small_and_goes_when_it_was_said_to() {
    const MANY: u64 = 500;
    for retention in [Duration::from_secs(80), Duration::from_secs(600)] {
        let server = RedisServer::start();
        let account = Account::new().await;
        let builder = coordinator(store(&server).await).lease(Duration::from_secs(600));
        let tcc = builder.retention(retention).register(account).start().await.unwrap();
        let pay = async || {
            let payload = || Amount { text: "x".repeat(2_000), ..cents(1) };
            tcc.run("a-transaction-with-a-name", async |tx: &Tx| {
                tokio::try_join!(tx.call::<Freeze>(payload()), tx.call::<Freeze>(payload()))?;
                Ok::<_, Error>(tx.id())
            })
            .await
            .unwrap()
        };
        let finished =
            async || until("all is finished", async || ask(&server, &["ZCARD", &due()]) == "0").await;
        pay().await;
        finished().await;
        let before = info(&server, "memory", "used_memory");
        let mut last = None;
        for _ in 0..MANY {
            last = Some(pay().await);
        }
        finished().await;
        let each = (info(&server, "memory", "used_memory") - before) / MANY;
        let last = key(last.unwrap());
        let one: u64 = ask(&server, &["MEMORY", "USAGE", &last]).parse().unwrap();
        let length: u64 = ask(&server, &["STRLEN", &last]).parse().unwrap();
        eprintln!("a finished transaction: {each} bytes of memory, {one} by MEMORY USAGE, {length} of text");
        assert!(length <= LONGEST && one <= LARGEST && each <= IN_ALL, "{each}, {one}, {length}");
        let left = Duration::from_millis(ttl(&server, &last).try_into().unwrap());
        assert!(left <= retention && left + Duration::from_secs(30) > retention, "{left:?} of {retention:?}");
    }
}

/// The most bytes that a finished transaction without a key leaves: of text; of its key with its value; of the server's
/// memory, with the indexes of keys and of their times to live.
const LONGEST: u64 = 128;
const LARGEST: u64 = 256;
const IN_ALL: u64 = 400;

/// What goes to the server for each branch, and from it to its disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_28_neither_the_wire_nor_the_disk_sees_the_record_again() {
    let server = RedisServer::builder().append_only(AppendFsync::Always).start();
    let account = Account::new().await;
    let builder = coordinator(store(&server).await).lease(Duration::from_secs(600));
    let tcc = builder.timeout(Duration::from_secs(600)).register(account).start().await.unwrap();
    let mut seen = Vec::new();
    tcc.run("pay", async |tx: &Tx| {
        for _ in 0..60 {
            tx.call::<Freeze>(Amount { text: "x".repeat(500), ..cents(100) }).await?;
            let wire = info(&server, "stats", "total_net_input_bytes");
            seen.push((wire, info(&server, "persistence", "aof_current_size")));
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
    // After the first, which begins, and the second, which loads nothing more.
    let grown = |of: fn(&(u64, u64)) -> u64| -> Vec<u64> {
        seen.windows(2).skip(1).map(|two| of(&two[1]) - of(&two[0])).collect()
    };
    for (what, grown) in [("wire", grown(|(wire, _)| *wire)), ("disk", grown(|(_, disk)| *disk))] {
        let (least, most) = (grown.iter().min().unwrap(), grown.iter().max().unwrap());
        // Numbers grow by a digit here and there. The record is 60 times 500 bytes in the end.
        assert!(*least > 500 && most - least < 100, "{what}: {least} to {most}: {grown:?}");
    }
}
