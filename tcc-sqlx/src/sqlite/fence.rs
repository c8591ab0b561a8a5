//! `cx.fenced` and `cx.fence` over SQLite.

use std::error::Error;
use std::time::Duration;

use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};

use tcc_core::Branch;
use tcc_core::protocol::{BranchKey, Phase};
use tcc_core::store::BoxError;

use crate::fence::{
    Answer, Fence, FenceError, FenceState, Fenced, Fresh, Gate, Known, LOST, Row, fresh, from_millis, known,
    own, phase_name, purged, to_millis,
};

impl Fenced<SqlitePool> for Branch {
    type Connection = SqliteConnection;

    async fn fenced<T, E, F>(&self, pool: &SqlitePool, body: F) -> Result<T, E>
    where
        E: Answer<T>,
        F: AsyncFnOnce(&mut SqliteConnection) -> Result<T, E>,
    {
        let key = self.key();
        // The guard is owned: with a borrowed one, rustc can't prove that an action's future is Send
        // (rust-lang/rust#100013). Dropped, it rolls back.
        let mut tx = match begin(pool).await {
            Ok(tx) => tx,
            Err(error) => return Err(E::unknown(explain(key, error))),
        };
        let mark = match self.fence(&mut *tx).await {
            Ok(Gate::Run(mark)) => mark,
            Ok(Gate::Answer(answer)) => return commit(key, tx).await.map_err(E::unknown).and(answer),
            Err(error) => return Err(E::unknown(error)),
        };
        let kept = async {
            // A refusal undoes the effect and keeps the row.
            execute(key, &mut tx, "SAVEPOINT tcc_effect").await?;
            let under_way = UnderWay(self);
            let answer = body(&mut tx).await;
            std::mem::forget(under_way);
            match &answer {
                Ok(_) => {}
                Err(error) if error.refusal().is_some() => {
                    end_effect(key, &mut tx, "ROLLBACK TO tcc_effect").await?;
                }
                Err(_) => {
                    return Ok(
                        Err(answer.map_err(|error| error.retold(|error| told_of_waiting(key, error)))),
                    );
                }
            }
            // It fails if the body has ended the transaction, or SQLite has: then the row is not there, or not alone.
            end_effect(key, &mut tx, "RELEASE tcc_effect").await?;
            mark.answered(&mut tx, &answer).await?;
            Ok(Ok(answer))
        }
        .await;
        match kept {
            Ok(Ok(answer)) => commit(key, tx).await.map_err(E::unknown).and(answer),
            Ok(Err(unknown)) => {
                roll_back(tx).await;
                unknown
            }
            Err(error) => {
                roll_back(tx).await;
                Err(E::unknown(error))
            }
        }
    }
}

/// A body under way. Dropped, it has not come to its end.
struct UnderWay<'a>(&'a Branch);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // A panic tells of itself.
        if !std::thread::panicking() {
            let cx = self.0;
            tracing::warn!(
                branch = %cx.key(), action = %cx.action(), phase = phase_name(cx.phase()),
                "a fenced body was dropped before it ended, and is rolled back: was its call out of time? does the body \
                 use the pool instead of the connection that it was given?"
            );
        }
    }
}

/// The error of a body; if it could not get at the database, with the likely cause: while it runs, its own connection is
/// the one that may write.
fn told_of_waiting(key: BranchKey, error: BoxError) -> BoxError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(waited) {
            break;
        }
        cause = error.source();
    }
    let has_waited = cause.is_some();
    if has_waited { FenceError::OtherConnection { key, source: error }.into() } else { error }
}

/// Whether a connection was waited for in vain, or the write lock.
fn waited(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => {
            // SQLITE_BUSY, SQLITE_LOCKED; what is above the lowest byte says more of each.
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
        }
        _ => false,
    }
}

/// Ends the savepoint around the effect; it is gone if its transaction is.
async fn end_effect(key: BranchKey, db: &mut SqliteConnection, sql: &'static str) -> Result<(), FenceError> {
    execute(key, db, sql).await.map_err(|error| match &error {
        FenceError::Database { error: said, .. }
            if said.as_database_error().is_some_and(|said| said.message().contains("no such savepoint")) =>
        {
            FenceError::Ended { key }
        }
        _ => error,
    })
}

