//! The care of the table: which rows go, when, and what a phase does whose row is gone.

use std::time::{Duration, SystemTime};

use tcc_core::protocol::{Entry, Group, Op, Phase, Position};
use tcc_core::store::{Append, Due, MemoryStore, Mode, StatusStore};
use tcc_sqlx::sqlite::SqliteFence;
use tcc_sqlx::{FenceError, FenceState};

use tcc_core::{Tried, TryFailure};

use crate::rig::{Hold, Inventory, Short, at, begun, call, key, pool};

#[tokio::test]
async fn under_the_horizon_a_try_is_an_error_and_the_rest_is_done() {
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    // 1: confirmed, 2: cancelled, 3: tried, 4: refused in its confirm, 5: refused in its try, 6: confirmed but younger.
    for n in 1..=4 {
        it.reserve(&begun(n, Phase::Try, 1_000), 1).await.unwrap();
    }
    it.ship(&begun(1, Phase::Confirm, 1_000), 1).await.unwrap();
    it.release(&begun(2, Phase::Cancel, 1_000), 1).await.unwrap();
    it.never(&begun(4, Phase::Confirm, 1_000)).await.unwrap_err();
    it.reserve(&begun(5, Phase::Try, 1_000), 500).await.unwrap_err();
    it.reserve(&begun(6, Phase::Try, 2_000), 1).await.unwrap();
    it.ship(&begun(6, Phase::Confirm, 2_000), 1).await.unwrap();
    let before = (it.stock().await, it.runs());

    assert_eq!(fence.purge(at(2_000), 1).await.unwrap(), 1);
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 1);
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 0);
    let left: Vec<String> = sqlx::query_scalar("SELECT substr(tx, 1, 2) FROM tcc_fence ORDER BY tx")
        .fetch_all(&it.db)
        .await
        .unwrap();
    assert_eq!(left, ["03", "04", "05", "06"], "tried and refused rows stay, and so does what is younger");

    // Repeats of what is purged, and of what never was: no effect.
    for n in [1, 2, 7] {
        assert_eq!(before_horizon(it.reserve(&begun(n, Phase::Try, 1_000), 1).await), Duration::ZERO);
        it.ship(&begun(n, Phase::Confirm, 1_000), 1).await.unwrap();
        it.release(&begun(n, Phase::Cancel, 1_000), 1).await.unwrap();
    }
    assert_eq!((it.stock().await, it.runs()), before);

    // The horizon never goes back.
    it.release(&begun(9, Phase::Cancel, 1_001), 1).await.unwrap();
    sqlx::query("UPDATE tcc_fence SET begun_ms = 7 WHERE tx = ?")
        .bind(key(9).tx.to_string())
        .execute(&it.db)
        .await
        .unwrap();
    assert_eq!(fence.purge(at(8), 10).await.unwrap(), 1);
    before_horizon(it.reserve(&begun(8, Phase::Try, 1_000), 1).await);
    it.reserve(&begun(8, Phase::Try, 1_001), 1).await.unwrap();
    // What was tried is settled, however old it is.
    it.ship(&begun(3, Phase::Confirm, 1_000), 1).await.unwrap();
    assert_eq!(it.stock().await.2, before.0.2 + 1);

    #[expect(clippy::disallowed_methods, reason = "begin times are of wall clocks")]
    let future = SystemTime::now() + Duration::from_secs(60);
    assert!(matches!(fence.purge(future, 10).await, Err(FenceError::HorizonAhead)));
}

