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
    Finish(Finish),
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
    let mut batch = Batch::default();
    let mut received = Vec::with_capacity(MOST);
    let mut failures = 0;
    loop {
        if batch.writes.is_empty() {
            if !batch.waiting.is_empty() {
                for sender in batch.waiting {
                    // Who no longer waits need not know.
                    let _: Result<(), ()> = sender.send(());
                }
                // A shutdown asks only once all work has ended that could send something.
                return;
            }
            match messages.recv().await {
                Some(message) => batch.take(message),
                None => return,
            }
            if messages.len() < MOST / 2 && batch.waiting.is_empty() {
                tokio::time::sleep(LINGER).await;
            }
        }
        let room = MOST - batch.writes.len();
        if room > 0 && !messages.is_empty() {
            messages.recv_many(&mut received, room).await;
            received.drain(..).for_each(|message| batch.take(message));
        }
        batch.write(&gather).await;
        failures = if batch.writes.is_empty() { 0 } else { failures + 1 };
        if failures > 0 {
            tokio::time::sleep(Backoff::STORE.delay(failures)).await;
        }
    }
}

/// What is written by one call.
#[derive(Default)]
struct Batch {
    writes: Vec<Append>,
    /// For each of these, when its lease ends.
    until: Vec<Instant>,
    /// Who waits until all is written.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn take(&mut self, message: Message) {
        match message {
            Message::Finish(Finish { append, until }) => {
                self.writes.push(append);
                self.until.push(until);
            }
            Message::Drained(sender) => self.waiting.push(sender),
        }
    }

    /// Writes it, and keeps what is to be written again.
    async fn write(&mut self, gather: &Gather) {
        if self.writes.is_empty() {
            return;
        }
        let answers = gather.append_all(&self.writes).await;
        if answers.iter().all(Result::is_ok) {
            self.writes.clear();
            self.until.clear();
            return;
        }
        let now = Instant::now();
        let written = std::mem::take(&mut self.writes).into_iter().zip(std::mem::take(&mut self.until));
        for ((append, until), answer) in written.zip(answers) {
            match answer {
                Ok(()) => {}
                // Either way the same entry may follow the same position once more.
                Err(StoreError::Unavailable { .. } | StoreError::Ambiguous { .. }) if now < until => {
                    self.writes.push(append);
                    self.until.push(until);
                }
                Err(error) => {
                    tracing::debug!(id = %append.id, %error, "a settled transaction is left to recovery");
                }
            }
        }
    }
}
