//! Transactions with a key: for as long as it is kept, the same name and key never run twice.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::error::{Duplicate, TransactionError};
use super::live::{Begun, Live};
use super::random;
use super::run::{HangUp, Transaction, run};
use super::shared::{Shared, chain};
use super::tx::Tx;
use crate::participant::Payload;
use crate::protocol::{BranchState, Decision, Group, Json, Key, Name, Position, Record, Status, TxId, fold};

/// A transaction with a key: made by [`Transaction::key`].
#[derive(Debug)]
#[must_use = "a transaction does nothing until it is run"]
pub struct KeyedTransaction<'c> {
    transaction: Transaction<'c>,
    key: String,
    /// A digest of the request, or why it has none.
    request: Result<String, String>,
    reuse: bool,
}

/// The most bytes of a key.
const MAX_KEY: usize = 512;
/// The most characters of a key that an error repeats.
const SAID: usize = 64;

impl<'c> KeyedTransaction<'c> {
    pub(super) fn new(transaction: Transaction<'c>, key: String) -> Self {
        Self { transaction, key, request: Ok(String::new()), reuse: false }
    }

    /// What is asked for: a repeat of the key with another request is an error, [`Duplicate::AnotherRequest`].
    ///
    /// Only a digest (SHA-256) of it is kept. The order of the entries of a map does not count.
    pub fn request(mut self, request: &(impl Serialize + ?Sized)) -> Self {
        self.request =
            serde_json::to_value(request).map(|value| digest(&value)).map_err(|error| error.to_string());
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
        let shared = self.transaction.shared();
        let (live, _token) =
            self.transaction.open(|_, name| (key_id(&shared.group, name, &self.key), Some(random::run())))?;
        let id = live.id;
        let request = self.check(&live)?;
        let key = Key { text: self.key, request };
        let mut hang_up = HangUp::arm(&live);
        match begin(shared, &live, &key, self.reuse).await {
            Ok(None) => {}
            Ok(Some(value)) => {
                hang_up.disarm();
                let duplicate = duplicate(&live, &key, Status::Confirmed, Duplicate::AnotherType);
                return value.to().map_err(|_| duplicate.into());
            }
            Err(error) => {
                hang_up.disarm();
                return Err(error.into());
            }
        }
        let checked = live.clone();
        run(live, hang_up, body, move |value| {
            let kept = Json::of(value).map_err(|error| unwritable(id, "value", error.to_string()))?;
            kept.to::<T>().map_err(|error| unwritable(id, "value", error.to_string()))?;
            checked.check_payload("the value of its body", &kept)?;
            Ok(Some(kept))
        })
        .await
    }

    /// Checks what can be checked before anything is begun; the digest of the request.
    fn check(&self, live: &Live) -> Result<String, TransactionError> {
        let (id, timeout) = (live.id, live.timeout);
        if self.key.is_empty() {
            return Err(TransactionError::EmptyKey { name: live.name.to_string() });
        }
        // A tombstone is kept for longer than its initiator asks about it.
        let key_retention = live.shared.config.key_retention;
        let max = key_retention.saturating_sub(live.shared.config.replay());
        if timeout > max {
            return Err(TransactionError::KeyTimeout {
                name: live.name.to_string(),
                timeout,
                max,
                key_retention,
            });
        }
        let (value, max) = (self.key.len() as u64, MAX_KEY as u64);
        if value > max {
            let (what, unit, setting) = ("its key", "bytes", None);
            return Err(TransactionError::Limit { id, what, value, max, unit, setting });
        }
        self.request.clone().map_err(|why| unwritable(id, "request", why))
    }
}

fn unwritable(id: TxId, what: &'static str, why: String) -> TransactionError {
    TransactionError::Payload { id, action: "the transaction", what, why }
}

/// What it means that the key was used before, and there is no value to return.
fn duplicate(live: &Live, key: &Key, status: Status, why: Duplicate) -> TransactionError {
    let said = key.text.chars().take(SAID).collect();
    TransactionError::Duplicate { id: live.id, name: live.name.to_string(), key: said, status, why }
}

