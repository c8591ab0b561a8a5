//! The floor of SQLite: a bare loop that writes the same rows, one commit for all that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection};
use tcc_sqlx::sqlite::SqliteStore;
use tokio::sync::{mpsc, oneshot};

use crate::compare::{Contender, Sample, measure};
use crate::drive::{Load, Work};
use crate::ours::GROUP;
use crate::seed::Lines;
use crate::stage::Stage;
use crate::stock::Request;

/// Two sequential branches: the rows that the framework's store writes for them, in the same tables, with
/// `synchronous=FULL`. Nobody waits for the tombstone, as in the framework.
pub(crate) struct Rows;

/// How many steps share a commit.
const MOST: usize = 128;

#[async_trait]
impl Contender for Rows {
    fn name(&self) -> String {
        "bare loop, group commit".to_owned()
    }

    async fn turn(&mut self, stage: &Stage, load: Load) -> anyhow::Result<Sample> {
        let file = stage.file()?;
        // It makes the tables.
        SqliteStore::open(&file).await.context("the SQLite file can't be opened")?.close().await;
        let options = SqliteConnectOptions::new().filename(&file).synchronous(SqliteSynchronous::Full);
        let db = SqliteConnection::connect_with(&options).await.context("the SQLite file can't be opened")?;
        let (steps, receiver) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write(db, receiver));
        let lines = Arc::new(Lines::of(&Request::new(64))?);
        let bare = Bare { steps, lines, next: Arc::default() };
        let sample = measure(stage, load, &bare).await?;
        drop(bare);
        writer.await.context("the writer panicked")??;
        Ok(sample)
    }
}

struct Step {
    number: u64,
    /// How many entries the log has with this one.
    entries: i64,
    kind: Kind,
    lines: Arc<Lines>,
    answer: Option<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Begin,
    Enlist,
    Decide,
    Finish,
}

/// Writes what waits, until nobody is left who could ask for more.
async fn write(mut db: SqliteConnection, mut steps: mpsc::UnboundedReceiver<Step>) -> anyhow::Result<()> {
    let mut batch = Vec::with_capacity(MOST);
    while steps.recv_many(&mut batch, MOST).await > 0 {
        let mut tx = db.begin_with("BEGIN IMMEDIATE").await.context("begin")?;
        for step in &batch {
            step.write(&mut tx).await.context("a step")?;
        }
        tx.commit().await.context("commit")?;
        for step in batch.drain(..) {
            if let Some(answer) = step.answer {
                // Who no longer waits need not know.
                let _ = answer.send(());
            }
        }
    }
    db.close().await.context("close")
}

impl Step {
    async fn write(&self, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const NOW: i64 = 1_790_000_000_000;
        let id = format!("{:032x}", self.number);
        let op = |entries: i64| format!("{:016x}", self.number * 8 + entries.unsigned_abs());
        let row = if self.kind == Kind::Begin {
            sqlx::query(
                "INSERT INTO tcc_logs (grp, id, appended, last_op, due_ms, expires_ms) VALUES (?, ?, 1, ?, ?, NULL) \
                 ON CONFLICT (grp, id) DO NOTHING RETURNING log",
            )
            .bind(GROUP)
            .bind(&id)
            .bind(op(1))
            .bind(NOW + 30_000)
            .fetch_one(&mut *db)
            .await?
        } else {
            let finished = self.kind == Kind::Finish;
            sqlx::query(
                "UPDATE tcc_logs SET appended = ?1, last_op = ?2, due_ms = ?3, expires_ms = ?4 \
                 WHERE grp = ?5 AND id = ?6 AND appended = ?7 AND last_op = ?8 RETURNING log",
            )
            .bind(self.entries)
            .bind(op(self.entries))
            .bind((!finished).then_some(NOW + 10_000))
            .bind(finished.then_some(NOW + 600_000))
            .bind(GROUP)
            .bind(&id)
            .bind(self.entries - 1)
            .bind(op(self.entries - 1))
            .fetch_one(&mut *db)
            .await?
        };
        let log: i64 = row.try_get(0)?;
        if self.kind == Kind::Finish {
            sqlx::query("DELETE FROM tcc_entries WHERE log = ?").bind(log).execute(&mut *db).await?;
        }
        let line = match self.kind {
            Kind::Begin => &self.lines.begin,
            Kind::Enlist => &self.lines.enlist,
            Kind::Decide => &self.lines.decide,
            Kind::Finish => &self.lines.tombstone,
        };
        sqlx::query("INSERT INTO tcc_entries (log, n, op, line) VALUES (?, ?, ?, ?)")
            .bind(log)
            .bind(self.entries)
            .bind(op(self.entries))
            .bind(line)
            .execute(&mut *db)
            .await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Bare {
    steps: mpsc::UnboundedSender<Step>,
    lines: Arc<Lines>,
    next: Arc<AtomicU64>,
}

impl Work for Bare {
    async fn once(&self, _: usize) -> anyhow::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        for (entries, kind) in (1..).zip([Kind::Begin, Kind::Enlist, Kind::Decide, Kind::Finish]) {
            let (answer, done) = oneshot::channel();
            let answer = (kind != Kind::Finish).then_some(answer);
            let awaited = answer.is_some();
            let step = Step { number, entries, kind, lines: self.lines.clone(), answer };
            self.steps.send(step).map_err(|_| anyhow!("the writer is gone"))?;
            if awaited {
                done.await.context("the writer is gone")?;
            }
        }
        Ok(())
    }
}
