//! A fence's table is kept small: one pass, and one after the other.

use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tcc_core::protocol::{ActionName, BranchId, BranchKey, Entry, Group, Op, Phase, Position, TxId};
use tcc_core::store::{Append, Due, MemoryStore, Mode, StatusStore};
use tcc_core::testing::{Call, Fault, FaultKind, FaultStore, Rule};
use tcc_core::{Branch, Never, Settled, Tried};
use tcc_sqlx::Fenced;
use tcc_sqlx::sqlite::{SqliteFence, Tidied, Tidy};

const HOUR: Duration = Duration::from_secs(3600);

async fn fence() -> (SqlitePool, SqliteFence, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("shop.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let db = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let fence = SqliteFence::new(db.clone());
    fence.migrate().await.unwrap();
    (db, fence, folder)
}

/// Many rows of one kind, as old as is said.
async fn rows(db: &SqlitePool, first: u32, state: &str, on_confirm: bool, age: Duration) {
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1 + 1100) \
         INSERT INTO tcc_fence (tx, branch, action, state, on_confirm, begun_ms) \
         SELECT printf('%032x', i), 0, 'inventory.reserve', ?2, ?3, \
                CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?4 FROM n",
    )
    .bind(first)
    .bind(state)
    .bind(on_confirm)
    .bind(age.as_millis() as i64)
    .execute(db)
    .await
    .unwrap();
}

async fn count(db: &SqlitePool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM tcc_fence").fetch_one(db).await.unwrap()
}

fn group() -> [Group; 1] {
    [Group::new("shop").unwrap()]
}

#[tokio::test]
async fn a_pass_removes_all_that_may_go_and_shows_what_may_not() {
    let (db, fence, _folder) = fence().await;
    rows(&db, 10_000, "confirmed", false, 25 * HOUR).await;
    rows(&db, 20_000, "cancelled", true, 25 * HOUR).await; // compared first
    rows(&db, 30_000, "confirmed", true, 2 * HOUR).await; // compared, and too young to go
    rows(&db, 40_000, "tried", false, HOUR / 2).await; // too young for anything
    rows(&db, 50_000, "tried", false, 25 * HOUR).await; // orphans
    let tidied = fence.tidy(&MemoryStore::new(), &group(), &Tidy::default()).await.unwrap();
    assert_eq!((tidied.finished, tidied.purged, tidied.orphans.len()), (2_200, 2_200, 1_100));
    assert_eq!(count(&db).await, 3_300);
    let again = fence.tidy(&MemoryStore::new(), &group(), &Tidy::default()).await.unwrap();
    assert_eq!((again.finished, again.purged, again.orphans.len()), (0, 0, 1_100));

    // A try that is older than all that is an error; one that begins now is not.
    let call = |age: Duration| {
        let key = BranchKey::new(TxId::from_bytes([7; 16]), BranchId::new(0));
        #[expect(clippy::disallowed_methods, reason = "begin times are of wall clocks")]
        let begun = std::time::SystemTime::now() - age;
        let begun = begun.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        Branch::new(key, ActionName::new("inventory.reserve").unwrap(), Phase::Try)
            .with_begun_ms(begun.as_millis() as u64)
    };
    let late: Tried<u8, Never> = call(26 * HOUR).fenced(&db, async |_| Ok(1)).await;
    let Err(tcc_core::TryFailure::Unknown(error)) = &late else { panic!("{late:?}") };
    assert!(matches!(error.downcast_ref(), Some(tcc_sqlx::FenceError::BeforeHorizon { .. })), "{error}");
    let now: Tried<u8, Never> = call(Duration::ZERO).fenced(&db, async |_| Ok(1)).await;
    assert!(matches!(now, Ok(1)), "{now:?}");
    let done: Settled = call(Duration::ZERO).fenced(&db, async |_| Ok(())).await;
    assert!(done.is_err(), "a try's call answers as a try");
}

