//! The end of a transaction: its log shrinks to a tombstone, lazily and with others.
//!
//! Nobody waits for it. If it is lost with its process, recovery settles the transaction once more, which has no
//! second effect, and finishes it then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::gather::Gather;
use super::shared::Shared;
use crate::protocol::{Change, Position, Record, TxId};
use crate::store::{Append, Due, Mode, Retain, StoreError};

/// How many are finished by one call.
const MOST: usize = 64;
/// How long to gather more, when few have come.
const LINGER: Duration = Duration::from_millis(1);

/// A settled transaction whose tombstone is to be written.
pub(super) struct Finish {
    append: Append,
    /// When its lease ends: then it is somebody else's.
    until: Instant,
}

impl Finish {
    pub(super) fn new(shared: &Shared, id: TxId, record: &Record, after: Position, since: Instant) -> Self {
        let config = &shared.config;
        let retain = config.retention_of(record);
        let append = Append {
            group: shared.group.clone(),
            id,
            after,
            entry: shared.entry(&Change::Snapshot(record.tombstone())),
            due: Due::Never { retain: Retain::For(retain) },
            mode: Mode::Replace,
        };
        Self { append, until: since + config.lease }
    }
}

/// What the finisher is sent.
pub(super) enum Message {
    /// Write this.
    Finish(Box<Finish>),
    /// Say when all that was sent before is written, and end: nothing is sent any more.
    Drained(oneshot::Sender<()>),
}

/// Waits until every tombstone sent so far is written, or its lease has ended.
pub(super) async fn drained(shared: &Shared) {
    let (sender, drained) = oneshot::channel();
    if shared.finished.send(Message::Drained(sender)).is_ok() {
        // It is answered, unless the runtime shuts down and nothing can be written any more.
        let _ = drained.await;
    }
}

/// Writes tombstones until the coordinator is shut down, or its last handle is gone, and all are written.
pub(super) async fn run(gather: Arc<Gather>, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut batch: Vec<Finish> = Vec::with_capacity(MOST);
    let mut waiting = Vec::new();
    let mut failures = 0;
    loop {
        if batch.is_empty() {
            if !waiting.is_empty() {
                for sender in waiting.drain(..) {
                    // Who no longer waits need not know.
                    let _: Result<(), ()> = oneshot::Sender::send(sender, ());
                }
                // A shutdown asks only once all work has ended that could send something.
                return;
            }
            match messages.recv().await {
                Some(message) => message.sort(&mut batch, &mut waiting),
                None => return,
            }
            if messages.len() < MOST / 2 && waiting.is_empty() {
                tokio::time::sleep(LINGER).await;
            }
        }
        while batch.len() < MOST
            && let Ok(message) = messages.try_recv()
        {
            message.sort(&mut batch, &mut waiting);
        }
        batch = write(&gather, batch).await;
        failures = if batch.is_empty() { 0 } else { failures + 1 };
        if failures > 0 {
            tokio::time::sleep(Backoff::STORE.delay(failures)).await;
        }
    }
}

impl Message {
    fn sort(self, batch: &mut Vec<Finish>, waiting: &mut Vec<oneshot::Sender<()>>) {
        match self {
            Self::Finish(finish) => batch.push(*finish),
            Self::Drained(sender) => waiting.push(sender),
        }
    }
}

/// Writes a batch, and returns what is to be written again.
async fn write(gather: &Gather, batch: Vec<Finish>) -> Vec<Finish> {
    if batch.is_empty() {
        return batch;
    }
    let writes: Vec<Append> = batch.iter().map(|finish| finish.append.clone()).collect();
    let answers = gather.append_all(&writes).await;
    let now = Instant::now();
    let again = |finish: &Finish, answer| match answer {
        Ok(()) => false,
        // Either way the same entry may follow the same position once more.
        Err(StoreError::Unavailable { .. } | StoreError::Ambiguous { .. }) if now < finish.until => true,
        Err(error) => {
            tracing::debug!(id = %finish.append.id, %error, "a settled transaction is left to recovery");
            false
        }
    };
    batch
        .into_iter()
        .zip(answers)
        .filter_map(|(finish, answer)| again(&finish, answer).then_some(finish))
        .collect()
}
