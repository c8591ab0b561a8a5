//! The status store: where logs are kept, and which of them are due.
//!
//! A store knows nothing of the protocol. It keeps lists of opaque lines, appends to one only if it still ends where
//! the writer believes, and hands out those that are due. [`StatusStore`] is the whole contract; the suite in
//! `tcc_core::testing` (feature `testing`) holds a store to it.

mod error;
mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use error::{BoxError, StoreError};
pub use memory::MemoryStore;

use crate::protocol::{Entry, Group, Log, Position, TxId};

/// Keeps logs, and knows which are due.
///
/// Every method may be called at the same time by many tasks and many processes. A future that is dropped before it
/// answers may or may not have done its work, as if its answer had been lost.
///
/// All times are durations; only the store's own clock makes instants of them.
///
/// # When the clock jumps
///
/// A store's clock may be a machine's, which is set right, or was asleep. Whatever it does, positions protect what was
/// written, so a jump may cost time and nothing else. On a jump a store must
///
/// - lose nothing unfinished, and refuse no append: what may be appended is decided by positions, never by times;
/// - give a log to a second claimer only with an entry of its own, so that the first one's position is over;
/// - go by the clock as it is now in whatever is appended, claimed or told after the jump;
/// - tell no age that is wrong by more than the jump, and none that is negative.
///
/// What lies in the store already may be moved by as much as the clock was: after a jump ahead, leases end and retentions
/// pass early; after a jump back, what was due is due later, and a lease lasts longer. A store need not do better; one
/// that can goes on from the latest time it has seen.
#[async_trait]
pub trait StatusStore: Send + Sync + 'static {
    /// Appends [`Append::entry`] if the log of [`Append::id`] ends at [`Append::after`], and sets when it is due next:
    /// atomically, durably, or not at all.
    ///
    /// The same entry again, while it is the last one, is `Ok` and changes nothing. Both halves of the position are
    /// compared.
    ///
    /// # Errors
    /// - [`StoreError::Conflict`]: the log ends elsewhere, or there is one where none was expected.
    /// - [`StoreError::NotFound`]: there is no log, and one was expected.
    /// - [`StoreError::Unavailable`]: certainly not applied.
    /// - [`StoreError::Ambiguous`]: perhaps applied, perhaps not yet.
    async fn append(&self, write: &Append) -> Result<(), StoreError>;

    /// Appends many, each with its own answer, in the order given.
    ///
    /// Not a transaction: each is applied or not by itself. The coordinator gathers what is waiting, so a store that
    /// can write many for the price of one overrides it.
    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(self.append(write).await);
        }
        answers
    }

    /// Hands out logs of a group that are due by the store's clock, the most overdue first; appends
    /// [`Claim::entry`] to each, and makes it due again after [`Claim::lease`]. Two claims never get the same log while
    /// a lease lasts.
    ///
    /// A log that can't be read is reported in [`Claimed::unreadable`], made due again after the lease, and keeps its
    /// entries; it holds up no other.
    ///
    /// # Errors
    /// As [`StatusStore::append`]. After an ambiguous one, what was claimed is due again after the lease.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError>;

    /// Reads a log; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it can't be read, or as for every call.
    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError>;

    /// Lists what is unfinished, the most overdue first, and what is kept for ever ([`Retain::Forever`]), in pages of
    /// bounded work.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] if the cursor is not one of this store's, or as for every call.
    async fn list(&self, query: &Query) -> Result<Page, StoreError>;

    /// Counts a group's transactions, from indexes, not by loading them.
    ///
    /// # Errors
    /// As for every call.
    async fn stats(&self, group: &Group) -> Result<Stats, StoreError>;

    /// Looks at the server's settings, and says what is wrong with them and how to mend it.
    ///
    /// # Errors
    /// As for every call.
    async fn check(&self) -> Result<Readiness, StoreError>;

    /// Removes up to `limit` logs whose retention has passed, and says how many. For stores without an expiry of their
    /// own; the coordinator calls it from time to time.
    ///
    /// # Errors
    /// As for every call.
    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let _ = limit;
        Ok(0)
    }

    /// Waits until something of the group may be due, at most for the time given. It may return early; it need not.
    async fn due_soon(&self, group: &Group, at_most: Duration) {
        let _ = group;
        tokio::time::sleep(at_most).await;
    }
}