/// A row of every kind there is, all of transactions that are over. None goes before the window ends, and none is left
/// once it has.
#[tokio::test]
async fn peers_34_rows_of_every_kind_go_after_the_window_and_not_before() {
    const BEGUN: u64 = 1_000;
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    let cx = |n, phase| begun(n, phase, BEGUN);
    let on_confirm = |n, phase| cx(n, phase).with_on_confirm(true);
    // What goes by age alone: an empty cancel, a cancel, a confirm, a cancel of a refused try.
    it.release(&cx(1, Phase::Cancel), 1).await.unwrap();
    for n in 2..=3 {
        it.reserve(&cx(n, Phase::Try), 1).await.unwrap();
    }
    it.release(&cx(2, Phase::Cancel), 1).await.unwrap();
    it.ship(&cx(3, Phase::Confirm), 1).await.unwrap();
    it.reserve(&cx(4, Phase::Try), 500).await.unwrap_err();
    it.release(&cx(4, Phase::Cancel), 500).await.unwrap();
    // What goes once its transaction is known to be over: refusals in each phase, a lost try, and what has no try.
    it.reserve(&cx(5, Phase::Try), 500).await.unwrap_err();
    for (n, phase) in [(6, Phase::Confirm), (7, Phase::Cancel)] {
        it.reserve(&cx(n, Phase::Try), 1).await.unwrap();
        it.never(&cx(n, phase)).await.unwrap_err();
    }
    it.ship(&cx(8, Phase::Confirm), 1).await.unwrap_err();
    it.ship(&on_confirm(9, Phase::Confirm), 1).await.unwrap();
    it.release(&on_confirm(10, Phase::Cancel), 1).await.unwrap();
    let rows = async || -> Vec<i64> {
        let firsts = "SELECT DISTINCT begun_ms FROM tcc_fence UNION ALL SELECT count(*) FROM tcc_fence";
        sqlx::query_scalar(firsts).fetch_all(&it.db).await.unwrap()
    };
    assert_eq!(rows().await, [BEGUN as i64, 10]);

    let (store, groups) = (MemoryStore::new(), [Group::new("shop").unwrap()]);
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(fence.purge(at(BEGUN), 100).await.unwrap(), 0, "the window has not ended");
    assert_eq!(rows().await, [BEGUN as i64, 10]);
    assert_eq!(fence.purge(at(BEGUN + 1), 100).await.unwrap(), 4);
    let compared = fence.compare(&store, &groups, day, None, 100).await.unwrap();
    assert_eq!((compared.finished, compared.orphans), (6, vec![]));
    // Known to be over, and still not before the window: those of a later one stay.
    it.reserve(&begun(11, Phase::Try, BEGUN + 1), 500).await.unwrap_err();
    fence.compare(&store, &groups, day, None, 100).await.unwrap();
    assert_eq!(fence.purge(at(BEGUN + 1), 100).await.unwrap(), 6);
    assert_eq!(rows().await, [BEGUN as i64 + 1, 1]);
    // What comes for a row that is gone has no effect.
    let before = (it.stock().await, it.runs());
    for n in 1..=8 {
        before_horizon(it.reserve(&cx(n, Phase::Try), 1).await);
    }
    assert_eq!((it.stock().await, it.runs()), before);
}

/// The fence's error, and by how much the transaction is too old.
#[track_caller]
fn before_horizon(answer: Tried<Hold, Short>) -> Duration {
    let Err(TryFailure::Unknown(error)) = answer else { panic!("{answer:?}") };
    let Some(FenceError::BeforeHorizon { older, .. }) = error.downcast_ref() else { panic!("{error}") };
    *older
}

#[tokio::test]
async fn a_clock_that_is_wrong_makes_no_live_transaction_too_old() {
    const HOUR: u64 = 3_600_000;
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    let buy = async |n: u8, begun_ms: u64| {
        it.reserve(&begun(n, Phase::Try, begun_ms), 1)
            .await
            .map(drop)
            .map_err(|error| format!("{error:?}"))?;
        it.ship(&begun(n, Phase::Confirm, begun_ms), 1).await.map_err(|error| format!("{error:?}"))
    };
    // The clock of the coordinators, and that of whoever purges, which is years ahead of it.
    let noon = 1_000_000 * HOUR / 1_000;
    buy(1, noon).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "begin times are of wall clocks")]
    let ahead = SystemTime::now();
    assert_eq!(fence.purge(ahead, 10).await.unwrap(), 1);
    buy(2, noon + 1).await.unwrap();
    // It is set back by an hour: what was purged a day before is no hindrance.
    let fence = Inventory::new(50).await;
    let (it, fence) = (&fence, SqliteFence::new(fence.db.clone()));
    it.release(&begun(1, Phase::Cancel, noon - 25 * HOUR), 1).await.unwrap();
    assert_eq!(fence.purge(at(noon - 24 * HOUR), 10).await.unwrap(), 1);
    it.reserve(&begun(2, Phase::Try, noon - HOUR), 1).await.unwrap();
    // By days: then it can't be told from what is purged, and the error says so, to be read by whoever can set it right.
    let answer = it.reserve(&begun(3, Phase::Try, noon - 48 * HOUR), 1).await;
    assert_eq!(it.stock().await.1, 1, "it had no effect");
    let Err(TryFailure::Unknown(error)) = &answer else { panic!("{answer:?}") };
    assert!(error.to_string().contains("the clock of its coordinator's machine is behind"), "{error}");
    assert_eq!(before_horizon(answer), Duration::from_millis(23 * HOUR));
}

