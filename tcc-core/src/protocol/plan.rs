//! What is to be done next, given a record.

use serde::{Deserialize, Serialize};

use super::change::Decision;
use super::id::BranchId;
use super::record::{Record, Status};

/// A phase of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Put aside what the operation needs.
    Try,
    /// Take what was put aside.
    Confirm,
    /// Give back what was put aside.
    Cancel,
}

/// What is to be done next by whoever holds the transaction. Exhaustive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It is undecided and its initiator's: nothing, until its deadline makes it due for another.
    Await,
    /// It is undecided and was claimed: append this decision, always *cancel*.
    Decide(Decision),
    /// It is decided: take these steps, independently of each other, and append their answers.
    Settle(Vec<Step>),
    /// Every branch is settled: what is left of it may shrink to a tombstone.
    Finish,
    /// Every branch is settled or refused: keep it as it is, for an operator.
    Keep,
}

/// One step of phase two: a call to be made until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// The branch.
    pub id: BranchId,
    /// What it is asked.
    pub phase: Decision,
}

impl Record {
    /// What is to be done next by whoever holds the transaction.
    pub fn plan(&self) -> Plan {
        match (self.status, self.decision) {
            (Status::Trying, _) if self.claimed => Plan::Decide(Decision::Cancel),
            (Status::Trying, _) => Plan::Await,
            (Status::Confirming | Status::Cancelling, Some(decision)) => Plan::Settle(
                self.branches
                    .iter()
                    .filter(|branch| !branch.state.is_settled())
                    .map(|branch| Step { id: branch.id, phase: branch.phase_two(decision) })
                    .collect(),
            ),
            (Status::Heuristic, _) => Plan::Keep,
            // `apply` gives no record the status of a decided one without its decision.
            (Status::Confirmed | Status::Cancelled, _) | (Status::Confirming | Status::Cancelling, None) => {
                Plan::Finish
            }
        }
    }
}
