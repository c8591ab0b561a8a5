//! What a case holds a store or an action to, and what it says when that breaks.

use std::fmt;

use crate::protocol::{Entry, Log, TxId};
use crate::store::StoreError;

/// A promise of the contract that a store or an action does not keep, or what a fixture has to be and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub promise: &'static str,
    /// What was found instead.
    pub found: String,
    /// How to mend it.
    pub mend: &'static str,
    /// Whether it is the fixture that is unfit: then nothing is said of what it starts.
    pub unfit: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, says) = match self.unfit {
            false => ("a promise of the contract is broken", "promise:"),
            true => ("the fixture is unfit, and nothing is said of what it starts", "needed: "),
        };
        write!(f, "{what}\n  {says} {}\n  found:   {}\n  to mend: {}", self.promise, self.found, self.mend)
    }
}

impl std::error::Error for Broken {}

/// A promise of the contract, and how one that does not keep it is mended.
pub(super) struct Promise {
    says: &'static str,
    mend: &'static str,
    of_fixture: bool,
}

impl Promise {
    pub(super) const fn new(says: &'static str, mend: &'static str) -> Self {
        Self { says, mend, of_fixture: false }
    }

    /// What a fixture has to be, so that anything can be said of what it starts.
    pub(super) const fn of_fixture(says: &'static str, mend: &'static str) -> Self {
        Self { says, mend, of_fixture: true }
    }

    pub(super) fn broken(&self, found: impl Into<String>) -> Broken {
        Broken { promise: self.says, found: found.into(), mend: self.mend, unfit: self.of_fixture }
    }

    pub(super) fn holds(&self, holds: bool, found: impl FnOnce() -> String) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(self.broken(found())) }
    }

    pub(super) fn equal<T: PartialEq + fmt::Debug>(
        &self,
        what: &str,
        found: &T,
        wanted: &T,
    ) -> Result<(), Broken> {
        self.holds(found == wanted, || format!("{what}: {found:?} where {wanted:?} was expected"))
    }

    pub(super) fn ok<T>(&self, what: &str, answer: Result<T, StoreError>) -> Result<T, Broken> {
        answer.map_err(|error| self.broken(format!("{what}: answered \"{error}\" where all was well")))
    }

    pub(super) fn conflict(
        &self,
        what: &str,
        answer: &Result<(), StoreError>,
        id: TxId,
    ) -> Result<(), Broken> {
        let right = matches!(answer, Err(StoreError::Conflict { id: of }) if *of == id);
        self.holds(right, || {
            format!("{what}: answered {answer:?} where Conflict {{ id: {id} }} was expected")
        })
    }

    pub(super) fn not_found(
        &self,
        what: &str,
        answer: &Result<(), StoreError>,
        id: TxId,
    ) -> Result<(), Broken> {
        let right = matches!(answer, Err(StoreError::NotFound { id: of }) if *of == id);
        self.holds(right, || {
            format!("{what}: answered {answer:?} where NotFound {{ id: {id} }} was expected")
        })
    }

    /// Whether a log is exactly these entries, ever appended in this number.
    pub(super) fn log(
        &self,
        what: &str,
        found: Option<&Log>,
        wanted: &[Entry],
        appended: u32,
    ) -> Result<(), Broken> {
        let Some(found) = found else {
            return Err(
                self.broken(format!("{what}: no log where one of {} entries was expected", wanted.len()))
            );
        };
        if found.entries().len() != wanted.len() {
            return Err(self.broken(format!(
                "{what}: the log has {} entries where {} were expected",
                found.entries().len(),
                wanted.len()
            )));
        }
        for (number, (found, wanted)) in (1..).zip(found.entries().iter().zip(wanted)) {
            self.holds(found.op() == wanted.op(), || {
                format!("{what}: entry {number} has op {} where {} was expected", found.op(), wanted.op())
            })?;
            self.holds(found.line() == wanted.line(), || {
                let same = found.line().bytes().zip(wanted.line().bytes()).take_while(|(a, b)| a == b).count();
                format!(
                    "{what}: the text of entry {number} differs from byte {same} on ({} bytes where {} were expected)",
                    found.line().len(),
                    wanted.line().len()
                )
            })?;
        }
        let end = found.position();
        self.holds(end.entries == appended, || {
            format!("{what}: the position counts {} entries where {appended} were appended", end.entries)
        })
    }
}
