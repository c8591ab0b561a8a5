//! The tables, and how a file comes by them.
//!
//! Each part (the store, the fence) counts its own versions in `tcc_schema`, so that both may live in one file, and in
//! the user's own.

use sqlx::{Connection, Row, SqliteConnection};

use crate::plain::plain;

/// One part of the schema: its name and its steps. Step *n* takes it from version *n* to *n* + 1; a released step is
/// never changed.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) steps: &'static [&'static str],
}

/// Why the tables could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A newer version of this crate has changed the tables.
    #[error(
        "the tables of the {part} have version {found}, and this program knows versions up to {known}: \
         a newer version of tcc-sqlx has written this file; update this program"
    )]
    Newer {
        /// Of what.
        part: &'static str,
        /// Their version.
        found: i64,
        /// The last version that this program knows.
        known: i64,
    },
    /// The database could not be asked.
    #[error("the tables can't be made ready: {}", plain(.0))]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

pub(super) const STORE: Part = Part {
    name: "store",
    steps: &["
CREATE TABLE tcc_logs (
    log        INTEGER PRIMARY KEY,
    grp        TEXT    NOT NULL,
    id         TEXT    NOT NULL CHECK (length(id) = 32 AND id NOT GLOB '*[^0-9a-f]*'),
    appended   INTEGER NOT NULL CHECK (appended BETWEEN 1 AND 4294967295),
    last_op    TEXT    NOT NULL,
    -- When it is due, by this store's clock; NULL once it is finished.
    due_ms     INTEGER,
    -- When it may go; NULL while it is unfinished, and if it is kept for ever.
    expires_ms INTEGER,
    UNIQUE (grp, id),
    CHECK (due_ms IS NULL OR expires_ms IS NULL)
) STRICT;
CREATE INDEX tcc_logs_due      ON tcc_logs (grp, due_ms, id)    WHERE due_ms IS NOT NULL;
CREATE INDEX tcc_logs_kept     ON tcc_logs (grp, id)            WHERE due_ms IS NULL AND expires_ms IS NULL;
CREATE INDEX tcc_logs_expiring ON tcc_logs (expires_ms)         WHERE expires_ms IS NOT NULL;

CREATE TABLE tcc_entries (
    log  INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    op   TEXT    NOT NULL,
    line TEXT    NOT NULL,
    PRIMARY KEY (log, n)
) STRICT;

-- The store's clock is the host's, moved ahead so that it never goes back; see `clock.rs`.
CREATE TABLE tcc_clock (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    ahead_ms INTEGER NOT NULL,
    seen_ms  INTEGER NOT NULL
) STRICT;
INSERT INTO tcc_clock VALUES (1, 0, 0);
CREATE VIEW tcc_now (ms) AS
    SELECT max(CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + ahead_ms, seen_ms) FROM tcc_clock;

-- For reading by eye.
CREATE VIEW tcc_log_lines AS
    SELECT grp, id, n, op, line, due_ms FROM tcc_logs JOIN tcc_entries USING (log) ORDER BY grp, id, n;
", "
-- How many logs of a group are unfinished, and how many are kept for ever: to count a million takes too long.
CREATE TABLE tcc_counts (
    grp        TEXT    PRIMARY KEY,
    unfinished INTEGER NOT NULL,
    kept       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tcc_counts
    SELECT grp, sum(due_ms IS NOT NULL), sum(due_ms IS NULL AND expires_ms IS NULL) FROM tcc_logs GROUP BY grp;
CREATE TRIGGER tcc_count_begun AFTER INSERT ON tcc_logs BEGIN
    INSERT INTO tcc_counts VALUES (NEW.grp, NEW.due_ms IS NOT NULL, NEW.due_ms IS NULL AND NEW.expires_ms IS NULL)
        ON CONFLICT (grp) DO UPDATE SET unfinished = unfinished + excluded.unfinished, kept = kept + excluded.kept;
END;
CREATE TRIGGER tcc_count_moved AFTER UPDATE OF due_ms, expires_ms ON tcc_logs
    WHEN (OLD.due_ms IS NULL) <> (NEW.due_ms IS NULL) OR (OLD.expires_ms IS NULL) <> (NEW.expires_ms IS NULL)
BEGIN
    UPDATE tcc_counts SET
        unfinished = unfinished + (NEW.due_ms IS NOT NULL) - (OLD.due_ms IS NOT NULL),
        kept = kept + (NEW.due_ms IS NULL AND NEW.expires_ms IS NULL) - (OLD.due_ms IS NULL AND OLD.expires_ms IS NULL)
        WHERE grp = NEW.grp;
END;
CREATE TRIGGER tcc_count_gone AFTER DELETE ON tcc_logs WHEN OLD.expires_ms IS NULL BEGIN
    UPDATE tcc_counts SET unfinished = unfinished - (OLD.due_ms IS NOT NULL), kept = kept - (OLD.due_ms IS NULL)
        WHERE grp = OLD.grp;
END;
"],
};

pub(super) const FENCE: Part = Part {
    name: "fence",
    steps: &["
CREATE TABLE tcc_fence (
    tx         TEXT    NOT NULL CHECK (length(tx) = 32),
    branch     INTEGER NOT NULL,
    -- The run of a transaction with a key; empty if it has none.
    run        TEXT    NOT NULL DEFAULT '',
    action     TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('tried', 'confirmed', 'cancelled', 'refused')),
    -- The phase that was refused.
    refused_in TEXT    CHECK (refused_in IN ('try', 'confirm', 'cancel')),
    -- What the try returned, as JSON: a repeat returns the same.
    output     TEXT,
    -- What was refused, as JSON: a repeat refuses the same.
    refusal    TEXT,
    on_confirm INTEGER NOT NULL CHECK (on_confirm IN (0, 1)),
    begun_ms   INTEGER NOT NULL,
    -- Its transaction was read as finished: it goes by age, whatever it is.
    finished   INTEGER NOT NULL DEFAULT 0 CHECK (finished IN (0, 1)),
    PRIMARY KEY (tx, branch, run),
    CHECK ((state = 'refused') = (refused_in IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX tcc_fence_begun ON tcc_fence (begun_ms, tx, branch, run);

-- Branches of transactions that began before this have had their final rows purged.
CREATE TABLE tcc_fence_horizon (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    begun_ms INTEGER NOT NULL
) STRICT;
INSERT INTO tcc_fence_horizon VALUES (1, 0);
", "
-- The delivery that came last of the phase that the row's state is of: one that finds its own has called `fenced` twice.
ALTER TABLE tcc_fence ADD COLUMN delivery TEXT;
"],
};

/// Takes a part of the schema to the version that this program knows. Safe when several processes do it at once.
pub(super) async fn migrate(db: &mut SqliteConnection, part: &Part) -> Result<(), SchemaError> {
    // Without the write lock first: the usual case is that nothing is to be done.
    if missing(part, version(db, part).await?)?.is_empty() {
        return Ok(());
    }
    let mut tx = db.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS tcc_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *tx)
    .await?;
    for &step in missing(part, version(&mut tx, part).await?)? {
        sqlx::raw_sql(step).execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO tcc_schema VALUES (?1, ?2) ON CONFLICT (part) DO UPDATE SET version = excluded.version",
    )
    .bind(part.name)
    .bind(part.steps.len() as i64)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// The steps that lead from the version found to the one known.
fn missing(part: &Part, found: i64) -> Result<&'static [&'static str], SchemaError> {
    usize::try_from(found).ok().and_then(|found| part.steps.get(found..)).ok_or(SchemaError::Newer {
        part: part.name,
        found,
        known: part.steps.len() as i64,
    })
}

/// The version of a part; 0 if it is not there.
async fn version(db: &mut SqliteConnection, part: &Part) -> Result<i64, SchemaError> {
    let kept = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tcc_schema'")
        .fetch_optional(&mut *db)
        .await?;
    if kept.is_none() {
        return Ok(0);
    }
    let row = sqlx::query("SELECT version FROM tcc_schema WHERE part = ?")
        .bind(part.name)
        .fetch_optional(&mut *db)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}