/// Begins a transaction that holds the write lock from its start.
async fn begin(pool: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    // A broken connection may come back to the pool after the others were looked at: as often as there can be one.
    for _ in 0..pool.options().get_max_connections() {
        match pool.begin_with("BEGIN IMMEDIATE").await {
            Err(sqlx::Error::InvalidSavePointStatement) => discard_broken(pool).await,
            begun => return begun,
        }
    }
    pool.begin_with("BEGIN IMMEDIATE").await
}

async fn commit(key: BranchKey, tx: Transaction<'static, Sqlite>) -> Result<(), FenceError> {
    tx.commit().await.map_err(|error| explain(key, error))
}

/// Rolls back, as dropping would, and puts right what dropping could not.
///
/// SQLite ends a transaction by itself when the disk is full, and a body may. sqlx then still counts one, could not roll
/// it back, and would begin no other on this connection. So one is begun here: mostly SQLite says that there is one.
async fn roll_back(mut tx: Transaction<'static, Sqlite>) {
    let _ = sqlx::query("BEGIN").execute(&mut *tx).await;
    // What fails now fails again when it is dropped, and is found by the next `begin`.
    let _ = tx.rollback().await;
}

/// Closes idle connections that are for ever inside a transaction: see [`roll_back`]; a call that was dropped had no
/// time for that.
async fn discard_broken(pool: &SqlitePool) {
    let mut sound = Vec::new();
    for _ in 0..pool.size() {
        let Some(mut connection) = pool.try_acquire() else { break };
        // The answer to the ping comes after the rollback of what was dropped.
        if connection.ping().await.is_ok() && !connection.is_in_transaction() {
            sound.push(connection);
        } else {
            let _ = connection.detach().close_hard().await;
        }
    }
}

impl Fence<SqliteConnection> for Branch {
    type Mark = SqliteMark;

    async fn fence<T, E: Answer<T>>(
        &self,
        db: &mut SqliteConnection,
    ) -> Result<Gate<T, E, SqliteMark>, FenceError> {
        let (key, phase) = (self.key(), self.phase());
        if E::OF_TRY != (phase == Phase::Try) {
            return Err(FenceError::Misused { key, phase: phase_name(phase) });
        }
        let fresh = fresh(phase, self.is_on_confirm());
        if insert(self, db, fresh.state()).await? {
            return Ok(match fresh {
                Fresh::Run(_) => Gate::Run(SqliteMark { key, phase }),
                Fresh::Mark => Gate::Answer(kept(key, None)),
                Fresh::Lost => {
                    refuse(key, db, phase, &json_text(key, LOST)?).await?;
                    Gate::Answer(Err(E::contradicts(LOST)))
                }
            });
        }
        let row = find(key, db).await?;
        let todo = match &row {
            Some(row) if own(phase, row.state) => {
                if row.delivery == Some(self.delivery().to_string()) {
                    return Err(FenceError::Twice {
                        key,
                        action: self.action().clone(),
                        phase: phase_name(phase),
                    });
                }
                // A repeat leaves its name too: if its handler calls twice, it is told so like the first.
                name(self, db).await?;
                known(phase, row.state)
            }
            Some(row) => known(phase, row.state),
            None => match purged(phase) {
                Some(todo) => todo,
                None => return Err(before_horizon(self, db).await),
            },
        };
        let row =
            row.unwrap_or(Row { state: FenceState::Cancelled, output: None, refusal: None, delivery: None });
        Ok(match todo {
            Known::Run(state) => {
                set_state(self, db, state).await?;
                Gate::Run(SqliteMark { key, phase })
            }
            Known::FirstOutput => Gate::Answer(kept(key, row.output.as_deref())),
            Known::SameRefusal => Gate::Answer(Err(refused(key, row.refusal.as_deref()))),
            Known::TooLate => Gate::Answer(Err(E::too_late())),
            Known::Skip => Gate::Answer(kept(key, None)),
            Known::Mark => {
                set_state(self, db, FenceState::Cancelled).await?;
                Gate::Answer(kept(key, None))
            }
            Known::Contradicts(why) => Gate::Answer(Err(E::contradicts(why))),
        })
    }
}

