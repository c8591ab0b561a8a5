//! One attempt at a branch in phase two, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::call::{NoAnswer, watched_answer};
use super::meter::Reply;
use super::shared::Shared;
use super::unknown::NotKnown;
use super::{recovery, trace};
use crate::participant::{Action, Branch, SettleError};
use crate::protocol::{BranchId, BranchKey, BranchRecord, Decision, TraceParent};

/// One attempt at one branch.
pub(super) struct Attempt {
    pub(super) shared: Arc<Shared>,
    pub(super) key: BranchKey,
    pub(super) branch: BranchRecord,
    pub(super) begun_ms: u64,
    pub(super) traceparent: Option<TraceParent>,
    pub(super) phase: Decision,
    /// Which attempt it is, counted from 1 over all coordinators.
    pub(super) number: u32,
}

impl Attempt {
    /// Makes it after this time; or at once if the participant works again meanwhile.
    pub(super) async fn after(self, delay: Duration, first: bool) -> Answer {
        let waited = if delay.is_zero() { Ok(()) } else { self.wait(delay).await };
        let result = match waited {
            Ok(()) => self.make().await,
            Err(closing) => Err(closing),
        };
        Answer { id: self.key.branch, phase: self.phase, number: self.number, first, result }
    }

    async fn wait(&self, delay: Duration) -> Result<(), NotSettled> {
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.participant_works() => Ok(()),
            () = self.shared.tasks.closing().cancelled() => Err(NotSettled::Closing),
        }
    }

    /// Waits for the participant's next success, if it is registered here.
    async fn participant_works(&self) {
        match self.shared.participants.of_action(&self.branch.action) {
            Some(participant) => participant.until_it_works().await,
            None => std::future::pending().await,
        }
    }

    async fn make(&self) -> Result<(), NotSettled> {
        let Some(action) = self.shared.registry.action(&self.branch.action, self.branch.version) else {
            let (action, version) = (self.branch.action.clone(), self.branch.version);
            return Err(NotSettled::Unknown(NotKnown { action, version }));
        };
        let participant = self.shared.participants.of_action(action.name());
        // Waiting for its turn does not count as its time.
        let _permit = match participant {
            Some(participant) => {
                let closing = self.shared.tasks.closing();
                tokio::select! {
                    biased;
                    permit = participant.call() => permit,
                    () = closing.cancelled() => return Err(NotSettled::Closing),
                }
            }
            None => None,
        };
        let until = Instant::now() + self.shared.limit(action);
        let cx = Branch::new(self.key, action.name().clone(), self.phase.phase())
            .with_on_confirm(self.branch.on_confirm)
            .with_attempt(self.number)
            .with_begun_ms(self.begun_ms)
            .with_traceparent(self.traceparent)
            .with_deadline(until);
        let span = tracing::debug_span!(
            "branch", key = %self.key, action = %action.name(), phase = %self.phase, attempt = self.number
        );
        trace::join(&span, self.traceparent);
        // Lazily, so that a handler that panics before its first await is caught as well.
        let call =
            async { action.settle(&cx, self.phase, &self.branch.request, self.branch.output.as_ref()).await };
        let measured = self.shared.meter.attempt(action.name(), self.phase.phase());
        let answered = watched_answer(action.name(), self.phase.phase(), call, until).instrument(span).await;
        measured.answered(answered.as_ref().map_or_else(NoAnswer::reply, Reply::of_settled));
        let answered = answered.unwrap_or_else(|no_answer| Err(SettleError::Later(no_answer.into())));
        if answered.is_ok()
            && let Some(participant) = participant
        {
            recovery::wake(&self.shared, participant.works());
        }
        answered.map_err(NotSettled::Answer)
    }
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
