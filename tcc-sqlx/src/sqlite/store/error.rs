//! What SQLite says, in the words of the store's contract.

use tcc_core::store::StoreError;

pub(super) use crate::plain::plain;

/// SQLite's primary result codes that are of interest here.
mod code {
    pub(super) const READONLY: i32 = 8;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const BUSY: i32 = 5;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
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
    StoreError::Unavailable { what: describe(&error), source: None }
}

/// An error of a commit: perhaps applied.
pub(super) fn lost(error: sqlx::Error) -> StoreError {
    StoreError::Ambiguous { what: describe(&error), source: None }
}

/// What SQLite says, and what helps.
pub(super) fn describe(error: &sqlx::Error) -> String {
    let advice = match primary_code(error) {
        Some(code::BUSY) => {
            "another connection has held the file's write lock for longer than the busy timeout: look who writes so long"
        }
        Some(code::FULL) => "make room on its disk, and all goes on by itself",
        Some(code::IOERR) => "look at its disk: it may be full, or broken, or a quota reached",
        Some(code::READONLY | code::PERM) => {
            "give this process the right to write to the file and to its folder"
        }
        Some(code::CANTOPEN) => {
            "see that the file and its folder are still there, and may be read and written"
        }
        Some(code::CORRUPT | code::NOTADB) => {
            "the file is damaged: restore it, or have `sqlite3 FILE .recover` look at it"
        }
        _ => return plain(error),
    };
    format!("SQLite says: {}; {advice}", plain(error))
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
