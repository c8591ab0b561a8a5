//! What a store answers when it does not say *done*.

use crate::protocol::TxId;

/// Any error of a library beneath. It must hold no secret: no password, no URL with one.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a store answers when it does not say *done*.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The log ends elsewhere than the write expected: not applied.
    #[error("the log of transaction {id} ends elsewhere")]
    Conflict {
        /// Whose log.
        id: TxId,
    },
    /// There is no log, and the write expected one: not applied.
    #[error("there is no log of transaction {id}")]
    NotFound {
        /// Whose log.
        id: TxId,
    },
    /// The store could not be asked: **certainly** not applied.
    #[error("the store is unavailable: {what}")]
    Unavailable {
        /// What was found.
        what: String,
        /// The error beneath.
        #[source]
        source: Option<BoxError>,
    },
    /// The store was asked, and its answer was lost: perhaps applied, perhaps still to be.
    #[error("the store's answer was lost: {what}")]
    Ambiguous {
        /// What was found.
        what: String,
        /// The error beneath.
        #[source]
        source: Option<BoxError>,
    },
    /// What is kept under this id is not a log.
    #[error("the log of transaction {id} can't be read: {why}")]
    Corrupt {
        /// Whose log.
        id: TxId,
        /// What is wrong, without any payload.
        why: String,
    },
    /// The cursor is not one that this store gave for this query.
    #[error("the cursor is not one of this store's: start again from the first page")]
    BadCursor,
    /// The store refuses the call as it is: it will never be applied, however often it is repeated.
    #[error("the store refuses this call: {what}")]
    Invalid {
        /// Why, and what would be accepted.
        what: String,
    },
}

impl StoreError {
    /// [`StoreError::Unavailable`] because of an error beneath, whose text becomes [`StoreError::Unavailable::what`].
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Unavailable { what: source.to_string(), source: Some(source) }
    }

    /// [`StoreError::Ambiguous`] because of an error beneath, whose text becomes [`StoreError::Ambiguous::what`].
    pub fn ambiguous(source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Ambiguous { what: source.to_string(), source: Some(source) }
    }
}
