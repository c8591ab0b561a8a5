//! A fixture without its types: what is asked and answered is JSON, as it is in the log.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::ParticipantFixture;
use crate::coordinator::{call, random};
use crate::participant::{ActionType, Branch, Handler, SettleError, TryFailure};
use crate::protocol::{ActionName, BranchKey, Json, Phase};
use crate::store::BoxError;
use crate::testing::suite::BOUND;

/// Starts a service.
pub(super) type Start = Box<dyn Fn() -> BoxFuture<'static, Box<dyn Subject>> + Send + Sync>;

pub(super) fn starter<F, S>(start: impl Fn() -> S + Send + Sync + 'static) -> Start
where
    F: ParticipantFixture,
    S: Future<Output = F> + Send + 'static,
{
    Box::new(move || {
        let started = start();
        Box::pin(async move { Box::new(Service(started.await)) as Box<dyn Subject> })
    })
}

/// What a fixture says of its action.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    pub(super) action: &'static str,
    pub(super) tries: bool,
    pub(super) confirms: bool,
    pub(super) cancels: bool,
    pub(super) runs_out: bool,
    pub(super) calls: usize,
}

impl Traits {
    pub(super) fn of<F: ParticipantFixture>() -> Self {
        let on_confirm = F::Action::ON_CONFIRM;
        Self {
            action: F::Action::NAME,
            tries: !on_confirm,
            confirms: F::CONFIRM || on_confirm,
            cancels: F::CANCEL && !on_confirm,
            runs_out: F::RUNS_OUT,
            calls: F::CALLS,
        }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) key: BranchKey,
    pub(super) phase: Phase,
    /// How often this phase has been asked for, this call included.
    pub(super) attempt: u32,
    pub(super) request: Json,
    pub(super) output: Option<Json>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// With the output, if it was a try.
    Done(Option<Json>),
    /// With the refusal of a try, or the reason of a confirm or cancel.
    Refused(Json),
    TooLate,
    Unknown(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(None) => f.write_str("done"),
            Self::Done(Some(output)) => write!(f, "done, with the output {}", output.as_str()),
            Self::Refused(refusal) => write!(f, "refused: {}", refusal.as_str()),
            Self::TooLate => f.write_str("too late"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// What her data said at a time.
#[derive(Clone)]
pub(super) struct Seen {
    state: Arc<dyn Any + Send + Sync>,
    shown: Arc<str>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What is kept in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    Request,
    Output,
    Refusal,
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Output => "output",
            Self::Refusal => "refusal",
        })
    }
}

/// A started service.
#[async_trait]
pub(super) trait Subject: Send + Sync {
    async fn call(&self, call: &Call) -> Answer;

    async fn state(&self) -> Seen;

    fn same(&self, one: &Seen, other: &Seen) -> bool;

    fn undone(&self, before: &Seen, after: &Seen) -> bool;

    fn request(&self, number: u32) -> Result<Json, serde_json::Error>;

    fn refused(&self) -> Option<Result<Json, serde_json::Error>>;

    /// Reads a payload, and writes it anew.
    fn rewritten(&self, of: Payload, json: &Json) -> Result<Json, serde_json::Error>;
}

struct Service<F>(F);

#[async_trait]
impl<F: ParticipantFixture> Subject for Service<F> {
    async fn call(&self, call: &Call) -> Answer {
        let until = Instant::now() + F::Action::TIMEOUT.unwrap_or(BOUND);
        call::answer(self.answered(call, until), until)
            .await
            .unwrap_or_else(|no_answer| Err(no_answer.into()))
            .unwrap_or_else(|error| Answer::Unknown(told(&*error)))
    }

    async fn state(&self) -> Seen {
        let state = self.0.state().await;
        Seen { shown: format!("{state:?}").into(), state: Arc::new(state) }
    }

    fn same(&self, one: &Seen, other: &Seen) -> bool {
        state::<F>(one) == state::<F>(other)
    }

    fn undone(&self, before: &Seen, after: &Seen) -> bool {
        F::undone(state::<F>(before), state::<F>(after))
    }

    fn request(&self, number: u32) -> Result<Json, serde_json::Error> {
        Json::of(&self.0.request(number))
    }

    fn refused(&self) -> Option<Result<Json, serde_json::Error>> {
        self.0.refused().map(|request| Json::of(&request))
    }

    fn rewritten(&self, of: Payload, json: &Json) -> Result<Json, serde_json::Error> {
        fn again<T: Serialize + DeserializeOwned>(json: &Json) -> Result<Json, serde_json::Error> {
            Json::of(&json.to::<T>()?)
        }
        match of {
            Payload::Request => again::<<F::Action as ActionType>::Request>(json),
            Payload::Output => again::<<F::Action as ActionType>::Output>(json),
            Payload::Refusal => again::<<F::Action as ActionType>::Error>(json),
        }
    }
}

impl<F: ParticipantFixture> Service<F> {
    /// As the coordinator asks: with what can be read in the log. `Err` where the payloads don't fit.
    async fn answered(&self, call: &Call, until: Instant) -> Result<Answer, BoxError> {
        let name = ActionName::new(F::Action::NAME)?;
        let cx = Branch::new(call.key, name, call.phase)
            .with_on_confirm(F::Action::ON_CONFIRM)
            .with_attempt(call.attempt)
            .with_begun_ms(random::unix_millis())
            .with_deadline(until);
        let handler = self.0.service();
        let request = call.request.to()?;
        let output = call.output.as_ref().map(Json::to).transpose()?;
        let settled = match call.phase {
            Phase::Try => {
                return Ok(match handler.r#try(&cx, request).await {
                    Ok(output) => Answer::Done(Some(Json::of(&output)?)),
                    Err(TryFailure::Refused(refusal)) => Answer::Refused(Json::of(&refusal)?),
                    Err(TryFailure::TooLate) => Answer::TooLate,
                    Err(TryFailure::Unknown(error)) => Answer::Unknown(told(&*error)),
                });
            }
            Phase::Confirm => {
                let output = output.ok_or("a confirm without the output of its try")?;
                handler.confirm(&cx, request, output).await
            }
            Phase::Cancel => handler.cancel(&cx, request, output).await,
        };
        Ok(match settled {
            Ok(()) => Answer::Done(None),
            Err(SettleError::Refused(why)) => Answer::Refused(Json::of(&why)?),
            Err(SettleError::Later(error)) => Answer::Unknown(told(&*error)),
        })
    }
}

fn state<F: ParticipantFixture>(seen: &Seen) -> &F::State {
    seen.state.downcast_ref().expect("a suite has one fixture, and so one type of state")
}

/// An error with what caused it.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How long is waited between two attempts of what is *unknown*.
pub(super) const PAUSE: Duration = Duration::from_millis(10);
