//! What a participant is told of the call it serves.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::coordinator::random;
use crate::protocol::{ActionName, BranchId, BranchKey, Phase, TraceParent, TxId};

/// One call of an action inside one transaction: what its handler is told of it.
#[derive(Debug, Clone)]
pub struct Branch {
    key: BranchKey,
    delivery: DeliveryId,
    action: ActionName,
    phase: Phase,
    on_confirm: bool,
    attempt: u32,
    begun_ms: u64,
    deadline: Option<Instant>,
    traceparent: Option<TraceParent>,
}

impl Branch {
    /// The first call of a phase of a branch. The coordinator makes these; tests of a participant, and the far side of a
    /// [transport](crate#across-processes), may too.
    pub fn new(key: BranchKey, action: ActionName, phase: Phase) -> Self {
        Self {
            key,
            delivery: DeliveryId(random::delivery()),
            action,
            phase,
            on_confirm: false,
            attempt: 1,
            begun_ms: 0,
            deadline: None,
            traceparent: None,
        }
    }

    /// The same call, delivered once more, as a network may do: a repeat. A clone is the same delivery, and so is no
    /// repeat to a fence.
    #[must_use]
    pub fn redelivered(&self) -> Self {
        Self { delivery: DeliveryId(random::delivery()), ..self.clone() }
    }

    /// The same call, of an action that has no try.
    #[must_use]
    pub fn with_on_confirm(mut self, on_confirm: bool) -> Self {
        self.on_confirm = on_confirm;
        self
    }

    /// The same call, as the attempt of this number, counted from 1.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same call, of a transaction that began then: milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_begun_ms(mut self, begun_ms: u64) -> Self {
        self.begun_ms = begun_ms;
        self
    }

    /// The same call, whose answer is awaited until then.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same call, of a transaction that belongs to this trace.
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: Option<TraceParent>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// The branch's idempotency key: the same in every phase and every repeat, and of no other branch.
    pub fn key(&self) -> BranchKey {
        self.key
    }

    /// Which delivery of the call this is: the same in clones, and another in every repeat. By it a fence tells a repeat,
    /// which is answered again, from a handler that asks it twice, which is a mistake.
    pub fn delivery(&self) -> DeliveryId {
        self.delivery
    }

    /// The transaction.
    pub fn tx(&self) -> TxId {
        self.key.tx
    }

    /// The number of the branch within its transaction.
    pub fn id(&self) -> BranchId {
        self.key.branch
    }

    /// The action.
    pub fn action(&self) -> &ActionName {
        &self.action
    }

    /// What is asked.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the action has no try.
    pub fn is_on_confirm(&self) -> bool {
        self.on_confirm
    }

    /// How often this phase has been asked for, this call included.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the transaction began, by its coordinator's clock.
    pub fn begun(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.begun_ms)
    }

    /// Until when the answer is awaited; later it counts as unknown.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The trace that the transaction belongs to, if it was told of one: the same in every phase and every repeat, in
    /// whatever process, however much later.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.traceparent
    }
}

/// One delivery of a call: a random number that no other delivery has. It prints as sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryId(u64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
