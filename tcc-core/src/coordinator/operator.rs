//! What an operator sees of a group's transactions, and may do about them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::meter::Operation;
use super::shared::{Shared, chain};
use super::unknown::UnknownAction;
use crate::protocol::{
    BranchId, BranchRecord, BranchState, Cause, Change, Decide, Decision, Entry, Illegal, Log, LogError,
    Name, OneLine, Op, Record, Resolve, Settle, Settled, Status, TxId, Verdict, fold,
};
use crate::store::{
    Append, Cursor, Due, DueAge, Listed, Mode, Query, Retain, Select, Stats, StoreError, Unreadable,
};

/// How often an operator's write is tried again when another write came between.
const RACES: usize = 16;
/// How many of the store's items are looked at for one page, so that a rare filter costs bounded work.
const LOOKED_AT: usize = 1000;
/// How many of the store's items are asked for by one call.
const STORE_PAGE: usize = 200;

/// The operator's view of a group: made by [`Coordinator::operator`](super::Coordinator::operator).
#[derive(Debug, Clone, Copy)]
pub struct Operator<'c> {
    shared: &'c Arc<Shared>,
}

/// Which transactions are listed. All that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only of this status. [`Status::Heuristic`] lists what is kept for an operator; any other, or none, lists what is
    /// unfinished.
    pub status: Option<Status>,
    /// Only of this name.
    pub name: Option<Name>,
    /// Only with an unsettled branch of this participant.
    pub participant: Option<String>,
    /// Only those with a branch whose settling has failed at least so often.
    pub failed_attempts: Option<u32>,
    /// Only those that are due for at least this long: nobody takes care of them.
    pub overdue: Option<Duration>,
}

impl Filter {
    /// All that is unfinished.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only of this status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Only of this name.
    #[must_use]
    pub fn name(mut self, name: Name) -> Self {
        self.name = Some(name);
        self
    }

    /// Only with an unsettled branch of this participant.
    #[must_use]
    pub fn participant(mut self, participant: impl Into<String>) -> Self {
        self.participant = Some(participant.into());
        self
    }

    /// Only those with a branch whose settling has failed at least so often.
    #[must_use]
    pub fn failed_attempts(mut self, attempts: u32) -> Self {
        self.failed_attempts = Some(attempts);
        self
    }

    /// Only those that are due for at least this long.
    #[must_use]
    pub fn overdue(mut self, by: Duration) -> Self {
        self.overdue = Some(by);
        self
    }

    fn holds(&self, record: &Record, due: DueAge) -> bool {
        let Self { status, name, participant, failed_attempts, overdue } = self;
        status.is_none_or(|status| record.status() == status)
            && name.as_ref().is_none_or(|name| record.name() == name)
            && participant.as_ref().is_none_or(|participant| {
                let mut branches = record.branches().iter();
                branches.any(|branch| !is_done(&branch.state) && branch.action.participant() == participant)
            })
            && failed_attempts
                .is_none_or(|attempts| record.branches().iter().any(|branch| branch.attempts >= attempts))
            && overdue.is_none_or(|by| matches!(due, DueAge::Overdue(since) if since >= by))
    }

    fn select(&self) -> Select {
        if self.status == Some(Status::Heuristic) { Select::Kept } else { Select::Unfinished }
    }
}

const fn is_done(state: &BranchState) -> bool {
    matches!(state, BranchState::Confirmed | BranchState::Cancelled | BranchState::Resolved { .. })
}

/// A page of transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transactions {
    /// The transactions, the most overdue first.
    pub items: Vec<TransactionInfo>,
    /// Logs that can't be read; nothing is done with them.
    pub unreadable: Vec<Unreadable>,
    /// For the next page; `None` if this is the last. A page may be short, even empty, and still have a next one.
    pub next: Option<Cursor>,
}

/// A transaction as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionInfo {
    /// Its id.
    pub id: TxId,
    /// What its log says.
    pub record: Record,
    /// When it is looked at next, by the store's clock.
    pub due: DueAge,
}

/// The log of a transaction as a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeline {
    /// Its id.
    pub id: TxId,
    /// What happened, oldest first.
    pub events: Vec<Event>,
    /// Where that leads, or what is wrong with the log.
    pub record: Result<Record, LogError>,
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its number, from 1.
    pub number: u32,
    /// The write that brought it.
    pub op: Op,
    /// What it says in one line, without payloads; or what is wrong with it.
    pub what: String,
}

