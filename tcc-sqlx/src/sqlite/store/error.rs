//! What SQLite says, in the words of the store's contract.

use tcc_core::store::StoreError;

/// SQLite's primary result codes that are of interest here.
mod code {
    pub(super) const READONLY: i32 = 8;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const BUSY: i32 = 5;
    pub(super) const PERM: i32 = 3;
    pub(super) const NOTADB: i32 = 26;
}

/// Why a whole transaction failed.
pub(super) enum Failed {
    /// Before its commit was asked for: it is rolled back.
    Unasked(sqlx::Error),
    /// In its commit: it may be there or not.
    Lost(sqlx::Error),
}

impl Failed {
    /// The same answer for each of the writes in it.
    pub(super) fn to_each(&self, writes: usize) -> Vec<Result<(), StoreError>> {
        let answer = || match self {
            Self::Unasked(error) => StoreError::Unavailable { what: describe(error), source: None },
            Self::Lost(error) => StoreError::Ambiguous { what: describe(error), source: None },
        };
        (0..writes).map(|_| Err(answer())).collect()
    }
}

/// An error before a commit was asked for: certainly not applied.
pub(super) fn unasked(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable { what: describe(&error), source: Some(error.into()) }
}

/// An error of a commit: perhaps applied.
pub(super) fn lost(error: sqlx::Error) -> StoreError {
    StoreError::Ambiguous { what: describe(&error), source: Some(error.into()) }
}

fn describe(error: &sqlx::Error) -> String {
    match primary_code(error) {
        Some(code::BUSY) => {
            format!(
                "another connection has held the file's write lock for longer than the busy timeout: {error}"
            )
        }
        _ => error.to_string(),
    }
}

/// Whether it says that the file can't be written to, now or later.
pub(super) fn forbids_writing(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(code::READONLY | code::CANTOPEN | code::PERM))
}

/// Whether another connection was in the way.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::BUSY)
}

/// Whether the file is something else than a SQLite database.
pub(super) fn is_not_a_database(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::NOTADB)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}
