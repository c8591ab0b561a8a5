//! One call of a participant: within its time limit, its panic caught.

use std::any::Any;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::meter::Reply;
use crate::protocol::{ActionName, Phase};
use crate::span::Span;
use crate::store::StoreError;

/// Why a call gave no answer: it is *unknown* whether it had its effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("the participant did not answer in time")]
    TimedOut,
    #[error("the participant panicked: {0}")]
    Panicked(String),
}

impl NoAnswer {
    pub(super) fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self::Panicked(panic_text(panic))
    }

    /// What is measured of it.
    pub(super) const fn reply(&self) -> Reply {
        match self {
            Self::TimedOut => Reply::TimedOut,
            Self::Panicked(_) => Reply::Panicked,
        }
    }
}

impl NoAnswer {
    /// What it says of a call of a store.
    pub(super) fn of_store(&self, limit: Duration) -> StoreError {
        match self {
            Self::TimedOut => StoreError::ambiguous(format!("the store did not answer within {limit:?}")),
            Self::Panicked(_) => StoreError::ambiguous("the store panicked"),
        }
    }
}

/// Waits for the answer of a participant until then.
pub(crate) async fn answer<T>(call: impl Future<Output = T> + Send, until: Instant) -> Result<T, NoAnswer> {
    caught(call, || until).await
}

/// Waits for an answer for so long.
pub(super) async fn answer_within<T>(
    call: impl Future<Output = T> + Send,
    limit: Duration,
) -> Result<T, NoAnswer> {
    caught(call, || Instant::now() + limit).await
}

async fn caught<T>(call: impl Future<Output = T> + Send, until: impl Fn() -> Instant) -> Result<T, NoAnswer> {
    let mut call = pin!(AssertUnwindSafe(call).catch_unwind());
    // Who answers at once needs no timer.
    let mut timer = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(answered) = call.as_mut().poll(cx) {
            return Poll::Ready(answered.map_err(|panic| NoAnswer::panicked(&*panic)));
        }
        if timer.is_none() {
            // One that has used up its turn is to be stopped in time as well.
            timer.set(Some(tokio::task::unconstrained(tokio::time::sleep_until(until()))));
        }
        let timer = timer.as_mut().as_pin_mut().expect("it was set above");
        timer.poll(cx).map(|()| Err(NoAnswer::TimedOut))
    })
    .await
}

/// The same of a phase of an action, which is warned of if it blocks.
///
/// A handler that blocks its thread is not stopped in time, and answers late. That answer to a try counts as none, as it
/// would if the handler had let itself be stopped. To a confirm or cancel it is taken: what is done need not be asked for
/// again, and one that always blocks would never be done with.
pub(super) async fn watched_answer<T>(
    action: &ActionName,
    phase: Phase,
    call: impl Future<Output = T> + Send,
    until: Instant,
) -> Result<T, NoAnswer> {
    let mut watch = Watch::until(until);
    let answered = answer(watch.over(call), until).await;
    let ended = Instant::now();
    let late = ended > until;
    watch.warn(action, phase, ended);
    if late && phase == Phase::Try { answered.and(Err(NoAnswer::TimedOut)) } else { answered }
}

/// Sees whether a future lets itself be stopped: between two awaits it can't be.
pub(super) struct Watch {
    begun: Instant,
    until: Instant,
    /// The longest time between two awaits.
    longest: Duration,
}

impl Watch {
    pub(super) fn until(until: Instant) -> Self {
        Self::from(Instant::now(), until)
    }

    /// The same of what began then.
    pub(super) const fn from(begun: Instant, until: Instant) -> Self {
        Self { begun, until, longest: Duration::ZERO }
    }

    /// Until when it may take.
    pub(super) const fn end(&self) -> Instant {
        self.until
    }

    /// It worked for so long between two awaits.
    pub(super) fn worked(&mut self, time: Duration) {
        self.longest = self.longest.max(time);
    }

    /// Warns of a call that has blocked its thread.
    pub(super) fn warn(&self, action: &ActionName, phase: Phase, ended: Instant) {
        if self.has_blocked(ended) {
            let (took, limit) = (self.took(), self.limit());
            tracing::warn!(
                "the {phase} of {action} blocked its thread: it took {took} where {limit} are allowed; use spawn_blocking"
            );
        }
    }

    pub(super) async fn over<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let before = Instant::now();
            let poll = work.as_mut().poll(cx);
            self.worked(before.elapsed());
            poll
        })
        .await
    }

    /// Whether it went beyond its limit, and that by what it did between two awaits: half of the limit or more. A thread
    /// that was busy elsewhere for a moment is not its fault.
    pub(super) fn has_blocked(&self, ended: Instant) -> bool {
        let much = || ((self.until - self.begun) / 2).max(Duration::from_millis(1));
        ended > self.until && self.longest >= much()
    }

    /// How long it has taken.
    pub(super) fn took(&self) -> impl Display + use<> {
        // Nobody reads the nanoseconds.
        Span(Duration::from_millis(self.begun.elapsed().as_millis() as u64))
    }

    /// How long it may take.
    pub(super) fn limit(&self) -> impl Display + use<> {
        let limit = (self.until - self.begun).as_micros().div_ceil(1_000);
        Span(Duration::from_millis(limit as u64))
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "without a text".to_owned()
    }
}
