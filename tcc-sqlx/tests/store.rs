//! What is the SQLite store's own: processes that are killed, files that can't be used, its clock.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tcc_core::protocol::{Entry, Group, Op, Position, TxId};
use tcc_core::store::{Append, Claim, Due, DueAge, Mode, Query, Retain, Select, StatusStore, StoreError};
use tcc_sqlx::sqlite::{OpenError, SqliteStore};

const HOUR: Duration = Duration::from_secs(3600);

fn group() -> Group {
    Group::new("shop").unwrap()
}

fn entry(n: u64) -> Entry {
    Entry::new(Op::from_u64(n), format!("{{\"n\":{n}}}")).unwrap()
}

fn id(n: u128) -> TxId {
    TxId::from_bytes(n.to_be_bytes())
}

fn append(id: TxId, after: Position, n: u64) -> Append {
    Append { group: group(), id, after, entry: entry(n), due: Due::Keep, mode: Mode::Extend }
}

fn claim(n: u64, limit: usize) -> Claim {
    Claim { group: group(), entry: entry(n), lease: HOUR, limit }
}

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tcc.db")
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path().to_str().unwrap()).await.unwrap()
    }

    /// A connection past the store.
    async fn sql(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }

    async fn execute(&self, sql: &'static str) {
        let mut db = self.sql().await;
        sqlx::query(sql).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(error @ StoreError::Unavailable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn memory_is_no_file() {
    for file in ["sqlite::memory:", ":memory:", "sqlite:", "", "sqlite:x.db?mode=memory", "sqlite://:memory:"]
    {
        let error = SqliteStore::open(file).await.unwrap_err();
        assert!(matches!(error, OpenError::InMemory { .. }), "{file}: {error}");
        assert!(error.to_string().contains("MemoryStore"), "{error}");
    }
    let error = SqliteStore::open("sqlite:x.db?cache=shared").await.unwrap_err();
    assert!(matches!(error, OpenError::Parameter { .. }), "{error}");
}

#[tokio::test]
async fn both_forms_of_address_name_the_same_file() {
    let file = File::new();
    let store = file.open().await;
    store.append(&append(id(1), Position::START, 1)).await.unwrap();
    for prefix in ["sqlite:", "sqlite://"] {
        let address = format!("{prefix}{}?mode=rw", file.path().display());
        let other = SqliteStore::open(&address).await.unwrap();
        assert!(other.read(&group(), id(1)).await.unwrap().is_some(), "{address}");
    }
    let missing = format!("sqlite:{}?mode=rw", file.folder.path().join("other.db").display());
    assert!(SqliteStore::open(missing).await.is_err());
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let file = File::new();
    file.open().await.close().await;
    file.execute("UPDATE tcc_schema SET version = 7").await;
    let error = SqliteStore::open(file.path().to_str().unwrap()).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("version 7") && cause.contains("update this program"), "{cause}");
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let file = File::new();
    std::fs::write(file.path(), "a shopping list, not a database; long enough for a header".repeat(20))
        .unwrap();
    let error = SqliteStore::open(file.path().to_str().unwrap()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    let nowhere = file.folder.path().join("no/such/folder/tcc.db");
    let error = SqliteStore::open(nowhere.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoFolder { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_a_new_file_at_once() {
    // Often, as it is a race: without a retry in `open`, one in some sixty failed.
    for _ in 0..40 {
        let file = File::new();
        let path = file.path();
        let opening = (0..8).map(|n| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
                store.append(&append(id(n), Position::START, 1)).await.unwrap();
            })
        });
        for opened in opening.collect::<Vec<_>>() {
            opened.await.unwrap();
        }
        assert_eq!(file.open().await.stats(&group()).await.unwrap().unfinished, 8);
    }
}

#[tokio::test]
async fn check_tells_what_is_wrong_and_how_to_mend_it() {
    let file = File::new();
    let store = file.open().await;
    let readiness = store.check().await.unwrap();
    assert!(readiness.errors.is_empty() && readiness.warnings.is_empty(), "{readiness:?}");

    let read_only = SqliteStore::open(format!("sqlite:{}?mode=ro", file.path().display())).await.unwrap();
    let errors = read_only.check().await.unwrap().errors;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].mend.contains("mode=ro"), "{errors:?}");
    let answer = read_only.append(&append(id(1), Position::START, 1)).await;
    assert!(unavailable(answer).contains("readonly"));
    read_only.close().await;
    store.close().await;

    file.execute("PRAGMA journal_mode = DELETE").await;
    let read_only = SqliteStore::open(format!("sqlite:{}?mode=ro", file.path().display())).await.unwrap();
    let errors = read_only.check().await.unwrap().errors;
    assert!(errors.iter().any(|error| error.what.contains("journal mode")), "{errors:?}");
}

