//! The transition table: which change is legal when, and what follows from it.

use super::change::{
    Begin, Change, Claim, Decide, Decision, Enlist, Enlisted, Output, Resolve, Settle, Verdict,
};
use super::encoding::LogError;
use super::id::BranchId;
use super::log::Log;
use super::record::{BranchRecord, BranchState, Record, Snapshot, Status};

/// Folds a log into the record of its transaction.
///
/// # Errors
/// [`LogError`] names the first entry that can't be read, or that is illegal where it stands.
pub fn fold(log: &Log) -> Result<Record, LogError> {
    let first_number = log.position().entries - log.entries().len() as u32 + 1;
    let mut record: Option<Record> = None;
    for (number, entry) in (first_number..).zip(log.entries()) {
        let change =
            Change::decode(entry.line()).map_err(|source| LogError::Malformed { entry: number, source })?;
        match &mut record {
            Some(record) => record.take(change),
            none => Record::first_of(change).map(|first| *none = Some(first)),
        }
        .map_err(|source| LogError::Illegal { entry: number, source })?;
    }
    record.ok_or(LogError::Empty)
}

/// A change that may not happen where it stands: the log was damaged, or written by what does not keep the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illegal {
    /// The first change is neither a begin nor a snapshot.
    #[error("the first change is {found}: a log starts with a begin or a snapshot")]
    NotABeginning {
        /// What it is.
        found: &'static str,
    },
    /// A begin or a snapshot follows another change.
    #[error("{found} follows other changes")]
    AnotherBeginning {
        /// What it is.
        found: &'static str,
    },
    /// The change does not fit the status.
    #[error("{change} of a transaction that is {status}")]
    Status {
        /// What the change is.
        change: &'static str,
        /// Where the transaction stands.
        status: Status,
    },
    /// The transaction was claimed in Trying: it can only be cancelled.
    #[error("{change} after the transaction was claimed undecided: it can only be cancelled")]
    Claimed {
        /// What the change is.
        change: &'static str,
    },
    /// A branch has not the number that follows.
    #[error("branch {found} is enlisted where branch {expected} follows")]
    BranchNumber {
        /// The number it has.
        found: BranchId,
        /// The number that follows.
        expected: usize,
    },
    /// A decision enlists a branch that has a try, or one that it would cancel at once.
    #[error("branch {id} is enlisted by a decision: only one without a try can be, by a confirm")]
    SealedBranch {
        /// The branch.
        id: BranchId,
    },
    /// There is no such branch.
    #[error("{change} of branch {id}, which is not enlisted")]
    UnknownBranch {
        /// What the change is.
        change: &'static str,
        /// The branch.
        id: BranchId,
    },
    /// The change does not fit the state of the branch.
    #[error("{change} of branch {id}, which is {state}")]
    Branch {
        /// What the change is.
        change: &'static str,
        /// The branch.
        id: BranchId,
        /// Where it stands.
        state: BranchState,
    },
    /// The branch was asked for the other phase.
    #[error("{phase} of branch {id}, whose phase two is the other one")]
    Phase {
        /// The phase it was asked for.
        phase: Decision,
        /// The branch.
        id: BranchId,
    },
    /// The number of failed attempts did not grow.
    #[error("{found} failed attempts of branch {id}, which had {before}")]
    Attempts {
        /// The branch.
        id: BranchId,
        /// How many there were.
        before: u32,
        /// How many it says there are.
        found: u32,
    },
}

impl Change {
    /// What this kind of change is called.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::Enlist(_) => "enlist",
            Self::Decide(_) => "decide",
            Self::Settle(_) => "settle",
            Self::Claim(_) => "claim",
            Self::Resolve(_) => "resolve",
            Self::Snapshot(_) => "snapshot",
        }
    }
}

impl Record {
    /// The record after the first change of a log.
    ///
    /// # Errors
    /// [`Illegal`] unless it is a begin or a snapshot.
    pub fn first(change: &Change) -> Result<Self, Illegal> {
        Self::first_of(change.clone())
    }

    /// The same of a change that is not needed any more.
    pub(crate) fn first_of(change: Change) -> Result<Self, Illegal> {
        match change {
            Change::Begin(begin) => {
                check_numbers(0, &begin.branches)?;
                Ok(Self::new(begin))
            }
            Change::Snapshot(Snapshot(record)) => Ok(record),
            Change::Enlist(_)
            | Change::Decide(_)
            | Change::Settle(_)
            | Change::Claim(_)
            | Change::Resolve(_) => Err(Illegal::NotABeginning { found: change.kind() }),
        }
    }

