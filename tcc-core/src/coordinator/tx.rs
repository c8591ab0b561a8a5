//! What a body is given: the open transaction.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::call::{NoAnswer, watched_answer};
use super::error::{BranchError, TransactionError};
use super::live::Live;
use super::meter::Reply;
use super::recovery;
use super::shared::chain;
use super::trace::{span, within};
use crate::participant::{Action, ActionType, Branch, Payload, Read, Tried, TryFailure};
use crate::protocol::{ActionName, BranchKey, Json, Phase, TraceParent, TxId};
use crate::store::BoxError;

/// An open transaction: what its body calls branches on.
///
/// The body borrows it, so no try can outlive the body.
pub struct Tx {
    pub(super) live: Arc<Live>,
}

/// The type by which a participant is called: `tx.on::<Inventory>()`, or `tx.on::<WalletClient>()` if it is a trait.
///
/// `#[participant]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be called in a transaction",
    label = "not a participant",
    note = "put `#[participant(\"name\")]` on its `impl` block; what implements a participant's trait is called by the \
            trait's client, `tx.on::<TraitClient>()`"
)]
pub trait Participant: 'static {
    /// The persisted name.
    const NAME: &'static str;

    /// What has a method for each action.
    type Stub<'t>;

    /// The stub, bound to an open transaction.
    fn stub(tx: &Tx) -> Self::Stub<'_>;
}

