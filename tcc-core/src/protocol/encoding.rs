//! Entries as text: one line of versioned JSON.
//!
//! ```text
//! {"v":1,"begin":{"name":"checkout","begun_ms":1790000000000,"timeout_ms":30000,"by":"…","branches":[…]}}
//! {"v":1,"decide":{"decision":"confirm","outputs":[{"id":0,"output":{"hold":17}}]}}
//! ```
//!
//! Versions that were once released are read for ever. A version, a field or a kind of change that is not known here
//! is an error and never passed over: what it says could matter.

use serde::{Deserialize, Serialize};

use super::apply::{Illegal, status_of};
use super::change::{
    Begin, Cause, Change, Claim, Decide, Decision, Enlist, Enlisted, Key, Output, Resolve, Settle,
};
use super::json::{Json, present};
use super::name::Name;
use super::record::{BranchRecord, BranchState, Record, Snapshot, Status};
use super::trace::TraceParent;
use crate::protocol::{Owner, Run};

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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<B, E, D, S, C, R, N> {
    v: u16,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    begin: Option<B>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    enlist: Option<E>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    decide: Option<D>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    settle: Option<S>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    claim: Option<C>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    resolve: Option<R>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    snapshot: Option<N>,
}

fn none<T>() -> Option<T> {
    None
}

type Written<'a> = Line<
    &'a Begin,
    &'a Enlist,
    &'a Decide,
    &'a Settle,
    &'a Claim,
    &'a Resolve,
    SnapshotFields<'a, &'a [BranchRecord]>,
>;
type Read = Line<Begin, Enlist, Decide, Settle, Claim, Resolve, SnapshotFields<'static, Vec<BranchRecord>>>;

#[derive(Serialize, Deserialize)]
struct Version {
    v: u16,
}

/// A record as it stands in a snapshot. What a tombstone lacks is left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotFields<'a, B: AsRef<[BranchRecord]>> {
    name: std::borrow::Cow<'a, Name>,
    status: Status,
    #[serde(default, skip_serializing_if = "is_zero")]
    begun_ms: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<std::borrow::Cow<'a, Key>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<TraceParent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    claimed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<std::borrow::Cow<'a, Cause>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    value: Option<Json>,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    branches: Option<B>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> From<&'a Record> for SnapshotFields<'a, &'a [BranchRecord]> {
    fn from(record: &'a Record) -> Self {
        use std::borrow::Cow::Borrowed;
        Self {
            name: Borrowed(&record.name),
            status: record.status,
            begun_ms: record.begun_ms,
            timeout_ms: record.timeout_ms,
            key: record.key.as_ref().map(Borrowed),
            run: record.run,
            traceparent: record.traceparent,
            owner: record.owner,
            claimed: record.claimed,
            // The status of a plainly finished one says it already.
            decision: record.decision.filter(|decision| implied_decision(record.status) != Some(*decision)),
            cause: record.cause.as_ref().map(Borrowed),
            value: record.value.clone(),
            branches: Some(record.branches.as_slice()).filter(|branches| !branches.is_empty()),
        }
    }
}

const fn implied_decision(status: Status) -> Option<Decision> {
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

impl SnapshotFields<'static, Vec<BranchRecord>> {
    /// The record, unless what it says of itself does not go together.
    fn into_record(self) -> Option<Record> {
        let decision = self.decision.or(implied_decision(self.status));
        let branches = self.branches.unwrap_or_default();
        let sound = self.status == status_of(decision, &branches)
            && branches.iter().enumerate().all(|(index, branch)| branch.id.index() == index)
            && branches.iter().all(|branch| is_sound(branch, decision));
        sound.then(|| Record {
            name: self.name.into_owned(),
            begun_ms: self.begun_ms,
            timeout_ms: self.timeout_ms,
            key: self.key.map(std::borrow::Cow::into_owned),
            run: self.run,
            traceparent: self.traceparent,
            owner: self.owner,
            claimed: self.claimed,
            status: self.status,
            decision,
            cause: self.cause.map(std::borrow::Cow::into_owned),
            value: self.value,
            branches,
        })
    }
}

impl Change {
    /// The change as one line of JSON.
    pub fn encode(&self) -> String {
        let mut line: Written<'_> = Line {
            v: FORMAT_VERSION,
            begin: None,
            enlist: None,
            decide: None,
            settle: None,
            claim: None,
            resolve: None,
            snapshot: None,
        };
        match self {
            Self::Begin(change) => line.begin = Some(change),
            Self::Enlist(change) => line.enlist = Some(change),
            Self::Decide(change) => line.decide = Some(change),
            Self::Settle(change) => line.settle = Some(change),
            Self::Claim(change) => line.claim = Some(change),
            Self::Resolve(change) => line.resolve = Some(change),
            Self::Snapshot(change) => line.snapshot = Some(change.record().into()),
        }
        // Text keys, plain numbers, and payloads that are JSON already: nothing here can fail.
        let mut text = Vec::with_capacity(self.about_how_long());
        let written = serde_json::to_writer(&mut text, &line);
        written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default()
    }

    /// A guess at the length of its line, so that it is seldom moved while it is written.
    fn about_how_long(&self) -> usize {
        let of_branches = |branches: &[Enlisted]| -> usize {
            branches.iter().map(|branch| branch.request.as_str().len() + 80).sum()
        };
        let of_outputs = |outputs: &[Output]| -> usize {
            outputs.iter().map(|output| output.output.as_str().len() + 24).sum()
        };
        match self {
            Self::Begin(change) => 192 + of_branches(&change.branches),
            Self::Enlist(change) => 48 + of_branches(&change.branches) + of_outputs(&change.outputs),
            Self::Decide(change) => 64 + of_branches(&change.branches) + of_outputs(&change.outputs),
            Self::Settle(_) | Self::Claim(_) | Self::Resolve(_) | Self::Snapshot(_) => 128,
        }
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
