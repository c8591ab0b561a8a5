//! What a coordinator calls for help about.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::meter::AlertKind;
use super::shared::Shared;
use crate::protocol::{
    ActionName, BranchId, BranchRecord, BranchState, Decision, Name, OneLine, Record, TxId,
};

/// Something that a human should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert {
    /// The transaction.
    pub id: TxId,
    /// Its name.
    pub name: Name,
    /// The branch.
    pub branch: BranchId,
    /// What it calls.
    pub action: ActionName,
    /// What it was asked.
    pub phase: Decision,
    /// How often that has failed; 0 if it was refused.
    pub attempts: u32,
    /// The last error, or why it was refused.
    pub error: String,
}

impl Shared {
    /// Calls for help about a branch that has failed so often.
    pub(super) fn call_when_stuck(
        &self,
        id: TxId,
        record: &Record,
        branch: BranchId,
        (phase, attempts, error): (Decision, u32, &str),
    ) {
        if let Some(branch) = record.branch(branch) {
            let alert = Alert::new(id, record, branch, (phase, attempts, error));
            self.meter.alert(AlertKind::Stuck, &alert.action, phase);
            self.config.on_stuck.call(&alert);
        }
    }

    /// Calls for help about every refused branch of a transaction that has become heuristic.
    pub(super) fn call_when_heuristic(&self, id: TxId, record: &Record) {
        for branch in record.branches() {
            if let BranchState::Refused { phase, why } = &branch.state {
                let alert = Alert::new(id, record, branch, (*phase, 0, why));
                self.meter.alert(AlertKind::Heuristic, &alert.action, *phase);
                self.config.on_heuristic.call(&alert);
            }
        }
    }
}

impl Alert {
    fn new(
        id: TxId,
        record: &Record,
        branch: &BranchRecord,
        (phase, attempts, error): (Decision, u32, &str),
    ) -> Self {
        Self {
            id,
            name: record.name().clone(),
            branch: branch.id,
            action: branch.action.clone(),
            phase,
            attempts,
            error: error.to_owned(),
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, branch, action, phase, attempts, error } = self;
        write!(f, "{name} {id}: {phase} of branch {branch} ({action})")?;
        let error = OneLine(error);
        if *attempts == 0 {
            write!(f, " was refused: {error}")
        } else {
            write!(f, " failed {attempts} times: {error}")
        }
    }
}

/// What is called with an alert. It must return soon: it runs in the task that settles.
#[derive(Clone, Default)]
pub(super) struct Hook(Option<Arc<Called>>);

type Called = dyn Fn(&Alert) + Send + Sync;

impl Hook {
    pub(super) fn new(hook: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Calls it. A panic of a hook is its own affair.
    pub(super) fn call(&self, alert: &Alert) {
        if let Some(hook) = &self.0
            && std::panic::catch_unwind(AssertUnwindSafe(|| hook(alert))).is_err()
        {
            tracing::error!(%alert, "a hook panicked");
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "not set" })
    }
}