#[tokio::test]
async fn a_fence_is_kept_tidy_pass_after_pass() {
    let (db, fence, _folder) = fence().await;
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults();
    let how = Tidy::every(Duration::from_millis(20));
    let tidy = tokio::spawn(async move { fence.keep_tidy(&store, &group(), how).await });
    // Whatever is old goes: what comes after the first pass, and what was there when passes failed.
    for round in 1..=3 {
        rows(&db, 10_000, "confirmed", false, 25 * HOUR).await;
        gone(&db).await;
        let struck = faults.struck(FaultKind::Unavailable);
        faults.add(Rule::new(Fault::Unavailable).on(Call::Read).always());
        rows(&db, 20_000, "confirmed", true, 25 * HOUR).await;
        for _ in 0..2_000 {
            if faults.struck(FaultKind::Unavailable) >= struck + 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(faults.struck(FaultKind::Unavailable) >= struck + 2, "no two passes failed in round {round}");
        assert_eq!(count(&db).await, 1_100);
        faults.clear();
        gone(&db).await;
    }
    assert!(!tidy.is_finished());
    tidy.abort();
}

async fn gone(db: &SqlitePool) {
    for _ in 0..2_000 {
        if count(db).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} rows are left after ten seconds", count(db).await);
}

#[tokio::test]
async fn a_pass_over_an_empty_table_does_nothing() {
    let (_db, fence, _folder) = fence().await;
    let tidied = fence.tidy(&MemoryStore::new(), &group(), &Tidy::default()).await.unwrap();
    assert_eq!(tidied, Tidied::default());
}

/// A row that was confirmed or refused since it was read is another row.
#[tokio::test]
async fn what_has_changed_since_it_was_read_is_not_finished() {
    let (db, fence, _folder) = fence().await;
    rows(&db, 10_000, "tried", false, 25 * HOUR).await;
    let read = fence.lasting(HOUR, None, 3).await.unwrap();
    sqlx::query("UPDATE tcc_fence SET state = 'confirmed' WHERE tx = ?")
        .bind(read[0].key.tx.to_string())
        .execute(&db)
        .await
        .unwrap();
    sqlx::query("UPDATE tcc_fence SET state = 'refused', refused_in = 'confirm' WHERE tx = ?")
        .bind(read[1].key.tx.to_string())
        .execute(&db)
        .await
        .unwrap();
    let mut finished = Vec::new();
    for row in &read {
        finished.push(fence.finish(row).await.unwrap());
    }
    assert_eq!(finished, [false, false, true]);
    let refused = fence.lasting(HOUR, None, 1).await.unwrap().remove(0);
    assert_eq!(refused.key, read[1].key);
    assert!(fence.finish(&refused).await.unwrap(), "as it is now");
}

/// Its transaction is as good as unfinished, and stays; all that has nothing to do with it goes.
#[tokio::test]
async fn a_log_that_cannot_be_read_keeps_its_own_rows_and_no_others() {
    let (db, fence, _folder) = fence().await;
    rows(&db, 10_000, "confirmed", true, 25 * HOUR).await;
    let (store, [group]) = (MemoryStore::new(), group());
    let damaged = TxId::from_bytes(10_007_u128.to_be_bytes());
    let write = Append {
        group: group.clone(),
        id: damaged,
        after: Position::START,
        entry: Entry::new(Op::from_u64(1), "not to be read").unwrap(),
        due: Due::Keep,
        mode: Mode::Extend,
    };
    store.append(&write).await.unwrap();
    assert!(store.damage(&group, damaged));
    let tidied = fence.tidy(&store, &[group], &Tidy::default()).await.unwrap();
    assert_eq!((tidied.finished, tidied.purged), (1_099, 1_099));
    let left: Vec<String> = sqlx::query_scalar("SELECT tx FROM tcc_fence").fetch_all(&db).await.unwrap();
    assert_eq!(left, [damaged.to_string()]);
}
