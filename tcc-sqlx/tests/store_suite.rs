//! The SQLite store against the contract of every store.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tcc_core::protocol::{Group, TxId};
use tcc_core::store::{Append, Due};
use tcc_core::testing::{ClockAhead, ClockBack, Damage, Metered, StoreFixture};
use tcc_sqlx::sqlite::SqliteStore;
use tokio::sync::Mutex;

struct Sqlite {
    folder: tempfile::TempDir,
    /// A connection that fills the file, and need not keep it through a crash.
    filling: Mutex<Option<SqliteConnection>>,
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.folder.path().join("tcc.db")
    }

    /// A connection past the store.
    async fn sql(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        options.busy_timeout(Duration::from_secs(20)).connect().await.expect("it connects")
    }

    /// Changes the op of a log's first entry, which names it and which no read goes without.
    async fn change_first_entry(&self, group: &Group, id: TxId, sql: &'static str) {
        let mut db = self.sql().await;
        let done = sqlx::query(sql).bind(group.as_str()).bind(id.to_string()).execute(&mut db).await;
        assert_eq!(done.expect("it is changed").rows_affected(), 1, "there is a log of {id}");
        db.close().await.expect("it closes");
    }

    /// The host's clock comes into the store's only by its sum with `ahead_ms`: to move the one is to move the other.
    async fn move_clock(&self, millis: i64) {
        let mut db = self.sql().await;
        let moved =
            sqlx::query("UPDATE tcc_clock SET ahead_ms = ahead_ms + ?").bind(millis).execute(&mut db).await;
        assert_eq!(moved.expect("it is moved").rows_affected(), 1);
        db.close().await.expect("it closes");
    }
}

#[async_trait]
impl StoreFixture for Sqlite {
    type Store = SqliteStore;

    async fn start() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder for a test"), filling: Mutex::new(None) }
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path().to_str().expect("its path is text")).await.expect("it opens")
    }
}

#[async_trait]
impl Damage for Sqlite {
    async fn damage(&self, group: &Group, id: TxId) {
        let sql = "UPDATE tcc_entries SET op = 'x' || op WHERE substr(op, 1, 1) <> 'x' AND (log, n) = \
             (SELECT log, min(n) FROM tcc_entries JOIN tcc_logs USING (log) WHERE grp = ? AND id = ?)";
        self.change_first_entry(group, id, sql).await;
    }

    async fn mend(&self, group: &Group, id: TxId) {
        let sql = "UPDATE tcc_entries SET op = substr(op, 2) WHERE substr(op, 1, 1) = 'x' AND (log, n) = \
             (SELECT log, min(n) FROM tcc_entries JOIN tcc_logs USING (log) WHERE grp = ? AND id = ?)";
        self.change_first_entry(group, id, sql).await;
    }
}

#[async_trait]
impl ClockAhead for Sqlite {
    async fn set_ahead(&self, by: Duration) {
        self.move_clock(by.as_millis() as i64).await;
    }
}

#[async_trait]
impl ClockBack for Sqlite {
    async fn set_back(&self, by: Duration) {
        self.move_clock(-(by.as_millis() as i64)).await;
    }
}

/// Its work is the time that passes in a call: SQLite runs in this process.
#[async_trait]
impl Metered for Sqlite {
    async fn work(&self) -> u64 {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(BEGAN.elapsed().as_nanos()).expect("a test lasts no centuries")
    }

    /// A few statements for ten thousand logs, where the store takes two for each.
    async fn fill(&self, begins: &[Append]) -> bool {
        let rows: Vec<String> = begins
            .iter()
            .map(|write| {
                let wait = match write.due {
                    Due::In(wait) => wait.as_millis(),
                    Due::Keep | Due::Never { .. } => 0,
                };
                let line = write.entry.line().replace('\\', "\\\\").replace('"', "\\\"");
                format!("[\"{}\",\"{}\",\"{}\",{wait},\"{line}\"]", write.group, write.id, write.entry.op())
            })
            .collect();
        let rows = format!("[{}]", rows.join(","));
        let mut filling = self.filling.lock().await;
        if filling.is_none() {
            let options =
                SqliteConnectOptions::new().filename(self.path()).synchronous(SqliteSynchronous::Off);
            let options = options.pragma("cache_size", "-500000").pragma("wal_autocheckpoint", "0");
            *filling = Some(options.connect().await.expect("it connects"));
        }
        let db = filling.as_mut().expect("it was made above");
        let mut tx = db.begin_with("BEGIN IMMEDIATE").await.expect("it begins");
        for sql in [
            "INSERT INTO tcc_logs (grp, id, appended, last_op, due_ms) \
             SELECT value->>0, value->>1, 1, value->>2, (SELECT ms FROM tcc_now) + (value->>3) FROM json_each(?)",
            "INSERT INTO tcc_entries (log, n, op, line) \
             SELECT log, 1, value->>2, value->>4 FROM json_each(?) JOIN tcc_logs ON (grp, tcc_logs.id) = (value->>0, value->>1)",
        ] {
            let done = sqlx::query(sql).bind(&rows).execute(&mut *tx).await.expect("it is filled");
            assert_eq!(done.rows_affected(), begins.len() as u64);
        }
        tx.commit().await.expect("it is kept");
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(db).await.expect("the log is emptied");
        true
    }
}

tcc_core::testing::store_suite!(Sqlite: Damage + ClockAhead + ClockBack + Metered);
