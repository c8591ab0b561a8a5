//! What is measured: the feature `metrics` is on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tokio::time::Instant;

use super::handles::{Lazy, counter, describe_all, gauge, histogram, is_heard};
use super::{AlertKind, Fate, Operation, Reply, WhyUnreadable};
use crate::coordinator::random;
use crate::metrics as list;
use crate::participant::Registry;
use crate::protocol::{ActionName, Cause, Decision, Group, Name, Phase, Record, Status, TxId};
use crate::store::{Stats, StoreError};

/// How many names of transactions are told apart. They are meant to be few; who makes them of ids should not fill the
/// memory of all that is behind the recorder.
const MOST_NAMES: usize = 256;
/// What the others are called: no name may be so.
const OTHER: &str = "(other)";
/// How many stuck transactions are counted at most.
const MOST_STUCK: usize = 100_000;

const DECISIONS: [&str; 3] = ["confirm", "cancel", "nothing"];
const OUTCOMES: [&str; 3] = ["confirmed", "cancelled", "heuristic"];
const CAUSES: [&str; 7] = ["none", "failed", "panicked", "dropped", "timed_out", "abandoned", "operator"];
const STATUSES: [&str; 6] = ["trying", "confirming", "cancelling", "confirmed", "cancelled", "heuristic"];
const PHASES: [&str; 3] = ["try", "confirm", "cancel"];
const REPLIES: [&str; 7] = ["ok", "refused", "unknown", "too_late", "timeout", "panicked", DROPPED];
const ALERTS: [&str; 2] = ["stuck", "heuristic"];
const OPERATIONS: [&str; 8] = ["append", "append_all", "claim", "read", "list", "stats", "check", "sweep"];
const ANSWERS: [&str; 9] =
    ["ok", "unavailable", "ambiguous", "conflict", "not_found", "corrupt", "invalid", "bad_cursor", DROPPED];
const FATES: [&str; 4] = ["applied", "superseded", "in_doubt", "lost"];
const WHYS: [&str; 4] = ["newer_format", "malformed", "illegal", "store"];
/// What nobody waited for to its end.
const DROPPED: &str = "dropped";

/// What measures; nothing if nobody listened when the coordinator started.
pub(in crate::coordinator) struct Meter(Option<Box<On>>);

struct On {
    group: String,
    names: RwLock<HashMap<Name, Arc<OfName>>>,
    others: Arc<OfName>,
    actions: HashMap<ActionName, Arc<[OfPhase; 3]>>,
    store: [OfOperation; 8],
    writes: Lazy<Counter, 9>,
    ambiguous: [Counter; 4],
    unreadable: [Counter; 4],
    leases_lost: Counter,
    losses: Counter,
    waiting: Gauge,
    unfinished: Gauge,
    heuristic: Gauge,
    overdue: Gauge,
    stuck: Gauge,
    /// The stuck transactions that this process has, or has put back until then.
    stuck_ids: Mutex<HashMap<TxId, Option<Instant>>>,
    /// How many these are, so that nobody need look when there is none.
    stuck_count: AtomicUsize,
    /// What is put back is no more of this process.
    closed: AtomicBool,
}

/// The metrics of a transaction's name.
struct OfName {
    name: String,
    started: Lazy<Counter, 1>,
    decided: Lazy<Counter, { DECISIONS.len() * CAUSES.len() }>,
    decision_time: Lazy<Histogram, 3>,
    settled: Lazy<Counter, { OUTCOMES.len() * CAUSES.len() }>,
    settled_time: Lazy<Histogram, 3>,
    recovered: Lazy<Counter, 6>,
}

/// The metrics of a phase of an action.
struct OfPhase {
    replies: [Counter; 7],
    time: Histogram,
}

/// The metrics of one of the store's methods.
#[derive(Default)]
struct OfOperation {
    answers: Lazy<Counter, 9>,
    time: Lazy<Histogram, 1>,
}

