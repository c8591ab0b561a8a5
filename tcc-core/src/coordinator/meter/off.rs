//! Nothing is measured: the feature `metrics` is off.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{AlertKind, Fate, Operation, Reply, WhyUnreadable};
use crate::coordinator::shared::Shared;
use crate::participant::Registry;
use crate::protocol::{ActionName, Cause, Decision, Group, Name, Phase, Record, Status, TxId};
use crate::store::StoreError;

/// What measures nothing.
pub(in crate::coordinator) struct Meter;

/// An attempt that is not measured.
pub(in crate::coordinator) struct Attempt;

/// A call of the store that is not measured.
pub(in crate::coordinator) struct StoreCall;

pub(in crate::coordinator) const fn watch(_: &Arc<Shared>) {}

#[allow(clippy::unused_self, reason = "its twin uses it")]
impl Meter {
    pub(in crate::coordinator) const fn start(_: &Group, _: &Registry) -> Self {
        Self
    }

    pub(in crate::coordinator) const fn started(&self, _: &Name) {}

    pub(in crate::coordinator) fn decided(
        &self,
        _: &Name,
        _: Decision,
        _: Option<&Cause>,
        _: impl FnOnce() -> Duration,
    ) {
    }

    pub(in crate::coordinator) const fn decided_nothing(&self, _: &Name) {}

    pub(in crate::coordinator) const fn decided_by_another(&self, _: &Record) {}

    pub(in crate::coordinator) const fn settled(&self, _: &Record, _: Option<Instant>) {}

    pub(in crate::coordinator) const fn recovered(&self, _: &Name, _: Status) {}

    pub(in crate::coordinator) const fn attempt(&self, _: &ActionName, _: Phase) -> Attempt {
        Attempt
    }

    pub(in crate::coordinator) const fn unknown_action(&self, _: &ActionName, _: u16) {}

    pub(in crate::coordinator) const fn alert(&self, _: AlertKind, _: &ActionName, _: Decision) {}

    pub(in crate::coordinator) const fn lease_lost(&self) {}

    pub(in crate::coordinator) const fn store_call(&self, _: Operation) -> StoreCall {
        StoreCall
    }

    pub(in crate::coordinator) const fn wrote(&self, _: &Result<(), StoreError>) {}

    pub(in crate::coordinator) const fn ambiguity_ended(&self, _: Fate) {}

    pub(in crate::coordinator) const fn lost_entries(&self) {}

    pub(in crate::coordinator) const fn unreadable(&self, _: WhyUnreadable) {}

    pub(in crate::coordinator) const fn queued(&self) {}

    pub(in crate::coordinator) const fn sent(&self, _: usize) {}

    pub(in crate::coordinator) fn has(&self, _: TxId, _: impl FnOnce() -> bool) {}

    pub(in crate::coordinator) const fn has_not(&self, _: TxId) {}

    pub(in crate::coordinator) const fn put_back(&self, _: TxId, _: Instant) {}
}

impl Attempt {
    pub(in crate::coordinator) const fn answered(self, _: Reply) {}
}

impl StoreCall {
    pub(in crate::coordinator) const fn answered<T>(self, _: &Result<T, StoreError>) {}
}