/// Where it stands, and one line for each entry: its number, and what it says.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, events, record } = self;
        match record {
            Ok(record) => write!(f, "transaction {id} ({}) is {}", record.name(), record.status())?,
            Err(error) => write!(f, "transaction {id}: {}", OneLine(&chain(error)))?,
        }
        events.iter().try_for_each(|event| write!(f, "\n{event}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4} {}", self.number, OneLine(&self.what))
    }
}

/// Why an operator's wish was not carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is no log of it.
    #[error(
        "there is no transaction {id}: it never had a branch, or it is finished and its retention is over"
    )]
    NotFound {
        /// The id that was asked for.
        id: TxId,
    },
    /// The protocol does not allow it where the transaction stands.
    #[error("{}", why_not(*id, source))]
    Illegal {
        /// The transaction.
        id: TxId,
        /// Why.
        #[source]
        source: Illegal,
    },
    /// Who or why is missing.
    #[error("say who does this and why: both are kept in the log")]
    Unsigned,
    /// The log can't be read.
    #[error("the log of transaction {id} can't be read")]
    Unreadable {
        /// The transaction.
        id: TxId,
        /// What is wrong with it.
        #[source]
        source: LogError,
    },
    /// Nothing has failed of the branch so far: its participant settles it.
    #[error("branch {branch} of transaction {id} has not failed: its participant is to settle it")]
    NotFailed {
        /// The transaction.
        id: TxId,
        /// The branch.
        branch: BranchId,
    },
    /// Others wrote to it each time: try again.
    #[error("transaction {id} is being written to: try again")]
    Busy {
        /// The transaction.
        id: TxId,
    },
    /// The store did not answer as it should. After [`StoreError::Ambiguous`] the change may have been made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an operator may do where a transaction stands, in words. The changes are those of [`Operator`]'s wishes.
fn why_not(id: TxId, source: &Illegal) -> String {
    let permitted = |change| match change {
        "decide" => Some("what is undecided can be cancelled"),
        "resolve" => Some("what is refused can be resolved"),
        "settle" => Some("what is decided, and not settled, can be refused"),
        _ => None,
    };
    let (change, what) = match source {
        Illegal::UnknownBranch { id: branch, .. } => {
            return format!("transaction {id} has no branch {branch}");
        }
        Illegal::Status { change, status } => (*change, format!("transaction {id} is {status}")),
        Illegal::Branch { change, id: branch, state } => {
            (*change, format!("branch {branch} of transaction {id} is {state}"))
        }
        _ => ("", String::new()),
    };
    match permitted(change) {
        Some(permitted) => format!("{what}: only {permitted}"),
        None => format!("transaction {id} can't be changed so"),
    }
}

