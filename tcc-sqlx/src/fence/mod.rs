//! The fence: a participant's own guard, in its own database transaction, that gives every phase exactly one effect.
//!
//! One row per branch says what has happened, and is written in the same local transaction as the effect. What a phase
//! finds there decides what it does, in [`table`]. This part is the same for every database.

mod answer;
mod table;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use tcc_core::protocol::{ActionName, BranchKey, Phase};
use tcc_core::store::BoxError;

use crate::plain::plain;

pub use answer::Answer;
pub(crate) use table::{Fresh, Known, LOST, Row, fresh, known, own, purged};

/// Gives [`Branch`](tcc_core::Branch) the method `cx.fenced(&pool, async |db| …)`, for the pools of each database.
///
/// ```
/// # use sqlx::SqlitePool;
/// # use tcc_core::{Branch, Settled, Tried, refuse};
/// use tcc_sqlx::Fenced;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Hold { pieces: i64 }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct OutOfStock;
/// # struct Inventory { db: SqlitePool }
///
/// impl Inventory {
///     async fn reserve(&self, cx: &Branch, pieces: i64) -> Tried<Hold, OutOfStock> {
///         cx.fenced(&self.db, async |db| {
///             let taken = sqlx::query("UPDATE stock SET available = available - ?1, frozen = frozen + ?1 \
///                                      WHERE available >= ?1")
///                 .bind(pieces)
///                 .execute(&mut *db)
///                 .await?; // unknown: ask again
///             if taken.rows_affected() == 0 {
///                 return refuse(OutOfStock); // a definite no
///             }
///             Ok(Hold { pieces })
///         })
///         .await
///     }
///
///     async fn ship(&self, cx: &Branch, hold: Hold) -> Settled {
///         cx.fenced(&self.db, async |db| {
///             sqlx::query("UPDATE stock SET frozen = frozen - ?").bind(hold.pieces).execute(&mut *db).await?;
///             Ok(())
///         })
///         .await
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no fence over `{Pool}`",
    label = "no fence for this pool",
    note = "pass a reference to the pool of a database whose feature of tcc-sqlx is on: `sqlx::SqlitePool` (`sqlite`)"
)]
#[allow(
    async_fn_in_trait,
    reason = "a bound on the future would have to name the future of `body`, which can't be said; \
    each impl is of concrete types, so that callers see whether it is Send"
)]
pub trait Fenced<Pool> {
    /// What the body is given: a connection inside a transaction.
    type Connection;

    /// Runs the body of a phase so that the phase has exactly one effect, however often and in whatever order it is
    /// called: in a transaction of the participant's own database, together with the fence's row.
    ///
    /// | phase ↓ / row → | none | tried | confirmed | cancelled | refused |
    /// | --- | --- | --- | --- | --- | --- |
    /// | try | **run** | first output again | first output again | too late | too late; of a try: the same refusal |
    /// | confirm | refused, its try was lost; `#[on_confirm]`: **run** | **run** | done | refused | refused again |
    /// | cancel | mark, done | **run** | refused | done | refused again; of a try: mark, done |
    ///
    /// - `Ok` keeps the effect and, of a try, its output. Both are committed when this returns.
    /// - A refusal (`refuse(…)`, `SettleError::refuse(…)`) is kept, after the effect was rolled back; a repeat is
    ///   answered with it.
    /// - Any other error, a panic, and a future that is dropped roll everything back, the row included. An error of the
    ///   fence itself is such an error too: unknown, or later.
    ///
    /// Call it once per phase and database: a second call has no effect, and is an error ([`FenceError::Twice`]).
    ///
    /// In the body use only the connection it gives. Another one of the same database, as of the pool, waits for this one
    /// (SQLite), until the call is out of time or the database gives up ([`FenceError::OtherConnection`]); and what is done
    /// through it is **not guarded**: a statement that still waits when the call is dropped may run right after, and is
    /// rolled back by nobody. A body that is dropped is logged by `tracing::warn`.
    ///
    /// Leave the transaction open ([`FenceError::Ended`]): what the body commits is no longer guarded, and a repeat finds
    /// it done.
    ///
    /// The phase is told from the type of the answer. As a method's last expression it has that of the method; if more
    /// code follows, say which it is, since a `?` alone would leave it open (E0283, "type annotations needed"):
    /// `let done: Settled = cx.fenced(..).await; done?;`.
    async fn fenced<T, E, F>(&self, pool: &Pool, body: F) -> Result<T, E>
    where
        E: Answer<T>,
        F: AsyncFnOnce(&mut Self::Connection) -> Result<T, E>;
}

/// Gives [`Branch`](tcc_core::Branch) the method `cx.fence(&mut connection)`: the step beneath [`Fenced::fenced`], for
/// those who begin and commit the transaction themselves.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no fence over `{Connection}`",
    label = "no fence for this connection",
    note = "pass `&mut *tx` of a transaction, or a `&mut sqlx::SqliteConnection` inside one"
)]
#[allow(async_fn_in_trait, reason = "as in `Fenced`")]
pub trait Fence<Connection> {
    /// What is done after the effect.
    type Mark;

