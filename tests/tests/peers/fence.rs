//! What the fence and the coordinator hold together: repeats, late calls, and a store that has lost what it acknowledged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{BranchId, BranchKey, Phase, Status, TxId};
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::testing::{CallFault, CallRule, FaultParticipant};
use tcc_core::{Delivered, Filter, Tx};
use tcc_redis::RedisStore;
use tcc_sqlx::FenceState;
use tcc_sqlx::sqlite::SqliteFence;
use tcc_test_servers::RedisServer;

use crate::rig::*;

/// The network delivers each try three times, or loses its answers so that the coordinator asks again.
#[tokio::test]
async fn peers_26_a_repeat_creates_no_second_branch_and_gets_the_first_output() {
    for fault in [CallFault::Repeats(3), CallFault::FailsAfter] {
        let account = Account::new().await;
        let wrapped = FaultParticipant::new(account.clone());
        let faults = wrapped.faults();
        let times = if fault == CallFault::FailsAfter { 2 } else { 1 };
        faults.add(CallRule::new(fault).on(Phase::Try).times(times));
        let tcc = coordinator(MemoryStore::new()).register(wrapped).start().await.unwrap();
        let told =
            tcc.run("pay", async |tx: &Tx| Ok::<_, Error>((tx.id(), tx.call::<Freeze>(cents(5)).await?)));
        let (id, frozen) = told.await.unwrap();
        assert_eq!(frozen, 5, "{fault:?}: the first output");
        assert_eq!(faults.struck().len(), times as usize);
        assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
        assert_eq!(account.books().await, (0, 5), "{fault:?}: one effect");
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM tcc_fence").fetch_one(&account.db).await.unwrap();
        assert_eq!(rows, 1, "{fault:?}: one branch");
    }
}

/// The try is still on its way when its caller gives up, and arrives after its cancel.
#[tokio::test]
async fn peers_14_a_try_that_arrives_after_its_cancel_is_told_so() {
    let account = Account::new().await;
    let wrapped = FaultParticipant::new(account.clone());
    let faults = wrapped.faults();
    faults.add(CallRule::new(CallFault::AfterCancel));
    let tcc = coordinator(MemoryStore::new())
        .timeout(Duration::from_millis(200))
        .register(wrapped)
        .start()
        .await
        .unwrap();
    let told = tcc.run("pay", async |tx: &Tx| Ok::<_, Error>(tx.call::<Freeze>(cents(5)).await?));
    assert!(told.await.is_err());
    tokio::time::timeout(PATIENCE, faults.until_late(1)).await.expect("the try arrives after its cancel");
    let late = faults.late();
    assert!(matches!(late[0].answer, Delivered::TooLate), "{late:?}");
    assert_eq!(account.books().await, (0, 0), "it had no effect");
}

/// The log of a transaction as it was a few acknowledged entries ago, due now: what a store is left with that has lost them.
fn lose_all_but(server: &RedisServer, id: TxId, entries: usize) {
    const CUT: &str = "local s, p = redis.call('GET', KEYS[1]), 0
        for _ = 1, ARGV[1] do p = string.find(s, '\\n', p + 1, true) end
        redis.call('SET', KEYS[1], string.sub(s, 1, p))
        return redis.call('ZADD', KEYS[2], 1, ARGV[2])";
    ask(server, &["EVAL", CUT, "2", &key(id), &due(), &entries.to_string(), &id.to_string()]);
}

/// One branch is confirmed, the other is not yet, and the store forgets that anything was decided. Nobody can put that
/// right by itself; so it is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_09_what_a_store_lost_after_a_confirm_is_heuristic_and_shown() {
    let server = RedisServer::start();
    let account = Account::new().await;
    let open = async || RedisStore::connect(server.url()).await.unwrap();
    let first = coordinator(open().await).register(account.clone()).start().await.unwrap();
    let id = first
        .run("pay", async |tx: &Tx| {
            tx.call::<Freeze>(cents(5)).await?;
            tx.call::<Freeze>(Amount { waits: true, ..cents(7) }).await?;
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    assert_eq!(account.books().await, (7, 5), "the first is paid, the second waits");
    first.shutdown().await;
    lose_all_but(&server, id, 2);

    account.up.store(true, std::sync::atomic::Ordering::SeqCst);
    let alerts = Arc::new(Mutex::new(Vec::new()));
    let heard = alerts.clone();
    let next = coordinator(open().await)
        .register(account.clone())
        .on_heuristic(move |alert| heard.lock().unwrap().push((alert.id, alert.branch, alert.error.clone())))
        .start()
        .await
        .unwrap();
    assert_eq!(
        next.settled(id).await.unwrap(),
        Some(Status::Heuristic),
        "mixed effects are never called an outcome"
    );
    assert_eq!(
        account.books().await,
        (0, 5),
        "the fence let the confirmed branch be, and the other was cancelled"
    );
    let alerts = alerts.lock().unwrap().clone();
    let [(of, branch, error)] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!((*of, *branch), (id, BranchId::new(0)));
    assert!(error.contains("confirmed already"), "{error}");
    let shown = next.operator().list(&Filter::new().status(Status::Heuristic), None, 10).await.unwrap();
    assert_eq!(shown.items.iter().map(|item| item.id).collect::<Vec<_>>(), [id]);
    assert_eq!(ttl(&server, &key(id)), -1, "until an operator has resolved it");
}

/// A server without persistence is restarted under a running body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_09_a_coordinator_whose_log_has_gone_says_so_and_the_fence_lists_what_is_left() {
    let mut server = RedisServer::start();
    let account = Account::new().await;
    let store = Arc::new(RedisStore::connect(server.url()).await.unwrap());
    let tcc = coordinator(store.clone()).register(account.clone()).start().await.unwrap();
    let mut seen = None;
    let told = tcc.run("pay", async |tx: &Tx| {
        seen = Some(tx.id());
        tx.call::<Freeze>(cents(5)).await?;
        server.restart();
        // Until its connection is replaced a write would be in doubt.
        until("Redis is reached again", async || store.stats(&group()).await.is_ok()).await;
        tx.call::<Freeze>(cents(7)).await?;
        Ok::<_, Error>(())
    });
    let error = told.await.unwrap_err();
    let Error::Branch(tcc_core::BranchError::Transaction(lost)) = &error else { panic!("{error}") };
    let tcc_core::TransactionError::Lost { id, expected: 1, found: 0 } = lost else { panic!("{lost:?}") };
    assert_eq!(Some(*id), seen);
    assert!(lost.to_string().contains("lost"), "{lost}");
    assert_eq!(account.books().await, (5, 0), "the second try was not called");

    let fence = SqliteFence::new(account.db.clone());
    let compared = fence.compare(&*store, &[group()], Duration::ZERO, None, 10).await.unwrap();
    let orphans: Vec<_> = compared.orphans.iter().map(|row| (row.key, row.state)).collect();
    assert_eq!(orphans, [(BranchKey::new(*id, BranchId::new(0)), FenceState::Tried)]);
}
