//! The protocol: what a transaction is, which changes are legal, what is to be done next.
//!
//! Pure: no clock, no randomness, no I/O, no task. The live path, recovery, the stores' tests, the model and the
//! simulation all stand on the same few functions:
//!
//! - [`Change::encode`] and [`Change::decode`]: a change as one line of versioned JSON;
//! - [`fold`]: a [`Log`] becomes a [`Record`];
//! - [`Record::apply`]: the one transition table;
//! - [`Record::plan`]: what is to be done next;
//! - [`judge`]: what a log says about a write whose answer was lost.

mod apply;
mod change;
mod describe;
mod doubt;
mod encoding;
mod id;
mod json;
mod line;
mod log;
mod name;
mod plan;
mod record;
mod scratch;
mod trace;

pub use apply::{Illegal, fold};
pub use change::{
    Begin, Cause, Change, Claim, Decide, Decision, Enlist, Enlisted, Failed, Key, Output, Resolve, Settle,
    Settled, Verdict,
};
pub(crate) use describe::OneLine;
pub use doubt::{Doubt, judge};
pub use encoding::{FORMAT_VERSION, LogError, MalformedEntry};
pub use id::{BranchId, BranchKey, Op, Owner, ParseIdError, Run, TxId};
pub use json::Json;
pub use log::{Entry, EntryError, Log, Position};
pub use name::{ActionName, Group, MAX_NAME, Name, NameError};
pub use plan::{Phase, Plan, Step};
pub use record::{BranchRecord, BranchState, Record, Snapshot, Status};
pub use trace::{ParseTraceParentError, TraceParent};
