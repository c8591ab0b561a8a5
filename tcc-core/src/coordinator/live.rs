//! An undecided transaction, on the side of the coordinator that runs its body.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::TransactionError;
use super::handoff::Handoff;
use super::open;
use super::settle::Settling;
use super::shared::Shared;
use super::write::{WriteError, Written};
use crate::participant::{Action, Read};
use crate::protocol::{
    Begin, BranchId, Cause, Change, Decide, Decision, Enlist, Enlisted, Json, Key, Name, Output, Position,
    Record, Run, TraceParent, TxId,
};
use crate::store::{Append, Due, Mode, StoreError};

/// An undecided transaction. Its branches are enlisted and it is decided through this, one write at a time.
pub(super) struct Live {
    pub(super) shared: Arc<Shared>,
    pub(super) id: TxId,
    pub(super) name: Name,
    /// Which run of its key this is, if it has one.
    pub(super) run: Option<Run>,
    pub(super) begun_ms: u64,
    pub(super) timeout: Duration,
    begun: Instant,
    pub(super) deadline: Instant,
    /// The trace that it belongs to.
    pub(super) traceparent: Option<TraceParent>,
    state: Mutex<State>,
    /// A write has ended.
    changed: Notify,
}

struct State {
    /// What is in the log; `None` before it begins.
    logged: Option<(Record, Position)>,
    /// Branches that wait for their entry, in order.
    queued: Vec<Enlisted>,
    /// The number of the next branch to queue.
    next: usize,
    /// Outputs that wait for the next entry.
    outputs: Vec<Output>,
    /// The payloads of acknowledged branches, so that phase two need not read them again.
    read: Vec<(BranchId, Read)>,
    /// What is being written.
    change: Option<Change>,
    /// Whether a write is under way. There is one at a time, for each names the position that it follows.
    writing: bool,
    /// No branch can join any more.
    sealed: bool,
    /// Why no further write is possible.
    broken: Option<TransactionError>,
    /// The bytes of all payloads.
    bytes: usize,
}

/// How a transaction ended, seen from its initiator.
pub(super) enum Concluded {
    Confirmed,
    Cancelled,
}

impl Concluded {
    const fn by(decision: Decision) -> Self {
        match decision {
            Decision::Confirm => Self::Confirmed,
            Decision::Cancel => Self::Cancelled,
        }
    }
}

/// What a branch that has queued has to do.
enum Turn {
    /// Nothing: its entry is in the log.
    Logged,
    /// To write what has queued.
    Write,
    /// To wait for the write that is under way.
    Wait,
}

/// How a transaction with a key began.
pub(super) enum Begun {
    Anew,
    /// The key was used before.
    Before,
}

