//! The way of all appends to the store: directly while it is idle, gathered while it is busy.
//!
//! While fewer than [`DEPTH`] calls are under way a write goes out at once, from the future of whoever waits for it.
//! Otherwise it queues, and whatever has queued when a call returns goes out as one
//! [`append_all`](StatusStore::append_all).

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot};

use super::meter::{Meter, Operation};
use super::tasks::Tasks;
use crate::store::{Append, StatusStore, StoreError};

/// How many calls may be under way before writes are gathered.
const DEPTH: usize = 2;
/// How many writes are sent as one call.
const MOST: usize = 128;

/// A place may be held by a future that nobody polls: after so long, what waits goes out all the same.
const STALL: Duration = Duration::from_millis(20);

type Answer = Result<(), StoreError>;

pub(super) struct Gather {
    store: Arc<dyn StatusStore>,
    /// After this a call counts as lost.
    limit: Duration,
    under_way: AtomicUsize,
    queue: Mutex<Vec<Waiting>>,
    /// There is something in the queue, a call has returned, or the gatherer is gone.
    changed: Arc<Notify>,
    meter: Arc<Meter>,
}

impl Gather {
    /// A gatherer with its task, which ends with it.
    pub(super) fn start(
        store: Arc<dyn StatusStore>,
        limit: Duration,
        tasks: &Tasks,
        meter: Arc<Meter>,
    ) -> Arc<Self> {
        let changed = Arc::new(Notify::new());
        let gather = Arc::new(Self {
            store,
            limit,
            under_way: AtomicUsize::new(0),
            queue: Mutex::default(),
            changed: changed.clone(),
            meter,
        });
        let (weak, sending) = (Arc::downgrade(&gather), tasks.clone());
        tasks.spawn_untracked(async move {
            loop {
                let waiting = weak.upgrade().is_some_and(|gather: Arc<Self>| !gather.is_queue_empty());
                let stalled = if waiting {
                    tokio::time::timeout(STALL, changed.notified()).await.is_err()
                } else {
                    changed.notified().await;
                    false
                };
                let Some(gather) = weak.upgrade() else { return };
                gather.send_queued(&sending, if stalled { DEPTH + 1 } else { DEPTH });
            }
        });
        gather
    }

    /// Appends one entry, alone or with others.
    pub(super) async fn append(&self, write: &Append) -> Answer {
        if let Some(_place) = Place::take(self, DEPTH) {
            return self.alone(write).await;
        }
        let (sender, answer) = oneshot::channel();
        let first = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push((write.clone(), sender));
            self.meter.queued();
            queue.len() == 1
        };
        // The place that was missing may be free again by now. Whoever queues behind the first goes with it, or is seen by
        // the next that gives up its place.
        if first {
            self.changed.notify_one();
        }
        // Its sender answers within one limit and begins within another. Beyond that the coordinator's runtime is gone.
        match tokio::time::timeout(self.limit * 2 + STALL, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(StoreError::ambiguous("the coordinator's own runtime was shut down")),
        }
    }

    /// Appends many as one call.
    pub(super) async fn append_all(&self, writes: &[Append]) -> Vec<Answer> {
        let call = AssertUnwindSafe(async { self.store.append_all(writes).await }).catch_unwind();
        let measured = self.meter.store_call(Operation::AppendAll);
        let why = match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(answers)) if answers.len() == writes.len() => {
                measured.answered(&Ok(()));
                answers.iter().for_each(|answer| self.meter.wrote(answer));
                return answers;
            }
            Ok(Ok(answers)) => format!("the store gave {} answers to {} writes", answers.len(), writes.len()),
            Ok(Err(_)) => "the store panicked".to_owned(),
            Err(_) => format!("the store did not answer within {:?}", self.limit),
        };
        let lost = || Err(StoreError::Ambiguous { what: why.clone(), source: None });
        measured.answered(&lost());
        let answers: Vec<Answer> = writes.iter().map(|_| lost()).collect();
        answers.iter().for_each(|answer| self.meter.wrote(answer));
        answers
    }

    async fn alone(&self, write: &Append) -> Answer {
        // Lazily, so that a store that panics before its first await is caught as well.
        let call = AssertUnwindSafe(async { self.store.append(write).await }).catch_unwind();
        let measured = self.meter.store_call(Operation::Append);
        let answer = match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::ambiguous("the store panicked")),
            Err(_) => Err(StoreError::ambiguous(format!("the store did not answer within {:?}", self.limit))),
        };
        measured.answered(&answer);
        self.meter.wrote(&answer);
        answer
    }

    /// Starts as many senders as there is room for and something to send.
    fn send_queued(self: &Arc<Self>, tasks: &Tasks, depth: usize) {
        while let Some(mut batch) = self.reserve_batch(depth) {
            let gather = self.clone();
            tasks.spawn_background(async move {
                let _place = Place(&gather);
                while !batch.is_empty() {
                    gather.send(batch).await;
                    batch = gather.batch();
                }
            });
        }
    }

    /// What a new sender starts with, its place reserved; `None` if there is no room or nothing to send.
    fn reserve_batch(&self, depth: usize) -> Option<Vec<Waiting>> {
        if self.is_queue_empty() {
            return None;
        }
        let place = Place::take(self, depth)?;
        // The sender that is started takes it over.
        std::mem::forget(place);
        Some(self.batch())
    }

    fn is_queue_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn batch(&self) -> Vec<Waiting> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = if queue.len() > MOST { queue.split_off(MOST) } else { Vec::new() };
        let batch = std::mem::replace(&mut *queue, rest);
        self.meter.sent(batch.len());
        batch
    }

    async fn send(&self, batch: Vec<Waiting>) {
        let (writes, senders): (Vec<Append>, Vec<_>) = batch.into_iter().unzip();
        let answers = match writes.as_slice() {
            [write] => vec![self.alone(write).await],
            writes => self.append_all(writes).await,
        };
        for (sender, answer) in senders.into_iter().zip(answers) {
            // Who no longer waits does not need the answer.
            let _ = sender.send(answer);
        }
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

type Waiting = (Append, oneshot::Sender<Answer>);

/// One of the calls under way; given back when dropped.
struct Place<'a>(&'a Gather);

impl<'a> Place<'a> {
    fn take(gather: &'a Gather, depth: usize) -> Option<Self> {
        let free = |under_way| (under_way < depth).then_some(under_way + 1);
        gather.under_way.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok().map(|_| Self(gather))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        if !self.0.is_queue_empty() {
            self.0.changed.notify_one();
        }
    }
}