impl Meter {
    /// Tells the recorder what there is. What may one day call for an alarm begins at 0, so that its first step is seen.
    pub(in crate::coordinator) fn start(group: &Group, registry: &Registry) -> Self {
        let group = group.as_str();
        let gauges = [list::WAITING, list::UNFINISHED, list::HEURISTIC, list::OVERDUE, list::STUCK];
        let gauges = gauges.map(|metric| gauge(&metric, &[group]));
        if !gauges.iter().any(is_heard) {
            return Self(None);
        }
        describe_all();
        let [waiting, unfinished, heuristic, overdue, stuck] = gauges;
        let action = |action: &Arc<crate::participant::Action>| {
            let name = action.name();
            (name.clone(), Arc::new(OfPhase::all(group, name, action.is_on_confirm())))
        };
        let on = On {
            group: group.to_owned(),
            names: RwLock::default(),
            others: Arc::new(OfName::new(OTHER)),
            actions: registry.actions().map(action).collect(),
            store: Default::default(),
            writes: Lazy::default(),
            ambiguous: FATES.map(|fate| counter(&list::AMBIGUOUS, &[group, fate])),
            unreadable: WHYS.map(|why| counter(&list::UNREADABLE, &[group, why])),
            leases_lost: counter(&list::LEASES_LOST, &[group]),
            losses: counter(&list::LOSSES, &[group]),
            waiting,
            unfinished,
            heuristic,
            overdue,
            stuck,
            stuck_ids: Mutex::default(),
            stuck_count: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        };
        // Done, unavailable, ambiguous: what else a store answers is rare.
        for answer in &ANSWERS[..3] {
            let _ = counter(&list::WRITES, &[group, answer]);
        }
        Self(Some(Box::new(on)))
    }

    pub(in crate::coordinator) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A body begins.
    pub(in crate::coordinator) fn started(&self, name: &Name) {
        let Some(on) = &self.0 else { return };
        let of = on.of(name);
        of.started.at(0, || counter(&list::STARTED, &[&on.group, &of.name])).increment(1);
    }

    /// A decision is durable, so long after the begin.
    pub(in crate::coordinator) fn decided(
        &self,
        name: &Name,
        decision: Decision,
        cause: Option<&Cause>,
        after: impl FnOnce() -> Duration,
    ) {
        let Some(on) = &self.0 else { return };
        let of = on.of(name);
        let decision = decision as usize;
        on.count_decision(&of, decision, cause);
        let time = || histogram(&list::DECISION_TIME, &[&on.group, &of.name, DECISIONS[decision]]);
        of.decision_time.at(decision, time).record(after());
    }

    /// A body has ended that called no branch.
    pub(in crate::coordinator) fn decided_nothing(&self, name: &Name) {
        let Some(on) = &self.0 else { return };
        on.count_decision(&on.of(name), 2, None);
    }

    /// A decision is durable that another than the initiator made.
    pub(in crate::coordinator) fn decided_by_another(&self, record: &Record) {
        if let (Some(_), Some(decision)) = (&self.0, record.decision()) {
            self.decided(record.name(), decision, record.cause(), || age(record));
        }
    }

    /// The last branch is settled.
    pub(in crate::coordinator) fn settled(&self, record: &Record, begun: Option<Instant>) {
        let Some(on) = &self.0 else { return };
        let outcome = match record.status() {
            Status::Confirmed => 0,
            Status::Cancelled => 1,
            Status::Heuristic => 2,
            Status::Trying | Status::Confirming | Status::Cancelling => return,
        };
        let (of, cause) = (on.of(record.name()), cause_index(record.cause()));
        let labels = [&on.group, &of.name, OUTCOMES[outcome], CAUSES[cause]];
        of.settled.at(outcome * CAUSES.len() + cause, || counter(&list::SETTLED, &labels)).increment(1);
        let after = begun.map_or_else(|| age(record), |begun| begun.elapsed());
        of.settled_time.at(outcome, || histogram(&list::SETTLED_TIME, &labels[..3])).record(after);
    }

    /// A transaction was claimed.
    pub(in crate::coordinator) fn recovered(&self, name: &Name, status: Status) {
        let Some(on) = &self.0 else { return };
        let (of, status) = (on.of(name), status as usize);
        let look_up = || counter(&list::RECOVERED, &[&on.group, &of.name, STATUSES[status]]);
        of.recovered.at(status, look_up).increment(1);
    }

    /// A participant is called now.
    pub(in crate::coordinator) fn attempt(&self, action: &ActionName, phase: Phase) -> Attempt {
        let of = self.0.as_ref().and_then(|on| on.actions.get(action));
        Attempt(of.map(|of| (of.clone(), phase, Instant::now())))
    }

    /// No participant here handles an action.
    pub(in crate::coordinator) fn unknown_action(&self, action: &ActionName, version: u16) {
        let Some(on) = &self.0 else { return };
        counter(&list::UNKNOWN, &[&on.group, action.as_str(), &version.to_string()]).increment(1);
    }

    /// A call for help.
    pub(in crate::coordinator) fn alert(&self, kind: AlertKind, action: &ActionName, phase: Decision) {
        let Some(on) = &self.0 else { return };
        let phase = PHASES[phase.phase() as usize];
        counter(&list::ALERTS, &[&on.group, ALERTS[kind as usize], action.as_str(), phase]).increment(1);
    }

