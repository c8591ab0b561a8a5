//! What these tests share: an account behind a SQLite fence, Redis as a test sees it, and a coordinator over both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tcc_core::protocol::{Group, TxId};
use tcc_core::store::StatusStore;
use tcc_core::{
    ActionType, Backoff, Branch, BranchError, Builder, Coordinator, Handler, Never, Registry, Service,
    SettleError, Settled, TransactionError, Tried,
};
use tcc_sqlx::Fenced;
use tcc_sqlx::sqlite::SqliteFence;
use tcc_test_servers::RedisServer;

pub(crate) const GROUP: &str = "peers";
/// What must happen has happened by then, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn group() -> Group {
    Group::new(GROUP).unwrap()
}

/// A coordinator with times that make a test short.
pub(crate) fn coordinator(store: impl StatusStore) -> Builder {
    Coordinator::builder(GROUP, store)
        .lease(Duration::from_millis(400))
        .backoff(Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(100) })
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Amount {
    pub(crate) cents: i64,
    /// Confirm and cancel fail until [`Account::up`]; or not.
    pub(crate) waits: bool,
    /// What else a request may carry.
    pub(crate) text: String,
}

pub(crate) fn cents(cents: i64) -> Amount {
    Amount { cents, waits: false, text: String::new() }
}

/// Puts money aside.
pub(crate) struct Freeze;

impl ActionType for Freeze {
    const NAME: &'static str = "account.freeze";
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(2));
    const TRIES: u32 = 3;
    type Request = Amount;
    type Output = i64;
    type Error = Never;
}

/// An account behind a fence.
pub(crate) struct Account {
    pub(crate) db: SqlitePool,
    pub(crate) up: AtomicBool,
    _folder: tempfile::TempDir,
}

impl Account {
    pub(crate) async fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Nobody cuts the power here: it need not wait for the disk.
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("account.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off);
        let db = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
        SqliteFence::new(db.clone()).migrate().await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE account (frozen INTEGER, paid INTEGER); INSERT INTO account VALUES (0, 0)",
        )
        .execute(&db)
        .await
        .unwrap();
        Arc::new(Self { db, up: AtomicBool::new(false), _folder: folder })
    }

    /// What is frozen, and what is paid.
    pub(crate) async fn books(&self) -> (i64, i64) {
        sqlx::query_as("SELECT frozen, paid FROM account").fetch_one(&self.db).await.unwrap()
    }

    async fn change(&self, cx: &Branch, request: &Amount, sql: &'static str) -> Settled {
        if request.waits && !self.up.load(Ordering::SeqCst) {
            return Err(SettleError::Later("it is down".into()));
        }
        cx.fenced(&self.db, async |db| {
            sqlx::query(sql).bind(request.cents).execute(&mut *db).await?;
            Ok(())
        })
        .await
    }
}

impl Handler<Freeze> for Account {
    async fn r#try(&self, cx: &Branch, request: Amount) -> Tried<i64, Never> {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE account SET frozen = frozen + ?")
                .bind(request.cents)
                .execute(&mut *db)
                .await?;
            // How much is frozen then: a repeat that ran once more would answer something else.
            Ok(sqlx::query_scalar("SELECT frozen FROM account").fetch_one(&mut *db).await?)
        })
        .await
    }

    async fn confirm(&self, cx: &Branch, request: Amount, _: i64) -> Settled {
        self.change(cx, &request, "UPDATE account SET frozen = frozen - ?1, paid = paid + ?1").await
    }

    async fn cancel(&self, cx: &Branch, request: Amount, _: Option<i64>) -> Settled {
        self.change(cx, &request, "UPDATE account SET frozen = frozen - ?1").await
    }
}

impl Service for Account {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Freeze, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error("the body's own")]
    Own,
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn ask(server: &RedisServer, command: &[&str]) -> String {
    server.command(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// A number of the server's `INFO`.
pub(crate) fn info(server: &RedisServer, section: &str, field: &str) -> u64 {
    let text = ask(server, &["INFO", section]);
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no {field} in {text}"))
}

/// How long a key has still to live, in milliseconds; -1 for ever, -2 if there is none.
pub(crate) fn ttl(server: &RedisServer, key: &str) -> i64 {
    ask(server, &["PTTL", key]).parse().unwrap()
}

/// The key of a log.
pub(crate) fn key(id: TxId) -> String {
    format!("{{tcc:{GROUP}:0}}:{id}")
}

/// The due index.
pub(crate) fn due() -> String {
    format!("{{tcc:{GROUP}:0}}:due")
}