/// Begins the transaction, unless the key was used before: then its first value.
async fn begin(
    shared: &Arc<Shared>,
    live: &Arc<Live>,
    key: &Key,
    reuse: bool,
) -> Result<Option<Json>, TransactionError> {
    let mut over = None;
    let mut asked = 0;
    loop {
        match live.begin_keyed(key.clone(), over).await? {
            Begun::Anew => return Ok(None),
            Begun::Before => match before(shared, live, key, reuse).await? {
                Before::Value(value) => return Ok(Some(value)),
                Before::Cancelled(position) => over = Some(position),
                Before::Gone => over = None,
            },
        }
        asked += 1;
        let next = Instant::now() + Backoff::STORE.delay(asked);
        if next >= live.deadline {
            return Err(duplicate(live, key, Status::Trying, Duplicate::Undecided));
        }
        wait_until(shared, next).await?;
    }
}

/// Waits, unless the coordinator closes: then nothing begins any more.
async fn wait_until(shared: &Shared, until: Instant) -> Result<(), TransactionError> {
    tokio::select! {
        () = tokio::time::sleep_until(until) => Ok(()),
        () = shared.tasks.closing().cancelled() => Err(TransactionError::Closed),
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
    key: &Key,
    reuse: bool,
) -> Result<Before, TransactionError> {
    let id = live.id;
    let mut failures = 0;
    loop {
        let mut status = Status::Trying;
        match shared.read(id).await {
            Ok(None) => return Ok(Before::Gone),
            Ok(Some(log)) => match fold(&log) {
                Ok(record) => {
                    if let Some(before) = decided(live, &record, log.position(), key, reuse)? {
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
            return Err(duplicate(live, key, status, Duplicate::Undecided));
        }
        wait_until(shared, next).await?;
    }
}

/// What the earlier call's record says; `None` while it is to be waited for.
fn decided(
    live: &Live,
    record: &Record,
    end: Position,
    key: &Key,
    reuse: bool,
) -> Result<Option<Before>, TransactionError> {
    let status = record.status();
    let duplicate = |why| Err(duplicate(live, key, status, why));
    if record.key().is_some_and(|first| first != key) {
        return duplicate(Duplicate::AnotherRequest);
    }
    match (status, record.decision()) {
        (Status::Trying, _) => Ok(None),
        (Status::Heuristic, _) => duplicate(Duplicate::Heuristic),
        (_, Some(Decision::Confirm)) => match record.value() {
            Some(value) => Ok(Some(Before::Value(value.clone()))),
            None => duplicate(Duplicate::AnotherType),
        },
        // What an operator took care of by hand is not done once more, and who did it is not forgotten.
        (Status::Cancelled, _)
            if record.branches().iter().any(|b| matches!(b.state, BranchState::Resolved { .. })) =>
        {
            duplicate(Duplicate::Cancelled)
        }
        // Its place is free once every branch is cancelled.
        (Status::Cancelled, _) if reuse => Ok(Some(Before::Cancelled(end))),
        (Status::Cancelling, _) if reuse => Ok(None),
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

/// A digest of a value that does not depend on the order of the entries of its maps: 32 hexadecimal digits.
fn digest(value: &Value) -> String {
    let mut sha = Sha256::new();
    feed(&mut sha, value);
    let mut text = String::with_capacity(32);
    for byte in &sha.finalize()[..16] {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn feed(sha: &mut Sha256, value: &Value) {
    match value {
        Value::Array(items) => {
            sha.update("[");
            for item in items {
                feed(sha, item);
                sha.update(",");
            }
            sha.update("]");
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            sha.update("{");
            for (name, item) in entries {
                // As JSON text, so that a name can't be taken for what follows it.
                sha.update(Value::from(name.as_str()).to_string());
                sha.update(":");
                feed(sha, item);
                sha.update(",");
            }
            sha.update("}");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => sha.update(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::digest;

    #[test]
    fn a_digest_is_of_the_value_not_of_its_order() {
        let one: serde_json::Value =
            serde_json::from_str(r#"{"a":1,"b":[1,2],"c":{"x":null,"y":"z"}}"#).unwrap();
        let same: serde_json::Value =
            serde_json::from_str(r#"{"c":{"y":"z","x":null},"b":[1,2],"a":1}"#).unwrap();
        assert_eq!(digest(&one), digest(&same));
        assert_eq!(digest(&one).len(), 32);
        for other in [
            json!({}),
            json!([]),
            json!(null),
            json!("null"),
            json!([[], []]),
            json!([[[]]]),
            json!({"a": 1}),
            json!(["a", 1]),
        ] {
            assert_ne!(digest(&one), digest(&other));
        }
        assert_ne!(digest(&json!([1, 2])), digest(&json!([2, 1])));
        assert_ne!(digest(&json!({"a": {"b": 1}})), digest(&json!({"a": {}, "b": 1})));
    }
}