    /// Another has a transaction that this process was settling.
    pub(in crate::coordinator) fn lease_lost(&self) {
        let Some(on) = &self.0 else { return };
        on.leases_lost.increment(1);
    }

    /// The store is called now.
    pub(in crate::coordinator) fn store_call(&self, operation: Operation) -> StoreCall<'_> {
        StoreCall(self.0.as_deref().map(|on| (on, operation as usize, Instant::now())))
    }

    /// The answer to one entry that was to be appended.
    pub(in crate::coordinator) fn wrote(&self, answer: &Result<(), StoreError>) {
        let Some(on) = &self.0 else { return };
        let answer = answer_index(answer);
        on.writes.at(answer, || counter(&list::WRITES, &[&on.group, ANSWERS[answer]])).increment(1);
    }

    /// It was found out what became of a write of which an answer was lost, or nobody will.
    pub(in crate::coordinator) fn ambiguity_ended(&self, fate: Fate) {
        let Some(on) = &self.0 else { return };
        on.ambiguous[fate as usize].increment(1);
    }

    /// A log lacks entries which the store had acknowledged.
    pub(in crate::coordinator) fn lost_entries(&self) {
        let Some(on) = &self.0 else { return };
        on.losses.increment(1);
    }

    /// A claimed log can't be read.
    pub(in crate::coordinator) fn unreadable(&self, why: WhyUnreadable) {
        let Some(on) = &self.0 else { return };
        on.unreadable[why as usize].increment(1);
    }

    /// A write waits for its turn.
    pub(in crate::coordinator) fn queued(&self) {
        let Some(on) = &self.0 else { return };
        on.waiting.increment(1.0);
    }

    /// So many writes have waited.
    pub(in crate::coordinator) fn sent(&self, writes: usize) {
        let Some(on) = &self.0 else { return };
        on.waiting.decrement(writes as f64);
    }

    /// A transaction that this process has is stuck, or is not.
    pub(in crate::coordinator) fn has(&self, id: TxId, is_stuck: impl FnOnce() -> bool) {
        let Some(on) = &self.0 else { return };
        if is_stuck() {
            on.change_stuck(|ids| {
                if ids.len() < MOST_STUCK || ids.contains_key(&id) {
                    ids.insert(id, None);
                }
            });
        } else {
            self.has_not(id);
        }
    }

    /// This process does not have the transaction any more.
    pub(in crate::coordinator) fn has_not(&self, id: TxId) {
        let Some(on) = &self.0 else { return };
        if on.stuck_count.load(Ordering::Acquire) > 0 {
            on.change_stuck(|ids| _ = ids.remove(&id));
        }
    }

    /// This process has put the transaction back, due then: whoever claims it then has it.
    pub(in crate::coordinator) fn put_back(&self, id: TxId, due: Instant) {
        let Some(on) = &self.0 else { return };
        if on.closed.load(Ordering::Acquire) {
            return self.has_not(id);
        }
        if on.stuck_count.load(Ordering::Acquire) > 0 {
            on.change_stuck(|ids| {
                if let Some(until) = ids.get_mut(&id) {
                    *until = Some(due);
                }
            });
        }
    }

    /// The group in numbers; `None` if the store did not say. From time to time.
    pub(super) fn group(&self, stats: Option<&Stats>) {
        let Some(on) = &self.0 else { return };
        // A number that was true once would be taken for one that is.
        on.unfinished.set(stats.map_or(f64::NAN, |stats| stats.unfinished as f64));
        on.heuristic.set(stats.map_or(f64::NAN, |stats| stats.kept as f64));
        on.overdue.set(
            stats.map_or(f64::NAN, |stats| stats.most_overdue.map_or(0.0, |overdue| overdue.as_secs_f64())),
        );
        let now = Instant::now();
        on.change_stuck(|ids| ids.retain(|_, until| until.is_none_or(|until| now < until)));
    }

    /// The coordinator has closed: its numbers would stand still from now on.
    pub(super) fn close(&self) {
        let Some(on) = &self.0 else { return };
        on.closed.store(true, Ordering::Release);
        on.change_stuck(|ids| ids.retain(|_, until| until.is_none()));
        self.group(None);
    }
}

impl On {
    fn of(&self, name: &Name) -> Arc<OfName> {
        if let Some(of) = self.names.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return of.clone();
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST_NAMES && !names.contains_key(name) {
            return self.others.clone();
        }
        names.entry(name.clone()).or_insert_with(|| Arc::new(OfName::new(name.as_str()))).clone()
    }

