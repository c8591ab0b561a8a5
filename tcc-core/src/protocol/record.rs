//! The fold of a log: what the coordinator reasons about.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::change::{Begin, Cause, Decision, Enlisted, Key, first_version, is_first_version};
use super::id::{BranchId, Owner, Run};
use super::json::{Json, present};
use super::name::{ActionName, Name};
use super::plan::Phase;
use super::trace::TraceParent;

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Undecided.
    Trying,
    /// Decided: confirm. Not every branch is settled yet.
    Confirming,
    /// Decided: cancel. Not every branch is settled yet.
    Cancelling,
    /// Decided: confirm, and every branch is settled.
    Confirmed,
    /// Decided: cancel, and every branch is settled.
    Cancelled,
    /// Every branch is settled or refused, and at least one is refused: an operator has to resolve it.
    Heuristic,
}

impl Status {
    /// Whether nothing is left to be done by the framework: confirmed, cancelled or heuristic.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Trying | Self::Confirming | Self::Cancelling => false,
            Self::Confirmed | Self::Cancelled | Self::Heuristic => true,
        }
    }

    /// Whether nothing is left to be done by anybody: confirmed or cancelled.
    pub const fn is_finished(self) -> bool {
        match self {
            Self::Trying | Self::Confirming | Self::Cancelling | Self::Heuristic => false,
            Self::Confirmed | Self::Cancelled => true,
        }
    }
}

impl Status {
    /// What it is called.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Confirming => "confirming",
            Self::Cancelling => "cancelling",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Heuristic => "heuristic",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A transaction as its log tells it.
///
/// Made by [`Record::begin`] and [`fold`](super::fold), changed by [`Record::apply`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub(super) name: Name,
    pub(super) begun_ms: u64,
    pub(super) timeout_ms: u64,
    pub(super) key: Option<Key>,
    pub(super) run: Option<Run>,
    pub(super) traceparent: Option<TraceParent>,
    pub(super) owner: Option<Owner>,
    pub(super) claimed: bool,
    pub(super) status: Status,
    pub(super) decision: Option<Decision>,
    pub(super) cause: Option<Cause>,
    pub(super) value: Option<Json>,
    pub(super) branches: Vec<BranchRecord>,
}

impl Record {
    /// The record of a transaction that has just begun.
    pub(super) fn new(begin: Begin) -> Self {
        // Further branches may follow: few transactions have but one, few have more than these.
        let mut branches = Vec::with_capacity(begin.branches.len().max(4));
        branches.extend(begin.branches.into_iter().map(BranchRecord::new));
        Self {
            name: begin.name,
            begun_ms: begin.begun_ms,
            timeout_ms: begin.timeout_ms,
            key: begin.key,
            run: begin.run,
            traceparent: begin.traceparent,
            owner: Some(begin.by),
            claimed: false,
            status: Status::Trying,
            decision: None,
            cause: None,
            value: None,
            branches,
        }
    }

    /// The transaction's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// When it began, by its coordinator's clock, in milliseconds since the Unix epoch. 0 in a tombstone.
    pub fn begun_ms(&self) -> u64 {
        self.begun_ms
    }

    /// How long it may stay undecided, in milliseconds. 0 in a tombstone.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// The user's key.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Which run of its key this is. `None` if it has no key.
    pub fn run(&self) -> Option<Run> {
        self.run
    }

