//! Phase two: every branch is confirmed or cancelled, for as long as it takes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::attempt::{Answer, Attempt, NotSettled, Which};
use super::config::SettleOrder;
use super::finish::{Finish, Message};
use super::participants::Waiting;
use super::random;
use super::shared::{Shared, chain};
use super::unknown::NotKnown;
use super::write::Written;
use crate::participant::{Action, Branch, Payloads, Read, SettleError};
use crate::protocol::{
    BranchId, BranchKey, BranchRecord, BranchState, Change, Claim, Decision, Failed, Plan, Position, Record,
    Settle, Settled, Status, Step, TxId, Verdict,
};
use crate::store::{Append, Due, Mode, Retain};

/// Once a log has so many entries, a snapshot takes their place.
const LONG_LOG: usize = 64;
/// The most characters of an error that are kept in the log.
const MAX_ERROR: usize = 512;

/// A decided transaction, held by this coordinator under a lease.
///
/// Each branch is settled by itself: one that fails, hangs, refuses or panics holds up no other. A branch that is to be
/// asked again soon is waited for, and the lease renewed; if all that is left is to be asked later, the transaction is
/// put back into the store, due then.
pub(super) struct Settling {
    shared: Arc<Shared>,
    id: TxId,
    /// As the log has it, or will when the write under way is done.
    record: Record,
    position: Position,
    /// How many entries the log holds.
    entries: usize,
    /// When the lease began.
    since: Instant,
    /// When the transaction began, if it began here.
    begun: Option<Instant>,
    calls: Calls,
    /// Payloads that this process has read already; each is taken by a first attempt.
    read: Vec<(BranchId, Read)>,
    /// Branches whose first attempt here has not returned.
    first_left: usize,
    /// Who waits for these; dropped when there is none left.
    caller: Option<oneshot::Sender<()>>,
    /// Steps that wait for the ones after them, the next one last.
    in_order: Vec<Step>,
    /// What the log does not have yet.
    progress: Settle,
    /// Somebody was called for help about what the log does not have yet.
    called: bool,
    /// Branches that are not waited for here, and when they are to be asked again.
    later: Vec<(Step, Instant)>,
}

/// Calls under way, and waits for the next. Of most transactions there are none: their participants answer at once.
#[derive(Default)]
struct Calls(Option<FuturesUnordered<BoxFuture<'static, Answer>>>);

impl Calls {
    fn push(&mut self, call: BoxFuture<'static, Answer>) {
        self.0.get_or_insert_default().push(call);
    }

    fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(FuturesUnordered::is_empty)
    }

    /// The next answer; `None` if there is no call.
    ///
    /// Cancellation safe: no answer is lost.
    async fn next(&mut self) -> Option<Answer> {
        self.0.as_mut()?.next().await
    }
}

/// Somebody else has the transaction now.
struct LeaseLost;

impl Settling {
    /// A decided transaction whose log holds so many entries, and whose lease began at `since`.
    pub(super) fn new(
        shared: &Arc<Shared>,
        id: TxId,
        record: Record,
        (position, entries): (Position, usize),
        since: Instant,
    ) -> Self {
        Self {
            shared: shared.clone(),
            id,
            record,
            position,
            entries,
            since,
            begun: None,
            calls: Calls::default(),
            read: Vec::new(),
            first_left: 0,
            caller: None,
            in_order: Vec::new(),
            progress: Settle::default(),
            called: false,
            later: Vec::new(),
        }
    }

    /// The same, of a transaction that began here.
    pub(super) fn begun_at(mut self, begun: Instant) -> Self {
        self.begun = Some(begun);
        self
    }

    /// The same, some of whose payloads this process has read already.
    pub(super) fn with_read(mut self, read: Vec<(BranchId, Read)>) -> Self {
        self.read = read;
        self
    }

