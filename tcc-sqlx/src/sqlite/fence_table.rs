//! The care of a fence's table.

use std::time::{Duration, SystemTime};

use sqlx::SqlitePool;

use tcc_core::protocol::{ActionName, BranchId, BranchKey, Group, Status, TxId, fold};
use tcc_core::store::{StatusStore, StoreError};

use super::fence::{columns, parse_state, run_text};
use super::schema::{self, SchemaError};
use crate::fence::{FenceError, FenceRow, FenceState, from_millis, to_millis};

/// The fence's table `tcc_fence` in a participant's own SQLite database: makes it and keeps it small.
///
/// Rows go by age, with [`purge`](Self::purge), below a horizon that is kept: a phase of an older transaction that finds
/// no row knows that it had one. But rows that are tried or refused, and those of `#[on_confirm]` branches, do not go
/// while their transaction is unfinished, however old it is: without them a late confirm or cancel would do nothing, or
/// do it twice. [`compare`](Self::compare) looks up their transactions in the status store.
///
/// So a participant calls, every hour or so: `compare` with an age of an hour, then `purge` of what began more than a
/// day ago. [`keep_tidy`](Self::keep_tidy) does both for as long as it runs; **nothing does so by itself**.
#[derive(Debug, Clone)]
pub struct SqliteFence {
    pool: SqlitePool,
}