    fn count_decision(&self, of: &OfName, decision: usize, cause: Option<&Cause>) {
        let cause = cause_index(cause);
        let look_up =
            || counter(&list::DECIDED, &[&self.group, &of.name, DECISIONS[decision], CAUSES[cause]]);
        of.decided.at(decision * CAUSES.len() + cause, look_up).increment(1);
    }

    fn change_stuck(&self, change: impl FnOnce(&mut HashMap<TxId, Option<Instant>>)) {
        let mut ids = self.stuck_ids.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut ids);
        self.stuck_count.store(ids.len(), Ordering::Release);
        self.stuck.set(ids.len() as f64);
    }
}

impl OfName {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            started: Lazy::default(),
            decided: Lazy::default(),
            decision_time: Lazy::default(),
            settled: Lazy::default(),
            settled_time: Lazy::default(),
            recovered: Lazy::default(),
        }
    }
}

impl OfPhase {
    fn all(group: &str, action: &ActionName, on_confirm: bool) -> [Self; 3] {
        let action = action.as_str();
        PHASES.map(|phase| {
            if on_confirm && phase != "confirm" {
                return Self { replies: [const { Counter::noop() }; 7], time: Histogram::noop() };
            }
            if phase != "try" {
                // That they begin at 0 is all.
                for alert in ALERTS {
                    let _ = counter(&list::ALERTS, &[group, alert, action, phase]);
                }
            }
            Self {
                replies: REPLIES.map(|reply| match (phase, reply) {
                    // Nothing settles too late.
                    ("confirm" | "cancel", "too_late") => Counter::noop(),
                    _ => counter(&list::ATTEMPTS, &[group, action, phase, reply]),
                }),
                time: histogram(&list::ATTEMPT_TIME, &[group, action, phase]),
            }
        })
    }
}

/// One call of a participant; counted as dropped unless it is answered.
pub(in crate::coordinator) struct Attempt(Option<(Arc<[OfPhase; 3]>, Phase, Instant)>);

impl Attempt {
    pub(in crate::coordinator) fn answered(mut self, reply: Reply) {
        if let Some((of, phase, since)) = self.0.take() {
            let of = &of[phase as usize];
            of.replies[reply as usize].increment(1);
            of.time.record(since.elapsed());
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some((of, phase, _)) = self.0.take() {
            of[phase as usize].replies[REPLIES.len() - 1].increment(1);
        }
    }
}

/// One call of the store; counted as dropped unless it is answered.
pub(in crate::coordinator) struct StoreCall<'m>(Option<(&'m On, usize, Instant)>);

impl<'m> StoreCall<'m> {
    pub(in crate::coordinator) fn answered<T>(mut self, answer: &Result<T, StoreError>) {
        if let Some((on, operation, since)) = self.0.take() {
            Self::count(on, operation, answer_index(answer));
            let look_up = || histogram(&list::STORE_TIME, &[&on.group, OPERATIONS[operation]]);
            on.store[operation].time.at(0, look_up).record(since.elapsed());
        }
    }

    fn count(on: &'m On, operation: usize, answer: usize) {
        let look_up = || counter(&list::STORE_CALLS, &[&on.group, OPERATIONS[operation], ANSWERS[answer]]);
        on.store[operation].answers.at(answer, look_up).increment(1);
    }
}

impl Drop for StoreCall<'_> {
    fn drop(&mut self) {
        if let Some((on, operation, _)) = self.0.take() {
            Self::count(on, operation, ANSWERS.len() - 1);
        }
    }
}

/// How long ago it began, by the wall clocks of whoever began it and of this process.
fn age(record: &Record) -> Duration {
    Duration::from_millis(random::unix_millis().saturating_sub(record.begun_ms()))
}

const fn cause_index(cause: Option<&Cause>) -> usize {
    match cause {
        None => 0,
        Some(Cause::Failed) => 1,
        Some(Cause::Panicked) => 2,
        Some(Cause::Dropped) => 3,
        Some(Cause::TimedOut) => 4,
        Some(Cause::Abandoned) => 5,
        Some(Cause::Operator { .. }) => 6,
    }
}

const fn answer_index<T>(answer: &Result<T, StoreError>) -> usize {
    match answer {
        Ok(_) => 0,
        Err(StoreError::Unavailable { .. }) => 1,
        Err(StoreError::Ambiguous { .. }) => 2,
        Err(StoreError::Conflict { .. }) => 3,
        Err(StoreError::NotFound { .. }) => 4,
        Err(StoreError::Corrupt { .. }) => 5,
        Err(StoreError::Invalid { .. }) => 6,
        Err(StoreError::BadCursor) => 7,
    }
}
