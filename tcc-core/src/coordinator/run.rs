//! A transaction from its first line to its decision.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::Instrument;

use super::backoff::Backoff;
use super::config::TIMEOUT;
use super::error::{Duplicate, TransactionError};
use super::handoff::Handoff;
use super::live::{Begun, Concluded, Live};
use super::random;
use super::shared::{Shared, chain};
use super::tx::Tx;
use crate::participant::Payload;
use crate::protocol::{Cause, Decision, Group, Json, Key, Name, Position, Record, Run, Status, TxId, fold};

tokio::task_local! {
    /// The transaction whose body runs in this task.
    static OPEN: TxId;
}

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
}

impl<'c> Transaction<'c> {
    pub(super) fn new(shared: &'c Arc<Shared>, name: &'c str) -> Self {
        Self { shared, name, timeout: shared.config.timeout, independent: false }
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

    /// Makes it idempotent: for as long as the key is kept, the same name and key never run twice. Its timeout must be
    /// shorter than that.
    ///
    /// The first call's value is kept with its decision, and a repeat returns it without running its body.
    pub fn key(self, key: impl fmt::Display) -> KeyedTransaction<'c> {
        KeyedTransaction { transaction: self, key: key.to_string(), request: String::new(), reuse: false }
    }

    /// Runs the body: confirms if it returns `Ok`, cancels if it returns `Err`, panics, exceeds the deadline, or if this
    /// future is dropped.
    ///
    /// Returns when the decision is durable and each branch had its first attempt; what is left goes on in the
    /// coordinator's tasks. A body that calls no branch never touches the store.
    ///
    /// # Errors
    /// The body's own error, or a [`TransactionError`]; each says what is certain.
    pub async fn run<T, E: From<TransactionError>>(
        self,
        body: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let (live, _token) = self.open(|begun_ms, _| (random::tx_id(begun_ms), None))?;
        run(live, body, |_| Ok(None)).await
    }

    /// Checks what can be checked before anything is begun.
    fn open(
        &self,
        id: impl FnOnce(u64, &Name) -> (TxId, Option<Run>),
    ) -> Result<(Arc<Live>, tokio_util::task::task_tracker::TaskTrackerToken), TransactionError> {
        let token = self.shared.tasks.token();
        if self.shared.tasks.closing().is_cancelled() {
            return Err(TransactionError::Closed);
        }
        let name = Name::new(self.name.to_owned())?;
        let (min, max) = TIMEOUT;
        if !(min..=max).contains(&self.timeout) {
            return Err(TransactionError::Timeout {
                name: self.name.to_owned(),
                timeout: self.timeout,
                min,
                max,
            });
        }
        if !self.independent
            && let Ok(outer) = OPEN.try_with(|id| *id)
        {
            return Err(TransactionError::Nested { name: self.name.to_owned(), outer });
        }
        let begun_ms = random::unix_millis();
        let id = id(begun_ms, &name);
        Ok((Live::new(self.shared.clone(), id, name, begun_ms, self.timeout), token))
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

/// A transaction with a key: made by [`Transaction::key`].
#[derive(Debug)]
#[must_use = "a transaction does nothing until it is run"]
pub struct KeyedTransaction<'c> {
    transaction: Transaction<'c>,
    key: String,
    request: String,
    reuse: bool,
}

/// The most bytes of a key.
const MAX_KEY: usize = 512;

impl KeyedTransaction<'_> {
    /// What is asked for: a repeat of the key with another request is an error, [`Duplicate::AnotherRequest`].
    ///
    /// Only a digest (SHA-256) of it is kept.
    pub fn request(mut self, request: &(impl Serialize + ?Sized)) -> Self {
        // What can't be written as JSON has no digest of its own; it is the same for all of them.
        let text = serde_json::to_vec(request).unwrap_or_else(|error| error.to_string().into_bytes());
        self.request = Sha256::digest(text)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self
    }

    /// Lets the key be used again after a call that was cancelled.
    pub fn reuse_after_cancel(mut self) -> Self {
        self.reuse = true;
        self
    }

    /// Runs the body, or returns the value of the first call with this key: see [`Transaction::run`].
    ///
    /// While the first call is undecided, this one waits for it, at most for its own timeout.
    ///
    /// # Errors
    /// As [`Transaction::run`]; [`TransactionError::Duplicate`] if there is no value to return.
    pub async fn run<T: Payload, E: From<TransactionError>>(
        self,
        body: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let shared = self.transaction.shared;
        let (live, _token) =
            self.transaction.open(|_, name| (key_id(&shared.group, name, &self.key), Some(random::run())))?;
        let (timeout, (min, _)) = (live.timeout, TIMEOUT);
        let max = shared.config.key_retention;
        if timeout >= max {
            let name = self.transaction.name.to_owned();
            return Err(TransactionError::Timeout { name, timeout, min, max }.into());
        }
        let (value, max) = (self.key.len() as u64, MAX_KEY as u64);
        if value > max {
            return Err(
                TransactionError::Limit { id: live.id, what: "the length of the key", value, max }.into()
            );
        }
        let mut over = None;
        let mut asked = 0;
        loop {
            let key = Key { text: self.key.clone(), request: self.request.clone() };
            match live.begin_keyed(key, over).await? {
                Begun::Anew => break,
                Begun::Before => match before(shared, &live, &self).await? {
                    Before::Value(value) => {
                        let duplicate = |status| TransactionError::Duplicate {
                            id: live.id,
                            status,
                            why: Duplicate::AnotherType,
                        };
                        return value.to().map_err(|_| duplicate(Status::Confirmed).into());
                    }
                    Before::Cancelled(position) => over = Some(position),
                    Before::Gone => over = None,
                },
            }
            asked += 1;
            tokio::time::sleep(Backoff::STORE.delay(asked)).await;
        }
        let id = live.id;
        run(live, body, move |value| {
            Json::of(value).map(Some).map_err(|error| TransactionError::Payload {
                id,
                action: "the transaction",
                what: "value",
                why: error.to_string(),
            })
        })
        .await
    }
}

