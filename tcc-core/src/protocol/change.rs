//! What an entry of a log says, once decoded.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{BranchId, Owner, Run};
use super::json::{Json, present};
use super::name::{ActionName, Name};
use super::plan::Phase;
use super::record::Snapshot;
use super::trace::TraceParent;

/// One change of a transaction: what an entry says, once decoded. Exhaustive: a new kind is a new format version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The transaction exists, with its first branches.
    Begin(Begin),
    /// Further branches join it.
    Enlist(Enlist),
    /// It is decided.
    Decide(Decide),
    /// Branches were settled or refused, or an attempt failed.
    Settle(Settle),
    /// A coordinator takes it over, or renews its lease.
    Claim(Claim),
    /// An operator resolved a refused branch.
    Resolve(Resolve),
    /// All that came before, in one: the first entry of a log that was replaced.
    Snapshot(Snapshot),
}

/// The transaction exists, with its first branches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// Its name.
    pub name: Name,
    /// When it began, by its coordinator's clock, in milliseconds since the Unix epoch. It decides nothing but the
    /// purging of fences.
    pub begun_ms: u64,
    /// How long it may stay undecided, in milliseconds.
    pub timeout_ms: u64,
    /// The coordinator that runs its body.
    pub by: Owner,
    /// The user's key, if it has one.
    pub key: Option<Key>,
    /// Which run of its key this is.
    #[serde(default)]
    pub run: Option<Run>,
    /// The trace that it belongs to, if it was told of one.
    #[serde(default)]
    pub traceparent: Option<TraceParent>,
    /// The branches that start with it.
    #[serde(default)]
    pub branches: Vec<Enlisted>,
}

/// The user's key of a transaction, and what tells whether a second call asks for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key as the user gave it.
    pub text: String,
    /// A digest of the request, in hexadecimal digits; empty if the call has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
}

/// Further branches join the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enlist {
    /// The branches, their numbers following those before.
    pub branches: Vec<Enlisted>,
    /// The outputs of tries that returned since the last entry.
    #[serde(default)]
    pub outputs: Vec<Output>,
}

/// A branch as it is enlisted: all that is needed to settle it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enlisted {
    /// Its number.
    pub id: BranchId,
    /// The action that it calls.
    pub action: ActionName,
    /// The version of the action's payloads.
    #[serde(default = "first_version")]
    pub version: u16,
    /// The request.
    pub request: Json,
    /// Whether it has no try: it is acknowledged by being enlisted.
    #[serde(default)]
    pub on_confirm: bool,
}

pub(super) const fn first_version() -> u16 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) const fn is_first_version(version: &u16) -> bool {
    *version == first_version()
}

/// What a try returned.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The branch.
    pub id: BranchId,
    /// Its output.
    pub output: Json,
}

/// Confirm or cancel; made once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Every acknowledged branch is confirmed.
    Confirm,
    /// Every branch is cancelled.
    Cancel,
}

impl Decision {
    /// The phase of a branch that does this.
    pub const fn phase(self) -> Phase {
        match self {
            Self::Confirm => Phase::Confirm,
            Self::Cancel => Phase::Cancel,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.phase().fmt(f)
    }
}

/// The transaction is decided.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// Which way.
    pub decision: Decision,
    /// Branches without a try that joined since the last entry, in a confirm: they need no entry of their own.
    #[serde(default)]
    pub branches: Vec<Enlisted>,
    /// The outputs of tries that returned since the last entry.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// Why it is cancelled. Absent in a confirm.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// The value that the body returned, kept for a repeat of a call with a key.
    #[serde(default, deserialize_with = "present")]
    pub value: Option<Json>,
}

/// Why a transaction is cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Cause {
    /// The body returned an error.
    Failed,
    /// The body panicked.
    Panicked,
    /// The caller dropped the body's future: it hung up.
    Dropped,
    /// The deadline passed.
    TimedOut,
    /// Its coordinator was gone when the deadline passed; another cancels it.
    Abandoned,
    /// An operator cancelled it.
    Operator {
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("the body returned an error"),
            Self::Panicked => f.write_str("the body panicked"),
            Self::Dropped => f.write_str("the caller hung up"),
            Self::TimedOut => f.write_str("the deadline passed"),
            Self::Abandoned => f.write_str("its coordinator was gone at the deadline"),
            Self::Operator { who, why } => write!(f, "cancelled by {who}: {why}"),
        }
    }
}

/// Branches were settled or refused, or an attempt failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// The branches that are done with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settled>,
    /// The branches to be tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
}

/// A branch that is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The branch.
    pub id: BranchId,
    /// What it was asked.
    pub phase: Decision,
    /// What it answered.
    #[serde(default, skip_serializing_if = "Verdict::is_done")]
    pub verdict: Verdict,
}

/// A participant's definite answer in phase two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// Done.
    #[default]
    Done,
    /// Never, and why.
    Refused(String),
}

impl Verdict {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// A branch whose settling failed and is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// The branch.
    pub id: BranchId,
    /// How often its settling has failed by now, in all.
    pub attempts: u32,
    /// The last error.
    pub error: String,
}

/// A coordinator takes the transaction over, or renews its lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The coordinator.
    pub by: Owner,
}

/// An operator resolved a refused branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// The branch.
    pub id: BranchId,
    /// Who resolved it.
    pub who: String,
    /// What was done about it, and why.
    pub why: String,
}
