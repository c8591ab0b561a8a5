//! An undecided transaction, on the side of the coordinator that runs its body.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::TransactionError;
use super::handoff::Handoff;
use super::settle::Settling;
use super::shared::Shared;
use super::write::{WriteError, Written};
use crate::participant::{Action, Read};
use crate::protocol::{
    Begin, BranchId, Cause, Change, Decide, Decision, Enlist, Enlisted, Json, Key, Name, Output, Position,
    Record, Run, TraceParent, TxId,
};
use crate::store::{Append, Due, Mode};

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
    /// Whether a write is under way. There is one at a time, for each names the position that it follows.
    writing: bool,
    /// Who polls the body, and writes what has queued when he has done so.
    driver: Option<Waker>,
    /// Some that he polls wait for their entry.
    wanted: bool,
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
                writing: false,
                driver: None,
                wanted: false,
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
    /// Calls that start together cost one write: whoever polls the body writes what has queued once all of the body has been
    /// polled. Where something in between has wakers of its own, whoever finds no write under way writes, after its siblings
    /// had the chance to queue.
    pub(super) async fn enlisted(self: &Arc<Self>, branch: BranchId) -> Result<(), TransactionError> {
        let driven = poll_fn(|cx| {
            let mut state = self.state();
            match state.fate_of(branch) {
                Some(fate) => Poll::Ready(Some(fate)),
                None if state.is_driven_by(cx.waker()) => {
                    state.wanted = true;
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        });
        if let Some(fate) = driven.await {
            return fate;
        }
        let mut first = true;
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(fate) = self.state().fate_of(branch) {
                return fate;
            }
            if std::mem::take(&mut first) {
                yield_once().await;
            }
            match self.next_write() {
                Some(write) => write.await,
                None => changed.await,
            }
        }
    }

    /// Says who polls the body now.
    pub(super) fn drive(&self, driver: &Waker) {
        let mut state = self.state();
        if !state.is_driven_by(driver) {
            state.driver = Some(driver.clone());
        }
    }

    /// The write of what has queued, if somebody who is driven waits for it and no other is under way.
    pub(super) fn wanted_write(self: &Arc<Self>) -> Option<Handoff<()>> {
        if !self.state().wanted {
            return None;
        }
        self.next_write()
    }

    /// The write of what has queued, unless one is under way. It goes on if it is dropped.
    fn next_write(self: &Arc<Self>) -> Option<Handoff<()>> {
        let entry = self.next_entry()?;
        let live = self.clone();
        Some(Handoff::new(&self.shared.tasks, async move { live.write_enlist(entry).await }))
    }

    /// Takes what has queued into one entry, unless a write is under way.
    fn next_entry(&self) -> Option<(Append, Change)> {
        let mut state = self.state();
        if state.writing || state.queued.is_empty() || state.broken.is_some() {
            return None;
        }
        state.writing = true;
        state.wanted = false;
        let branches = std::mem::take(&mut state.queued);
        let outputs = std::mem::take(&mut state.outputs);
        Some(match &state.logged {
            None => self.begin_with(None, branches),
            Some((_, position)) => {
                let change = Change::Enlist(Enlist { branches, outputs });
                (self.append(*position, &change, Due::Keep), change)
            }
        })
    }

    fn begin_with(&self, key: Option<Key>, branches: Vec<Enlisted>) -> (Append, Change) {
        let change = Change::Begin(Begin {
            name: self.name.clone(),
            begun_ms: self.begun_ms,
            timeout_ms: self.timeout.as_millis() as u64,
            by: self.shared.owner,
            key,
            run: self.run,
            traceparent: self.traceparent,
            branches,
        });
        (self.append(Position::START, &change, Due::In(self.timeout)), change)
    }

    fn append(&self, after: Position, change: &Change, due: Due) -> Append {
        let entry = self.shared.entry(change);
        Append { group: self.shared.group.clone(), id: self.id, after, entry, due, mode: Mode::Extend }
    }

    async fn write_enlist(&self, (append, change): (Append, Change)) {
        let fate = self.shared.write(&append, self.deadline).await;
        let driver = self.write_ended(fate, &append, &change);
        self.changed.notify_waiters();
        if let Some(driver) = driver {
            poll_fn(|cx| {
                // Whoever drives this himself polls the body next.
                if !driver.will_wake(cx.waker()) {
                    driver.wake_by_ref();
                }
                Poll::Ready(())
            })
            .await;
        }
    }

    /// Takes over what became of a write, and says who polls the body.
    fn write_ended(
        &self,
        fate: Result<Written, WriteError>,
        append: &Append,
        change: &Change,
    ) -> Option<Waker> {
        let mut state = self.state();
        state.writing = false;
        let outcome = match fate {
            Ok(Written::Applied) => {
                state.log(append, change);
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
        state.driver.clone()
    }

    /// Writes the begin of a transaction with a key, before its body runs. `over` is where the log ends that it takes
    /// the place of.
    pub(super) async fn begin_keyed(
        self: &Arc<Self>,
        key: Key,
        over: Option<Position>,
    ) -> Result<Begun, TransactionError> {
        let (mut append, change) = self.begin_with(Some(key), Vec::new());
        if let Some(position) = over {
            append.after = position;
            append.mode = Mode::Replace;
        }
        // A caller that hangs up meanwhile has it cancelled, once this is written.
        self.state().writing = true;
        let live = self.clone();
        let work = async move {
            let fate = live.shared.write(&append, live.deadline).await;
            let begun = match fate {
                Ok(Written::Applied) => {
                    live.state().log(&append, &change);
                    Ok(Begun::Anew)
                }
                Ok(Written::Taken(_) | Written::Superseded(_)) => Ok(Begun::Before),
                // The tombstone that it was to take the place of went in between.
                Err(WriteError::Lost { .. }) if append.mode == Mode::Replace => Ok(Begun::Before),
                Ok(Written::Overtaken) => Err(TransactionError::TimedOut { id: live.id }),
                Err(error) => Err(live.undecided(error)),
            };
            live.state().writing = false;
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
        let Some((append, change)) = self.decide(decision, cause.clone(), value).await? else {
            meter.decided_nothing(&self.name);
            return Ok(Concluded::by(decision));
        };
        let decided = || meter.decided(&self.name, decision, cause.as_ref(), self.begun.elapsed());
        // The lease counts from before the write, so that it never ends later here than in the store.
        let since = Instant::now();
        match self.shared.write(&append, self.deadline.max(since)).await {
            Ok(Written::Applied) => {
                decided();
                let ((record, position), read) = {
                    let mut state = self.state();
                    state.log(&append, &change);
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
    ) -> Result<Option<(Append, Change)>, TransactionError> {
        {
            let mut state = self.state();
            state.sealed = true;
            state.driver = None;
        }
        self.writes_ended().await;
        let begin = {
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
            match (&state.logged, state.queued.is_empty()) {
                (None, true) => return Ok(None),
                (None, false) => {
                    state.writing = true;
                    let branches = std::mem::take(&mut state.queued);
                    Some(self.begin_with(None, branches))
                }
                (Some(_), _) => None,
            }
        };
        if let Some(begin) = begin {
            self.write_enlist(begin).await;
        }
        let mut state = self.state();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let position = state.logged.as_ref().map_or(Position::START, |(_, position)| *position);
        let branches = std::mem::take(&mut state.queued);
        let outputs = std::mem::take(&mut state.outputs);
        let change = Change::Decide(Decide { decision, branches, outputs, cause, value });
        Ok(Some((self.append(position, &change, Due::In(self.shared.config.lease)), change)))
    }

    /// Waits until no write is under way.
    async fn writes_ended(&self) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if !self.state().writing {
                return;
            }
            changed.await;
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
    /// Whether a queued branch is in the log, or why it never will be; `None` if that is open.
    fn fate_of(&self, branch: BranchId) -> Option<Result<(), TransactionError>> {
        match &self.logged {
            Some((record, _)) if record.branch(branch).is_some() => Some(Ok(())),
            _ => self.broken.clone().map(Err),
        }
    }

    fn is_driven_by(&self, waker: &Waker) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker))
    }

    /// Takes over what was just written.
    fn log(&mut self, append: &Append, change: &Change) {
        let position = append.after.then(append.entry.op());
        let applied = match &mut self.logged {
            Some((record, at)) => record.apply(change).map(|()| *at = position),
            none => Record::first(change).map(|record| *none = Some((record, position))),
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

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.pace.returned();
    }
}

/// Lets the other branches of a joined future run before this one goes on.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
