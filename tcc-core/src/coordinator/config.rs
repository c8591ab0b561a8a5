//! The settings of a coordinator, and what they may be.

use std::time::Duration;

use super::alert::Hook;
use super::backoff::Backoff;
use super::trace::TraceContext;
use crate::participant::TIMEOUTS;
use crate::protocol::{BranchState, Cause, Record};
use crate::span::Span;

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
#[error("the setting {field} is {value}: {permitted} is permitted")]
pub struct ConfigError {
    /// Which setting.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// What it may be.
    pub permitted: String,
}

/// For how long what was sent may linger, in the network and in a server that was stopped.
const LINGER: Duration = Duration::from_secs(60);

/// The longest retention: 100 years. What is to be kept for ever is not for a store whose times are sums of what it is told.
const MOST_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The largest limits that can be set, in bytes and in branches: a log must fit into one value of every store, and into
/// the memory of a process that holds many.
const MOST_PAYLOAD: usize = 16 << 20;
const MOST_LOG: usize = 64 << 20;
const MOST_BRANCHES: usize = 1024;

impl Config {
    /// For how long after its deadline, or after the end of its lease, a write of a transaction may still come to the
    /// store: it waits once for its turn and once for its answer, and what was sent may linger. A tombstone must stay for
    /// longer (safety 8), or that write would find no log, and begin one.
    pub(super) fn replay(&self) -> Duration {
        2 * self.store_timeout + LINGER
    }

    /// How long what is left of a finished transaction is kept.
    pub(super) fn retention_of(&self, record: &Record) -> Duration {
        let by_operator = matches!(record.cause(), Some(Cause::Operator { .. }));
        let audited = by_operator
            || record.branches().iter().any(|branch| matches!(branch.state, BranchState::Resolved { .. }));
        // Who began it may not know yet, and goes on asking until its deadline.
        let unaware = Duration::from_millis(record.timeout_ms()).saturating_add(self.replay());
        [
            (true, self.retention),
            (record.key().is_some(), self.key_retention),
            (audited, self.audit_retention),
            (by_operator, unaware),
        ]
        .into_iter()
        .filter_map(|(applies, retention)| applies.then_some(retention))
        .max()
        .unwrap_or(self.retention)
    }

    /// All settings that are out of range. What depends on another one is checked only if that one is in its range.
    pub(super) fn errors(&self) -> Vec<ConfigError> {
        let (least, most) = TIMEOUTS;
        let store_timeout = within("store_timeout", self.store_timeout, least, Duration::from_secs(60));
        let max_payload = up_to("max_payload", self.max_payload, 1, MOST_PAYLOAD, "bytes");
        let cap = within("backoff.cap", self.backoff.cap, least, most);
        let retention = |field, value| match store_timeout {
            Ok(()) => self.outlasts_replay(field, value),
            Err(_) => Ok(()),
        };
        let checks = [
            within("timeout", self.timeout, least, most),
            within("call_timeout", self.call_timeout, least, most),
            within("lease", self.lease, Duration::from_millis(100), most),
            retention("retention", self.retention),
            retention("key_retention", self.key_retention),
            retention("audit_retention", self.audit_retention),
            within(
                "backoff.base",
                self.backoff.base,
                least,
                if cap.is_ok() { self.backoff.cap } else { most },
            ),
            cap,
            at_least_one("alert_after", self.alert_after as usize),
            at_least_one("calls_at_once", self.calls_at_once),
            at_least_one("recover_at_once", self.recover_at_once),
            match max_payload {
                Ok(()) => up_to(
                    "max_log",
                    self.max_log,
                    self.max_payload,
                    MOST_LOG,
                    "bytes (not less than max_payload)",
                ),
                Err(_) => Ok(()),
            },
            max_payload,
            store_timeout,
            up_to("max_branches", self.max_branches, 1, MOST_BRANCHES, "branches"),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }

    fn outlasts_replay(&self, field: &'static str, value: Duration) -> Result<(), ConfigError> {
        let least = self.replay();
        if (least..=MOST_RETENTION).contains(&value) {
            return Ok(());
        }
        let permitted = format!(
            "{} to 100 years ({} and twice the store_timeout of {}, for so long a write may still arrive)",
            Span(least),
            Span(LINGER),
            Span(self.store_timeout)
        );
        Err(ConfigError { field, value: Span(value).to_string(), permitted })
    }
}

fn within(field: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let permitted = format!("{} to {}", Span(least), Span(most));
    Err(ConfigError { field, value: Span(value).to_string(), permitted })
}

fn up_to(
    field: &'static str,
    value: usize,
    least: usize,
    most: usize,
    unit: &str,
) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError { field, value: value.to_string(), permitted: format!("{least} to {most} {unit}") })
}

fn at_least_one(field: &'static str, value: usize) -> Result<(), ConfigError> {
    if value > 0 {
        return Ok(());
    }
    Err(ConfigError { field, value: value.to_string(), permitted: "1 or more".into() })
}