impl Tx {
    /// The participant, to call its actions as branches of this transaction.
    pub fn on<P: Participant>(&self) -> P::Stub<'_> {
        P::stub(self)
    }

    /// The transaction's id.
    pub fn id(&self) -> TxId {
        self.live.id
    }

    /// When it is cancelled unless it is decided by then.
    pub fn deadline(&self) -> Instant {
        self.live.deadline
    }

    /// The trace that it belongs to, if it was told of one.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.live.traceparent
    }

    /// Calls an action as a branch: logs the branch, **then** calls the try.
    ///
    /// Calls that start together (`tokio::try_join!`) cost one write of the store. Dropping the future leaves the
    /// branch unacknowledged: it will be cancelled.
    ///
    /// # Errors
    /// [`BranchError::Refused`] is a definite no; after [`BranchError::Unknown`] the branch may have had its effect;
    /// either way it will be cancelled, also if the body goes on and the transaction confirms.
    pub fn call<A: ActionType>(
        &self,
        request: A::Request,
    ) -> impl Future<Output = Result<A::Output, BranchError<A::Error>>> + Send + use<'_, A> {
        const { assert!(!A::ON_CONFIRM, "an action without a try is enlisted: `tx.enlist::<A>(request)`") }
        async move {
            let action = self.action::<A>().map_err(BranchError::Transaction)?;
            let (raw, read) = self.payload::<A, _>("request", &request).map_err(BranchError::Transaction)?;
            let branch = self.live.queue(action, raw.clone()).map_err(BranchError::Transaction)?;
            self.live.enlisted(branch).await.map_err(BranchError::Transaction)?;
            let key = BranchKey { tx: self.live.id, branch, run: self.live.run };
            let span = span!("branch", key = %key, action = %action.name(), phase = %Phase::Try);
            let mut request = Some(request);
            let output = within(&span, self.r#try::<A>(action, key, &mut request, &raw)).await?;
            let logged = self.payload::<A, _>("output", &output).map_err(BranchError::Transaction)?;
            let read = Read::new::<A>(read, logged.1);
            self.live.acknowledge(branch, logged.0, read).map_err(BranchError::Transaction)?;
            Ok(output)
        }
    }

    /// Asks for the try until its answer is definite, or it was asked often enough. The request is taken by the first
    /// attempt.
    async fn r#try<A: ActionType>(
        &self,
        action: &Action,
        key: BranchKey,
        request: &mut Option<A::Request>,
        raw: &Json,
    ) -> Result<A::Output, BranchError<A::Error>> {
        for attempt in 1.. {
            let answer = self.attempt::<A>(action, key, attempt, request, raw).await;
            match answer {
                Ok(output) => return Ok(output),
                Err(TryFailure::Refused(error)) => {
                    tracing::debug!(%error, "refused");
                    return Err(BranchError::Refused(error));
                }
                Err(TryFailure::TooLate) => return Err(BranchError::TooLate),
                Err(TryFailure::Unknown(error)) => {
                    tracing::debug!(attempt, error = chain(&*error), "unknown");
                    let again = Instant::now() + self.live.shared.config.backoff.delay(attempt);
                    if attempt >= A::TRIES || again >= self.live.deadline {
                        tracing::warn!(%key, action = %action.name(), error = chain(&*error), "the answer of a try is unknown");
                        let action = action.name().clone();
                        return Err(BranchError::Unknown(Box::new(UnknownTry {
                            key,
                            action,
                            source: error,
                        })));
                    }
                    tokio::time::sleep_until(again).await;
                }
            }
        }
        unreachable!("attempts are counted to the end of all numbers")
    }

    async fn attempt<A: ActionType>(
        &self,
        action: &Action,
        key: BranchKey,
        attempt: u32,
        request: &mut Option<A::Request>,
        raw: &Json,
    ) -> Tried<A::Output, A::Error> {
        if request.is_none() {
            *request = Some(raw.to()?);
        }
        let participant = self.live.shared.participants.of_action(action.name());
        // The body's deadline is over this, as over everything it awaits.
        let _permit = match participant {
            Some(participant) => participant.call().await,
            None => None,
        };
        let until = self.live.deadline.min(Instant::now() + self.live.shared.limit(action));
        let cx = Branch::new(key, action.name().clone(), Phase::Try)
            .with_attempt(attempt)
            .with_begun_ms(self.live.begun_ms)
            .with_traceparent(self.live.traceparent)
            .with_deadline(until);
        // Lazily, so that a handler that panics before its first await is caught as well. And in its place: each of what is
        // put around it would else have room for all of it.
        let call = std::pin::pin!(async {
            let request = request.take().expect("it is put there above");
            match action.r#try::<A>(&cx, request, raw) {
                Some(call) => call.await,
                None => Err(TryFailure::Unknown(BoxError::from(format!(
                    "{} is registered as another action type than the one called",
                    action.name()
                )))),
            }
        });
        let measured = self.live.shared.meter.attempt(action.name(), Phase::Try);
        let answered = watched_answer(action.name(), Phase::Try, call, until).await;
        measured.answered(answered.as_ref().map_or_else(NoAnswer::reply, Reply::of_try));
        let answered = answered.unwrap_or_else(|no_answer| Err(TryFailure::Unknown(no_answer.into())));
        if answered.is_ok()
            && let Some(participant) = participant
        {
            recovery::wake(&self.live.shared, participant.works());
        }
        answered
    }

    /// Enlists an action that has no try: it is done if the transaction confirms, and forgotten if not.
    ///
    /// It costs no write of its own: it rides on the next one, at the latest on the decision.
    ///
    /// # Errors
    /// [`TransactionError`] if the branch can't join; then it was not enlisted.
    pub fn enlist<A: ActionType<Output = ()>>(&self, request: A::Request) -> Result<(), TransactionError> {
        const { assert!(A::ON_CONFIRM, "an action with a try is called: `tx.call::<A>(request).await`") }
        let action = self.action::<A>()?;
        let (raw, _) = self.payload::<A, _>("request", &request)?;
        self.live.queue(action, raw).map(drop)
    }

    fn action<A: ActionType>(&self) -> Result<&Arc<Action>, TransactionError> {
        self.live.shared.registry.callable(A::NAME, A::VERSION).ok_or(TransactionError::NotRegistered {
            id: self.live.id,
            action: A::NAME,
            version: A::VERSION,
        })
    }

    /// Writes a payload, and reads it back: what the log could not give back would never settle.
    fn payload<A: ActionType, T: Payload>(
        &self,
        what: &'static str,
        value: &T,
    ) -> Result<(Json, T), TransactionError> {
        let unwritable = |error: serde_json::Error| TransactionError::Payload {
            id: self.live.id,
            action: A::NAME,
            what,
            why: error.to_string(),
        };
        let json = Json::of(value).map_err(unwritable)?;
        let read = json.to::<T>().map_err(unwritable)?;
        Ok((json, read))
    }
}

/// Which try it was whose answer is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the try of {action} (branch {key}): {source}")]
struct UnknownTry {
    key: BranchKey,
    action: ActionName,
    source: BoxError,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("id", &self.live.id).field("name", &self.live.name).finish_non_exhaustive()
    }
}
