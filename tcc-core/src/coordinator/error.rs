//! What goes wrong with a transaction, and with a branch of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::protocol::{Cause, NameError, Status, TxId};
use crate::span::Span;
use crate::store::{BoxError, StoreError};

/// Why a transaction did not confirm, and what is certain about it.
///
/// The error of a body must be made of it: `#[from] TransactionError`.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The deadline passed. It is or will be cancelled; nothing is confirmed.
    #[error("transaction {id} exceeded its deadline: it is cancelled")]
    TimedOut {
        /// The transaction.
        id: TxId,
    },
    /// It was cancelled by somebody else. Nothing is confirmed.
    #[error("transaction {id} is cancelled: {cause}")]
    Cancelled {
        /// The transaction.
        id: TxId,
        /// Why.
        cause: Cause,
    },
    /// The decision to confirm was sent, and the store's answer was lost: it is confirmed or will be cancelled. Ask
    /// [`Coordinator::outcome`](crate::Coordinator::outcome).
    #[error(
        "transaction {id} is in doubt: the store did not say whether it is confirmed; ask for its outcome later"
    )]
    InDoubt {
        /// The transaction.
        id: TxId,
        /// What the store said last.
        #[source]
        source: Arc<StoreError>,
    },
    /// The key was used before, and this call can't have that call's value.
    #[error("transaction {name:?} ({id}) was begun before with the key {key:?}: {why}")]
    Duplicate {
        /// The transaction that has the key.
        id: TxId,
        /// Its name.
        name: String,
        /// The key; of a long one, its first 64 characters.
        key: String,
        /// Where it stands.
        status: Status,
        /// Why its value can't be returned.
        why: Duplicate,
    },
    /// The store failed before the decision. Nothing is confirmed; what was tried will be cancelled.
    #[error(
        "transaction {id} failed in its store: nothing is confirmed, and what was tried will be cancelled"
    )]
    Store {
        /// The transaction.
        id: TxId,
        /// What the store said.
        #[source]
        source: Arc<StoreError>,
    },
    /// The store has lost entries that it had acknowledged. Nothing more is done to this transaction here.
    #[error(
        "transaction {id}: the store has lost acknowledged entries of its log (it has {found}, {expected} were \
         acknowledged); look at its branches: the `compare` of each participant's fence lists what has no \
         transaction any more, its `orphans`"
    )]
    Lost {
        /// The transaction.
        id: TxId,
        /// How many entries were acknowledged.
        expected: u32,
        /// How many there are.
        found: u32,
    },
    /// The coordinator is shutting down, or was shut down. Nothing was begun.
    #[error(
        "the coordinator is closed, and nothing was begun: it was shut down, or its token cancelled; start another one"
    )]
    Closed,
    /// Something is too large or too many. A request: its branch was not enlisted, its try not called. An output: its branch
    /// is not acknowledged, and will be cancelled.
    #[error("transaction {id}: {what} has {value} {unit}: at most {max} are permitted; {}", mend(*setting))]
    Limit {
        /// The transaction.
        id: TxId,
        /// What.
        what: &'static str,
        /// How large it is.
        value: u64,
        /// How large it may be.
        max: u64,
        /// What is counted.
        unit: &'static str,
        /// The setting of the [`Builder`](crate::Builder) that says so, if it can be set.
        setting: Option<&'static str>,
    },
    /// A timeout that is out of range. Nothing was begun.
    #[error("the timeout of transaction {name:?} is {}: {} to {} is permitted", Span(*timeout), Span(*min), Span(*max))]
    Timeout {
        /// The transaction's name.
        name: String,
        /// What was asked for.
        timeout: Duration,
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The key has no character: every call without an id of its own would have the same. Nothing was begun.
    #[error("the key of transaction {name:?} is empty: give each operation a key of its own, or none")]
    EmptyKey {
        /// The transaction's name.
        name: String,
    },
    /// The timeout of a transaction with a key is so long that the key would be forgotten before. Nothing was begun.
    #[error(
        "transaction {name:?} has a key and a timeout of {}: at most {} is permitted, as the key_retention is {}; make \
         that longer, or the timeout shorter",
        Span(*timeout), Span(*max), Span(*key_retention)
    )]
    KeyTimeout {
        /// The transaction's name.
        name: String,
        /// What was asked for.
        timeout: Duration,
        /// The longest.
        max: Duration,
        /// How long keys are kept.
        key_retention: Duration,
    },
    /// A name that can't be persisted. Nothing was begun.
    #[error("a transaction can't be called that: {0}")]
    Name(NameError),
    /// There is no runtime that tells the time. Nothing was begun.
    #[error("there is no tokio runtime here: run transaction {name:?} within one")]
    NoRuntime {
        /// The transaction's name.
        name: String,
    },
    /// The action has no handler here. The branch was not enlisted.
    #[error(
        "transaction {id}: no participant registered here handles {action} version {version}: register it, or \
         a client of it"
    )]
    NotRegistered {
        /// The transaction.
        id: TxId,
        /// The action.
        action: &'static str,
        /// Its version.
        version: u16,
    },
    /// A payload can't be written as JSON, or not be read back from it. A request: its branch was not enlisted. An output: its
    /// branch is not acknowledged, and will be cancelled.
    #[error("transaction {id}: the {what} of {action} can't be kept as JSON: {why}")]
    Payload {
        /// The transaction.
        id: TxId,
        /// The action.
        action: &'static str,
        /// Which payload.
        what: &'static str,
        /// What the serialiser said.
        why: String,
    },
    /// It was to start inside another. Nothing was begun.
    #[error(
        "transaction {name:?} was started inside transaction {outer}: join that one (call the `_in` method), or say \
         `independent` if it is to stand by itself"
    )]
    Nested {
        /// The name of the inner one.
        name: String,
        /// The outer one.
        outer: TxId,
    },
}