/// A conditional append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The group that the transaction belongs to.
    pub group: Group,
    /// The transaction.
    pub id: TxId,
    /// Where its log must end: [`Position::START`] if there must be none.
    pub after: Position,
    /// What is appended.
    pub entry: Entry,
    /// When it is due next.
    pub due: Due,
    /// Whether the entry follows those before or takes their place.
    pub mode: Mode,
}

/// When a log is to be handed out by [`StatusStore::claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Due {
    /// As before. In the first append of a log: at once.
    Keep,
    /// This long from now, by the store's clock.
    In(Duration),
    /// Never: nothing is left to be done.
    Never {
        /// How long it is still kept.
        retain: Retain,
    },
}

/// How long a log is kept that is never due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retain {
    /// At least this long; then it may go.
    For(Duration),
    /// Until an operator has resolved it. [`StatusStore::list`] shows it.
    Forever,
}

/// Whether an entry follows those before or takes their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It follows.
    Extend,
    /// It takes the place of all entries: a snapshot or a tombstone. The position goes on counting.
    Replace,
}

/// A request for due logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Of which group.
    pub group: Group,
    /// The claimer's entry; the same is appended to each.
    pub entry: Entry,
    /// For how long the claimer alone has them.
    pub lease: Duration,
    /// How many at most. With 0 nothing is handed out, and the answer says when the next one is due.
    pub limit: usize,
}

/// What a claim brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The logs, the claimer's entry last, the most overdue first.
    pub logs: Vec<(TxId, Log)>,
    /// How long until the next log of the group is due, beside those just claimed; `Some(ZERO)` if more are due
    /// already, `None` if there is none.
    pub next_due: Option<Duration>,
    /// Logs that are due and can't be read. They are due again after the lease, as those handed out; they need not count
    /// towards the limit.
    pub unreadable: Vec<Unreadable>,
}

/// A log that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Whose.
    pub id: TxId,
    /// What is wrong, without any payload.
    pub why: String,
}

/// A request for a page of a group's transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Of which group.
    pub group: Group,
    /// Which of them.
    pub select: Select,
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<Cursor>,
    /// How many at most; a page may hold fewer, even none, and still have a next one. 0 is taken as 1: a page that asks
    /// for nothing could not tell whether it was the last.
    pub limit: usize,
}

/// Which transactions are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Select {
    /// Those that will be due, the most overdue first.
    Unfinished,
    /// Those kept for ever: [`Retain::Forever`].
    Kept,
}

/// Where a page ended: a text that only the store that gave it can read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor(pub String);

/// A page of transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The transactions.
    pub items: Vec<Listed>,
    /// Logs that can't be read.
    pub unreadable: Vec<Unreadable>,
    /// For the next page; `None` if this is the last.
    pub next: Option<Cursor>,
}

/// A transaction as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The transaction.
    pub id: TxId,
    /// Its log.
    pub log: Log,
    /// When it is due, by the store's clock.
    pub due: DueAge,
}

/// When a listed log is due, seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DueAge {
    /// In this time.
    In(Duration),
    /// Since this time.
    Overdue(Duration),
    /// Never.
    Never,
}

/// A group in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Logs that are or will be due.
    pub unfinished: u64,
    /// Logs of [`Retain::Forever`].
    pub kept: u64,
    /// For how long the most overdue log has been due; `None` if none is.
    pub most_overdue: Option<Duration>,
}

/// What is wrong with a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What keeps it from being used: the coordinator doesn't start.
    pub errors: Vec<Finding>,
    /// What its user should know: the coordinator logs it once.
    pub warnings: Vec<Finding>,
}

/// One thing that is wrong with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.mend)
    }
}

#[async_trait]
impl<S: StatusStore + ?Sized> StatusStore for Arc<S> {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        (**self).append(write).await
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        (**self).append_all(writes).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        (**self).claim(claim).await
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        (**self).read(group, id).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        (**self).list(query).await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        (**self).stats(group).await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        (**self).check().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        (**self).sweep(limit).await
    }

    async fn due_soon(&self, group: &Group, at_most: Duration) {
        (**self).due_soon(group, at_most).await;
    }
}
