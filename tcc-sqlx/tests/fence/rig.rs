//! What these tests share: a participant behind the fence, and calls of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tcc_core::protocol::{ActionName, BranchId, BranchKey, Phase, TxId};
use tcc_core::{ActionType, Branch, Handler, SettleError, Settled, Tried, TryFailure, refuse};
use tcc_sqlx::Fenced;
use tcc_sqlx::sqlite::SqliteFence;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) serial: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Short {
    pub(crate) available: i64,
}

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "only {} left", self.available)
    }
}

/// A participant, its database and how often each body ran.
pub(crate) struct Inventory {
    pub(crate) db: SqlitePool,
    pub(crate) runs: AtomicU32,
    pub(crate) _folder: tempfile::TempDir,
}

pub(crate) async fn pool(path: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
}

impl Inventory {
    pub(crate) async fn new(available: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = pool(&folder.path().join("shop.db")).await;
        SqliteFence::new(db.clone()).migrate().await.unwrap();
        sqlx::raw_sql("CREATE TABLE stock (available INTEGER, frozen INTEGER, shipped INTEGER)")
            .execute(&db)
            .await
            .unwrap();
        sqlx::query("INSERT INTO stock VALUES (?, 0, 0)").bind(available).execute(&db).await.unwrap();
        Self { db, runs: AtomicU32::new(0), _folder: folder }
    }

    pub(crate) async fn stock(&self) -> (i64, i64, i64) {
        sqlx::query_as("SELECT * FROM stock").fetch_one(&self.db).await.unwrap()
    }

    pub(crate) fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) async fn reserve(&self, cx: &Branch, pieces: i64) -> Tried<Hold, Short> {
        cx.fenced(&self.db, async |db| {
            let serial = i64::from(self.runs.fetch_add(1, Ordering::SeqCst)) + 1;
            // The effect first, the check after: a refusal must undo it.
            sqlx::query("UPDATE stock SET available = available - ?1, frozen = frozen + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            let left: i64 = sqlx::query_scalar("SELECT available FROM stock").fetch_one(&mut *db).await?;
            if left < 0 {
                return refuse(Short { available: left + pieces });
            }
            Ok(Hold { serial })
        })
        .await
    }

    pub(crate) async fn ship(&self, cx: &Branch, pieces: i64) -> Settled {
        cx.fenced(&self.db, async |db| {
            self.runs.fetch_add(1, Ordering::SeqCst);
            sqlx::query("UPDATE stock SET frozen = frozen - ?1, shipped = shipped + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn release(&self, cx: &Branch, pieces: i64) -> Settled {
        cx.fenced(&self.db, async |db| {
            self.runs.fetch_add(1, Ordering::SeqCst);
            sqlx::query("UPDATE stock SET frozen = frozen - ?1, available = available + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    /// A confirm or cancel that has an effect, then says never.
    pub(crate) async fn never(&self, cx: &Branch) -> Settled {
        cx.fenced(&self.db, async |db| {
            self.runs.fetch_add(1, Ordering::SeqCst);
            sqlx::query("UPDATE stock SET shipped = 99").execute(&mut *db).await?;
            Err(SettleError::refuse("the account is closed"))
        })
        .await
    }
}

pub(crate) struct Reserve;

impl ActionType for Reserve {
    const NAME: &'static str = "inventory.reserve";
    type Request = i64;
    type Output = Hold;
    type Error = Short;
}

/// That this compiles is the test: the futures of `cx.fenced` are `Send` in a `Handler`.
impl Handler<Reserve> for Inventory {
    async fn r#try(&self, cx: &Branch, pieces: i64) -> Tried<Hold, Short> {
        self.reserve(cx, pieces).await
    }

    async fn confirm(&self, cx: &Branch, pieces: i64, hold: Hold) -> Settled {
        let note = format!("hold {}", hold.serial);
        cx.fenced(&self.db, async |db| {
            assert!(!note.is_empty());
            sqlx::query("UPDATE stock SET frozen = frozen - ?1, shipped = shipped + ?1")
                .bind(pieces)
                .execute(&mut *db)
                .await?;
            let _: u8 = "7".parse()?;
            Ok(())
        })
        .await
    }

    async fn cancel(&self, cx: &Branch, pieces: i64, _: Option<Hold>) -> Settled {
        self.release(cx, pieces).await
    }
}

pub(crate) fn key(n: u8) -> BranchKey {
    BranchKey::new(TxId::from_bytes([n; 16]), BranchId::new(1))
}

pub(crate) fn call(n: u8, phase: Phase) -> Branch {
    #[expect(clippy::disallowed_methods, reason = "begin times are of wall clocks")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Branch::new(key(n), ActionName::new("inventory.reserve").unwrap(), phase)
        .with_begun_ms(now.as_millis() as u64)
}

pub(crate) fn refused(answer: Settled) -> String {
    match answer {
        Err(SettleError::Refused(why)) => why,
        other => panic!("{other:?} is no refusal"),
    }
}

pub(crate) fn too_late(answer: Tried<Hold, Short>) {
    assert!(matches!(answer, Err(TryFailure::TooLate)), "{answer:?}");
}

/// A call of a transaction that began then.
pub(crate) fn begun(n: u8, phase: Phase, ms: u64) -> Branch {
    call(n, phase).with_begun_ms(ms)
}

pub(crate) fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}
