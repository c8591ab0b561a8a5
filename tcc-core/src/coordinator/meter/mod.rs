//! What is measured, and where: [`crate::metrics`] lists it. Without the feature `metrics` all of it is nothing.

#[cfg(feature = "metrics")]
mod handles;
#[cfg(not(feature = "metrics"))]
mod off;
#[cfg(feature = "metrics")]
mod on;
#[cfg(feature = "metrics")]
mod watch;

#[cfg(not(feature = "metrics"))]
pub(super) use off::{Attempt, Meter, watch};
#[cfg(feature = "metrics")]
pub(super) use on::{Attempt, Meter};
#[cfg(feature = "metrics")]
pub(super) use watch::watch;

use crate::participant::{SettleError, Settled, Tried, TryFailure};

/// The methods of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Append,
    AppendAll,
    Claim,
    Read,
    List,
    Stats,
    Check,
    Sweep,
}

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Ok,
    Refused,
    Unknown,
    TooLate,
    TimedOut,
    Panicked,
}

impl Reply {
    pub(super) fn of_try<T, E>(answer: &Tried<T, E>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(TryFailure::Refused(_)) => Self::Refused,
            Err(TryFailure::Unknown(_)) => Self::Unknown,
            Err(TryFailure::TooLate) => Self::TooLate,
        }
    }

    pub(super) fn of_settled(answer: &Settled) -> Self {
        match answer {
            Ok(()) => Self::Ok,
            Err(SettleError::Refused(_)) => Self::Refused,
            Err(SettleError::Later(_)) => Self::Unknown,
        }
    }
}

/// What is called for help about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertKind {
    Stuck,
    Heuristic,
}

/// What was found out about a write of which an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Applied,
    Superseded,
    InDoubt,
    Lost,
}

/// Why a claimed log can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhyUnreadable {
    NewerFormat,
    Malformed,
    Illegal,
    /// The store can't make a log of it.
    Store,
}
