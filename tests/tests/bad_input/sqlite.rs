//! A SQLite file that can't be used.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tcc_core::Coordinator;
use tcc_core::store::BoxError;
use tcc_sqlx::sqlite::SqliteStore;
use tempfile::TempDir;

use crate::said::{said, soon, told};

async fn start(file: &str) -> Result<Coordinator, BoxError> {
    soon(async {
        let store = SqliteStore::open(file).await?;
        Ok(Coordinator::builder("shop", store).start().await?)
    })
    .await
}

async fn refused(file: impl AsRef<Path>) -> BoxError {
    start(file.as_ref().to_str().unwrap()).await.expect_err("it starts")
}

/// A folder that everybody may look into, with a copy of the `opener`: a build folder may be closed to others.
struct Folder {
    folder: TempDir,
    opener: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opener = folder.path().join("opener");
        std::fs::copy(env!("CARGO_BIN_EXE_opener"), &opener).unwrap();
        let it = Self { folder, opener };
        it.allow(0o755, "");
        it.allow(0o755, "opener");
        it
    }

    fn allow(&self, mode: u32, name: &str) {
        let path = self.folder.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn place(&self, file: &str) -> String {
        format!("sqlite:{}", self.folder.path().join(file).display())
    }

    /// What a process says that opens the file, as somebody who has only the rights that the modes give: root has all.
    fn opened_by_nobody(&self, file: &str) -> String {
        let mut command = Command::new(&self.opener);
        command.arg(self.place(file)).stdin(Stdio::null());
        if rustix::process::getuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        text.trim_end().to_owned()
    }
}

#[tokio::test]
async fn a_folder_that_cant_be_written() {
    let folder = Folder::new();
    std::fs::create_dir(folder.folder.path().join("data")).unwrap();
    folder.allow(0o555, "data");
    let text = folder.opened_by_nobody("data/tcc.db");
    told("a folder that can't be written", &text, &["data/tcc.db", "right to write", "folder"]);
    folder.allow(0o000, "data");
    let text = folder.opened_by_nobody("data/tcc.db");
    told("a folder that can't be entered", &text, &["data/tcc.db", "right to write", "folder"]);
    folder.allow(0o777, "data");
    assert_eq!(folder.opened_by_nobody("data/tcc.db"), "started", "the rights were what was wrong");
}

#[tokio::test]
async fn a_file_that_cant_be_written() {
    let folder = Folder::new();
    std::fs::create_dir(folder.folder.path().join("data")).unwrap();
    folder.allow(0o777, "data");
    let file = folder.folder.path().join("data/tcc.db");
    start(file.to_str().unwrap()).await.unwrap().shutdown().await;
    folder.allow(0o444, "data/tcc.db");
    let text = folder.opened_by_nobody("data/tcc.db");
    told("a file that can't be written", &text, &["data/tcc.db", "right to write"]);
    let read_only = format!("sqlite:{}?mode=ro", file.display());
    said("a file opened with mode=ro", refused(read_only).await, &["open it without mode=ro"]);
}

#[tokio::test]
async fn what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    said("a folder in place of a file", refused(path).await, &["is a folder, not a file"]);
    said(
        "a folder that is not there",
        refused(path.join("no/tcc.db")).await,
        &["there is no folder", "make it"],
    );
    said("a device", refused("/dev/null").await, &["is a device", "name a file"]);
    said("a file in a device", refused("/dev/null/tcc.db").await, &["there is no folder /dev/null"]);
    said(
        "no file",
        refused(format!("sqlite:{}?mode=rw", path.join("tcc.db").display())).await,
        &["there is no file"],
    );
    said("a database in memory", refused("sqlite::memory:").await, &["MemoryStore"]);
    said(
        "an unknown parameter",
        refused("sqlite:x.db?cache=shared").await,
        &["\"cache=shared\"", "mode=rwc"],
    );
    let busy =
        SqliteStore::builder(path.join("tcc.db").to_str().unwrap()).busy_timeout(Duration::MAX).open().await;
    said("a busy timeout without end", busy.unwrap_err(), &["busy_timeout", "0 to 24 h"]);
    for readers in [0, u32::MAX] {
        let opened =
            SqliteStore::builder(path.join("tcc.db").to_str().unwrap()).readers(readers).open().await;
        said("an impossible number of readers", opened.unwrap_err(), &["readers is", "1 to 1024"]);
    }
}

#[tokio::test]
async fn what_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tcc.db");
    std::fs::write(&file, "a shopping list: apples, pears; a list, and not a database ".repeat(40)).unwrap();
    said(
        "a file that is no database",
        refused(&file).await,
        &["is not a SQLite database", "name another file"],
    );
    // Left as it was.
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("a shopping list"));
}

#[tokio::test]
async fn a_file_of_a_newer_version() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tcc.db");
    start(file.to_str().unwrap()).await.unwrap().shutdown().await;
    let mut db = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    sqlx::query("UPDATE tcc_schema SET version = 7").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    said("a file of a newer version", refused(&file).await, &["version 7", "update this program"]);
}

/// A process that may write no more than so many bytes into a file, until it is let.
struct Limited {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Limited {
    fn start(place: &str) -> Self {
        // The signal ignored, a write beyond the limit is an error: as on a disk that is full.
        let mut process = Command::new("sh")
            .args([
                "-c",
                "trap '' XFSZ; ulimit -S -f 4000; exec \"$0\" \"$@\"",
                env!("CARGO_BIN_EXE_opener"),
                place,
                "fill",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it has ended").unwrap()
    }

    fn pay(&mut self) -> String {
        self.process.stdin.as_mut().unwrap().write_all(b"pay\n").unwrap();
        self.line()
    }

    /// Makes room.
    fn let_grow(&self) {
        let free = rustix::process::Rlimit { current: None, maximum: None };
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, free).unwrap();
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // An error means that there is nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("sqlite:{}", folder.path().join("tcc.db").display());
    let mut process = Limited::start(&place);
    assert_eq!(process.line(), "started");
    told("a full disk", &process.line(), &["nothing is confirmed", "disk"]);
    process.let_grow();
    assert!(process.pay().starts_with("paid "), "there is room again");
    // And what was left half done is brought to its end.
    let store = SqliteStore::open(&place).await.unwrap();
    let group = tcc_core::protocol::Group::new("shop").unwrap();
    soon(async {
        while tcc_core::store::StatusStore::stats(&store, &group).await.unwrap().unfinished > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[test]
fn no_runtime() {
    let opened = futures_util::FutureExt::now_or_never(SqliteStore::open("tcc.db"));
    said("SQLite without a runtime", opened.unwrap().unwrap_err(), &["tokio runtime", "#[tokio::main]"]);
    let opened = futures_util::FutureExt::now_or_never(tcc_redis::RedisStore::connect("redis://127.0.0.1"));
    said("Redis without a runtime", opened.unwrap().unwrap_err(), &["tokio runtime", "#[tokio::main]"]);
    let built = Coordinator::builder("shop", tcc_core::store::MemoryStore::new()).start();
    let started = futures_util::FutureExt::now_or_never(built);
    said(
        "a coordinator without a runtime",
        started.unwrap().unwrap_err(),
        &["tokio runtime", "#[tokio::main]"],
    );
}
