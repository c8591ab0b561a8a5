//! The coordinator: runs transactions, settles them, and recovers what others left.
//!
//! | file | subject |
//! | --- | --- |
//! | `builder` | settings, and the start |
//! | `run` | a transaction from its first line to its decision |
//! | `keyed` | a transaction with a key, which never runs twice |
//! | `open` | its body while it is polled: branches that start together get to know of each other |
//! | `tx` | what its body is given: calls of branches |
//! | `live` | its log while it is undecided: enlist, decide |
//! | `write` | one write, until its fate is certain |
//! | `gather`, `queue` | the way of all appends to the store |
//! | `settle`, `attempt` | phase two |
//! | `finish` | tombstones |
//! | `recovery` | what is due and whoever left it |
//! | `pace` | how much recovery has in hand beside callers |
//! | `sweep` | what has expired |
//! | `call` | one call of a participant |
//! | `participants` | how many calls each bears, and who waits for it to work again |
//! | `operator` | list, look, cancel, retry, resolve |
//! | `alert` | stuck and heuristic: calls for help |
//! | `meter` | what is measured |
//! | `trace` | the trace that a transaction belongs to |
//! | `once` | what is said once |
//! | `unknown` | actions that only other instances know |
//! | `tasks`, `handoff`, `carried` | work that outlives its caller |

mod alert;
mod attempt;
mod backoff;
mod builder;
pub(crate) mod call;
mod carried;
mod config;
mod error;
mod finish;
mod gather;
mod handoff;
mod keyed;
mod live;
mod meter;
mod once;
mod open;
mod operator;
mod pace;
mod participants;
mod queue;
pub(crate) mod random;
mod recovery;
mod run;
mod settle;
mod shared;
mod sweep;
mod tasks;
mod trace;
mod tx;
mod unknown;
mod write;

use std::sync::Arc;
use std::time::Duration;

pub use alert::Alert;
pub use backoff::Backoff;
pub use builder::{Builder, StartError};
pub use config::{ConfigError, SettleOrder};
pub use error::{BranchError, Duplicate, TransactionError};
pub use keyed::KeyedTransaction;
pub use operator::{Event, Filter, Operator, OperatorError, Timeline, TransactionInfo, Transactions};
pub use run::Transaction;
use shared::Shared;
pub use tx::{Participant, Tx};
pub use unknown::UnknownAction;

use crate::protocol::{Group, Status, TxId, fold};
use crate::store::{StatusStore, StoreError};

/// Runs transactions, settles them, and recovers what other instances of its group left.
///
/// Cheap to clone; all clones are one coordinator. When the last one is dropped it stops recovering; what is under way
/// is brought to a safe point in the background. [`Coordinator::shutdown`] waits for that.
#[derive(Clone)]
pub struct Coordinator {
    shared: Arc<Shared>,
    _last: Arc<CloseOnDrop>,
}

/// Closes the coordinator with its last handle.
struct CloseOnDrop(tasks::Tasks);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Coordinator {
    fn new(shared: Arc<Shared>) -> Self {
        let last = Arc::new(CloseOnDrop(shared.tasks.clone()));
        Self { shared, _last: last }
    }

    /// Sets up a coordinator for a group: all instances of one application that share a store have the same.
    pub fn builder(group: &str, store: impl StatusStore) -> Builder {
        Builder::new(group, store)
    }

    /// Its group.
    pub fn group(&self) -> &Group {
        &self.shared.group
    }

    /// Runs a body as a transaction with the default settings: see [`Transaction::run`].
    ///
    /// # Errors
    /// The body's own, or a [`TransactionError`].
    pub async fn run<T, E: From<TransactionError>>(
        &self,
        name: &str,
        body: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction(name).run(body).await
    }

    /// A transaction with settings of its own.
    pub fn transaction<'c>(&'c self, name: &'c str) -> Transaction<'c> {
        Transaction::new(&self.shared, name)
    }

    /// What an operator sees and may do: list, look at a log, cancel, retry, resolve.
    pub fn operator(&self) -> Operator<'_> {
        Operator::new(&self.shared)
    }

    /// Asks the store where a transaction stands. `None`: there is no log of it, which is **no** answer: it may never
    /// have had a branch, or its tombstone is gone.
    ///
    /// # Errors
    /// If the store does not answer, or the log can't be read.
    pub async fn outcome(&self, id: TxId) -> Result<Option<Status>, StoreError> {
        let Some(log) = self.shared.read(id).await? else { return Ok(None) };
        let record = fold(&log).map_err(|error| StoreError::Corrupt { id, why: shared::chain(&error) })?;
        Ok(Some(record.status()))
    }

    /// Waits until a transaction is settled: confirmed, cancelled or heuristic. `None` if there is no log of it.
    ///
    /// Asks the store again and again, at most once a second. Dropping the future changes nothing.
    ///
    /// # Errors
    /// If its log can't be read. A store that does not answer is asked again.
    pub async fn settled(&self, id: TxId) -> Result<Option<Status>, StoreError> {
        let mut asked = 0;
        loop {
            match self.outcome(id).await {
                Ok(Some(status)) if !status.is_settled() => {}
                Err(StoreError::Unavailable { .. } | StoreError::Ambiguous { .. }) => {}
                answer => return answer,
            }
            asked += 1;
            tokio::time::sleep(Backoff::STORE.delay(asked).max(Duration::from_millis(1))).await;
        }
    }

    /// Ends the coordinator: no new transaction begins, those that run come to their decision, attempts under way are
    /// waited for, and what is not settled is put back for other instances. Returns when all of that is in the store, and
    /// the coordinator's tasks have let go of it: once the last handle is dropped as well, the store is too, and what it
    /// had locked may be opened again.
    ///
    /// May be called more than once. Dropping the future does not undo it.
    pub async fn shutdown(&self) {
        self.shared.tasks.close();
        self.shared.tasks.drained().await;
        finish::drained(&self.shared).await;
        self.shared.tasks.background_ended().await;
    }
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.fmt(f)
    }
}