impl SqliteFence {
    /// The fence in this database.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Makes the table, or brings it up to date. Safe when several processes do so at once.
    ///
    /// # Errors
    /// [`SchemaError`] if a newer version of this crate has made it, or the database can't be written to.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        let mut db = self.pool.acquire().await?;
        schema::migrate(&mut db, &schema::FENCE).await
    }

    /// Removes up to `limit` rows that may go by age, of transactions that began before this time, and says how many. If it is `limit`, there may be more.
    ///
    /// The latest begin time of what is removed becomes the horizon, which never goes back: from then on, a try of a
    /// transaction that did not begin after it is an error if it has no row. So the time must lie further back than the
    /// longest time limit of a transaction, the longest that a call can linger in the network, and the difference of the
    /// clocks: a day is a good choice.
    ///
    /// Begin times are by the clocks of coordinators, and so is the horizon: a wrong clock of the one who purges makes no
    /// transaction look too old that begins after those that are removed.
    ///
    /// # Errors
    /// [`FenceError::HorizonAhead`] if the time lies in the future; else what the database said.
    pub async fn purge(&self, begun_before: SystemTime, limit: usize) -> Result<u64, FenceError> {
        #[expect(clippy::disallowed_methods, reason = "a time in the future is a mistake, to be refused")]
        if begun_before > SystemTime::now() {
            return Err(FenceError::HorizonAhead);
        }
        self.try_purge(to_millis(begun_before), limit).await.map_err(explain)
    }

    async fn try_purge(&self, before: i64, limit: usize) -> Result<u64, sqlx::Error> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let purged: Vec<i64> = sqlx::query_scalar(
            "DELETE FROM tcc_fence WHERE (tx, branch, run) IN \
             (SELECT tx, branch, run FROM tcc_fence WHERE begun_ms < ? \
                 AND (finished OR (state IN ('confirmed', 'cancelled') AND NOT on_confirm)) \
              ORDER BY begun_ms LIMIT ?) RETURNING begun_ms",
        )
        .bind(before)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *tx)
        .await?;
        // In one transaction with the removal: no phase sees a row gone and the horizon behind it.
        if let Some(latest) = purged.iter().max() {
            sqlx::query("UPDATE tcc_fence_horizon SET begun_ms = max(begun_ms, ?)")
                .bind(latest.saturating_add(1))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(purged.len() as u64)
    }

    /// Lists rows that do not go by age (tried, refused, `#[on_confirm]`), of transactions that began more than `age`
    /// ago: the oldest first, at most `limit`, beginning after the row given.
    ///
    /// # Errors
    /// What the database said.
    pub async fn lasting(
        &self,
        age: Duration,
        after: Option<&FenceRow>,
        limit: usize,
    ) -> Result<Vec<FenceRow>, FenceError> {
        let before = ago(age);
        let (begun, tx, branch, run) = after.map_or((i64::MIN, String::new(), -1, String::new()), |row| {
            let FenceRow { begun, key, .. } = row;
            (to_millis(*begun), key.tx.to_string(), i64::from(key.branch.number()), run_text(*key))
        });
        type Columns = (String, u16, String, String, String, Option<String>, bool, i64);
        let rows: Vec<Columns> = sqlx::query_as(
            "SELECT tx, branch, run, action, state, refused_in, on_confirm, begun_ms FROM tcc_fence \
             WHERE (begun_ms, tx, branch, run) > (?, ?, ?, ?) AND begun_ms < ? \
               AND NOT finished AND (state IN ('tried', 'refused') OR on_confirm) \
             ORDER BY begun_ms, tx, branch, run LIMIT ?",
        )
        .bind(begun)
        .bind(tx)
        .bind(branch)
        .bind(run)
        .bind(to_millis(before))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(explain)?;
        rows.into_iter()
            .map(|(tx, branch, run, action, state, refused_in, on_confirm, begun)| {
                let damaged = |error| explain(sqlx::Error::Decode(Box::new(error)));
                let tx: TxId = tx.parse().map_err(damaged)?;
                let run = (!run.is_empty()).then(|| run.parse().map_err(damaged)).transpose()?;
                let key = BranchKey { tx, branch: BranchId::new(branch), run };
                let state = parse_state(&state, refused_in.as_deref())
                    .ok_or(FenceError::Damaged { key, why: "its state is not known" })?;
                let action = ActionName::new(action)
                    .map_err(|_| FenceError::Damaged { key, why: "its action has no name" })?;
                Ok(FenceRow { key, action, state, on_confirm, begun: from_millis(begun) })
            })
            .collect()
    }

    /// Says that the transaction of a row is finished, so that the row goes by age. Does nothing if the row is no longer
    /// as it was read; says whether it was.
    ///
    /// # Errors
    /// What the database said.
    pub async fn finish(&self, row: &FenceRow) -> Result<bool, FenceError> {
        Ok(self.finish_all(&[row]).await? == 1)
    }

    /// Finishes rows by one statement, and says how many were still as they were read.
    async fn finish_all(&self, rows: &[&FenceRow]) -> Result<u64, FenceError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let rows = rows.iter().map(|row| {
            let (state, refused_in) = columns(row.state);
            serde_json::json!([row.key.tx, row.key.branch.number(), run_text(row.key), state, refused_in])
        });
        let done = sqlx::query(
            "UPDATE tcc_fence SET finished = 1 FROM json_each(?) AS row \
             WHERE tx = row.value ->> 0 AND branch = row.value ->> 1 AND run = row.value ->> 2 \
               AND state = row.value ->> 3 AND refused_in IS row.value ->> 4",
        )
        .bind(serde_json::Value::from_iter(rows).to_string())
        .execute(&self.pool)
        .await
        .map_err(explain)?;
        Ok(done.rows_affected())
    }

    /// Looks up the transactions of [`lasting`](Self::lasting) rows in the status store, in all groups whose
    /// transactions this participant serves; [finishes](Self::finish) rows that are no longer needed, and reports those
    /// that nobody will ever settle.
    ///
    /// `age` must be longer than any transaction and any lingering call takes; an hour is a good choice.
    ///
    /// # Errors
    /// What the database or the store said. What was found before is finished all the same. A log that can't be read is no
    /// error: its transaction is taken for unfinished.
    pub async fn compare(
        &self,
        store: &(impl StatusStore + ?Sized),
        groups: &[Group],
        age: Duration,
        after: Option<&FenceRow>,
        limit: usize,
    ) -> Result<Compared, CompareError> {
        let rows = self.lasting(age, after, limit).await?;
        let mut compared = Compared {
            next: (rows.len() == limit).then(|| rows.last().cloned()).flatten(),
            ..Compared::default()
        };
        let (mut over, mut failure) = (Vec::new(), None);
        for row in &rows {
            match (needed(store, groups, row.key).await, row.state) {
                (Ok(true), _) => {}
                // Its effect was neither confirmed nor cancelled: not to be swept under the carpet.
                (Ok(false), FenceState::Tried) => compared.orphans.push(row.clone()),
                (Ok(false), FenceState::Confirmed | FenceState::Cancelled | FenceState::Refused { .. }) => {
                    over.push(row);
                }
                (Err(error), _) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        compared.finished = self.finish_all(&over).await?;
        match failure {
            None => Ok(compared),
            Some(error) => Err(error.into()),
        }
    }
}

/// The time of begin of what is of this age.
pub(super) fn ago(age: Duration) -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "begin times are of wall clocks, and so is an age of theirs"
    )]
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whether a transaction may still call: it is there, and not confirmed or cancelled to its end.
async fn needed(
    store: &(impl StatusStore + ?Sized),
    groups: &[Group],
    key: BranchKey,
) -> Result<bool, StoreError> {
    for group in groups {
        let log = match store.read(group, key.tx).await {
            Ok(log) => log,
            // It is there, and not known to be finished. The pass goes on with the others.
            Err(StoreError::Corrupt { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        if let Some(log) = log {
            // What can't be folded may be a newer version's: needed.
            return Ok(fold(&log).map_or(true, |record| match record.status() {
                Status::Confirmed | Status::Cancelled => false,
                // The key runs again, so that run is over.
                _ if record.run() != key.run => false,
                Status::Trying | Status::Confirming | Status::Cancelling | Status::Heuristic => true,
            }));
        }
    }
    Ok(false)
}

/// What a comparison of a fence with the status store has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// How many rows are no longer needed, and go by age from now on.
    pub finished: u64,
    /// Tried rows without an unfinished transaction: their effect was neither confirmed nor cancelled. Only a store that
    /// has lost a transaction explains them, or a group that was not named; look at each, undo its effect if need be,
    /// then [`finish`](SqliteFence::finish) it.
    pub orphans: Vec<FenceRow>,
    /// Where to go on; `None` if this was the end.
    pub next: Option<FenceRow>,
}

/// Why a fence could not be compared with the status store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The participant's database failed.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// The status store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn explain(error: sqlx::Error) -> FenceError {
    let missing =
        error.as_database_error().is_some_and(|error| error.message().contains("no such table: tcc_fence"));
    if missing { FenceError::MissingTable(error) } else { FenceError::Table(error) }
}