/// What an earlier call with the same key left.
enum Before {
    Value(Json),
    /// It was cancelled, and its place may be taken.
    Cancelled(Position),
    /// Its tombstone went in the meantime.
    Gone,
}

/// Waits for the earlier call with the same key to be decided.
async fn before(
    shared: &Arc<Shared>,
    live: &Arc<Live>,
    keyed: &KeyedTransaction<'_>,
) -> Result<Before, TransactionError> {
    let id = live.id;
    let mut failures = 0;
    loop {
        let mut status = Status::Trying;
        match shared.read(id).await {
            Ok(None) => return Ok(Before::Gone),
            Ok(Some(log)) => match fold(&log) {
                Ok(record) => {
                    if let Some(before) = decided(id, &record, log.position(), keyed)? {
                        return Ok(before);
                    }
                    status = record.status();
                }
                Err(error) => tracing::error!(%id, error = chain(&error), "a log can't be read"),
            },
            Err(error) => tracing::debug!(%id, %error, "a log can't be read now"),
        }
        failures += 1;
        let next = Instant::now() + Backoff::STORE.delay(failures);
        if next >= live.deadline {
            return Err(TransactionError::Duplicate { id, status, why: Duplicate::Undecided });
        }
        tokio::time::sleep_until(next).await;
    }
}

/// What the earlier call's record says; `None` while it is to be waited for.
fn decided(
    id: TxId,
    record: &Record,
    end: Position,
    keyed: &KeyedTransaction<'_>,
) -> Result<Option<Before>, TransactionError> {
    let status = record.status();
    let duplicate = |why| Err(TransactionError::Duplicate { id, status, why });
    if record.key().is_some_and(|key| key.text != keyed.key || key.request != keyed.request) {
        return duplicate(Duplicate::AnotherRequest);
    }
    match (status, record.decision()) {
        (Status::Trying, _) => Ok(None),
        (Status::Heuristic, _) => duplicate(Duplicate::Heuristic),
        (_, Some(Decision::Confirm)) => match record.value() {
            Some(value) => Ok(Some(Before::Value(value.clone()))),
            None => duplicate(Duplicate::AnotherType),
        },
        // Its place is free once every branch is cancelled.
        (Status::Cancelled, _) if keyed.reuse => Ok(Some(Before::Cancelled(end))),
        (Status::Cancelling, _) if keyed.reuse => Ok(None),
        _ => duplicate(Duplicate::Cancelled),
    }
}

/// The id of a transaction with a key: the same for the same name and key in a group. Participants may serve more than
/// one group, and their fences know transactions by their id alone.
fn key_id(group: &Group, name: &Name, key: &str) -> TxId {
    let mut digest = Sha256::new();
    // Neither group nor name has a line break, so no two of them give the same text.
    digest.update(group.as_str());
    digest.update("\n");
    digest.update(name.as_str());
    digest.update("\n");
    digest.update(key);
    let digest = digest.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    TxId::from_digest(bytes)
}

/// Runs a body to its decision.
async fn run<T, E: From<TransactionError>>(
    live: Arc<Live>,
    body: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    keep: impl FnOnce(&T) -> Result<Option<Json>, TransactionError>,
) -> Result<T, E> {
    let span = tracing::debug_span!("transaction", id = %live.id, name = %live.name);
    let tx = Tx { live: live.clone() };
    let mut hang_up = HangUp { live: Some(live.clone()) };
    let ended = {
        let body = OPEN.scope(live.id, AssertUnwindSafe(body(&tx)).catch_unwind());
        tokio::time::timeout_at(live.deadline, body).instrument(span.clone()).await
    };
    hang_up.live = None;
    let (result, cause) = match ended {
        Ok(Ok(Ok(value))) => match keep(&value) {
            Ok(kept) => return confirm(&live, kept).instrument(span).await.map(|()| value).map_err(E::from),
            Err(error) => (Ok(Err(E::from(error))), Cause::Failed),
        },
        Ok(Ok(Err(error))) => (Ok(Err(error)), Cause::Failed),
        Ok(Err(panic)) => (Err(panic), Cause::Panicked),
        Err(_) => (Ok(Err(E::from(TransactionError::TimedOut { id: live.id }))), Cause::TimedOut),
    };
    cancel(&live, cause).instrument(span).await;
    match result {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

async fn confirm(live: &Arc<Live>, value: Option<Json>) -> Result<(), TransactionError> {
    let conclude = live.clone().conclude(Decision::Confirm, None, value);
    match Handoff::new(&live.shared.tasks, conclude).await? {
        Concluded::Confirmed => Ok(()),
        Concluded::Cancelled => Err(TransactionError::TimedOut { id: live.id }),
    }
}

/// Cancels; the caller's own error is what it gets to see, whatever becomes of this.
async fn cancel(live: &Arc<Live>, cause: Cause) {
    let conclude = Handoff::new(&live.shared.tasks, log_cancelled(live.clone(), cause));
    // Dropped after that time, it goes on in the coordinator's tasks.
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
struct HangUp {
    live: Option<Arc<Live>>,
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            let tasks = live.shared.tasks.clone();
            tasks.spawn(log_cancelled(live, Cause::Dropped));
        }
    }
}
