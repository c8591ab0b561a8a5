//! A status store in a SQLite file.

mod clock;
mod error;
mod load;
mod open;
mod select;
mod write;
mod writer;

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use sqlx::{Row, SqlitePool};
use tokio::sync::Mutex;

use tcc_core::protocol::{Group, Log, TxId};
use tcc_core::store::{
    Append, Claim, Claimed, Finding, Page, Query, Readiness, Stats, StatusStore, StoreError,
};

pub use open::{Builder, OpenError};

use error::{lost, unasked};
use writer::Writer;

/// A status store in a SQLite file, which several processes on one host may share.
///
/// What it has acknowledged survives the death of its process, and of the machine: the file is in write-ahead mode with
/// `synchronous = FULL`, and an append is answered after its commit. All writes of one
/// [`append_all`](StatusStore::append_all) share one commit.
///
/// The file must be on a local disk: SQLite's write-ahead mode does not work over a network file system.
///
/// The tables begin with `tcc_`, so that they may stand in a file with others. `SELECT * FROM tcc_log_lines` shows the
/// logs to the eye.
pub struct SqliteStore {
    path: PathBuf,
    read_only: bool,
    /// The one connection that writes: SQLite has one writer at a time, and its own queue for the lock sleeps and polls.
    writer: Mutex<Writer>,
    /// Those that read, at the same time as the writer.
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, given as a path or as `sqlite:path`; makes it and its tables if they are missing.
    ///
    /// `sqlite:path?mode=rw` opens only what exists; with `mode=ro` nothing can be appended.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file, and how to mend it.
    pub async fn open(file: impl AsRef<str>) -> Result<Self, OpenError> {
        Self::builder(file).open().await
    }

    /// Options, before it is opened.
    pub fn builder(file: impl AsRef<str>) -> Builder {
        Builder::new(file.as_ref())
    }

    /// Closes all connections. What was acknowledged is durable with or without it; calls after it answer
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.writer.lock().await.close().await;
        self.readers.close().await;
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl StatusStore for SqliteStore {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        let mut answers = self.append_all(std::slice::from_ref(write)).await;
        answers.pop().expect("one write has one answer")
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        if writes.is_empty() {
            return Vec::new();
        }
        match self.try_append_all(writes).await {
            Ok(answers) => answers,
            Err(error) => error.to_each(writes.len()),
        }
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        // A look without the write lock: mostly nothing is due.
        let (now, next, set_back) = self.next_due(&claim.group).await?;
        let due = claim.limit > 0 && next.is_some_and(|due| due <= now);
        // When the host's clock was set back, the store's stands still until somebody writes.
        if !due && !set_back {
            let next_due = next.map(|due| clock::span(due - now));
            return Ok(Claimed { next_due, ..Claimed::default() });
        }
        let mut writer = self.writer.lock().await;
        let mut tx = writer.begin().await.map_err(unasked)?;
        let claimed = write::claim(&mut tx, claim).await.map_err(unasked)?;
        tx.commit().await.map_err(lost)?;
        writer.done();
        Ok(claimed)
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        let mut db = self.readers.acquire().await.map_err(unasked)?;
        match load::one(&mut db, group, id).await.map_err(unasked)? {
            None => Ok(None),
            Some(Ok(log)) => Ok(Some(log)),
            Some(Err(why)) => Err(StoreError::Corrupt { id, why }),
        }
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let after =
            query.cursor.as_ref().map(|cursor| select::Place::parse(&cursor.0, query.select)).transpose()?;
        // One snapshot for the page.
        let mut tx = self.readers.begin().await.map_err(unasked)?;
        let page = select::page(&mut tx, query, after).await.map_err(unasked)?;
        tx.rollback().await.map_err(unasked)?;
        Ok(page)
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        let row = sqlx::query(
            "SELECT coalesce((SELECT unfinished FROM tcc_counts WHERE grp = ?1), 0), \
                    coalesce((SELECT kept FROM tcc_counts WHERE grp = ?1), 0), \
                    (SELECT ms FROM tcc_now) - (SELECT min(due_ms) FROM tcc_logs WHERE grp = ?1 AND due_ms IS NOT NULL)",
        )
        .bind(group.as_str())
        .fetch_one(&self.readers)
        .await
        .map_err(unasked)?;
        let overdue: Option<i64> = row.try_get(2).map_err(unasked)?;
        Ok(Stats {
            unfinished: row.try_get::<i64, _>(0).map_err(unasked)?.unsigned_abs(),
            kept: row.try_get::<i64, _>(1).map_err(unasked)?.unsigned_abs(),
            most_overdue: overdue.filter(|&ms| ms >= 0).map(clock::span),
        })
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        let mut errors = Vec::new();
        let mut writer = self.writer.lock().await;
        let db = writer.connection().await.map_err(unasked)?;
        let journal: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *db).await.map_err(unasked)?;
        if !journal.eq_ignore_ascii_case("wal") {
            errors.push(Finding {
                what: format!("the journal mode of {} is {journal}, not wal", self.path.display()),
                mend: "put the file on a local disk, and open it once with write permission".into(),
            });
        }
        let synchronous: i64 =
            sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *db).await.map_err(unasked)?;
        if synchronous < 2 {
            errors.push(Finding {
                what: format!(
                    "PRAGMA synchronous is {synchronous}: an acknowledged write can be lost with the machine"
                ),
                mend: "leave it at FULL (2)".into(),
            });
        }
        errors.extend(self.try_to_write(&mut writer).await?);
        Ok(Readiness { errors, warnings: Vec::new() })
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let expired =
            sqlx::query("SELECT 1 FROM tcc_logs WHERE expires_ms <= (SELECT ms FROM tcc_now) LIMIT 1")
                .fetch_optional(&self.readers)
                .await
                .map_err(unasked)?;
        if expired.is_none() || limit == 0 {
            return Ok(0);
        }
        let mut writer = self.writer.lock().await;
        let mut tx = writer.begin().await.map_err(unasked)?;
        let swept = write::sweep(&mut tx, limit).await.map_err(unasked)?;
        tx.commit().await.map_err(lost)?;
        writer.done();
        Ok(swept)
    }
}

