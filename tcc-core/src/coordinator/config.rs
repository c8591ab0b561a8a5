//! The settings of a coordinator, and what they may be.

use std::time::Duration;

use super::alert::Hook;
use super::backoff::Backoff;
use super::trace::TraceContext;
use crate::participant::TIMEOUTS;
use crate::protocol::{BranchState, Cause, Record};

/// The settings of a coordinator. Set through [`Builder`](super::Builder).
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// How long a transaction may stay undecided.
    pub(super) timeout: Duration,
    /// How long one call of a participant may take.
    pub(super) call_timeout: Duration,
    /// How long one call of the store may take.
    pub(super) store_timeout: Duration,
    /// For how long one coordinator alone settles a transaction.
    pub(super) lease: Duration,
    /// How long a tombstone is kept.
    pub(super) retention: Duration,
    /// How long the tombstone of a transaction with a key is kept.
    pub(super) key_retention: Duration,
    /// How long the log of what an operator cancelled or resolved is kept.
    pub(super) audit_retention: Duration,
    pub(super) backoff: Backoff,
    pub(super) order: SettleOrder,
    /// How many calls one participant bears at once.
    pub(super) calls_at_once: usize,
    pub(super) on_stuck: Hook,
    pub(super) on_heuristic: Hook,
    /// Says which trace a transaction belongs to.
    pub(super) trace_context: TraceContext,
    /// After how many failed attempts a branch makes its transaction stuck.
    pub(super) alert_after: u32,
    /// How many transactions are recovered at once.
    pub(super) recover_at_once: usize,
    /// The most bytes of one payload.
    pub(super) max_payload: usize,
    /// The most bytes of all payloads of a transaction.
    pub(super) max_log: usize,
    /// The most branches of a transaction.
    pub(super) max_branches: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(5),
            store_timeout: Duration::from_secs(10),
            lease: Duration::from_secs(10),
            retention: Duration::from_secs(10 * 60),
            key_retention: Duration::from_secs(24 * 60 * 60),
            audit_retention: Duration::from_secs(90 * 24 * 60 * 60),
            backoff: Backoff::SETTLE,
            order: SettleOrder::Concurrent,
            calls_at_once: 1024,
            on_stuck: Hook::default(),
            on_heuristic: Hook::default(),
            trace_context: TraceContext::default(),
            alert_after: 10,
            recover_at_once: 256,
            max_payload: 64 * 1024,
            max_log: 1024 * 1024,
            max_branches: 64,
        }
    }
}

/// In which order the branches of a transaction are settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SettleOrder {
    /// All at once: none waits for another.
    #[default]
    Concurrent,
    /// One after the other, the last enlisted first: each waits until the one after it is settled, so one that is stuck
    /// holds up those before it.
    Reverse,
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {permitted} is permitted")]
pub struct ConfigError {
    /// Which setting.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// What it may be.
    pub permitted: String,
}

/// How long the coordinator may repeat a write: a tombstone must stay for longer.
const REPLAY: Duration = Duration::from_secs(60);

impl Config {
    /// How long what is left of a finished transaction is kept.
    pub(super) fn retention_of(&self, record: &Record) -> Duration {
        let audited = matches!(record.cause(), Some(Cause::Operator { .. }))
            || record.branches().iter().any(|branch| matches!(branch.state, BranchState::Resolved { .. }));
        [
            (true, self.retention),
            (record.key().is_some(), self.key_retention),
            (audited, self.audit_retention),
        ]
        .into_iter()
        .filter_map(|(applies, retention)| applies.then_some(retention))
        .max()
        .unwrap_or(self.retention)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (least, most) = TIMEOUTS;
        within("timeout", self.timeout, least, most)?;
        within("call_timeout", self.call_timeout, least, most)?;
        within("store_timeout", self.store_timeout, least, Duration::from_secs(60))?;
        within("lease", self.lease, Duration::from_millis(100), most)?;
        within("retention", self.retention, REPLAY, Duration::MAX)?;
        within("key_retention", self.key_retention, REPLAY, Duration::MAX)?;
        within("audit_retention", self.audit_retention, REPLAY, Duration::MAX)?;
        within("backoff.base", self.backoff.base, least, self.backoff.cap)?;
        within("backoff.cap", self.backoff.cap, least, most)?;
        at_least_one("alert_after", self.alert_after as usize)?;
        at_least_one("calls_at_once", self.calls_at_once)?;
        at_least_one("recover_at_once", self.recover_at_once)
    }
}

fn within(field: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let permitted =
        if most == Duration::MAX { format!("{least:?} or more") } else { format!("{least:?} to {most:?}") };
    Err(ConfigError { field, value: format!("{value:?}"), permitted })
}

fn at_least_one(field: &'static str, value: usize) -> Result<(), ConfigError> {
    if value > 0 {
        return Ok(());
    }
    Err(ConfigError { field, value: value.to_string(), permitted: "1 or more".into() })
}