impl Live {
    pub(super) fn new(
        shared: Arc<Shared>,
        (id, run): (TxId, Option<Run>),
        name: Name,
        begun_ms: u64,
        timeout: Duration,
        traceparent: Option<TraceParent>,
    ) -> Arc<Self> {
        shared.pace.begun();
        // Before the log can begin, so that the initiator's deadline is never after the store's.
        let begun = Instant::now();
        Arc::new(Self {
            shared,
            id,
            name,
            run,
            begun_ms,
            timeout,
            begun,
            deadline: begun + timeout,
            traceparent,
            state: Mutex::new(State {
                logged: None,
                queued: Vec::new(),
                next: 0,
                outputs: Vec::new(),
                read: Vec::new(),
                change: None,
                writing: false,
                sealed: false,
                broken: None,
                bytes: 0,
            }),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a branch in the queue for the next entry, and says which number it has.
    pub(super) fn queue(&self, action: &Action, request: Json) -> Result<BranchId, TransactionError> {
        let (config, id) = (&self.shared.config, self.id);
        self.check_payload("a request", &request)?;
        let mut state = self.state();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        if state.sealed || Instant::now() >= self.deadline {
            return Err(TransactionError::TimedOut { id });
        }
        let number = state.next;
        if number >= config.max_branches {
            let (value, max) = (number as u64 + 1, config.max_branches as u64);
            let (what, unit, setting) = ("it", "branches", Some("max_branches"));
            return Err(TransactionError::Limit { id, what, value, max, unit, setting });
        }
        state.count(id, config.max_log, &request)?;
        let branch = BranchId::new(number as u16);
        state.next += 1;
        state.queued.push(Enlisted {
            id: branch,
            action: action.name().clone(),
            version: action.version(),
            request,
            on_confirm: action.is_on_confirm(),
        });
        Ok(branch)
    }

    pub(super) fn check_payload(&self, what: &'static str, payload: &Json) -> Result<(), TransactionError> {
        let (value, max) = (payload.as_str().len() as u64, self.shared.config.max_payload as u64);
        if value > max {
            let (unit, setting) = ("bytes", Some("max_payload"));
            return Err(TransactionError::Limit { id: self.id, what, value, max, unit, setting });
        }
        Ok(())
    }

    /// Waits until the entry of a queued branch is in the log.
    ///
    /// Whoever finds no write under way writes what has queued; so calls that start together cost one write.
    pub(super) async fn enlisted(self: &Arc<Self>, branch: BranchId) -> Result<(), TransactionError> {
        // They queue as well.
        open::after_siblings().await;
        loop {
            match self.turn(branch)? {
                Turn::Logged => return Ok(()),
                Turn::Write => Handoff::new(&self.shared.tasks, self.clone().write_queued()).await,
                Turn::Wait => self.write_ended().await,
            }
        }
    }

    /// What a branch that has queued has to do. Who is told to write must do so: nobody else will.
    fn turn(&self, branch: BranchId) -> Result<Turn, TransactionError> {
        let mut state = self.state();
        if state.logged.as_ref().is_some_and(|(record, _)| record.branch(branch).is_some()) {
            return Ok(Turn::Logged);
        }
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        if state.writing {
            return Ok(Turn::Wait);
        }
        if state.queued.is_empty() {
            // The body has ended without it: nobody will write it.
            return Err(TransactionError::TimedOut { id: self.id });
        }
        state.writing = true;
        Ok(Turn::Write)
    }

    /// Writes what has queued as one entry.
    async fn write_queued(self: Arc<Self>) {
        let append = {
            let mut state = self.state();
            let branches = std::mem::take(&mut state.queued);
            match state.logged {
                None => {
                    let begin = self.begin(None, branches);
                    self.append(&mut state, begin, Due::In(self.timeout))
                }
                Some(_) => {
                    let outputs = std::mem::take(&mut state.outputs);
                    self.append(&mut state, Change::Enlist(Enlist { branches, outputs }), Due::Keep)
                }
            }
        };
        self.write_enlist(append).await;
    }

    fn begin(&self, key: Option<Key>, branches: Vec<Enlisted>) -> Change {
        Change::Begin(Begin {
            name: self.name.clone(),
            begun_ms: self.begun_ms,
            timeout_ms: self.timeout.as_millis() as u64,
            by: self.shared.owner,
            key,
            run: self.run,
            traceparent: self.traceparent,
            branches,
        })
    }

    /// What writes a change after the last one. The change is kept until it is known to be in the log.
    fn append(&self, state: &mut State, change: Change, due: Due) -> Append {
        let after = state.logged.as_ref().map_or(Position::START, |(_, position)| *position);
        let entry = self.shared.entry(state.change.insert(change));
        Append { group: self.shared.group.clone(), id: self.id, after, entry, due, mode: Mode::Extend }
    }

    async fn write_enlist(&self, append: Append) {
        let fate = self.write(&append).await;
        let mut state = self.state();
        state.writing = false;
        let outcome = match fate {
            Ok(Written::Applied) => {
                state.log(&append);
                Ok(())
            }
            // Only its initiator adds to it while it is unclaimed: another has it now, and will cancel it.
            Ok(Written::Overtaken | Written::Taken(_)) => Err(TransactionError::TimedOut { id: self.id }),
            Ok(Written::Superseded(record)) => Err(self.superseded(&record)),
            Err(error) => Err(self.undecided(error)),
        };
        if let Err(error) = outcome {
            tracing::debug!(id = %self.id, %error, "the transaction can't go on");
            state.broken = Some(error);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Writes what was said to be under way.
    async fn write(&self, append: &Append) -> Result<Written, WriteError> {
        let given_up = GivenUp(self);
        let fate = self.shared.write(append, self.deadline).await;
        std::mem::forget(given_up);
        fate
    }

    /// Writes the begin of a transaction with a key, before its body runs. `over` is where the log ends that it takes
    /// the place of.
    pub(super) async fn begin_keyed(
        self: &Arc<Self>,
        key: Key,
        over: Option<Position>,
    ) -> Result<Begun, TransactionError> {
        let mut append = {
            let mut state = self.state();
            // A caller that hangs up meanwhile has it cancelled, once this is written.
            state.writing = true;
            let begin = self.begin(Some(key), Vec::new());
            self.append(&mut state, begin, Due::In(self.timeout))
        };
        if let Some(position) = over {
            append.after = position;
            append.mode = Mode::Replace;
        }
        let live = self.clone();
        let work = async move {
            let fate = live.write(&append).await;
            let mut state = live.state();
            state.writing = false;
            let begun = match fate {
                Ok(Written::Applied) => {
                    state.log(&append);
                    Ok(Begun::Anew)
                }
                Ok(Written::Taken(_) | Written::Superseded(_)) => Ok(Begun::Before),
                // The tombstone that it was to take the place of went in between.
                Err(WriteError::Lost { .. }) if append.mode == Mode::Replace => Ok(Begun::Before),
                Ok(Written::Overtaken) => Err(TransactionError::TimedOut { id: live.id }),
                Err(error) => Err(live.undecided(error)),
            };
            drop(state);
            live.changed.notify_waiters();
            begun
        };
        Handoff::new(&self.shared.tasks, work).await
    }

    /// Keeps the output of a try for the next entry: the branch is then acknowledged.
    pub(super) fn acknowledge(
        &self,
        branch: BranchId,
        output: Json,
        read: Read,
    ) -> Result<(), TransactionError> {
        self.check_payload("an output", &output)?;
        let mut state = self.state();
        state.count(self.id, self.shared.config.max_log, &output)?;
        state.outputs.push(Output { id: branch, output });
        state.read.push((branch, read));
        Ok(())
    }

    /// Decides, and takes the first step of phase two with each branch. What is left goes on in the coordinator's
    /// tasks.
    pub(super) async fn conclude(
        self: Arc<Self>,
        decision: Decision,
        cause: Option<Cause>,
        value: Option<Json>,
    ) -> Result<Concluded, TransactionError> {
        let meter = &self.shared.meter;
        let Some(append) = self.decide(decision, cause.clone(), value).await? else {
            meter.decided_nothing(&self.name);
            return Ok(Concluded::by(decision));
        };
        let decided = || meter.decided(&self.name, decision, cause.as_ref(), || self.begun.elapsed());
        // The lease counts from before the write, so that it never ends later here than in the store.
        let since = Instant::now();
        match self.shared.write(&append, self.deadline.max(since)).await {
            Ok(Written::Applied) => {
                decided();
                let ((record, position), read) = {
                    let mut state = self.state();
                    state.log(&append);
                    // Nothing asks the live state any more.
                    (state.logged.take().expect("it was logged above"), std::mem::take(&mut state.read))
                };
                let end = (position, position.entries as usize);
                let settling = Settling::new(&self.shared, self.id, record, end, since).begun_at(self.begun);
                settling.with_read(read).first_attempts().await;
                Ok(Concluded::by(decision))
            }
            // Decided as asked; who claimed it settles it.
            Ok(Written::Overtaken) => {
                decided();
                Ok(Concluded::by(decision))
            }
            Ok(Written::Superseded(record) | Written::Taken(record)) => match record.decision() {
                // Nobody but its initiator decides to confirm: that was this write. Unless it is another run of the key:
                // then this one was cancelled, for its tombstone is kept longer than its initiator asks.
                Some(Decision::Confirm) if record.run() == self.run => {
                    decided();
                    Ok(Concluded::Confirmed)
                }
                Some(Decision::Cancel) | None if decision == Decision::Cancel => Ok(Concluded::Cancelled),
                Some(Decision::Confirm | Decision::Cancel) | None => Err(self.superseded(&record)),
            },
            Err(WriteError::InDoubt(source)) => Err(TransactionError::InDoubt { id: self.id, source }),
            Err(error) => Err(self.undecided(error)),
        }
    }

    /// The entry that decides; `None` if there is nothing in the log and nothing to be put there.
    async fn decide(
        self: &Arc<Self>,
        decision: Decision,
        cause: Option<Cause>,
        value: Option<Json>,
    ) -> Result<Option<Append>, TransactionError> {
        self.state().sealed = true;
        self.write_ended().await;
        let begins = {
            let mut state = self.state();
            if let Some(error) = &state.broken {
                return Err(error.clone());
            }
            // A branch whose call was dropped before its entry was written was never called. What is left are those
            // without a try, and they join only what is confirmed.
            state.queued.retain(|branch| branch.on_confirm && decision == Decision::Confirm);
            let first = state.logged.as_ref().map_or(0, |(record, _)| record.branches().len());
            for (number, branch) in (first..).zip(&mut state.queued) {
                branch.id = BranchId::new(number as u16);
            }
            if state.logged.is_none() && state.queued.is_empty() {
                return Ok(None);
            }
            state.writing = state.logged.is_none();
            state.writing
        };
        if begins {
            // Seldom: all its branches are without a try.
            Box::pin(self.clone().write_queued()).await;
        }
        let mut state = self.state();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let branches = std::mem::take(&mut state.queued);
        let outputs = std::mem::take(&mut state.outputs);
        let change = Change::Decide(Decide { decision, branches, outputs, cause, value });
        Ok(Some(self.append(&mut state, change, Due::In(self.shared.config.lease))))
    }

    /// Waits until no write is under way.
    async fn write_ended(&self) {
        while self.state().writing {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            // It may have ended before it was waited for.
            if self.state().writing {
                changed.await;
            }
        }
    }

    /// What it means to the caller that the transaction was decided or claimed without it.
    fn superseded(&self, record: &Record) -> TransactionError {
        match record.cause() {
            Some(cause @ Cause::Operator { .. }) => {
                TransactionError::Cancelled { id: self.id, cause: cause.clone() }
            }
            _ => TransactionError::TimedOut { id: self.id },
        }
    }

    /// What it means to the caller that a write failed which was no decision to confirm.
    fn undecided(&self, error: WriteError) -> TransactionError {
        let id = self.id;
        match error {
            WriteError::NotApplied(source) | WriteError::InDoubt(source) => {
                TransactionError::Store { id, source }
            }
            WriteError::Lost { expected, found } => TransactionError::Lost { id, expected, found },
        }
    }
}

impl State {
    /// Takes over what was just written.
    fn log(&mut self, append: &Append) {
        let position = append.after.then(append.entry.op());
        let change = self.change.take().expect("it is kept while it is written");
        let applied = match &mut self.logged {
            Some((record, at)) => record.take(change).map(|()| *at = position),
            none => Record::first_of(change).map(|record| *none = Some((record, position))),
        };
        // The entries of a live transaction are made from its own record: they are legal.
        applied.expect("a transaction writes legal changes of itself");
    }

    fn count(&mut self, id: TxId, max: usize, payload: &Json) -> Result<(), TransactionError> {
        let bytes = self.bytes + payload.as_str().len();
        if bytes > max {
            let (value, max) = (bytes as u64, max as u64);
            let (what, unit, setting) = ("all its payloads", "bytes", Some("max_log"));
            return Err(TransactionError::Limit { id, what, value, max, unit, setting });
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// A write that ended in the middle: it panicked, or its runtime was shut down. Nobody will ever tell here what became of it.
struct GivenUp<'a>(&'a Live);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        let Self(live) = self;
        let source = Arc::new(StoreError::ambiguous("a write was given up in the middle"));
        let mut state = live.state();
        state.writing = false;
        state.broken = Some(TransactionError::InDoubt { id: live.id, source });
        drop(state);
        live.changed.notify_waiters();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.pace.returned();
    }
}