    /// The record of a transaction that has just begun.
    ///
    /// # Errors
    /// [`Illegal::BranchNumber`] if its branches are not numbered from 0.
    pub fn begin(begin: &Begin) -> Result<Self, Illegal> {
        check_numbers(0, &begin.branches)?;
        Ok(Self::new(begin.clone()))
    }

    /// Applies a change: the whole protocol.
    ///
    /// # Errors
    /// [`Illegal`] if it may not happen now; the record is then as it was.
    pub fn apply(&mut self, change: &Change) -> Result<(), Illegal> {
        match change {
            Change::Begin(_) | Change::Snapshot(_) => Err(Illegal::AnotherBeginning { found: change.kind() }),
            Change::Enlist(enlist) => self.enlist(enlist.clone()),
            Change::Decide(decide) => self.decide(decide.clone()),
            Change::Settle(settle) => self.settle(settle),
            Change::Claim(claim) => {
                self.claim(claim);
                Ok(())
            }
            Change::Resolve(resolve) => self.resolve(resolve),
        }
    }

    /// Applies a change that is not needed any more: its branches and payloads move into the record.
    pub(crate) fn take(&mut self, change: Change) -> Result<(), Illegal> {
        match change {
            Change::Enlist(enlist) => self.enlist(enlist),
            Change::Decide(decide) => self.decide(decide),
            Change::Begin(_)
            | Change::Snapshot(_)
            | Change::Settle(_)
            | Change::Claim(_)
            | Change::Resolve(_) => self.apply(&change),
        }
    }

    /// Safety 1, and PEERS 5: the decision seals the set of branches.
    fn enlist(&mut self, enlist: Enlist) -> Result<(), Illegal> {
        self.must_be("enlist", &[Status::Trying])?;
        if self.claimed {
            return Err(Illegal::Claimed { change: "enlist" });
        }
        check_numbers(self.branches.len(), &enlist.branches)?;
        self.check_outputs(&enlist.outputs)?;
        self.acknowledge(enlist.outputs);
        self.branches.extend(enlist.branches.into_iter().map(BranchRecord::new));
        Ok(())
    }

    /// Safety 1 and 5: one decision; once claimed undecided, only *cancel*.
    fn decide(&mut self, decide: Decide) -> Result<(), Illegal> {
        self.must_be("decide", &[Status::Trying])?;
        if self.claimed && decide.decision == Decision::Confirm {
            return Err(Illegal::Claimed { change: "a decision to confirm" });
        }
        check_numbers(self.branches.len(), &decide.branches)?;
        if let Some(branch) =
            decide.branches.iter().find(|b| !b.on_confirm || decide.decision == Decision::Cancel)
        {
            return Err(Illegal::SealedBranch { id: branch.id });
        }
        self.check_outputs(&decide.outputs)?;
        self.acknowledge(decide.outputs);
        self.branches.extend(decide.branches.into_iter().map(BranchRecord::new));
        self.decision = Some(decide.decision);
        self.cause = decide.cause;
        self.value = decide.value;
        if decide.decision == Decision::Cancel {
            // What has no try has nothing to cancel.
            for branch in self.branches.iter_mut().filter(|branch| branch.on_confirm) {
                branch.state = BranchState::Cancelled;
            }
        }
        self.conclude();
        Ok(())
    }

    /// Safety 2, 3 and 9: the decided phase and no other, and an answer is never changed.
    fn settle(&mut self, settle: &Settle) -> Result<(), Illegal> {
        self.must_be("settle", &[Status::Confirming, Status::Cancelling])?;
        let decision = self.decision.unwrap_or(Decision::Cancel);
        for (index, settled) in settle.settled.iter().enumerate() {
            let branch = self.unsettled("settle", settled.id)?;
            if branch.phase_two(decision) != settled.phase {
                return Err(Illegal::Phase { phase: settled.phase, id: settled.id });
            }
            if settle.settled[..index].iter().any(|other| other.id == settled.id) {
                return Err(self.wrong_branch("a second settle", settled.id));
            }
        }
        for (index, failed) in settle.failed.iter().enumerate() {
            let branch = self.unsettled("a failed attempt", failed.id)?;
            if failed.attempts <= branch.attempts {
                return Err(Illegal::Attempts {
                    id: failed.id,
                    before: branch.attempts,
                    found: failed.attempts,
                });
            }
            if settle.settled.iter().any(|settled| settled.id == failed.id)
                || settle.failed[..index].iter().any(|other| other.id == failed.id)
            {
                return Err(self.wrong_branch("a failed attempt beside another answer", failed.id));
            }
        }
        for settled in &settle.settled {
            self.branches[settled.id.index()].state = match (&settled.verdict, settled.phase) {
                (Verdict::Done, Decision::Confirm) => BranchState::Confirmed,
                (Verdict::Done, Decision::Cancel) => BranchState::Cancelled,
                (Verdict::Refused(why), phase) => BranchState::Refused { phase, why: why.clone() },
            };
        }
        for failed in &settle.failed {
            let branch = &mut self.branches[failed.id.index()];
            branch.attempts = failed.attempts;
            branch.last_error = Some(failed.error.clone());
        }
        self.conclude();
        Ok(())
    }