impl SqliteStore {
    /// Appends in one transaction. An error here is the answer to every one of them.
    async fn try_append_all(&self, writes: &[Append]) -> Result<Vec<Result<(), StoreError>>, error::Failed> {
        let mut writer = self.writer.lock().await;
        let mut tx = writer.begin().await.map_err(error::Failed::Unasked)?;
        let now = clock::read(&mut tx).await.map_err(error::Failed::Unasked)?;
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(write::append(&mut tx, write, now).await.map_err(error::Failed::Unasked)?);
        }
        tx.commit().await.map_err(error::Failed::Lost)?;
        writer.done();
        Ok(answers)
    }

    /// The time; when the first log of a group is due; and whether the host's clock was set back since the last write.
    async fn next_due(&self, group: &Group) -> Result<(i64, Option<i64>, bool), StoreError> {
        sqlx::query_as(
            "SELECT ms, (SELECT min(due_ms) FROM tcc_logs WHERE grp = ? AND due_ms IS NOT NULL), \
                    (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + ahead_ms < seen_ms FROM tcc_clock) \
             FROM tcc_now",
        )
        .bind(group.as_str())
        .fetch_one(&self.readers)
        .await
        .map_err(unasked)
    }

    /// Whether a write is possible at all; it is not kept.
    async fn try_to_write(&self, writer: &mut Writer) -> Result<Option<Finding>, StoreError> {
        let tried = async {
            let mut tx = writer.begin().await?;
            sqlx::query("UPDATE tcc_clock SET seen_ms = seen_ms").execute(&mut *tx).await?;
            tx.rollback().await
        };
        let error = match tried.await {
            Ok(()) => {
                writer.done();
                return Ok(None);
            }
            Err(error) => error,
        };
        if !error::forbids_writing(&error) {
            return Err(unasked(error));
        }
        let why = error::plain(&error);
        let mend = if self.read_only {
            "open it without mode=ro".into()
        } else {
            "give this process the right to write to the file and to its folder, where SQLite puts two files beside it"
                .into()
        };
        Ok(Some(Finding { what: format!("{} can't be written to: {why}", self.path.display()), mend }))
    }
}
