//! Two generations of one application: services whose actions differ, over one database, with its audit.
//!
//! | | `inventory.reserve` 1 | `inventory.reserve` 2 | `wallet.freeze` 1 | `gift.wrap` 1 |
//! | --- | --- | --- | --- | --- |
//! | [`Generation::One`] | yes | | yes | |
//! | [`Generation::Two`] | yes | yes | yes | yes |
//! | [`Generation::TooEarly`]: the second, less what the first still needs | | yes | yes | yes |

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqliteConnection, SqlitePool};
use tcc_core::protocol::{Group, Status, TxId, fold};
use tcc_core::store::{BoxError, StatusStore};
use tcc_core::{
    ActionType, Backoff, Branch, BranchError, Builder, Coordinator, Handler, Never, Registry, Service,
    Settled, TransactionError, Tried, Tx,
};
use tcc_sqlx::Fenced;
use tcc_sqlx::sqlite::SqliteFence;

/// The group of all of them.
pub const GROUP: &str = "deploys";
/// For how long what a killed process was settling is left alone.
pub const LEASE: Duration = Duration::from_millis(400);
/// The most that is waited before a branch is asked again, or before somebody else is to look at it.
pub const CAP: Duration = Duration::from_millis(200);

/// Which actions a process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The first.
    One,
    /// The second: all of the first, and more.
    Two,
    /// The second, from which the first's version of an action was removed while it was still needed.
    TooEarly,
}

impl Generation {
    /// As an argument of a process.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
            Self::TooEarly => "too-early",
        }
    }
}

impl FromStr for Generation {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        [Self::One, Self::Two, Self::TooEarly]
            .into_iter()
            .find(|generation| generation.name() == text)
            .ok_or_else(|| format!("there is no generation {text:?}").into())
    }
}

/// `inventory.reserve` as it was first.
pub struct Reserve;

/// Its request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneKind {
    pieces: i64,
}

impl ActionType for Reserve {
    const NAME: &'static str = "inventory.reserve";
    type Request = OneKind;
    type Output = i64;
    type Error = Never;
}

/// `inventory.reserve` with another request.
pub struct ReserveLines;

/// Its request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    lines: Vec<i64>,
}

impl ActionType for ReserveLines {
    const NAME: &'static str = "inventory.reserve";
    const VERSION: u16 = 2;
    type Request = Lines;
    type Output = Vec<i64>;
    type Error = Never;
}

/// `wallet.freeze`: every generation knows it.
pub struct Freeze;

impl ActionType for Freeze {
    const NAME: &'static str = "wallet.freeze";
    type Request = i64;
    type Output = i64;
    type Error = Never;
}

/// `gift.wrap`: new in the second generation.
pub struct Wrap;

impl ActionType for Wrap {
    const NAME: &'static str = "gift.wrap";
    type Request = i64;
    type Output = ();
    type Error = Never;
}

/// Is told of each call of phase two before it is served; may keep it from ever being.
pub type Watch = Arc<dyn Fn(&Branch, u16) -> Served + Send + Sync>;

/// Whether a call is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// At once.
    Now,
    /// Never: its process is about to be killed.
    Never,
}

/// The services of one generation.
pub struct Services {
    generation: Generation,
    db: SqlitePool,
    watch: Watch,
}

impl Services {
    /// Those of a generation, on the database in this folder.
    ///
    /// # Errors
    /// If the database can't be used.
    pub async fn open(dir: &Path, generation: Generation, watch: Watch) -> Result<Self, BoxError> {
        Ok(Self { generation, db: open(dir).await?, watch })
    }

    async fn settled(&self, cx: &Branch, version: u16, amount: i64) -> Settled {
        if (self.watch)(cx, version) == Served::Never {
            std::future::pending::<()>().await;
        }
        cx.fenced(&self.db, async |db| Ok(note(db, cx, version, amount).await?)).await
    }
}

/// The effect of one phase of one branch.
async fn note(db: &mut SqliteConnection, cx: &Branch, version: u16, amount: i64) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO effects (tx, branch, action, version, phase, amount) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(cx.tx().to_string())
        .bind(i64::from(cx.id().number()))
        .bind(cx.action().as_str())
        .bind(i64::from(version))
        .bind(cx.phase().to_string())
        .bind(amount)
        .execute(db)
        .await
        .map(drop)
}