impl TransactionError {
    /// The transaction, if one was begun.
    pub fn id(&self) -> Option<TxId> {
        match self {
            Self::TimedOut { id }
            | Self::Cancelled { id, .. }
            | Self::InDoubt { id, .. }
            | Self::Duplicate { id, .. }
            | Self::Store { id, .. }
            | Self::Lost { id, .. }
            | Self::Limit { id, .. }
            | Self::NotRegistered { id, .. }
            | Self::Payload { id, .. } => Some(*id),
            Self::Closed
            | Self::Timeout { .. }
            | Self::EmptyKey { .. }
            | Self::KeyTimeout { .. }
            | Self::Name(_)
            | Self::NoRuntime { .. }
            | Self::Nested { .. } => None,
        }
    }
}

/// How to mend what is too large.
fn mend(setting: Option<&str>) -> String {
    match setting {
        Some(setting @ "max_branches") => {
            format!("divide it, or raise `{setting}` of the coordinator's builder")
        }
        Some(setting) => {
            format!("keep large things elsewhere, or raise `{setting}` of the coordinator's builder")
        }
        None => "give a shorter one, such as a digest".to_owned(),
    }
}

/// Why a repeat of a key can't have the value of the first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Duplicate {
    /// The request is another one.
    AnotherRequest,
    /// The first call was cancelled.
    Cancelled,
    /// The first call is not decided yet.
    Undecided,
    /// The value kept is not of the type that is asked for.
    AnotherType,
    /// Its participants gave mixed answers: an operator has to resolve it.
    Heuristic,
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnotherRequest => "its request was another one; give each request a key of its own",
            Self::Cancelled => "it was cancelled; to run again after that, say `reuse_after_cancel`",
            Self::Undecided => "it is not decided yet; ask again",
            Self::AnotherType => "its value is of another type",
            Self::Heuristic => "its participants gave mixed answers, which an operator has to resolve",
        })
    }
}

/// Why a branch did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BranchError<E: fmt::Debug + fmt::Display> {
    /// Its participant said a definite no. The transaction may still confirm its other branches.
    #[error("refused: {0}")]
    Refused(E),
    /// It may have happened or not: an error, a panic, a lost answer, a time limit. It will be cancelled.
    #[error("unknown: {0}")]
    Unknown(#[source] BoxError),
    /// It was cancelled before its try arrived. It had no effect.
    #[error("too late: the branch was already cancelled")]
    TooLate,
    /// The transaction can't go on.
    #[error(transparent)]
    Transaction(TransactionError),
}
