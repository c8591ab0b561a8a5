//! Entries as text: one line of versioned JSON.
//!
//! ```text
//! {"v":1,"begin":{"name":"checkout","begun_ms":1790000000000,"timeout_ms":30000,"by":"…","branches":[…]}}
//! {"v":1,"decide":{"decision":"confirm","outputs":[{"id":0,"output":{"hold":17}}]}}
//! ```
//!
//! Versions that were once released are read for ever. A version, a field or a kind of change that is not known here
//! is an error and never passed over: what it says could matter.

use std::sync::Arc;

use serde::Deserialize;

use super::apply::{Illegal, status_of};
use super::change::{Begin, Cause, Change, Claim, Decide, Decision, Enlist, Key, Resolve, Settle};
use super::json::{Json, present};
use super::line;
use super::log::Entry;
use super::name::Name;
use super::record::{BranchRecord, BranchState, Record, Snapshot, Status};
use super::trace::TraceParent;
use crate::protocol::{Op, Owner, Run};

/// The version of the format that is written.
pub const FORMAT_VERSION: u16 = 1;

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It has no entry.
    #[error("the log is empty")]
    Empty,
    /// An entry can't be read.
    #[error("entry {entry} can't be read")]
    Malformed {
        /// The number of the entry, from 1.
        entry: u32,
        /// What is wrong with it.
        source: MalformedEntry,
    },
    /// An entry may not stand where it stands.
    #[error("entry {entry} is illegal")]
    Illegal {
        /// The number of the entry, from 1.
        entry: u32,
        /// Why.
        source: Illegal,
    },
}

/// What is wrong with the text of an entry. It never shows the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedEntry {
    /// It is of a format that this release does not know.
    #[error("format version {found}: this release reads up to {FORMAT_VERSION}; settle it with a newer one")]
    Version {
        /// The version.
        found: u16,
    },
    /// It is not JSON of the shape that its version has.
    #[error("not an entry of format {FORMAT_VERSION}, at column {column}")]
    Shape {
        /// Where the reader stopped, from 1; 0 if it is not of one place.
        column: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    v: u16,
    begin: Option<Begin>,
    enlist: Option<Enlist>,
    decide: Option<Decide>,
    settle: Option<Settle>,
    claim: Option<Claim>,
    resolve: Option<Resolve>,
    snapshot: Option<SnapshotFields>,
}

#[derive(Deserialize)]
struct Version {
    v: u16,
}

/// A record as it stands in a snapshot. What a tombstone lacks is left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotFields {
    name: Name,
    status: Status,
    #[serde(default)]
    begun_ms: u64,
    #[serde(default)]
    timeout_ms: u64,
    key: Option<Key>,
    run: Option<Run>,
    traceparent: Option<TraceParent>,
    owner: Option<Owner>,
    #[serde(default)]
    claimed: bool,
    decision: Option<Decision>,
    cause: Option<Cause>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Json>,
    #[serde(default)]
    branches: Vec<BranchRecord>,
}

pub(super) const fn implied_decision(status: Status) -> Option<Decision> {
    match status {
        Status::Confirming | Status::Confirmed => Some(Decision::Confirm),
        Status::Cancelling | Status::Cancelled => Some(Decision::Cancel),
        Status::Trying | Status::Heuristic => None,
    }
}

/// Whether a branch may stand where it does: acknowledged if its output is known, settled only as was decided.
fn is_sound(branch: &BranchRecord, decision: Option<Decision>) -> bool {
    let acknowledged = branch.output.is_some() || branch.on_confirm;
    let phase_two = decision.map(|decision| if acknowledged { decision } else { Decision::Cancel });
    match &branch.state {
        BranchState::Trying => !acknowledged,
        // A cancel settles what has no try.
        BranchState::Acknowledged => {
            acknowledged && !(branch.on_confirm && decision == Some(Decision::Cancel))
        }
        BranchState::Confirmed => phase_two == Some(Decision::Confirm),
        BranchState::Cancelled => phase_two == Some(Decision::Cancel),
        BranchState::Refused { phase, .. } | BranchState::Resolved { phase, .. } => phase_two == Some(*phase),
    }
}

impl SnapshotFields {
    /// The record, unless what it says of itself does not go together.
    fn into_record(self) -> Option<Record> {
        let decision = self.decision.or(implied_decision(self.status));
        let branches = self.branches;
        let sound = self.status == status_of(decision, &branches)
            && branches.iter().enumerate().all(|(index, branch)| branch.id.index() == index)
            && branches.iter().all(|branch| is_sound(branch, decision));
        sound.then_some(Record {
            name: self.name,
            begun_ms: self.begun_ms,
            timeout_ms: self.timeout_ms,
            key: self.key,
            run: self.run,
            traceparent: self.traceparent,
            owner: self.owner,
            claimed: self.claimed,
            status: self.status,
            decision,
            cause: self.cause,
            value: self.value,
            branches,
        })
    }
}

impl Change {
    /// The change as one line of JSON.
    pub fn encode(&self) -> String {
        line::of(self)
    }

    /// The change as an entry.
    pub(crate) fn entry(&self, op: Op) -> Entry {
        Entry::new(op, line::of::<Arc<str>>(self)).expect("compact JSON has no line break")
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`MalformedEntry`] if it is of an unknown version or has not the shape of its own.
    pub fn decode(line: &str) -> Result<Self, MalformedEntry> {
        let read: Read =
            serde_json::from_str(line).map_err(|error| match serde_json::from_str::<Version>(line) {
                Ok(Version { v }) if v != FORMAT_VERSION => MalformedEntry::Version { found: v },
                _ => MalformedEntry::Shape { column: error.column() },
            })?;
        if read.v != FORMAT_VERSION {
            return Err(MalformedEntry::Version { found: read.v });
        }
        let snapshot = match read.snapshot {
            Some(fields) => Some(Snapshot(fields.into_record().ok_or(MalformedEntry::Shape { column: 0 })?)),
            None => None,
        };
        let mut changes = [
            read.begin.map(Self::Begin),
            read.enlist.map(Self::Enlist),
            read.decide.map(Self::Decide),
            read.settle.map(Self::Settle),
            read.claim.map(Self::Claim),
            read.resolve.map(Self::Resolve),
            snapshot.map(Self::Snapshot),
        ]
        .into_iter()
        .flatten();
        match (changes.next(), changes.next()) {
            (Some(change), None) => Ok(change),
            _ => Err(MalformedEntry::Shape { column: 0 }),
        }
    }
}