impl<'c> Operator<'c> {
    pub(super) fn new(shared: &'c Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Lists transactions, the most overdue first, a page at a time.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`], or as for every call of the store.
    pub async fn list(
        &self,
        filter: &Filter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Transactions, StoreError> {
        let mut page = Transactions { next: cursor, ..Transactions::default() };
        let mut looked_at = 0;
        loop {
            // Never more than fit: what was asked for and did not fit would be skipped by the cursor.
            let room = limit.max(1) - page.items.len();
            let query = Query {
                group: self.shared.group.clone(),
                select: filter.select(),
                cursor: page.next.take(),
                limit: room.min(STORE_PAGE),
            };
            let found =
                self.shared.limited(Operation::List, async { self.shared.store.list(&query).await }).await?;
            looked_at += query.limit;
            page.unreadable.extend(found.unreadable);
            for Listed { id, log, due } in found.items {
                match fold(&log) {
                    Ok(record) if filter.holds(&record, due) => {
                        page.items.push(TransactionInfo { id, record, due });
                    }
                    Ok(_) => {}
                    Err(error) => page.unreadable.push(Unreadable { id, why: chain(&error) }),
                }
            }
            page.next = found.next;
            if page.next.is_none() || page.items.len() >= limit.max(1) || looked_at >= LOOKED_AT {
                return Ok(page);
            }
        }
    }

    /// The group in numbers, from the store's indexes: the same from every instance.
    ///
    /// # Errors
    /// As for every call of the store.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        self.shared
            .limited(Operation::Stats, async { self.shared.store.stats(&self.shared.group).await })
            .await
    }

    /// The actions that transactions of the group call and **this** instance does not know, by name and version: it has put
    /// their transactions back for other instances. Empty if it knows all that it has met since it started.
    ///
    /// It is normal for a while in a rolling deploy. What goes on longer names what is to be deployed.
    pub fn unknown_actions(&self) -> Vec<UnknownAction> {
        self.shared.unknown.actions()
    }

    /// The log of a transaction as a timeline; `None` if there is none.
    ///
    /// # Errors
    /// As for every call of the store. A log that is damaged is shown as far as it can be read.
    pub async fn timeline(&self, id: TxId) -> Result<Option<Timeline>, StoreError> {
        let Some(log) = self.shared.read(id).await? else { return Ok(None) };
        let first = log.position().entries + 1 - log.entries().len() as u32;
        let event = |(number, entry): (u32, &Entry)| Event {
            number,
            op: entry.op(),
            what: Change::decode(entry.line())
                .map_or_else(|error| error.to_string(), |change| change.to_string()),
        };
        let events = (first..).zip(log.entries()).map(event).collect();
        Ok(Some(Timeline { id, events, record: fold(&log) }))
    }

    /// Cancels a transaction that is undecided. Its caller gets
    /// [`TransactionError::Cancelled`](super::TransactionError::Cancelled).
    ///
    /// # Errors
    /// [`OperatorError::Illegal`] if it is decided already.
    pub async fn cancel(&self, id: TxId, who: &str, why: &str) -> Result<(), OperatorError> {
        let cause = signed(who, why).map(|(who, why)| Cause::Operator { who, why })?;
        let decide = |_: &Record| {
            Some(Change::Decide(Decide {
                decision: Decision::Cancel,
                branches: Vec::new(),
                outputs: Vec::new(),
                cause: Some(cause.clone()),
                value: None,
            }))
        };
        if let Some(record) = self.change(id, decide, |_| Due::In(Duration::ZERO)).await? {
            self.shared.meter.decided_by_another(&record);
        }
        tracing::warn!(tx = %id, who, why, "cancelled by an operator");
        Ok(())
    }

    /// Resolves a branch that was refused: says that it has been taken care of, by whom and how. When no refused branch is
    /// left, the transaction is finished, and its log kept for the
    /// [audit retention](super::Builder::audit_retention).
    ///
    /// # Errors
    /// [`OperatorError::Illegal`] if the branch is not refused.
    pub async fn resolve(
        &self,
        id: TxId,
        branch: BranchId,
        who: &str,
        why: &str,
    ) -> Result<(), OperatorError> {
        let (who, why) = signed(who, why)?;
        let change =
            |_: &Record| Some(Change::Resolve(Resolve { id: branch, who: who.clone(), why: why.clone() }));
        let config = &self.shared.config;
        let due = |record: &Record| match record.status() {
            Status::Confirmed | Status::Cancelled => {
                Due::Never { retain: Retain::For(config.retention_of(record)) }
            }
            Status::Heuristic => Due::Never { retain: Retain::Forever },
            Status::Trying | Status::Confirming | Status::Cancelling => Due::In(Duration::ZERO),
        };
        self.change(id, change, due).await?;
        tracing::warn!(tx = %id, %branch, who, why, "a refused branch was resolved by an operator");
        Ok(())
    }

    /// Refuses a branch in its participant's stead, because nobody will ever settle it: its action is gone for good, or its
    /// participant is. The branch is then refused, with who and why, and its transaction heuristic once the others are
    /// settled; [`resolve`](Self::resolve) says later what was done about it. If it is heuristic at once,
    /// [`on_heuristic`](super::Builder::on_heuristic) is called here for each refused branch, this one among them.
    ///
    /// A call that is under way may still have its effect: look at the participant's data before you resolve it.
    ///
    /// # Errors
    /// [`OperatorError::NotFailed`] if no attempt at it has failed yet; [`OperatorError::Illegal`] if the transaction is
    /// undecided, or the branch settled.
    pub async fn refuse(
        &self,
        id: TxId,
        branch: BranchId,
        who: &str,
        why: &str,
    ) -> Result<(), OperatorError> {
        let (who, why) = signed(who, why)?;
        let log = self.shared.read(id).await?.ok_or(OperatorError::NotFound { id })?;
        let record = fold(&log).map_err(|source| OperatorError::Unreadable { id, source })?;
        let untouched = |branch: &BranchRecord| !branch.state.is_settled() && branch.attempts == 0;
        if record.decision().is_some() && record.branch(branch).is_some_and(untouched) {
            return Err(OperatorError::NotFailed { id, branch });
        }
        let change = |record: &Record| {
            let decision = record.decision().unwrap_or(Decision::Cancel);
            let phase = record.branch(branch).map_or(decision, |branch| branch.phase_two(decision));
            let verdict = Verdict::Refused(format!("by {who}, for its participant: {why}"));
            Some(Change::Settle(Settle {
                settled: vec![Settled { id: branch, phase, verdict }],
                failed: Vec::new(),
            }))
        };
        let due = |record: &Record| match record.status() {
            Status::Heuristic => Due::Never { retain: Retain::Forever },
            Status::Confirmed
            | Status::Cancelled
            | Status::Trying
            | Status::Confirming
            | Status::Cancelling => Due::In(Duration::ZERO),
        };
        let record = self.change(id, change, due).await?;
        tracing::warn!(tx = %id, %branch, who, why, "a branch was refused by an operator");
        // Nobody takes it up any more who would say so.
        if let Some(record) = record.filter(|record| record.status() == Status::Heuristic) {
            self.shared.meter.settled(&record, None);
            self.shared.call_when_heuristic(id, &record);
        }
        Ok(())
    }

    /// Has a decided transaction settled now, whatever its backoff says; and cancelled now, if it is undecided and was
    /// claimed. One that is undecided otherwise keeps its deadline; of one that is settled nothing is left to be done: both
    /// are `false`.
    ///
    /// After a log was put right by hand, this saves the wait for the next look at it.
    ///
    /// # Errors
    /// [`OperatorError::NotFound`], or as for every call of the store.
    pub async fn retry_now(&self, id: TxId) -> Result<bool, OperatorError> {
        let claim = Change::Claim(crate::protocol::Claim { by: self.shared.owner });
        let decided = |record: &Record| match record.status() {
            Status::Confirming | Status::Cancelling => Some(claim.clone()),
            Status::Trying if record.is_claimed() => Some(claim.clone()),
            Status::Trying | Status::Confirmed | Status::Cancelled | Status::Heuristic => None,
        };
        Ok(self.change(id, decided, |_| Due::In(Duration::ZERO)).await?.is_some())
    }

    /// Has all decided transactions that the filter lists settled now, and says how many.
    ///
    /// Lists them page by page, then takes each once. What is lost in a race with another write is not counted: whoever wrote takes care of
    /// it.
    ///
    /// # Errors
    /// As for every call of the store; those before are then due already.
    pub async fn retry_all_now(&self, filter: &Filter) -> Result<u64, OperatorError> {
        // All of them first: what is retried is due again soon, and would be listed again and again.
        let (mut ids, mut cursor) = (BTreeSet::new(), None);
        loop {
            let page = self.list(filter, cursor, STORE_PAGE).await?;
            ids.extend(page.items.iter().map(|item| item.id));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        let mut count = 0;
        for id in ids {
            match self.retry_now(id).await {
                Ok(retried) => count += u64::from(retried),
                Err(OperatorError::NotFound { .. } | OperatorError::Busy { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Appends what the record calls for, after whatever is the end of the log then, and returns the record after it;
    /// `None` if it calls for nothing.
    async fn change(
        &self,
        id: TxId,
        change: impl Fn(&Record) -> Option<Change>,
        due: impl Fn(&Record) -> Due,
    ) -> Result<Option<Record>, OperatorError> {
        for _ in 0..RACES {
            let log = self.shared.read(id).await?.ok_or(OperatorError::NotFound { id })?;
            let mut record = fold(&log).map_err(|source| OperatorError::Unreadable { id, source })?;
            let Some(change) = change(&record) else { return Ok(None) };
            record.apply(&change).map_err(|source| OperatorError::Illegal { id, source })?;
            match self.append(id, &log, &change, due(&record)).await {
                Ok(()) => {
                    self.shared.look_again.notify_one();
                    return Ok(Some(record));
                }
                Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OperatorError::Busy { id })
    }

    async fn append(&self, id: TxId, log: &Log, change: &Change, due: Due) -> Result<(), StoreError> {
        let append = Append {
            group: self.shared.group.clone(),
            id,
            after: log.position(),
            entry: self.shared.entry(change),
            due,
            mode: Mode::Extend,
        };
        self.shared.gather.append(&append).await
    }
}

fn signed(who: &str, why: &str) -> Result<(String, String), OperatorError> {
    let (who, why) = (who.trim(), why.trim());
    if who.is_empty() || why.is_empty() {
        return Err(OperatorError::Unsigned);
    }
    Ok((who.to_owned(), why.to_owned()))
}