    /// Writes the branch's row, or finds it and says what to do. The connection must be inside a transaction that holds
    /// the write lock (SQLite: `BEGIN IMMEDIATE`).
    ///
    /// # Errors
    /// [`FenceError`]; the transaction is then to be rolled back.
    async fn fence<T, E: Answer<T>>(&self, db: &mut Connection)
    -> Result<Gate<T, E, Self::Mark>, FenceError>;
}

/// What a fence says to a phase.
#[derive(Debug)]
pub enum Gate<T, E, Mark> {
    /// Do it; then give the mark its answer, and commit.
    Run(Mark),
    /// Nothing is to be done: commit, then answer this.
    Answer(Result<T, E>),
}

/// Why a fence could not say what to do. To the coordinator it means *unknown*, or *later*.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// The table is not there, or was made by an older version of this crate.
    #[error(
        "the table tcc_fence is missing in this participant's database, or is of an older version: \
         call `SqliteFence::new(pool).migrate().await` before the coordinator starts"
    )]
    MissingTable(sqlx::Error),
    /// The database could not be asked, or has refused.
    #[error("the fence of branch {key} can't be used: {}", plain(error))]
    Database {
        /// Of which branch.
        key: BranchKey,
        /// What the database said.
        error: sqlx::Error,
    },
    /// The table could not be read or tidied.
    #[error("the fence's table can't be used: {}", plain(.0))]
    Table(sqlx::Error),
    /// A kept output or refusal is not what this version of the action expects, or a new one can't be kept.
    #[error("the {what} of branch {key} does not fit the type it is kept as")]
    Payload {
        /// Of which branch.
        key: BranchKey,
        /// Which of its payloads.
        what: &'static str,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// The answer is of another phase than the call.
    #[error(
        "`fenced` was called in {phase} of branch {key}, and is to answer as another phase: \
         a try answers `Tried`, confirm and cancel answer `Settled`"
    )]
    Misused {
        /// Of which branch.
        key: BranchKey,
        /// The phase of the call.
        phase: &'static str,
    },
    /// A handler has called `fenced` or `fence` again in the same phase, on the same database. Only the first call had an
    /// effect. Repeats of the phase end like this as well: each of them makes both calls.
    #[error(
        "`fenced` was called twice in this {phase} of {action} (branch {key}): put both into one body; \
         the second had no effect"
    )]
    Twice {
        /// Of which branch.
        key: BranchKey,
        /// Its action.
        action: ActionName,
        /// The phase of the call.
        phase: &'static str,
    },
    /// The body ended the transaction.
    #[error(
        "the body of branch {key} ended the fence's transaction: leave COMMIT and ROLLBACK to it; \
         what it committed is unguarded"
    )]
    Ended {
        /// Of which branch.
        key: BranchKey,
    },
    /// The body waited for a connection, or for one to let go of the database, and its own is what they wait for.
    #[error(
        "the body of branch {key} could not use the database: \
         does it use the pool instead of the connection that it was given?"
    )]
    OtherConnection {
        /// Of which branch.
        key: BranchKey,
        /// What the body was told.
        #[source]
        source: BoxError,
    },
    /// A row that no version of this crate has written.
    #[error("the fence's row of branch {key} is damaged: {why}")]
    Damaged {
        /// Of which branch.
        key: BranchKey,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A try of a transaction that began, by its coordinator's clock, before what is purged of this fence: whether it came
    /// before can't be told any more, so it has no effect.
    #[error(
        "the try of branch {key} is of a transaction that began {older:?} before the time up to which this fence is \
         purged: it comes very late, or the clock of its coordinator's machine is behind by as much and is to be set right"
    )]
    BeforeHorizon {
        /// The branch.
        key: BranchKey,
        /// By how much.
        older: Duration,
    },
    /// What was asked for would drop rows that may still be needed.
    #[error(
        "the time given to purge lies in the future by this machine's clock: give one that is a day back"
    )]
    HorizonAhead,
}

/// What has happened to a branch, by its fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FenceState {
    /// Its try had its effect.
    Tried,
    /// Its confirm had its effect.
    Confirmed,
    /// Its cancel had its effect, or there was nothing to cancel.
    Cancelled,
    /// A phase was refused, for ever.
    Refused {
        /// Which.
        phase: Phase,
    },
}

impl fmt::Display for FenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tried => f.write_str("tried"),
            Self::Confirmed => f.write_str("confirmed"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Refused { phase } => write!(f, "refused in {}", phase_name(*phase)),
        }
    }
}

/// A row of a fence, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FenceRow {
    /// Which branch.
    pub key: BranchKey,
    /// Its action.
    pub action: ActionName,
    /// What has happened to it.
    pub state: FenceState,
    /// Whether its action has no try.
    pub on_confirm: bool,
    /// When its transaction began, by the clock of its coordinator.
    pub begun: SystemTime,
}

pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Try => "try",
        Phase::Confirm => "confirm",
        Phase::Cancel => "cancel",
    }
}

/// A time as the column has it: milliseconds since the Unix epoch.
pub(crate) fn to_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn from_millis(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