/// What a phase owes to its row, once its effect is there or was refused.
#[derive(Debug)]
#[must_use = "give it the answer, or roll back"]
pub struct SqliteMark {
    key: BranchKey,
    phase: Phase,
}

impl SqliteMark {
    /// Keeps the answer in the row; then commit. Before it, roll back the effect of a refusal (to a savepoint), and all
    /// of an answer that is neither done nor refused.
    ///
    /// # Errors
    /// [`FenceError`]; the transaction is then to be rolled back.
    pub async fn answered<T, E: Answer<T>>(
        self,
        db: &mut SqliteConnection,
        answer: &Result<T, E>,
    ) -> Result<(), FenceError> {
        let misfit = |what| move |source| FenceError::Payload { key: self.key, what, source };
        match answer {
            Ok(output) => match E::keep(output).map_err(misfit("output"))? {
                Some(output) => keep_output(self.key, db, &output).await,
                None => Ok(()),
            },
            Err(error) => match error.refusal() {
                Some(refusal) => refuse(self.key, db, self.phase, &refusal.map_err(misfit("refusal"))?).await,
                None => Ok(()),
            },
        }
    }
}

/// The first output, if it fits the type.
fn kept<T, E: Answer<T>>(key: BranchKey, output: Option<&str>) -> Result<T, E> {
    E::kept(output).map_err(|source| E::unknown(FenceError::Payload { key, what: "output", source }))
}

/// The first refusal, if it fits the type.
fn refused<T, E: Answer<T>>(key: BranchKey, refusal: Option<&str>) -> E {
    E::refused(refusal.unwrap_or("null"))
        .unwrap_or_else(|source| E::unknown(FenceError::Payload { key, what: "refusal", source }))
}

fn json_text(key: BranchKey, text: &str) -> Result<String, FenceError> {
    serde_json::to_string(text).map_err(|source| FenceError::Payload { key, what: "refusal", source })
}

/// Writes the first row of a branch; `false` if it has one, or if its time is under the horizon.
async fn insert(cx: &Branch, db: &mut SqliteConnection, state: FenceState) -> Result<bool, FenceError> {
    let key = cx.key();
    let (state, refused_in) = columns(state);
    sqlx::query(
        "INSERT INTO tcc_fence (tx, branch, action, state, refused_in, on_confirm, begun_ms, run, delivery) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM tcc_fence_horizon \
         WHERE ?6 OR ?7 >= tcc_fence_horizon.begun_ms \
         ON CONFLICT (tx, branch, run) DO NOTHING",
    )
    .bind(key.tx.to_string())
    .bind(i64::from(key.branch.number()))
    .bind(cx.action().as_str())
    .bind(state)
    .bind(refused_in)
    .bind(cx.is_on_confirm())
    .bind(to_millis(cx.begun()))
    .bind(run_text(key))
    .bind(cx.delivery().to_string())
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
    .map_err(|error| explain(key, error))
}

/// The error of a try under the horizon.
async fn before_horizon(cx: &Branch, db: &mut SqliteConnection) -> FenceError {
    let key = cx.key();
    match sqlx::query_scalar("SELECT begun_ms FROM tcc_fence_horizon").fetch_one(db).await {
        Ok(horizon) => {
            let older = from_millis(horizon).duration_since(cx.begun()).unwrap_or_default();
            FenceError::BeforeHorizon { key, older: Duration::from_secs(older.as_secs()) }
        }
        Err(error) => explain(key, error),
    }
}

async fn find(key: BranchKey, db: &mut SqliteConnection) -> Result<Option<Row>, FenceError> {
    type Columns = (String, Option<String>, Option<String>, Option<String>, Option<String>);
    let row: Option<Columns> = sqlx::query_as(
        "SELECT state, refused_in, output, refusal, delivery FROM tcc_fence WHERE tx = ? AND branch = ? AND run = ?",
    )
    .bind(key.tx.to_string())
    .bind(i64::from(key.branch.number()))
    .bind(run_text(key))
    .fetch_optional(db)
    .await
    .map_err(|error| explain(key, error))?;
    row.map(|(state, refused_in, output, refusal, delivery)| {
        let state = parse_state(&state, refused_in.as_deref())
            .ok_or(FenceError::Damaged { key, why: "its state is not known" })?;
        Ok(Row { state, output, refusal, delivery })
    })
    .transpose()
}