#[tokio::test]
async fn an_on_confirm_branch_older_than_the_horizon_still_runs_once() {
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    it.release(&begun(2, Phase::Cancel, 1_500), 1).await.unwrap();
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 1);
    // It was stuck for longer than rows are kept.
    let confirm = begun(1, Phase::Confirm, 1_000).with_on_confirm(true);
    it.ship(&confirm, 1).await.unwrap();
    fence.purge(at(2_000), 10).await.unwrap();
    it.ship(&confirm.redelivered(), 1).await.unwrap();
    assert_eq!(it.runs(), 1);
}

#[tokio::test]
async fn rows_without_a_transaction_go_by_age_and_orphans_are_shown() {
    let it = Inventory::new(50).await;
    let fence = SqliteFence::new(it.db.clone());
    let group = Group::new("shop").unwrap();
    let store = MemoryStore::new();
    // 1 tried and 2 on_confirm have a transaction that can't be read as finished; 3, 4 and 5 have none.
    for n in [1, 3] {
        it.reserve(&begun(n, Phase::Try, 1_000), 1).await.unwrap();
    }
    for n in [2, 4] {
        it.ship(&begun(n, Phase::Confirm, 1_000).with_on_confirm(true), 1).await.unwrap();
    }
    it.reserve(&begun(5, Phase::Try, 1_000), 500).await.unwrap_err();
    it.reserve(&call(6, Phase::Try), 1).await.unwrap();
    for n in [1, 2] {
        let write = Append {
            group: group.clone(),
            id: key(n).tx,
            after: Position::START,
            entry: Entry::new(Op::from_u64(1), "from a newer version").unwrap(),
            due: Due::Keep,
            mode: Mode::Extend,
        };
        store.append(&write).await.unwrap();
    }
    let hour = Duration::from_secs(3600);
    let (mut finished, mut orphans, mut next) = (0, Vec::new(), None);
    loop {
        let page = fence.compare(&store, std::slice::from_ref(&group), hour, next.as_ref(), 2).await.unwrap();
        finished += page.finished;
        orphans.extend(page.orphans);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(finished, 2, "4 and 5");
    assert_eq!(orphans.len(), 1);
    assert_eq!((orphans[0].key, orphans[0].state), (key(3), FenceState::Tried));
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 2);
    assert!(fence.finish(&orphans[0]).await.unwrap());
    assert_eq!(fence.purge(at(2_000), 10).await.unwrap(), 1);
    let left: Vec<String> = sqlx::query_scalar("SELECT substr(tx, 1, 2) FROM tcc_fence ORDER BY tx")
        .fetch_all(&it.db)
        .await
        .unwrap();
    assert_eq!(left, ["01", "02", "06"]);
}

#[tokio::test]
async fn two_processes_may_migrate_at_once_and_a_newer_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let pools = [pool(&path).await, pool(&path).await, pool(&path).await];
    let migrating =
        pools.clone().map(|pool| tokio::spawn(async move { SqliteFence::new(pool).migrate().await }));
    for migrated in migrating {
        migrated.await.unwrap().unwrap();
    }
    sqlx::query("UPDATE tcc_schema SET version = 99").execute(&pools[0]).await.unwrap();
    let error = SqliteFence::new(pools[0].clone()).migrate().await.unwrap_err();
    assert!(error.to_string().contains("update this program"), "{error}");
}
