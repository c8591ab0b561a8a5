//! What a server and a file hold, byte by byte: a release that keeps logs otherwise is noticed, and has to read these.

use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;
use tcc_test_servers::RedisServer;

use crate::files;
use crate::on_real_time;
use crate::settled::{group, settle_all};

const REDIS: &str = "stores/redis-1.jsonl";
const SQLITE: &str = "stores/sqlite-2.sql";
/// The one before: it lacks what counts the logs of a group.
const SQLITE_1: &str = "stores/sqlite-1.sql";

/// All that a server holds, as commands that bring it back: one a line, as a JSON list.
fn redis_dump(server: &RedisServer) -> Vec<Vec<String>> {
    let ask = |command: &[&str]| server.command(command).unwrap();
    let list = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut keys = list(ask(&["KEYS", "*"]));
    keys.sort();
    let mut commands = Vec::new();
    for key in keys {
        match &*ask(&["TYPE", &key]) {
            "string" => {
                commands.push(vec!["SET".to_owned(), key.clone(), ask(&["GET", &key])]);
                let left = ask(&["PTTL", &key]);
                if left != "-1" {
                    commands.push(vec!["PEXPIRE".to_owned(), key, left]);
                }
            }
            "zset" => {
                for member in list(ask(&["ZRANGE", &key, "0", "-1"])) {
                    let score = ask(&["ZSCORE", &key, &member]);
                    commands.push(vec!["ZADD".to_owned(), key.clone(), score, member]);
                }
            }
            other => panic!("{key} is a {other}: how is that dumped?"),
        }
    }
    commands
}

/// Without what differs from run to run: times.
fn without_times(commands: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut commands = commands.to_vec();
    for command in &mut commands {
        match &*command[0] {
            "PEXPIRE" => command[2] = "some time".to_owned(),
            "ZADD" if command[1].ends_with(":due") => command[2] = "some time".to_owned(),
            _ => {}
        }
    }
    commands.sort();
    commands
}

#[test]
fn what_redis_holds_is_laid_out_as_it_was_and_is_settled() {
    let (written, restored) = (RedisServer::start(), RedisServer::start());
    let logs = files::logs("logs/v1");
    on_real_time(async {
        let store = RedisStore::connect(written.url()).await.unwrap();
        files::append(&store, &group(), &logs).await;
    });
    let now = redis_dump(&written);
    if files::blessing() && !files::folder().join(REDIS).exists() {
        let lines: String =
            now.iter().map(|command| serde_json::to_string(command).unwrap() + "\n").collect();
        std::fs::write(files::folder().join(REDIS), lines).unwrap();
    }
    let stored: Vec<Vec<String>> =
        files::read(REDIS).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(stored.len() > 2 * logs.len(), "a key and an index of each");
    same(&without_times(&now), &without_times(&stored), "Redis");

    for command in &stored {
        restored.command(&command.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    }
    on_real_time(async {
        let store = RedisStore::connect(restored.url()).await.unwrap();
        settle_all(Arc::new(store), &logs).await;
    });
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// All that a file holds, as statements that bring it back.
async fn sqlite_dump(db: &mut SqliteConnection) -> Vec<String> {
    let mut statements = Vec::new();
    let all = "SELECT type, name, sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
    for row in sqlx::query(all).fetch_all(&mut *db).await.unwrap() {
        let (kind, name, sql): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        statements.push(format!("{sql};"));
        if kind != "table" {
            continue;
        }
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
            .bind(&name)
            .fetch_all(&mut *db)
            .await
            .unwrap();
        let values: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        let rows = format!("SELECT {} FROM {name} ORDER BY 1, 2", values.join(" || ', ' || "));
        let rows = rows.replace("ORDER BY 1, 2", &format!("ORDER BY {}, {}", columns[0], columns[1]));
        for row in
            sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(rows)).fetch_all(&mut *db).await.unwrap()
        {
            statements.push(format!("INSERT INTO {name} ({}) VALUES ({row});", columns.join(", ")));
        }
    }
    statements
}

/// Without what differs from run to run: the times of logs, and the clock.
fn without_clock(statements: &[String]) -> Vec<String> {
    let kept = statements.iter().filter(|statement| !statement.starts_with("INSERT INTO tcc_clock"));
    let times = |statement: &String| match statement.strip_prefix("INSERT INTO tcc_logs ") {
        Some(row) => {
            let (head, times) = row.split_once("VALUES").expect("values follow");
            // log, grp, id, appended, last_op; then due_ms and expires_ms.
            let fields: Vec<&str> = times.trim_matches([' ', '(', ')', ';']).split(", ").collect();
            let is_set = |field: &&str| if *field == "NULL" { "NULL" } else { "some time" };
            let times: Vec<&str> = fields[5..].iter().map(is_set).collect();
            format!("tcc_logs {head} {:?} {times:?}", &fields[..5])
        }
        None => statement.clone(),
    };
    kept.map(times).collect()
}

/// Shows the first difference only: all of it fills a screen many times.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(now: &[T], stored: &[T], of: &str) {
    let differs = now.iter().zip(stored).find(|(now, stored)| now != stored);
    assert_eq!(differs, None, "the layout of {of} is another: now, and as it is stored");
    assert_eq!(now.len(), stored.len(), "the layout of {of} is another");
}

/// Brings a file back from its statements.
async fn restore(path: &Path, statements: String) -> SqliteConnection {
    let mut db = open(path).await;
    let mut tx = db.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    db
}

#[test]
fn what_a_sqlite_file_holds_is_laid_out_as_it_was_and_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (written, restored) = (folder.path().join("written.db"), folder.path().join("restored.db"));
    let logs = files::logs("logs/v1");
    on_real_time(async {
        let store = SqliteStore::open(written.to_str().unwrap()).await.unwrap();
        files::append(&store, &group(), &logs).await;
        let now = sqlite_dump(&mut open(&written).await).await;
        if files::blessing() && !files::folder().join(SQLITE).exists() {
            std::fs::write(files::folder().join(SQLITE), now.join("\n") + "\n").unwrap();
        }
        let mut db = restore(&restored, files::read(SQLITE)).await;
        let stored = sqlite_dump(&mut db).await;
        db.close().await.unwrap();
        assert!(stored.len() > 2 * logs.len(), "a log and its entries");
        same(&without_clock(&now), &without_clock(&stored), "SQLite");

        let store = SqliteStore::open(restored.to_str().unwrap()).await.unwrap();
        settle_all(Arc::new(store), &logs).await;
    });
}

#[test]
fn a_sqlite_file_of_layout_1_is_migrated_and_settled() {
    let folder = tempfile::tempdir().unwrap();
    let restored = folder.path().join("restored.db");
    let logs = files::logs("logs/v1");
    on_real_time(async {
        restore(&restored, files::read(SQLITE_1)).await.close().await.unwrap();
        let store = SqliteStore::open(restored.to_str().unwrap()).await.unwrap();
        settle_all(Arc::new(store), &logs).await;
    });
}