async fn set_state(cx: &Branch, db: &mut SqliteConnection, state: FenceState) -> Result<(), FenceError> {
    let (state, refused_in) = columns(state);
    let query = sqlx::query(
        "UPDATE tcc_fence SET state = ?, refused_in = ?, delivery = ? WHERE tx = ? AND branch = ? AND run = ?",
    )
    .bind(state)
    .bind(refused_in)
    .bind(cx.delivery().to_string());
    one_row(cx.key(), query, db).await
}

/// Names a delivery as the one that came last.
async fn name(cx: &Branch, db: &mut SqliteConnection) -> Result<(), FenceError> {
    let query = sqlx::query("UPDATE tcc_fence SET delivery = ? WHERE tx = ? AND branch = ? AND run = ?")
        .bind(cx.delivery().to_string());
    one_row(cx.key(), query, db).await
}

async fn keep_output(key: BranchKey, db: &mut SqliteConnection, output: &str) -> Result<(), FenceError> {
    one_row(
        key,
        sqlx::query("UPDATE tcc_fence SET output = ? WHERE tx = ? AND branch = ? AND run = ?").bind(output),
        db,
    )
    .await
}

async fn refuse(
    key: BranchKey,
    db: &mut SqliteConnection,
    phase: Phase,
    refusal: &str,
) -> Result<(), FenceError> {
    let query = sqlx::query(
        "UPDATE tcc_fence SET state = 'refused', refused_in = ?, refusal = ? WHERE tx = ? AND branch = ? AND run = ?",
    )
    .bind(phase_name(phase))
    .bind(refusal);
    one_row(key, query, db).await
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, <Sqlite as sqlx::Database>::Arguments>;

/// Changes the row of a branch, which is there.
async fn one_row(key: BranchKey, query: Query<'_>, db: &mut SqliteConnection) -> Result<(), FenceError> {
    let done = query
        .bind(key.tx.to_string())
        .bind(i64::from(key.branch.number()))
        .bind(run_text(key))
        .execute(db)
        .await
        .map_err(|error| explain(key, error))?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(FenceError::Damaged { key, why: "it has gone while its phase ran" }),
    }
}

async fn execute(key: BranchKey, db: &mut SqliteConnection, sql: &'static str) -> Result<(), FenceError> {
    sqlx::query(sql).execute(db).await.map(drop).map_err(|error| explain(key, error))
}

/// The run of a key as its column.
pub(super) fn run_text(key: BranchKey) -> String {
    key.run.map(|run| run.to_string()).unwrap_or_default()
}

/// A state as its two columns.
pub(super) fn columns(state: FenceState) -> (&'static str, Option<&'static str>) {
    match state {
        FenceState::Tried => ("tried", None),
        FenceState::Confirmed => ("confirmed", None),
        FenceState::Cancelled => ("cancelled", None),
        FenceState::Refused { phase } => ("refused", Some(phase_name(phase))),
    }
}

pub(super) fn parse_state(state: &str, refused_in: Option<&str>) -> Option<FenceState> {
    match (state, refused_in) {
        ("tried", None) => Some(FenceState::Tried),
        ("confirmed", None) => Some(FenceState::Confirmed),
        ("cancelled", None) => Some(FenceState::Cancelled),
        ("refused", Some("try")) => Some(FenceState::Refused { phase: Phase::Try }),
        ("refused", Some("confirm")) => Some(FenceState::Refused { phase: Phase::Confirm }),
        ("refused", Some("cancel")) => Some(FenceState::Refused { phase: Phase::Cancel }),
        _ => None,
    }
}

/// An error of the database, in the user's words where she can mend it.
fn explain(key: BranchKey, error: sqlx::Error) -> FenceError {
    let missing = error.as_database_error().is_some_and(|error| {
        let message = error.message();
        message.contains("no such table: tcc_fence")
            || message.contains("table tcc_fence has no column")
            || message.contains("no such column: delivery")
    });
    if missing { FenceError::MissingTable(error) } else { FenceError::Database { key, error } }
}
