//! What a log says about a write whose answer was lost.
//!
//! The rules, from the design: ambiguity belongs to the op until it is resolved, whatever later attempts answer.
//! 1. Append the same entry again at the same position; *ok* is certain. After any other answer, read and [`judge`].
//! 2. [`Doubt::Applied`], [`Doubt::Decided`], [`Doubt::Claimed`] and [`Doubt::Taken`] are certain. [`Doubt::Open`] proves nothing, for
//!    the write may still be on its way: go to 1.
//! 3. [`Doubt::NoLog`] is no answer, and neither is a read that failed.

use super::apply::fold;
use super::change::Change;
use super::encoding::LogError;
use super::id::Op;
use super::log::{Log, Position};
use super::record::Record;

/// What a log says about a write whose answer was lost. Exhaustive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The write is in the log. It may not be the last entry any more: see [`Record::is_claimed`].
    Applied(Box<Record>),
    /// The write is not in the log, and the log shows a decision, which stands for ever.
    Decided(Box<Record>),
    /// The write is not in the log, and never will be: another coordinator claimed the transaction undecided, so it
    /// will be cancelled.
    Claimed(Box<Record>),
    /// There is another log under its id: of an earlier call with the same key, if the write was to begin the transaction (or
    /// of this one, begun, cancelled by another and shrunk to a tombstone: no try was called); else of a later call, which took
    /// the place of this one when it had been cancelled.
    Taken(Box<Record>),
    /// The log still ends where the write was to follow. The write may still arrive.
    Open,
    /// There is no log: no answer.
    NoLog,
    /// The log ends before the position that was acknowledged, or went on without the write though nobody else may
    /// write: the store lost what it had acknowledged.
    Lost(Position),
}

/// Judges a write of `op` that was to follow `after`, by the log as it is now.
///
/// # Errors
/// [`LogError`] if the log can't be read.
pub fn judge(op: Op, after: Position, log: Option<&Log>) -> Result<Doubt, LogError> {
    let Some(log) = log else { return Ok(Doubt::NoLog) };
    let record = Box::new(fold(log)?);
    if log.contains(op) {
        return Ok(Doubt::Applied(record));
    }
    if after == Position::START {
        return Ok(Doubt::Taken(record));
    }
    if log.position() == after {
        return Ok(Doubt::Open);
    }
    if record.decision().is_some() {
        return Ok(Doubt::Decided(record));
    }
    if log.position().entries > after.entries && record.is_claimed() {
        return Ok(Doubt::Claimed(record));
    }
    // Another run of its key took the place of this one, which was cancelled to its end before.
    let first = log.position().entries + 1 - log.entries().len() as u32;
    let begun = log
        .entries()
        .first()
        .is_some_and(|entry| matches!(Change::decode(entry.line()), Ok(Change::Begin(_))));
    if first > after.entries && begun {
        return Ok(Doubt::Taken(record));
    }
    Ok(Doubt::Lost(log.position()))
}
