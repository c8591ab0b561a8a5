//! A log that somebody has overwritten by hand: its transaction is named, all others settle, and it goes on by itself
//! once its log is put right.

use std::io::Write;
use std::sync::{Arc, Mutex};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tcc_core::Filter;
use tcc_core::protocol::{Phase, TxId};
use tcc_core::store::StatusStore;
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;
use tcc_test_servers::{AppendFsync, RedisServer};

use crate::said::told;
use crate::till::{Till, builder, confirmed, pay, until};

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// From now on, until the guard goes.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    /// The last line with these words.
    fn line(&self, words: &[&str]) -> Option<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().rfind(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Three payments are decided and not settled; the log of one is overwritten, and later put right.
async fn one_of_three(
    case: &str,
    store: impl StatusStore,
    overwrite: impl AsyncFnOnce(TxId),
    mend: impl AsyncFnOnce(TxId),
    why: &str,
) {
    let (logged, _guard) = Logged::begin();
    let till = Arc::new(Till::default());
    let tcc = builder(store, &till).start().await.unwrap();
    let mut ids = Vec::new();
    for customer in ["ann", "bob", "cleo"] {
        till.close(customer);
        ids.push(pay(&tcc, customer).await.unwrap());
    }
    let damaged = ids[1];
    overwrite(damaged).await;

    // An operator finds it, and the log names it.
    until(async || tcc.operator().list(&Filter::new(), None, 10).await.unwrap().unreadable.len() == 1).await;
    let listed = tcc.operator().list(&Filter::new(), None, 10).await.unwrap().unreadable.remove(0);
    assert_eq!(listed.id, damaged);
    told(&format!("{case}, as it is listed"), &listed.why, &[why]);
    let id = damaged.to_string();
    until(async || logged.line(&["a log can't be read", &id]).is_some()).await;
    let line = logged.line(&["a log can't be read", &id]).unwrap();
    let line = line.split_once("ERROR").unwrap_or_else(|| panic!("no error: {line}")).1.trim();
    told(
        &format!("{case}, as it is logged"),
        line,
        &["nothing is done with this transaction until that is put right", why],
    );

    // The others settle, and new ones come and go.
    till.open();
    for other in [ids[0], ids[2]] {
        confirmed(&tcc, other).await;
    }
    let dora = pay(&tcc, "dora").await.unwrap();
    confirmed(&tcc, dora).await;
    assert_eq!(till.served("bob"), [Phase::Try], "nothing is guessed");

    mend(damaged).await;
    confirmed(&tcc, damaged).await;
    assert_eq!(till.served("bob"), [Phase::Try, Phase::Confirm]);
    until(async || tcc.operator().stats().await.unwrap().unfinished == 0).await;
    tcc.shutdown().await;
}

fn redis() -> RedisServer {
    RedisServer::builder().append_only(AppendFsync::Always).start()
}

fn key(id: TxId) -> String {
    format!("{{tcc:shop:0}}:{id}")
}

#[tokio::test]
async fn a_whole_log_on_redis() {
    let server = redis();
    let store = RedisStore::connect(server.url()).await.unwrap();
    let kept = Mutex::new(String::new());
    let overwrite = async |id: TxId| {
        *kept.lock().unwrap() = server.command(&["GET", &key(id)]).unwrap();
        server.command(&["SET", &key(id), "who wrote this?"]).unwrap();
    };
    let mend = async |id: TxId| {
        let kept = kept.lock().unwrap().clone();
        server.command(&["SET", &key(id), &kept]).unwrap();
    };
    one_of_three("a log overwritten on Redis", store, overwrite, mend, "its last line is cut off").await;
}

#[tokio::test]
async fn an_entry_on_redis() {
    let server = redis();
    let store = RedisStore::connect(server.url()).await.unwrap();
    let first = Mutex::new(String::new());
    let overwrite = async |id: TxId| {
        let log = server.command(&["GET", &key(id)]).unwrap();
        let (line, rest) = log.split_once(" 00000001 ").unwrap();
        *first.lock().unwrap() = line.to_owned();
        server.command(&["SET", &key(id), &format!("{{\"garbage\":1}} 00000001 {rest}")]).unwrap();
    };
    let mend = async |id: TxId| {
        // Its claims have come after it.
        let log = server.command(&["GET", &key(id)]).unwrap();
        let (_, rest) = log.split_once(" 00000001 ").unwrap();
        let first = first.lock().unwrap().clone();
        server.command(&["SET", &key(id), &format!("{first} 00000001 {rest}")]).unwrap();
    };
    one_of_three("an entry overwritten on Redis", store, overwrite, mend, "entry 1 can't be read").await;
}

/// A file, and a way past the store.
struct File(tempfile::TempDir);

impl File {
    async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.0.path().join("tcc.db").to_str().unwrap()).await.unwrap()
    }

    /// Sets a column of a transaction's first entry, and says what it was.
    async fn set(&self, column: &str, id: TxId, value: &str) -> String {
        let options = SqliteConnectOptions::new().filename(self.0.path().join("tcc.db"));
        let mut db = options.connect().await.unwrap();
        let entry = "log = (SELECT log FROM tcc_logs WHERE id = ?) AND n = 1";
        let select = format!("SELECT {column} FROM tcc_entries WHERE {entry}");
        let was = sqlx::query_scalar(sqlx::AssertSqlSafe(select)).bind(id.to_string());
        let was: String = was.fetch_one(&mut db).await.unwrap();
        let update = format!("UPDATE tcc_entries SET {column} = ? WHERE {entry}");
        let update = sqlx::query(sqlx::AssertSqlSafe(update)).bind(value).bind(id.to_string());
        update.execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        was
    }
}

async fn on_sqlite(case: &str, column: &str, why: &str) {
    let file = File(tempfile::tempdir().unwrap());
    let was = Mutex::new(String::new());
    let overwrite = async |id: TxId| {
        let before = file.set(column, id, "who wrote this?").await;
        *was.lock().unwrap() = before;
    };
    let mend = async |id: TxId| {
        let before = was.lock().unwrap().clone();
        file.set(column, id, &before).await;
    };
    one_of_three(case, file.store().await, overwrite, mend, why).await;
}

#[tokio::test]
async fn an_entry_in_a_sqlite_file() {
    on_sqlite("an entry overwritten in SQLite", "line", "entry 1 can't be read").await;
}

#[tokio::test]
async fn an_op_in_a_sqlite_file() {
    on_sqlite("an op overwritten in SQLite", "op", "has an op that is none").await;
}