#[tokio::test]
async fn a_busy_file_is_unavailable_and_nothing_is_applied() {
    let file = File::new();
    let store = SqliteStore::builder(file.path().to_str().unwrap())
        .busy_timeout(Duration::from_millis(20))
        .open()
        .await
        .unwrap();
    let mut other = file.sql().await;
    let tx = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let said = unavailable(store.append(&append(id(1), Position::START, 1)).await);
    assert!(said.contains("write lock"), "{said}");
    tx.rollback().await.unwrap();
    assert_eq!(store.read(&group(), id(1)).await.unwrap(), None);
    store.append(&append(id(1), Position::START, 1)).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_the_store_goes_on_after_it() {
    let file = File::new();
    let store = file.open().await;
    let start = Position::START;
    store.append(&append(id(1), start, 1)).await.unwrap();
    // SQLite ends the transaction by itself here, which leaves sqlx counting one that is not there.
    file.execute(
        "CREATE TRIGGER full BEFORE INSERT ON tcc_entries WHEN NEW.line LIKE '%\"n\":13%' \
                  BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END",
    )
    .await;
    let writes = [append(id(2), start, 2), append(id(3), start, 13), append(id(4), start, 4)];
    for answer in store.append_all(&writes).await {
        unavailable(answer);
    }
    assert_eq!(store.read(&group(), id(2)).await.unwrap(), None);
    store.append(&append(id(1), start.then(Op::from_u64(1)), 5)).await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_failed_commit_is_ambiguous() {
    let file = File::new();
    let store = file.open().await;
    // A deferred constraint is looked at by the commit itself.
    for sql in [
        "CREATE TABLE parent (n INTEGER PRIMARY KEY)",
        "CREATE TABLE child (n INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER broken AFTER INSERT ON tcc_entries WHEN NEW.line LIKE '%\"n\":13%' \
         BEGIN INSERT INTO child VALUES (1); END",
    ] {
        file.execute(sql).await;
    }
    let writes = [append(id(1), Position::START, 1), append(id(2), Position::START, 13)];
    for answer in store.append_all(&writes).await {
        assert!(matches!(answer, Err(StoreError::Ambiguous { .. })), "{answer:?}");
    }
    assert_eq!(store.read(&group(), id(1)).await.unwrap(), None);
    store.append(&append(id(1), Position::START, 1)).await.unwrap();
}

#[tokio::test]
async fn one_bad_write_spoils_no_other() {
    let file = File::new();
    let store = file.open().await;
    let start = Position::START;
    store.append(&append(id(1), start, 1)).await.unwrap();
    let first = start.then(Op::from_u64(1));
    let answers = store
        .append_all(&[
            append(id(1), first, 2),
            append(id(1), first, 3),
            append(id(2), first, 4),
            append(id(3), start, 5),
            append(id(3), start.then(Op::from_u64(5)), 6),
            append(id(1), Position { entries: 2, op: Op::from_u64(3) }, 7),
            append(id(1), Position { entries: u32::MAX, op: Op::from_u64(3) }, 8),
            append(id(3), start.then(Op::from_u64(5)), 6),
        ])
        .await;
    assert!(
        matches!(
            &answers[..],
            [
                Ok(()),
                Err(StoreError::Conflict { .. }),
                Err(StoreError::NotFound { .. }),
                Ok(()),
                Ok(()),
                Err(StoreError::Conflict { .. }),
                Err(_),
                Ok(())
            ]
        ),
        "{answers:?}"
    );
    assert_eq!(store.read(&group(), id(1)).await.unwrap().unwrap().entries(), [entry(1), entry(2)]);
    assert_eq!(store.read(&group(), id(3)).await.unwrap().unwrap().entries(), [entry(5), entry(6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_leaves_no_transaction_open() {
    let file = File::new();
    let store = file.open().await;
    let other = file.open().await;
    let writes: Vec<_> = (0..50).map(|n| append(id(n), Position::START, 1)).collect();
    for polls in 0..120 {
        {
            let mut call = std::pin::pin!(store.append_all(&writes));
            for _ in 0..polls {
                if futures_util::poll!(&mut call).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // Another process gets the write lock at once: nobody holds it for good.
        other.append(&append(id(1000 + polls), Position::START, 1)).await.unwrap();
    }
    // What was dropped was done as a whole or not at all.
    let done = store.stats(&group()).await.unwrap().unfinished;
    assert!(done == 120 || done == 170, "{done}");
    for answer in store.append_all(&writes).await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn damaged_logs_are_named_and_in_nobodys_way() {
    let file = File::new();
    let store = file.open().await;
    let start = Position::START;
    for n in 1..=6 {
        store.append(&append(id(n), start, 1)).await.unwrap();
        store.append(&append(id(n), start.then(Op::from_u64(1)), 2)).await.unwrap();
    }
    for sql in [
        "DELETE FROM tcc_entries WHERE log = 1 AND n = 1",
        "DELETE FROM tcc_entries WHERE log = 2",
        "UPDATE tcc_entries SET op = 'what' WHERE log = 3 AND n = 1",
        "UPDATE tcc_entries SET line = CAST(x'ff00' AS TEXT) WHERE log = 4 AND n = 2",
        "UPDATE tcc_logs SET last_op = '0000000000000009' WHERE log = 5",
    ] {
        file.execute(sql).await;
    }
    // 1 lacks its oldest entry only: as after a replacement, so that can't be seen.
    for n in 2..=5 {
        let answer = store.read(&group(), id(n)).await;
        assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{n}: {answer:?}");
    }
    let query = Query { group: group(), select: Select::Unfinished, cursor: None, limit: 10 };
    let page = store.list(&query).await.unwrap();
    assert_eq!((page.items.len(), page.unreadable.len()), (2, 4));
    let claimed = store.claim(&claim(3, 10)).await.unwrap();
    assert_eq!(claimed.logs.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(1), id(6)]);
    assert_eq!(claimed.unreadable.iter().map(|bad| bad.id).collect::<Vec<_>>(), [id(2), id(3), id(4), id(5)]);
    // They are put off with the lease, and keep what they have.
    let again = store.claim(&claim(4, 10)).await.unwrap();
    assert!(again.logs.is_empty() && again.unreadable.is_empty(), "{again:?}");
    assert!(again.next_due.unwrap() > HOUR / 2);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM tcc_entries WHERE log = 3")
        .fetch_one(&mut file.sql().await)
        .await
        .unwrap();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn a_clock_set_back_puts_off_nothing() {
    let file = File::new();
    let store = file.open().await;
    let write = |n, due| Append { due, ..append(id(n), Position::START, 1) };
    store.append(&write(1, Due::Keep)).await.unwrap();
    store.append(&write(2, Due::In(Duration::from_millis(300)))).await.unwrap();
    // As if all had been written with a clock that was ten hours ahead, and is now set right.
    let ahead = 36_000_000_i64;
    for sql in ["UPDATE tcc_logs SET due_ms = due_ms + ?", "UPDATE tcc_clock SET seen_ms = seen_ms + ?"] {
        sqlx::query(sql).bind(ahead).execute(&mut file.sql().await).await.unwrap();
    }
    // The first stays due, and the time does not stand still until the ten hours have passed.
    #[expect(clippy::disallowed_methods, reason = "the store's clock is this machine's")]
    let began = SystemTime::now();
    let claimed = store.claim(&claim(2, 10)).await.unwrap();
    assert_eq!(claimed.logs.len(), 1);
    assert!(claimed.next_due.unwrap() <= Duration::from_millis(1500), "{:?}", claimed.next_due);
    loop {
        let claimed = store.claim(&claim(3, 10)).await.unwrap();
        if claimed.logs.iter().any(|(claimed, _)| *claimed == id(2)) {
            break;
        }
        assert!(began.elapsed().unwrap() < Duration::from_secs(20), "the store's clock stands still");
        store.due_soon(&group(), claimed.next_due.unwrap()).await;
    }
    let query = Query { group: group(), select: Select::Unfinished, cursor: None, limit: 10 };
    for listed in store.list(&query).await.unwrap().items {
        assert!(
            matches!(listed.due, DueAge::In(wait) if wait <= HOUR && wait > HOUR / 2),
            "{:?}",
            listed.due
        );
    }
}

#[tokio::test]
async fn a_clock_set_back_does_not_stand_still_while_nobody_writes() {
    let file = File::new();
    let store = file.open().await;
    let write = Append { due: Due::In(Duration::from_millis(300)), ..append(id(1), Position::START, 1) };
    store.append(&write).await.unwrap();
    // The host's clock, an hour back: it comes into the store's by this sum alone.
    file.execute("UPDATE tcc_clock SET ahead_ms = ahead_ms - 3600000").await;
    let began = std::time::Instant::now();
    while store.claim(&claim(2, 10)).await.unwrap().logs.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "the store's clock stands still");
        store.due_soon(&group(), Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_finished_is_swept_and_nothing_else() {
    let file = File::new();
    let store = file.open().await;
    let write = |n, due| Append { due, ..append(id(n), Position::START, 1) };
    let never = |time| Due::Never { retain: Retain::For(time) };
    for n in 1..=5 {
        store.append(&write(n, never(Duration::ZERO))).await.unwrap();
    }
    store.append(&write(6, never(HOUR))).await.unwrap();
    store.append(&write(7, Due::Never { retain: Retain::Forever })).await.unwrap();
    store.append(&write(8, Due::Keep)).await.unwrap();
    // An id whose retention has passed may begin anew, before any sweep.
    assert_eq!(store.read(&group(), id(1)).await.unwrap(), None);
    store.append(&append(id(1), Position::START, 9)).await.unwrap();
    assert_eq!(store.read(&group(), id(1)).await.unwrap().unwrap().entries(), [entry(9)]);
    assert_eq!(store.sweep(3).await.unwrap(), 3);
    assert_eq!(store.sweep(3).await.unwrap(), 1);
    assert_eq!(store.sweep(3).await.unwrap(), 0);
    let left: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM tcc_logs), (SELECT count(*) FROM tcc_entries)")
            .fetch_one(&mut file.sql().await)
            .await
            .unwrap();
    assert_eq!(left, (4, 4));
}

#[tokio::test]
async fn what_is_counted_is_what_is_there() {
    let file = File::new();
    let store = file.open().await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut ends: HashMap<TxId, Position> = HashMap::new();
    for n in 1..600 {
        let group = Group::new(["shop", "mail"][random.usize(..2)]).unwrap();
        let id = id(random.u128(..40) << 1 | u128::from(group.as_str() == "mail"));
        let after = ends.get(&id).copied().unwrap_or(Position::START);
        let due = match random.u8(..5) {
            0 => Due::Keep,
            1 => Due::In(Duration::from_secs(random.u64(..100))),
            2 => Due::Never { retain: Retain::For(HOUR) },
            3 => Due::Never { retain: Retain::For(Duration::ZERO) },
            _ => Due::Never { retain: Retain::Forever },
        };
        let mode = if random.bool() { Mode::Extend } else { Mode::Replace };
        match store.append(&Append { group, due, mode, ..append(id, after, n) }).await {
            Ok(()) => drop(ends.insert(id, after.then(Op::from_u64(n)))),
            Err(_) => drop(ends.remove(&id)), // Its retention has passed, or it was claimed: it begins anew, or never.
        }
        if n % 10 == 0 {
            store.sweep(random.usize(..5)).await.unwrap();
            store.claim(&Claim { lease: Duration::ZERO, ..claim(10_000 + n, 2) }).await.unwrap();
        }
    }
    let mut db = file.sql().await;
    for name in ["shop", "mail", "nobody"] {
        let counted: (i64, i64) = sqlx::query_as(
            "SELECT count(due_ms), count(*) - count(due_ms) - count(expires_ms) FROM tcc_logs WHERE grp = ?",
        )
        .bind(name)
        .fetch_one(&mut db)
        .await
        .unwrap();
        let stats = store.stats(&Group::new(name).unwrap()).await.unwrap();
        assert_eq!((stats.unfinished as i64, stats.kept as i64), counted, "{name}");
        assert!(name == "nobody" || counted.0 > 3 && counted.1 > 3, "{name}: {counted:?}");
    }
    // A file of the version before counts what it holds when it is opened.
    store.close().await;
    let before =
        SqliteStore::open(file.path().to_str().unwrap()).await.unwrap().stats(&group()).await.unwrap();
    for sql in [
        "DROP TRIGGER tcc_count_begun",
        "DROP TRIGGER tcc_count_moved",
        "DROP TRIGGER tcc_count_gone",
        "DROP TABLE tcc_counts",
        "UPDATE tcc_schema SET version = 1 WHERE part = 'store'",
    ] {
        file.execute(sql).await;
    }
    let after = file.open().await.stats(&group()).await.unwrap();
    assert_eq!((after.unfinished, after.kept), (before.unfinished, before.kept));
}

#[tokio::test]
async fn work_that_is_due_is_found_by_an_index() {
    let file = File::new();
    file.open().await.close().await;
    let mut db = file.sql().await;
    for (sql, index) in [
        (
            "SELECT log, id FROM tcc_logs WHERE grp = 'g' AND due_ms <= 1 ORDER BY due_ms, id LIMIT 5",
            "tcc_logs_due",
        ),
        ("SELECT min(due_ms) FROM tcc_logs WHERE grp = 'g' AND due_ms IS NOT NULL", "tcc_logs_due"),
        (
            "SELECT log FROM tcc_logs WHERE grp = 'g' AND due_ms IS NOT NULL AND (due_ms, id) > (1, 'a') \
             ORDER BY due_ms, id LIMIT 5",
            "tcc_logs_due",
        ),
        (
            "SELECT log FROM tcc_logs WHERE grp = 'g' AND due_ms IS NULL AND expires_ms IS NULL AND id > 'a' \
             ORDER BY id LIMIT 5",
            "tcc_logs_kept",
        ),
        (
            "SELECT log FROM tcc_logs WHERE expires_ms <= 1 ORDER BY expires_ms, log LIMIT 5",
            "tcc_logs_expiring",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&mut db)
                .await
                .unwrap();
        let plan = plan.into_iter().map(|row| row.3).collect::<Vec<_>>().join("; ");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

/// What this binary does when it is started by itself as a child process.
const CHILD: &str = "TCC_SQLX_TEST_CHILD";

fn child(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{role}={}", path.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Does nothing, unless it is the child of another test.
#[tokio::test(flavor = "multi_thread")]
async fn child_process() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (role, path) = task.split_once('=').unwrap();
    let store = std::sync::Arc::new(SqliteStore::open(path).await.unwrap());
    match role {
        "write" => {
            let writers = (0..4).map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    // Until it is killed: batches of begins, each followed by an entry.
                    for round in 0.. {
                        let ids = (0..8).map(|n| id(writer << 64 | round << 8 | n));
                        let begins: Vec<_> = ids.clone().map(|id| append(id, Position::START, 1)).collect();
                        let end = Position::START.then(Op::from_u64(1));
                        let follows: Vec<_> = ids.map(|id| append(id, end, 2)).collect();
                        for writes in [begins, follows] {
                            let answers = store.append_all(&writes).await;
                            for (write, answer) in writes.iter().zip(answers) {
                                answer.unwrap();
                                say(format_args!("{} {}", write.id, write.after.entries + 1));
                            }
                        }
                    }
                })
            });
            for writer in writers.collect::<Vec<_>>() {
                writer.await.unwrap();
            }
        }
        "claim" => {
            say(format_args!("ready"));
            let mut line = String::new();
            let op = u64::from(std::process::id());
            let claim = Claim { entry: entry(op), ..claim(op, 7) };
            let _ = std::io::stdin().read_line(&mut line);
            loop {
                let claimed = store.claim(&claim).await.unwrap();
                for (id, _) in &claimed.logs {
                    say(format_args!("{id} 2"));
                }
                if claimed.logs.is_empty() {
                    break;
                }
            }
        }
        role => panic!("{role}"),
    }
}

/// Writes a line to the parent, past the capture of the test harness, whole and at once.
fn say(what: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    std::io::stdout().write_all(format!("> {what}\n").as_bytes()).unwrap();
}

/// The `> id entries` lines of a child, as they come.
fn heard(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.split_once("> ").map(|(_, said)| said.to_owned()))
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let file = File::new();
    let mut acknowledged: HashMap<TxId, u32> = HashMap::new();
    for round in 0..5 {
        let path = file.path();
        let mut writer = child("write", &path);
        let said = heard(&mut writer);
        for (count, line) in said.enumerate() {
            if count == 300 + round * 97 {
                writer.kill().unwrap(); // SIGKILL
            }
            let (id, entries) = line.split_once(' ').unwrap();
            let (id, entries): (TxId, u32) = (id.parse().unwrap(), entries.parse().unwrap());
            let known = acknowledged.entry(id).or_default();
            *known = entries.max(*known);
        }
        assert!(!writer.wait().unwrap().success(), "it was killed");

        let store = file.open().await;
        for (&id, &entries) in &acknowledged {
            let log = store.read(&group(), id).await.unwrap();
            let found = log.as_ref().map_or(0, |log| log.position().entries);
            assert!(found >= entries, "round {round}: {id} has {found} entries, {entries} were acknowledged");
        }
        let ok: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file.sql().await).await.unwrap();
        assert_eq!(ok, "ok");
        // The next child begins anew: its first ids would be in the way.
        sqlx::query("DELETE FROM tcc_entries").execute(&mut file.sql().await).await.unwrap();
        sqlx::query("DELETE FROM tcc_logs").execute(&mut file.sql().await).await.unwrap();
        assert!(acknowledged.len() > 100);
        acknowledged.clear();
    }
}

#[tokio::test]
async fn two_processes_never_share_a_claim() {
    let file = File::new();
    let store = file.open().await;
    let writes: Vec<_> = (0..500).map(|n| append(id(n), Position::START, 1)).collect();
    assert!(store.append_all(&writes).await.iter().all(Result::is_ok));
    let path = file.path();
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            let mut command = child("claim", &path);
            let mut said = heard(&mut command);
            assert_eq!(said.next().as_deref(), Some("ready"));
            (command, said)
        })
        .collect();
    // All at once, now that all are ready.
    for (child, _) in &mut children {
        drop(child.stdin.take());
    }
    let mut claimed = HashMap::new();
    for (child, said) in &mut children {
        for line in said {
            let twice = claimed.insert(line.clone(), child.id());
            assert_eq!(twice, None, "{line} was handed out twice");
        }
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(claimed.len(), 500);
    for write in &writes {
        assert_eq!(store.read(&group(), write.id).await.unwrap().unwrap().entries().len(), 2);
    }
}
