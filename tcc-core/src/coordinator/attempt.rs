//! One attempt at a branch in phase two, and what came of it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::Span;

use super::call::{NoAnswer, Watch};
use super::meter::{self, Reply};
use super::participants::Participant;
use super::shared::Shared;
use super::unknown::NotKnown;
use super::{recovery, trace};
use crate::participant::{Action, Branch, Payloads, SettleError, Settled};
use crate::protocol::{BranchId, Decision};

/// One attempt at one branch.
pub(super) struct Attempt {
    pub(super) which: Which,
    /// What the handler is told, but for the end of its time.
    pub(super) cx: Branch,
    pub(super) payloads: Payloads,
}

/// Which attempt it is.
#[derive(Clone, Copy)]
pub(super) struct Which {
    pub(super) id: BranchId,
    pub(super) phase: Decision,
    /// Counted from 1 over all coordinators.
    pub(super) number: u32,
    /// Whether it is the first one of this coordinator.
    pub(super) first: bool,
}

impl Which {
    pub(super) fn answered(self, result: Result<(), NotSettled>) -> Answer {
        Answer { which: self, result }
    }
}

impl Attempt {
    /// Makes it now, if the participant has room and answers at once, as most do; otherwise the rest of it is what is
    /// returned as an error. `now` is the time, before and after.
    pub(super) fn at_once(
        self,
        shared: &Arc<Shared>,
        action: &Arc<Action>,
        now: &mut Instant,
        cx: &mut Context<'_>,
    ) -> Result<Answer, BoxFuture<'static, Answer>> {
        let (at, which) = (At { shared, action }, self.which);
        let participant = at.participant();
        let Some(room) = participant.call_now() else {
            return Err(Box::pin(self.in_turn(shared.clone(), action.clone())));
        };
        let mut call = Call::new(self, at, *now);
        let (settled, ended) = match call.step(*now, cx) {
            Poll::Ready(settled) => settled,
            Poll::Pending => {
                *now = Instant::now();
                let (room, shared, action) = (participant.keep(room), shared.clone(), action.clone());
                return Err(Box::pin(async move {
                    let _room = room;
                    call.rest(At { shared: &shared, action: &action }).await
                }));
            }
        };
        *now = ended;
        Ok(which.answered(call.answered(at, settled, ended)))
    }

    /// Makes it after this time; or at once if the participant works again meanwhile.
    pub(super) async fn after(self, shared: Arc<Shared>, action: Arc<Action>, delay: Duration) -> Answer {
        if !delay.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = shared.participants.serving(&action).until_it_works() => {}
                () = shared.tasks.closing().cancelled() => return self.which.answered(Err(NotSettled::Closing)),
            }
        }
        self.in_turn(shared, action).await
    }

    /// Waiting for its turn does not count as its time.
    async fn in_turn(self, shared: Arc<Shared>, action: Arc<Action>) -> Answer {
        let at = At { shared: &shared, action: &action };
        let _room = tokio::select! {
            biased;
            room = at.participant().call() => room,
            () = shared.tasks.closing().cancelled() => return self.which.answered(Err(NotSettled::Closing)),
        };
        Call::new(self, at, Instant::now()).rest(at).await
    }
}

/// Who is asked.
#[derive(Clone, Copy)]
struct At<'a> {
    shared: &'a Arc<Shared>,
    action: &'a Action,
}

impl<'a> At<'a> {
    fn participant(self) -> &'a Participant {
        self.shared.participants.serving(self.action)
    }
}

/// A call under way.
struct Call {
    which: Which,
    /// Nothing of it runs before its first step, so that a handler that panics before its first await is caught as well.
    handler: BoxFuture<'static, Settled>,
    watch: Watch,
    measured: meter::Attempt,
    span: Span,
}

impl Call {
    fn new(attempt: Attempt, at: At<'_>, now: Instant) -> Self {
        let Attempt { which, cx, payloads } = attempt;
        let until = now + at.shared.limit(at.action);
        Self {
            which,
            span: span(&cx, which.phase),
            handler: at.action.settle(cx.with_deadline(until), which.phase, payloads),
            watch: Watch::from(now, until),
            measured: at.shared.meter.attempt(at.action.name(), which.phase.phase()),
        }
    }

    /// One step of the handler, and when that ended.
    fn step(&mut self, begun: Instant, cx: &mut Context<'_>) -> Poll<(Result<Settled, NoAnswer>, Instant)> {
        let handler = &mut self.handler;
        let polled = self.span.in_scope(|| catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))));
        let ended = Instant::now();
        self.watch.worked(ended - begun);
        match polled {
            Ok(polled) => polled.map(|settled| (Ok(settled), ended)),
            Err(panic) => Poll::Ready((Err(NoAnswer::panicked(&*panic)), ended)),
        }
    }

    /// All further steps, until its time is over.
    async fn rest(mut self, at: At<'_>) -> Answer {
        let until = self.watch.end();
        let steps = poll_fn(|cx| self.step(Instant::now(), cx));
        let answered = tokio::time::timeout_at(until, steps).await;
        let (settled, ended) = answered.unwrap_or_else(|_| (Err(NoAnswer::TimedOut), Instant::now()));
        let which = self.which;
        which.answered(self.answered(at, settled, ended))
    }

    /// An answer that comes late is taken: what is done need not be asked for again, and a handler that always blocks would
    /// never be done with.
    fn answered(
        self,
        at: At<'_>,
        settled: Result<Settled, NoAnswer>,
        ended: Instant,
    ) -> Result<(), NotSettled> {
        let Self { which, handler, watch, measured, span } = self;
        span.in_scope(|| {
            drop(handler);
            watch.warn(at.action.name(), which.phase.phase(), ended);
        });
        measured.answered(settled.as_ref().map_or_else(NoAnswer::reply, Reply::of_settled));
        let settled = settled.unwrap_or_else(|no_answer| Err(SettleError::Later(no_answer.into())));
        if settled.is_ok() {
            recovery::wake(at.shared, at.participant().works());
        }
        settled.map_err(NotSettled::Answer)
    }
}

/// The span of a call: of nothing but itself, whatever is being done when its branch is settled.
fn span(cx: &Branch, phase: Decision) -> Span {
    if !tracing::span_enabled!(tracing::Level::DEBUG) {
        return Span::none();
    }
    let span = tracing::debug_span!(
        parent: None, "branch", key = %cx.key(), action = %cx.action(), %phase, attempt = cx.attempt()
    );
    trace::join(&span, cx.traceparent());
    span
}

impl Shared {
    /// How long one call of an action may take.
    pub(super) fn limit(&self, action: &Action) -> Duration {
        action.timeout().unwrap_or(self.config.call_timeout)
    }
}

/// The answer to one attempt at one branch.
pub(super) struct Answer {
    pub(super) which: Which,
    pub(super) result: Result<(), NotSettled>,
}

/// Why an attempt settled nothing.
pub(super) enum NotSettled {
    /// The participant's answer, or that there was none.
    Answer(SettleError),
    /// No participant here knows the action: another instance may.
    Unknown(NotKnown),
    /// It had not its turn when the coordinator closed.
    Closing,
}
