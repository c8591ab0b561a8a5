//! One attempt at a branch in phase two, and what came of it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
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
    pub(super) asked: Asked,
    /// What the handler is told, but for the end of its time.
    pub(super) cx: Branch,
    pub(super) payloads: Payloads,
}

/// Who is asked what.
pub(super) struct Asked {
    pub(super) shared: Arc<Shared>,
    pub(super) action: Arc<Action>,
    pub(super) id: BranchId,
    pub(super) phase: Decision,
    /// Which attempt it is, counted from 1 over all coordinators.
    pub(super) number: u32,
    /// Whether it is the first one of this coordinator.
    pub(super) first: bool,
}

impl Asked {
    fn participant(&self) -> &Participant {
        self.shared.participants.serving(&self.action)
    }

    fn answer(&self, result: Result<(), NotSettled>) -> Answer {
        Answer { id: self.id, phase: self.phase, number: self.number, first: self.first, result }
    }
}

impl Attempt {
    /// Makes it now, if the participant has room and answers at once, as most do; otherwise the rest of it is what is
    /// returned as an error. `now` is the time, before and after.
    pub(super) fn at_once(
        self,
        now: &mut Instant,
        cx: &mut Context<'_>,
    ) -> Result<Answer, BoxFuture<'static, Answer>> {
        let Some(room) = self.asked.participant().call_now() else { return Err(Box::pin(self.in_turn())) };
        let mut call = Call::new(self, Some(room), *now);
        match call.step(*now, cx) {
            Poll::Ready((settled, ended)) => {
                *now = ended;
                Ok(call.answered(settled, ended))
            }
            Poll::Pending => {
                *now = Instant::now();
                Err(Box::pin(call.rest()))
            }
        }
    }

    /// Makes it after this time; or at once if the participant works again meanwhile.
    pub(super) async fn after(self, delay: Duration) -> Answer {
        if !delay.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.asked.participant().until_it_works() => {}
                () = self.closes() => return self.asked.answer(Err(NotSettled::Closing)),
            }
        }
        self.in_turn().await
    }

    /// Waiting for its turn does not count as its time.
    async fn in_turn(self) -> Answer {
        let room = tokio::select! {
            biased;
            room = self.asked.participant().call() => room,
            () = self.closes() => return self.asked.answer(Err(NotSettled::Closing)),
        };
        Call::new(self, room, Instant::now()).rest().await
    }

    async fn closes(&self) {
        self.asked.shared.tasks.closing().cancelled().await;
    }
}

/// An attempt whose call is under way.
struct Call {
    asked: Asked,
    /// Nothing of it runs before its first step, so that a handler that panics before its first await is caught as well.
    handler: BoxFuture<'static, Settled>,
    watch: Watch,
    measured: meter::Attempt,
    span: Span,
    /// The participant's.
    _room: Option<OwnedSemaphorePermit>,
}

impl Call {
    fn new(attempt: Attempt, room: Option<OwnedSemaphorePermit>, now: Instant) -> Self {
        let Attempt { asked, cx, payloads } = attempt;
        let (action, phase) = (&asked.action, asked.phase);
        let until = now + asked.shared.limit(action);
        Self {
            span: span(&cx, phase),
            handler: action.settle(cx.with_deadline(until), phase, payloads),
            watch: Watch::from(now, until),
            measured: asked.shared.meter.attempt(action.name(), phase.phase()),
            _room: room,
            asked,
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
    async fn rest(mut self) -> Answer {
        let until = self.watch.end();
        let steps = poll_fn(|cx| self.step(Instant::now(), cx));
        let answered = tokio::time::timeout_at(until, steps).await;
        let (settled, ended) = answered.unwrap_or_else(|_| (Err(NoAnswer::TimedOut), Instant::now()));
        self.answered(settled, ended)
    }

    /// An answer that comes late is taken: what is done need not be asked for again, and a handler that always blocks would
    /// never be done with.
    fn answered(self, settled: Result<Settled, NoAnswer>, ended: Instant) -> Answer {
        let Self { asked, handler, watch, measured, span, _room } = self;
        span.in_scope(|| {
            drop(handler);
            watch.warn(asked.action.name(), asked.phase.phase(), ended);
        });
        measured.answered(settled.as_ref().map_or_else(NoAnswer::reply, Reply::of_settled));
        let settled = settled.unwrap_or_else(|no_answer| Err(SettleError::Later(no_answer.into())));
        if settled.is_ok() {
            recovery::wake(&asked.shared, asked.participant().works());
        }
        asked.answer(settled.map_err(NotSettled::Answer))
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
    pub(super) id: BranchId,
    pub(super) phase: Decision,
    /// Which attempt it was, counted from 1 over all coordinators.
    pub(super) number: u32,
    /// Whether it was the first one of this coordinator.
    pub(super) first: bool,
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