    /// The trace that it belongs to, if it was told of one. `None` in a tombstone.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.traceparent
    }

    /// The coordinator that wrote last: its initiator, or whoever claimed it. `None` in a tombstone.
    pub fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// Whether it was claimed since it began: then it no longer belongs to its initiator.
    pub fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The decision, once made.
    pub fn decision(&self) -> Option<Decision> {
        self.decision
    }

    /// Why it was cancelled.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// The value of the body, kept for a repeat of a call with a key.
    pub fn value(&self) -> Option<&Json> {
        self.value.as_ref()
    }

    /// Its branches, in the order of their numbers. None in a tombstone.
    pub fn branches(&self) -> &[BranchRecord] {
        &self.branches
    }

    /// The branch of this number.
    pub fn branch(&self, id: BranchId) -> Option<&BranchRecord> {
        self.branches.get(id.index())
    }

    /// The whole record as one change: what replaces a log grown long.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.clone())
    }

    /// What is kept of a finished transaction: its name, outcome, key and value. Only meaningful once
    /// [`Status::is_finished`].
    pub fn tombstone(&self) -> Snapshot {
        Snapshot(Self {
            name: self.name.clone(),
            begun_ms: 0,
            timeout_ms: 0,
            key: self.key.clone(),
            run: self.run,
            traceparent: None,
            owner: None,
            claimed: false,
            status: self.status,
            decision: self.decision,
            cause: self.cause.clone(),
            value: self.value.clone(),
            branches: Vec::new(),
        })
    }
}

/// A branch as its log tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchRecord {
    /// Its number.
    pub id: BranchId,
    /// The action that it calls.
    pub action: ActionName,
    /// The version of the action's payloads.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub version: u16,
    /// The request.
    pub request: Json,
    /// Whether it has no try.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_confirm: bool,
    /// What its try returned, if that is in the log.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// Where it stands.
    pub state: BranchState,
    /// How often its settling has failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// The error of the last failed attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl BranchRecord {
    pub(super) fn new(enlisted: Enlisted) -> Self {
        Self {
            id: enlisted.id,
            action: enlisted.action,
            version: enlisted.version,
            request: enlisted.request,
            on_confirm: enlisted.on_confirm,
            output: None,
            state: if enlisted.on_confirm { BranchState::Acknowledged } else { BranchState::Trying },
            attempts: 0,
            last_error: None,
        }
    }

    /// What phase two of this branch is under a decision: confirm only if it is acknowledged.
    pub fn phase_two(&self, decision: Decision) -> Decision {
        match (decision, &self.state) {
            (Decision::Confirm, BranchState::Acknowledged | BranchState::Confirmed) => Decision::Confirm,
            (Decision::Confirm, BranchState::Refused { phase, .. } | BranchState::Resolved { phase, .. }) => {
                *phase
            }
            (Decision::Confirm, BranchState::Trying | BranchState::Cancelled) | (Decision::Cancel, _) => {
                Decision::Cancel
            }
        }
    }
}

/// Where a branch stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BranchState {
    /// Enlisted; the log does not know that its try returned.
    Trying,
    /// Its try returned, and its output is in the log.
    Acknowledged,
    /// Its confirm is done.
    Confirmed,
    /// Its cancel is done, or there is nothing to cancel.
    Cancelled,
    /// Its participant said *never* to its decided phase.
    Refused {
        /// The phase that it refused.
        phase: Decision,
        /// Why.
        why: String,
    },
    /// It was refused, and an operator resolved it.
    Resolved {
        /// The phase that it had refused.
        phase: Decision,
        /// Who resolved it.
        who: String,
        /// What was done about it, and why.
        why: String,
    },
}

impl BranchState {
    /// Whether phase two has a definite answer.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Trying | Self::Acknowledged => false,
            Self::Confirmed | Self::Cancelled | Self::Refused { .. } | Self::Resolved { .. } => true,
        }
    }
}

impl fmt::Display for BranchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trying => "trying",
            Self::Acknowledged => "acknowledged",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Refused { phase: Decision::Confirm, .. } => "confirm refused",
            Self::Refused { phase: Decision::Cancel, .. } => "cancel refused",
            Self::Resolved { .. } => "resolved",
        })
    }
}

impl Phase {
    /// What it is called.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Try => "try",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A whole record as one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(pub(super) Record);

impl Snapshot {
    /// The record in it.
    pub fn record(&self) -> &Record {
        &self.0
    }
}