    /// Asks every branch once, then returns; what is left goes on in the coordinator's tasks.
    ///
    /// Only what answers at once does so here. Whoever has more to do is not to be in the middle of it when this future is
    /// not polled (PEERS 21): that is a task's.
    ///
    /// Returns at the latest after the longest time limit of the calls: a participant that has no room for one more lets
    /// its caller wait no longer than one that hangs.
    pub(super) async fn first_attempts(mut self) {
        let begun = Instant::now();
        self.start(begun).await;
        if self.calls.is_empty() && self.later.is_empty() {
            return self.conclude().await;
        }
        let until = begun + self.longest_limit();
        let (caller, returned) = oneshot::channel();
        // It goes at once if there is none left.
        self.caller = Some(caller).filter(|_| self.first_left > 0);
        let tasks = self.shared.tasks.clone();
        tasks.spawn(self.rest());
        // Nothing is ever sent: it goes, at the latest with all the rest.
        let _ = tokio::time::timeout_at(until, returned).await;
    }

    /// Settles it, or puts it back into the store.
    pub(super) async fn run(mut self) {
        self.start(Instant::now()).await;
        self.rest().await;
    }

    async fn rest(mut self) {
        match self.drive().await {
            Ok(()) => self.conclude().await,
            Err(LeaseLost) => self.lost(),
        }
    }

    /// Makes the first attempts, and takes the answers of those that answer at once.
    async fn start(&mut self, mut now: Instant) {
        self.shared.meter.has(self.id, || self.is_stuck());
        if let Plan::Settle(mut steps) = self.record.plan() {
            if self.shared.config.order == SettleOrder::Reverse {
                self.in_order = std::mem::take(&mut steps);
                steps.extend(self.in_order.pop());
            }
            poll_fn(|cx| {
                for step in steps.drain(..) {
                    self.start_step(step, &mut now, cx);
                }
                Poll::Ready(())
            })
            .await;
        }
    }

    /// The first attempt of a step, and of those that wait for it to be done.
    fn start_step(&mut self, step: Step, now: &mut Instant, cx: &mut Context<'_>) {
        let mut next = Some(step);
        while let Some(Step { id, phase }) = next.take() {
            self.first_left += 1;
            let which = self.next_attempt(id, phase, true);
            let attempt = self.prepare(which);
            let answer = match self.action(id) {
                Ok(action) => match attempt.at_once(&self.shared, action, now, cx) {
                    Ok(answer) => answer,
                    Err(pending) => return self.calls.push(pending),
                },
                Err(unknown) => which.answered(Err(unknown)),
            };
            if self.note(answer) {
                next = self.in_order.pop();
            }
        }
    }

    /// The longest time limit of the calls that are to be made.
    fn longest_limit(&self) -> Duration {
        let unsettled = self.record.branches().iter().filter(|branch| !branch.state.is_settled());
        let known =
            unsettled.filter_map(|branch| self.shared.registry.action(&branch.action, branch.version));
        known.map(|action| self.shared.limit(action)).max().unwrap_or_default()
    }

    /// Takes answers until there is none to wait for.
    async fn drive(&mut self) -> Result<(), LeaseLost> {
        loop {
            if self.first_left == 0 {
                self.caller = None;
            }
            let renew_at = self.renew_at();
            // A coordinator that closes asks nobody again: what had not its turn would be put off and asked without end.
            let closing = self.shared.tasks.closing().is_cancelled();
            let later = self.earliest().filter(|_| !closing);
            tokio::select! {
                biased;
                answer = self.calls.next() => match answer {
                    Some(answer) => self.take(answer),
                    None => return Ok(()),
                },
                // Whoever is called for help looks at the log; its caller does not wait for that.
                () = std::future::ready(()), if self.called && self.caller.is_none() => self.renew().await?,
                () = tokio::time::sleep_until(later.unwrap_or(renew_at)), if later.is_some_and(|at| at < renew_at) => {
                    self.resume_later();
                }
                () = tokio::time::sleep_until(renew_at) => self.renew().await?,
            }
        }
    }

    /// When the lease is to be renewed.
    fn renew_at(&self) -> Instant {
        self.since + self.shared.config.lease / 2
    }

    /// Takes an answer, and begins what waits for it.
    fn take(&mut self, answer: Answer) {
        if self.note(answer)
            && let Some(Step { id, phase }) = self.in_order.pop()
        {
            self.first_left += 1;
            self.attempt(id, phase, Duration::ZERO, true);
        }
    }