/// The database of a folder.
async fn open(dir: &Path) -> Result<SqlitePool, BoxError> {
    let options = SqliteConnectOptions::new()
        .filename(dir.join("services.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(10));
    let db = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
    SqliteFence::new(db.clone()).migrate().await?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS effects (tx TEXT NOT NULL, branch INTEGER NOT NULL, action TEXT NOT NULL, \
         version INTEGER NOT NULL, phase TEXT NOT NULL, amount INTEGER NOT NULL) STRICT",
    )
    .execute(&db)
    .await?;
    Ok(db)
}

/// How an action's payloads become an amount.
trait Amount {
    fn amount(&self) -> i64;
}
impl Amount for i64 {
    fn amount(&self) -> i64 {
        *self
    }
}
impl Amount for OneKind {
    fn amount(&self) -> i64 {
        self.pieces
    }
}
impl Amount for Lines {
    fn amount(&self) -> i64 {
        self.lines.iter().sum()
    }
}

macro_rules! handlers {
    ($($action:ident: $request:ty => $output:ty, $output_of:expr;)*) => {$(
        impl Handler<$action> for Services {
            async fn r#try(&self, cx: &Branch, request: $request) -> Tried<$output, Never> {
                cx.fenced(&self.db, async |db| {
                    note(db, cx, $action::VERSION, request.amount()).await?;
                    let output: fn($request) -> $output = $output_of;
                    Ok(output(request))
                })
                .await
            }

            async fn confirm(&self, cx: &Branch, request: $request, _: $output) -> Settled {
                self.settled(cx, $action::VERSION, request.amount()).await
            }

            async fn cancel(&self, cx: &Branch, request: $request, _: Option<$output>) -> Settled {
                self.settled(cx, $action::VERSION, request.amount()).await
            }
        }
    )*};
}
handlers! {
    Reserve: OneKind => i64, |request| request.pieces;
    ReserveLines: Lines => Vec<i64>, |request| request.lines;
    Freeze: i64 => i64, |cents| cents;
    Wrap: i64 => (), |_| ();
}

impl Service for Services {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        let (old, new) = match self.generation {
            Generation::One => (true, false),
            Generation::Two => (true, true),
            Generation::TooEarly => (false, true),
        };
        registry.add::<Freeze, _>(self.clone());
        if old {
            registry.add::<Reserve, _>(self.clone());
        }
        if new {
            registry.add::<ReserveLines, _>(self.clone());
            registry.add::<Wrap, _>(self);
        }
    }
}

/// A coordinator of the group, with times that make a test short.
pub fn builder(store: impl StatusStore) -> Builder {
    Coordinator::builder(GROUP, store)
        .timeout(Duration::from_secs(2))
        .lease(LEASE)
        .call_timeout(Duration::from_secs(60))
        .backoff(Backoff { base: Duration::from_millis(20), cap: CAP })
}

/// The error of a checkout.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Of a branch.
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    /// Of the transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The customer thinks better of it.
    #[error("the customer thinks better of it")]
    Regret,
}

/// One checkout as a generation does it: the first calls what it knows; the second both versions of the same action, and
/// what is new; the one that is too early only what it knows.
///
/// # Errors
/// Whatever came between.
pub async fn checkout(tcc: &Coordinator, generation: Generation, regret: bool) -> Result<TxId, Error> {
    tcc.run("checkout", async |tx: &Tx| {
        match generation {
            Generation::One => {
                tx.call::<Reserve>(OneKind { pieces: 3 }).await?;
                tx.call::<Freeze>(500).await?;
            }
            Generation::Two => {
                tokio::try_join!(
                    tx.call::<Reserve>(OneKind { pieces: 2 }),
                    tx.call::<ReserveLines>(Lines { lines: vec![1, 2] })
                )?;
                tx.call::<Freeze>(700).await?;
                tx.call::<Wrap>(1).await?;
            }
            Generation::TooEarly => {
                tx.call::<ReserveLines>(Lines { lines: vec![4] }).await?;
                tx.call::<Freeze>(900).await?;
            }
        }
        if regret { Err(Error::Regret) } else { Ok(tx.id()) }
    })
    .await
}

/// What the services' database says, held against the logs.
#[derive(Debug, Default)]
pub struct Audit {
    /// Transactions with effects, confirmed.
    pub confirmed: u64,
    /// Transactions with effects, cancelled.
    pub cancelled: u64,
    /// Settled branches of an action that not every generation knows.
    pub of_one_generation: u64,
}

impl Audit {
    /// Looks at every effect.
    ///
    /// # Errors
    /// What does not go together: a branch that was tried and not settled once and as its transaction was decided, or settled
    /// without having been tried.
    pub async fn of(dir: &Path, store: &dyn StatusStore) -> Result<Self, BoxError> {
        let db = open(dir).await?;
        type Row = (String, i64, String, i64, String, String);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT tx, branch, action, version, group_concat(phase, ' ' ORDER BY rowid), group_concat(DISTINCT amount) \
             FROM effects GROUP BY tx, branch ORDER BY tx, branch",
        )
        .fetch_all(&db)
        .await?;
        let group = Group::new(GROUP)?;
        let mut audit = Self::default();
        let mut last: Option<(String, Status)> = None;
        for (tx, branch, action, version, phases, amounts) in rows {
            let status = match &last {
                Some((id, status)) if *id == tx => *status,
                _ => {
                    let log = store
                        .read(&group, tx.parse()?)
                        .await?
                        .ok_or(format!("{tx} has effects and no log"))?;
                    let status = fold(&log)?.status();
                    match status {
                        Status::Confirmed => audit.confirmed += 1,
                        Status::Cancelled => audit.cancelled += 1,
                        other => return Err(format!("{tx} is {other}").into()),
                    }
                    last = Some((tx.clone(), status));
                    status
                }
            };
            let right = if status == Status::Confirmed { "try confirm" } else { "try cancel" };
            if phases != right || amounts.contains(',') {
                return Err(format!(
                    "branch {branch} of {tx} ({action} v{version}), which is {status}: {phases}, of {amounts}"
                )
                .into());
            }
            audit.of_one_generation += u64::from(action != "wallet.freeze");
        }
        Ok(audit)
    }
}