    /// Safety 7: the position has moved; whoever wrote before no longer can. Legal at any time: what is settled is still
    /// due until it is a tombstone, and whoever claims it then has only that left to do.
    fn claim(&mut self, claim: &Claim) {
        self.owner = Some(claim.by);
        self.claimed = true;
    }

    fn resolve(&mut self, resolve: &Resolve) -> Result<(), Illegal> {
        self.must_be("resolve", &[Status::Confirming, Status::Cancelling, Status::Heuristic])?;
        let branch = self
            .branches
            .get_mut(resolve.id.index())
            .ok_or(Illegal::UnknownBranch { change: "resolve", id: resolve.id })?;
        let BranchState::Refused { phase, .. } = branch.state else {
            return Err(self.wrong_branch("resolve", resolve.id));
        };
        branch.state = BranchState::Resolved { phase, who: resolve.who.clone(), why: resolve.why.clone() };
        self.conclude();
        Ok(())
    }

    fn conclude(&mut self) {
        self.status = status_of(self.decision, &self.branches);
    }

    fn must_be(&self, change: &'static str, allowed: &[Status]) -> Result<(), Illegal> {
        if allowed.contains(&self.status) {
            Ok(())
        } else {
            Err(Illegal::Status { change, status: self.status })
        }
    }

    fn unsettled(&self, change: &'static str, id: BranchId) -> Result<&BranchRecord, Illegal> {
        match self.branch(id) {
            None => Err(Illegal::UnknownBranch { change, id }),
            Some(branch) if branch.state.is_settled() => Err(self.wrong_branch(change, id)),
            Some(branch) => Ok(branch),
        }
    }

    fn wrong_branch(&self, change: &'static str, id: BranchId) -> Illegal {
        match self.branch(id) {
            Some(branch) => Illegal::Branch { change, id, state: branch.state.clone() },
            None => Illegal::UnknownBranch { change, id },
        }
    }

    fn check_outputs(&self, outputs: &[Output]) -> Result<(), Illegal> {
        for (index, output) in outputs.iter().enumerate() {
            match self.branch(output.id) {
                None => return Err(Illegal::UnknownBranch { change: "an output", id: output.id }),
                Some(branch) if branch.state != BranchState::Trying => {
                    return Err(self.wrong_branch("an output", output.id));
                }
                Some(_) if outputs[..index].iter().any(|other| other.id == output.id) => {
                    return Err(self.wrong_branch("a second output", output.id));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, outputs: Vec<Output>) {
        for Output { id, output } in outputs {
            let branch = &mut self.branches[id.index()];
            branch.output = Some(output);
            branch.state = BranchState::Acknowledged;
        }
    }
}

/// Where a transaction stands: its status follows from its decision and its branches, in a record as in a snapshot.
pub(super) fn status_of(decision: Option<Decision>, branches: &[BranchRecord]) -> Status {
    let settled = branches.iter().all(|branch| branch.state.is_settled());
    let refused = branches.iter().any(|branch| matches!(branch.state, BranchState::Refused { .. }));
    match decision {
        None => Status::Trying,
        Some(_) if settled && refused => Status::Heuristic,
        Some(Decision::Confirm) if settled => Status::Confirmed,
        Some(Decision::Cancel) if settled => Status::Cancelled,
        Some(Decision::Confirm) => Status::Confirming,
        Some(Decision::Cancel) => Status::Cancelling,
    }
}

fn check_numbers(already: usize, branches: &[Enlisted]) -> Result<(), Illegal> {
    for (expected, branch) in (already..).zip(branches) {
        if branch.id.index() != expected {
            return Err(Illegal::BranchNumber { found: branch.id, expected });
        }
    }
    Ok(())
}