    /// Takes an answer; whether its branch is done with.
    fn note(&mut self, answer: Answer) -> bool {
        let Answer { which: Which { id, phase, number, first }, result } = answer;
        if first {
            self.first_left -= 1;
        }
        let verdict = match result {
            Ok(()) => Verdict::Done,
            Err(NotSettled::Answer(SettleError::Refused(why))) => {
                tracing::warn!(tx = %self.id, branch = %id, %phase, why, "a branch is refused");
                Verdict::Refused(shorten(why))
            }
            Err(NotSettled::Answer(SettleError::Later(error))) => {
                let delay = self.fail(id, phase, number, chain(&*error));
                // What is soon is waited for; the lease is renewed meanwhile. A coordinator that closes waits for nothing.
                if delay <= self.shared.config.lease / 2 && !self.shared.tasks.closing().is_cancelled() {
                    self.attempt(id, phase, delay, false);
                } else {
                    self.put_off(id, phase, delay);
                }
                return false;
            }
            Err(NotSettled::Unknown(error)) => {
                self.shared.meter.unknown_action(&error.action, error.version);
                self.shared.unknown.met(self.id, &error.action, error.version);
                let delay = self.fail(id, phase, number, error.to_string());
                // Long enough for all other instances to have looked when it is due, so that they are as quick as this one.
                let lease = self.shared.config.lease;
                self.put_off(id, phase, delay.max(lease + random::up_to(lease)));
                return false;
            }
            // No attempt was made: at once, for another instance.
            Err(NotSettled::Closing) => {
                self.put_off(id, phase, Duration::ZERO);
                return false;
            }
        };
        // Nobody was called for help about what is done at its first attempt.
        if number > 1 {
            self.shared.alerted.forget(&(self.id, id));
        }
        self.progress.failed.retain(|failed| failed.id != id);
        self.progress.settled.push(Settled { id, phase, verdict });
        self.shared.meter.has(self.id, || self.is_stuck());
        true
    }

    /// Notes a failed attempt, and says how long to wait before the next.
    fn fail(&mut self, id: BranchId, phase: Decision, attempts: u32, error: String) -> Duration {
        let error = shorten(error);
        let alert_after = self.shared.config.alert_after;
        // Once, however many attempts there were already when it was taken over from another. Of more than can be told apart,
        // those are told of that come to so many here.
        let stuck = attempts >= alert_after;
        if stuck && self.shared.alerted.first((self.id, id)).unwrap_or(attempts == alert_after) {
            tracing::error!(tx = %self.id, branch = %id, %phase, attempts, error, "a transaction is stuck; it is still retried");
            self.shared.call_when_stuck(self.id, &self.record, id, (phase, attempts, &error));
            self.called = true;
        } else if !self.knows(id) {
            // That is said once for all of its kind.
            tracing::debug!(tx = %self.id, branch = %id, %phase, attempts, error, "a branch is put back");
        } else {
            tracing::warn!(tx = %self.id, branch = %id, %phase, attempts, error, "a branch is to be settled again");
        }
        self.progress.failed.retain(|failed| failed.id != id);
        self.progress.failed.push(Failed { id, attempts, error });
        self.shared.meter.has(self.id, || self.is_stuck());
        self.shared.config.backoff.delay(attempts)
    }

    /// Whether a participant here handles a branch.
    fn knows(&self, id: BranchId) -> bool {
        let branch = self.record.branch(id);
        branch.is_some_and(|branch| self.shared.registry.action(&branch.action, branch.version).is_some())
    }

    /// Leaves a branch to whoever claims the transaction when it is due again; or to this holder, if another branch keeps it
    /// for so long.
    fn put_off(&mut self, id: BranchId, phase: Decision, delay: Duration) {
        self.later.push((Step { id, phase }, Instant::now() + delay));
    }

    /// When the first of those put off is to be asked again.
    fn earliest(&self) -> Option<Instant> {
        self.later.iter().map(|(_, at)| *at).min()
    }

