//! A transaction from its first line to its decision.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::call::Watch;
use super::error::TransactionError;
use super::keyed::KeyedTransaction;
use super::live::{Concluded, Live};
use super::shared::{Shared, chain};
use super::trace::{span, within};
use super::tx::Tx;
use super::{open, random};
use crate::participant::TIMEOUTS;
use crate::protocol::{Cause, Decision, Json, Name, Run, TraceParent, TxId};
use crate::store::StoreError;

/// How long a caller whose body failed waits for its branches to be cancelled; after that they are cancelled in the
/// background.
const CANCEL_WAIT: Duration = Duration::from_secs(2);

/// A transaction to be run: made by [`Coordinator::transaction`](super::Coordinator::transaction).
#[derive(Debug)]
#[must_use = "a transaction does nothing until it is run"]
pub struct Transaction<'c> {
    shared: &'c Arc<Shared>,
    name: &'c str,
    timeout: Duration,
    independent: bool,
    traceparent: Option<TraceParent>,
}

impl<'c> Transaction<'c> {
    pub(super) fn new(shared: &'c Arc<Shared>, name: &'c str) -> Self {
        Self { shared, name, timeout: shared.config.timeout, independent: false, traceparent: None }
    }

    pub(super) fn shared(&self) -> &'c Arc<Shared> {
        self.shared
    }

    /// How long it may stay undecided, 1 ms to 24 h: then it is cancelled. By default the coordinator's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets it start inside the body of another one, and stand by itself: neither waits for the other's outcome.
    pub fn independent(mut self) -> Self {
        self.independent = true;
        self
    }

    /// Says which trace it belongs to. By default what the coordinator's
    /// [`trace_context`](super::Builder::trace_context) says.
    ///
    /// It is kept with the transaction until that is finished, and every handler is told of it:
    /// [`Branch::traceparent`](crate::Branch::traceparent).
    pub fn traceparent(mut self, traceparent: TraceParent) -> Self {
        self.traceparent = Some(traceparent);
        self
    }

    /// Makes it idempotent: for as long as the key is kept, the same name and key never run twice. Its timeout must be
    /// shorter than that.
    ///
    /// A key is 1 to 512 bytes long, and kept as it is: in the log, and in errors.
    ///
    /// The first call's value is kept with its decision, and a repeat returns it without running its body.
    pub fn key(self, key: impl fmt::Display) -> KeyedTransaction<'c> {
        KeyedTransaction::new(self, key.to_string())
    }

    /// Runs the body: confirms if it returns `Ok`, cancels if it returns `Err`, panics, exceeds the deadline, or if this
    /// future is dropped.
    ///
    /// Returns when the decision is durable and each branch had its first attempt, or at the latest after the longest time
    /// limit of these calls; what is left goes on in the coordinator's tasks. A body that calls no branch never touches the store.
    ///
    /// A transaction that starts inside the body of another is an error, unless it is [`independent`](Self::independent).
    /// That is seen only in the body's own task: what the body gives to `tokio::spawn` runs in another, and a transaction
    /// there stands by itself.
    ///
    /// # Errors
    /// The body's own error, or a [`TransactionError`]; each says what is certain.
    pub async fn run<T, E: From<TransactionError>>(
        self,
        body: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let (live, _token) = self.open(|begun_ms, _| (random::tx_id(begun_ms), None))?;
        let hang_up = HangUp::arm(&live);
        run(live, hang_up, body, |_| Ok(None)).await
    }

    /// Checks what can be checked before anything is begun.
    pub(super) fn open(
        &self,
        id: impl FnOnce(u64, &Name) -> (TxId, Option<Run>),
    ) -> Result<(Arc<Live>, tokio_util::task::task_tracker::TaskTrackerToken), TransactionError> {
        let token = self.shared.tasks.token();
        if self.shared.tasks.closing().is_cancelled() {
            return Err(TransactionError::Closed);
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(TransactionError::NoRuntime { name: self.name.to_owned() });
        }
        let name: Name = self.name.parse().map_err(TransactionError::Name)?;
        let (min, max) = TIMEOUTS;
        if !(min..=max).contains(&self.timeout) {
            return Err(TransactionError::Timeout {
                name: self.name.to_owned(),
                timeout: self.timeout,
                min,
                max,
            });
        }
        if !self.independent
            && let Some(outer) = open::current()
        {
            return Err(TransactionError::Nested { name: self.name.to_owned(), outer });
        }
        let begun_ms = random::unix_millis();
        let id = id(begun_ms, &name);
        let traceparent = self.traceparent.or_else(|| self.shared.config.trace_context.ask());
        Ok((Live::new(self.shared.clone(), id, name, begun_ms, self.timeout, traceparent), token))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("group", &self.group)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// Runs a body to its decision.
pub(super) async fn run<T, E: From<TransactionError>>(
    live: Arc<Live>,
    mut hang_up: HangUp,
    body: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    keep: impl FnOnce(&T) -> Result<Option<Json>, TransactionError>,
) -> Result<T, E> {
    let span = span!("transaction", id = %live.id, name = %live.name);
    live.shared.meter.started(&live.name);
    let tx = Tx { live: live.clone() };
    let mut watch = Watch::until(live.deadline);
    let ended = {
        // In a box: each of what is put around it would else move the whole of it.
        let body = AssertUnwindSafe(Box::pin(body(&tx))).catch_unwind();
        let body = open::body(live.id, watch.over(body));
        within(&span, tokio::time::timeout_at(live.deadline, body)).await
    };
    let ended_at = Instant::now();
    if watch.has_blocked(ended_at) {
        let (name, took, limit) = (&live.name, watch.took(), watch.limit());
        tracing::warn!(
            id = %live.id,
            "the body of transaction {name} blocked its thread: it took {took} where {limit} are allowed; use spawn_blocking"
        );
    }
    let (result, cause) = match ended {
        // A body that blocked its thread was not stopped at its deadline; it is too late all the same.
        Ok(Ok(Ok(_))) if ended_at >= live.deadline => {
            (Ok(Err(E::from(TransactionError::TimedOut { id: live.id }))), Cause::TimedOut)
        }
        Ok(Ok(Ok(value))) => match keep(&value) {
            Ok(kept) => {
                hang_up.disarm();
                return within(&span, confirm(&live, kept)).await.map(|()| value).map_err(E::from);
            }
            Err(error) => (Ok(Err(E::from(error))), Cause::Failed),
        },
        Ok(Ok(Err(error))) => (Ok(Err(error)), Cause::Failed),
        Ok(Err(panic)) => (Err(panic), Cause::Panicked),
        Err(_) => (Ok(Err(E::from(TransactionError::TimedOut { id: live.id }))), Cause::TimedOut),
    };
    hang_up.disarm();
    within(&span, cancel(&live, cause)).await;
    match result {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

async fn confirm(live: &Arc<Live>, value: Option<Json>) -> Result<(), TransactionError> {
    // It does not end with its caller, nor wait for one that is not polled (PEERS 21).
    let conclude = Box::pin(live.clone().conclude(Decision::Confirm, None, value));
    match live.shared.tasks.run(conclude).await {
        Some(Ok(Concluded::Confirmed)) => Ok(()),
        Some(Ok(Concluded::Cancelled)) => Err(TransactionError::TimedOut { id: live.id }),
        Some(Err(error)) => Err(error),
        None => {
            let source = Arc::new(StoreError::ambiguous("the coordinator's own runtime was shut down"));
            Err(TransactionError::InDoubt { id: live.id, source })
        }
    }
}

/// Cancels; the caller's own error is what it gets to see, whatever becomes of this.
async fn cancel(live: &Arc<Live>, cause: Cause) {
    let conclude = live.shared.tasks.run(Box::pin(log_cancelled(live.clone(), cause)));
    // After that time it goes on without this caller.
    let _ = tokio::time::timeout(CANCEL_WAIT, conclude).await;
}

async fn log_cancelled(live: Arc<Live>, cause: Cause) {
    let id = live.id;
    tracing::debug!(%id, %cause, "cancelling");
    if let Err(error) = live.conclude(Decision::Cancel, Some(cause), None).await {
        tracing::info!(%id, error = chain(&error), "left to recovery, which cancels it after its deadline");
    }
}

/// Cancels the transaction if its body is dropped in the middle.
pub(super) struct HangUp {
    live: Option<Arc<Live>>,
}

impl HangUp {
    pub(super) fn arm(live: &Arc<Live>) -> Self {
        Self { live: Some(live.clone()) }
    }

    pub(super) fn disarm(&mut self) {
        self.live = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            let tasks = live.shared.tasks.clone();
            tasks.spawn(log_cancelled(live, Cause::Dropped));
        }
    }
}