    /// Asks those put off whose time has come while others kept the transaction here.
    fn resume_later(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(_, at)| *at <= now);
        self.later = later;
        let due: Vec<(Step, Instant)> = due;
        for (step, _) in due {
            self.attempt(step.id, step.phase, Duration::ZERO, false);
        }
    }

    /// Makes an attempt after this time.
    fn attempt(&mut self, id: BranchId, phase: Decision, delay: Duration, first: bool) {
        let which = self.next_attempt(id, phase, first);
        let attempt = self.prepare(which);
        let call: BoxFuture<'static, Answer> = match self.action(id) {
            Ok(action) => Box::pin(attempt.after(self.shared.clone(), action.clone(), delay)),
            Err(unknown) => Box::pin(std::future::ready(which.answered(Err(unknown)))),
        };
        self.calls.push(call);
    }

    fn branch(&self, id: BranchId) -> &BranchRecord {
        self.record.branch(id).expect("the steps are those of the record")
    }

    /// What a branch calls; an error, if nobody here does that.
    fn action(&self, id: BranchId) -> Result<&Arc<Action>, NotSettled> {
        let BranchRecord { action, version, .. } = self.branch(id);
        self.shared
            .registry
            .action(action, *version)
            .ok_or_else(|| NotSettled::Unknown(NotKnown { action: action.clone(), version: *version }))
    }

    fn next_attempt(&self, id: BranchId, phase: Decision, first: bool) -> Which {
        let failed = self.progress.failed.iter().find(|failed| failed.id == id).map(|failed| failed.attempts);
        let number = failed.unwrap_or(self.branch(id).attempts).saturating_add(1);
        Which { id, phase, number, first }
    }

    fn prepare(&mut self, which: Which) -> Attempt {
        let Which { id, phase, number, .. } = which;
        let read = self.read.iter().position(|(of, _)| *of == id);
        let read = read.map(|place| self.read.swap_remove(place).1);
        let branch = self.branch(id);
        let key = BranchKey { tx: self.id, branch: id, run: self.record.run() };
        Attempt {
            which,
            cx: Branch::new(key, branch.action.clone(), phase.phase())
                .with_on_confirm(branch.on_confirm)
                .with_attempt(number)
                .with_begun_ms(self.record.begun_ms())
                .with_traceparent(self.record.traceparent()),
            payloads: Payloads { request: branch.request.clone(), output: branch.output.clone(), read },
        }
    }

    fn unsettled(&self) -> impl Iterator<Item = &BranchRecord> {
        let settled = |branch: &BranchRecord| {
            branch.state.is_settled() || self.progress.settled.iter().any(|settled| settled.id == branch.id)
        };
        self.record.branches().iter().filter(move |branch| !settled(branch))
    }

    /// Whether the settling of a branch has failed so often that it was called for help.
    fn is_stuck(&self) -> bool {
        let failed = |id| self.progress.failed.iter().find(|failed| failed.id == id);
        let attempts =
            |branch: &BranchRecord| failed(branch.id).map_or(branch.attempts, |failed| failed.attempts);
        self.unsettled().any(|branch| attempts(branch) >= self.shared.config.alert_after)
    }

    /// Appends what happened so far, or else a claim: either renews the lease.
    async fn renew(&mut self) -> Result<(), LeaseLost> {
        let change = match self.take_progress() {
            Some(settle) => Change::Settle(settle),
            None => Change::Claim(Claim { by: self.shared.owner }),
        };
        self.apply(&change)?;
        self.append(&change, Due::In(self.shared.config.lease)).await
    }

    fn take_progress(&mut self) -> Option<Settle> {
        self.called = false;
        let progress = std::mem::take(&mut self.progress);
        (!progress.settled.is_empty() || !progress.failed.is_empty()).then_some(progress)
    }

    /// Nothing is under way here any more: finish it, keep it for an operator, or put it back.
    async fn conclude(mut self) {
        let change = self.take_progress().map(Change::Settle);
        if let Some(change) = &change
            && self.apply(change).is_err()
        {
            return self.lost();
        }
        let record = &self.record;
        if record.status().is_settled() {
            self.shared.meter.settled(record, self.begun);
        }
        let resolved = |branch: &BranchRecord| matches!(branch.state, BranchState::Resolved { .. });
        match record.status() {
            // Who resolved it and why is kept with the whole log.
            Status::Confirmed | Status::Cancelled if record.branches().iter().any(resolved) => {
                let retain = Retain::For(self.shared.config.retention_of(record));
                self.put_down(change, Due::Never { retain }).await;
            }
            Status::Confirmed | Status::Cancelled => {
                tracing::debug!(tx = %self.id, status = %record.status(), "settled");
                let finish = Finish::new(&self.shared, self.id, record, self.position, self.since);
                // The receiver goes only with the whole coordinator; then recovery finishes it.
                let _ = self.shared.finished.send(Message::Finish(finish));
            }
            Status::Heuristic => {
                tracing::error!(
                    tx = %self.id, name = %record.name(),
                    "a transaction is heuristic: a participant refused what was decided; an operator has to resolve it"
                );
                // Before it is written: rather twice than never.
                self.shared.call_when_heuristic(self.id, record);
                self.put_down(change, Due::Never { retain: Retain::Forever }).await;
            }
            Status::Trying | Status::Confirming | Status::Cancelling => {
                let now = Instant::now();
                let wait = self
                    .earliest()
                    .map_or(self.shared.config.backoff.base, |at| at.saturating_duration_since(now));
                let due = Due::In(wait);
                if self.put_down(change, due).await {
                    self.shared.meter.put_back(self.id, now + wait);
                    self.wait_for_participants();
                }
                self.shared.look_again.notify_one();
            }
        }
    }

    /// Writes the change that was made last, if any, and lets go of the transaction. `false` if it was lost before.
    async fn put_down(&mut self, change: Option<Change>, due: Due) -> bool {
        let held = match change {
            Some(change) => self.append(&change, due).await,
            None => {
                let claim = Change::Claim(Claim { by: self.shared.owner });
                match self.apply(&claim) {
                    Ok(()) => self.append(&claim, due).await,
                    Err(LeaseLost) => Err(LeaseLost),
                }
            }
        };
        if held.is_err() {
            self.lost();
        }
        held.is_ok()
    }

    /// PEERS 37: the next success of a participant wakes what waits for it. What is unknown here does not become known by
    /// that: woken, it would only be due later for those who know it.
    fn wait_for_participants(&self) {
        let waiting = Waiting { id: self.id, position: self.position };
        let waits = |branch: &&BranchRecord| !branch.state.is_settled() && self.knows(branch.id);
        for branch in self.record.branches().iter().filter(waits) {
            if let Some(participant) = self.shared.participants.of_action(&branch.action) {
                participant.wait(waiting);
            }
        }
    }

    /// Makes a change of the record. The holder of a transaction makes legal ones, unless its log was damaged.
    fn apply(&mut self, change: &Change) -> Result<(), LeaseLost> {
        self.record.apply(change).map_err(|error| {
            tracing::error!(tx = %self.id, %error, "the log must be damaged: this transaction can't go on");
            LeaseLost
        })
    }

    /// Appends a change that the record has already.
    async fn append(&mut self, change: &Change, due: Due) -> Result<(), LeaseLost> {
        let long = self.entries >= LONG_LOG;
        let (entry, mode) = if long {
            (self.shared.entry(&Change::Snapshot(self.record.snapshot())), Mode::Replace)
        } else {
            (self.shared.entry(change), Mode::Extend)
        };
        let append =
            Append { group: self.shared.group.clone(), id: self.id, after: self.position, entry, due, mode };
        let since = Instant::now();
        let mut answers = Vec::new();
        let written = {
            let shared = self.shared.clone();
            let write = shared.write(&append, self.since + shared.config.lease);
            let mut write = std::pin::pin!(write);
            loop {
                tokio::select! {
                    biased;
                    written = &mut write => break written,
                    // The calls go on meanwhile: one of them may hold what the store waits for.
                    Some(answer) = self.calls.next() => answers.push(answer),
                }
            }
        };
        match written {
            Ok(Written::Applied) => {
                self.position = append.after.then(append.entry.op());
                self.since = since;
                self.entries = if long { 1 } else { self.entries + 1 };
                for answer in answers {
                    self.take(answer);
                }
                Ok(())
            }
            Ok(Written::Overtaken | Written::Superseded(_) | Written::Taken(_)) | Err(_) => Err(LeaseLost),
        }
    }

    /// Whoever has it now settles it; what was done here is done again there, and has no second effect.
    fn lost(&self) {
        self.shared.meter.lease_lost();
        self.shared.meter.has_not(self.id);
        tracing::info!(tx = %self.id, "the lease was lost; the transaction is left to its new holder");
    }
}

fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_ERROR) {
        text.truncate(end);
    }
    text
}
