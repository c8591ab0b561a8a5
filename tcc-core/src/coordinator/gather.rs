//! The way of all appends to the store: directly while it is idle, gathered while it is busy.
//!
//! While no call is under way a write goes out at once, from the future of whoever waits for it. Otherwise it queues, and
//! whatever has queued when a call returns goes out as one [`append_all`](StatusStore::append_all).
//!
//! Two calls at a time, so that neither the store nor this process waits for the other; a third if very many wait. Measured
//! on Redis at 16 to 256 callers: more of them are smaller, and cost more than they save; and a write that goes out alone
//! while another call is under way keeps all others waiting for its return.
//!
//! A store that answers at once, as one in memory does, is asked directly by everybody: nobody ever waits for another's call.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::call::answer_within;
use super::meter::{Meter, Operation};
use super::queue::{Answer, Queue, Sending};
use super::tasks::Tasks;
use crate::store::{Append, StatusStore, StoreError};

/// How many calls of what has queued may be under way.
const DEPTH: usize = 2;
/// If so many wait, one more.
const MANY: usize = 32;

/// A place may be held by a future that nobody polls: after so long, what waits goes out all the same.
const STALL: Duration = Duration::from_millis(20);

pub(super) struct Gather {
    store: Arc<dyn StatusStore>,
    /// After this a call counts as lost.
    limit: Duration,
    under_way: AtomicUsize,
    /// Whether the store answers at once, as one in memory does: then no call is under way for others to wait for.
    at_once: AtomicBool,
    queue: Queue,
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
            at_once: AtomicBool::new(true),
            queue: Queue::default(),
            changed: changed.clone(),
            meter,
        });
        let (gatherer, sending) = (Gatherer(Arc::downgrade(&gather)), tasks.clone());
        tasks.spawn_untracked(async move {
            loop {
                let waiting = gatherer.gather().is_some_and(|gather| !gather.queue.is_empty());
                let stalled = if waiting {
                    tokio::time::timeout(STALL, changed.notified()).await.is_err()
                } else {
                    changed.notified().await;
                    false
                };
                let Some(gather) = gatherer.gather() else { return };
                gather.send_queued(&sending, usize::from(stalled));
            }
        });
        gather
    }

    /// Appends one entry, alone or with others.
    pub(super) async fn append(&self, write: &Append) -> Answer {
        if self.at_once.load(Ordering::Relaxed) {
            // Nothing else may ever make this task wait: other tasks get their turn.
            tokio::task::coop::consume_budget().await;
            return self.directly(write, None).await;
        }
        match Place::take(self, 1) {
            Some(place) => self.directly(write, Some(place)).await,
            None => self.with_others(write).await,
        }
    }

    /// Appends one entry, and sees whether that takes any time: then it has a place.
    async fn directly(&self, write: &Append, place: Option<Place<'_>>) -> Answer {
        let mut call = std::pin::pin!(self.alone(write));
        let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        if self.at_once.load(Ordering::Relaxed) != polled.is_ready() {
            self.at_once.store(polled.is_ready(), Ordering::Relaxed);
        }
        match polled {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let _place = place.unwrap_or_else(|| Place::take_anyway(self));
                call.await
            }
        }
    }

    async fn with_others(&self, write: &Append) -> Answer {
        // Its sender answers within one limit and begins within another. Beyond that the coordinator's runtime is gone.
        let (seat, waiting) = self.queue.push(write.clone(), self.limit * 2 + STALL)?;
        self.meter.queued();
        // There may be a place. Whoever queues behind the first goes with it, or is seen by the next that gives up its place.
        if waiting == 1 || waiting == MANY {
            self.changed.notify_one();
        }
        seat.await
    }

    /// Appends many as one call.
    pub(super) async fn append_all(&self, writes: &[Append]) -> Vec<Answer> {
        let measured = self.meter.store_call(Operation::AppendAll);
        // Lazily, so that a store that panics before its first await is caught as well.
        let call = async { (*self.store).append_all(writes).await };
        let answers = match answer_within(call, self.limit).await {
            Ok(answers) if answers.len() == writes.len() => {
                measured.answered(&Ok(()));
                answers
            }
            wrong => {
                let lost = || match &wrong {
                    Ok(answers) => StoreError::ambiguous(format!(
                        "the store gave {} answers to {} writes",
                        answers.len(),
                        writes.len()
                    )),
                    Err(none) => none.of_store(self.limit),
                };
                measured.answered::<()>(&Err(lost()));
                writes.iter().map(|_| Err(lost())).collect()
            }
        };
        answers.iter().for_each(|answer| self.meter.wrote(answer));
        answers
    }

    async fn alone(&self, write: &Append) -> Answer {
        let measured = self.meter.store_call(Operation::Append);
        let answer = answer_within(async { (*self.store).append(write).await }, self.limit)
            .await
            .unwrap_or_else(|none| Err(none.of_store(self.limit)));
        measured.answered(&answer);
        self.meter.wrote(&answer);
        answer
    }

    /// How many calls may be under way.
    fn depth(&self) -> usize {
        DEPTH + usize::from(self.queue.len() >= MANY)
    }

    /// Starts as many senders as there is room for and something to send, and so many more.
    fn send_queued(self: &Arc<Self>, tasks: &Tasks, more: usize) {
        while let Some(mut batch) = self.reserve_batch(self.depth() + more) {
            let gather = self.clone();
            tasks.spawn_background(async move {
                let _place = Place(&gather);
                loop {
                    if gather.send(batch).await > 1 {
                        // Those who got their answers have more to write, as a rule: they queue first. Otherwise the first
                        // of them would go out alone, and all others wait for that.
                        tokio::task::yield_now().await;
                    }
                    match gather.queue.pop() {
                        Some(next) => batch = next,
                        None => return,
                    }
                }
            });
        }
    }

    /// What a new sender starts with, its place reserved; `None` if there is no room or nothing to send.
    fn reserve_batch(&self, depth: usize) -> Option<Sending> {
        if self.queue.is_empty() {
            return None;
        }
        let place = Place::take(self, depth)?;
        let batch = self.queue.pop()?;
        // The sender that is started takes it over.
        std::mem::forget(place);
        Some(batch)
    }

    /// Sends a batch, and says how many writes that were.
    async fn send(&self, batch: Sending) -> usize {
        self.meter.sent(batch.len());
        let writes = batch.take_writes();
        let answers = match writes.as_slice() {
            [] => return 0,
            [write] => vec![self.alone(write).await],
            writes => self.append_all(writes).await,
        };
        batch.answer(answers);
        writes.len()
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// The task that starts senders. When it goes, nothing that waits will be sent any more.
struct Gatherer(Weak<Gather>);

impl Gatherer {
    fn gather(&self) -> Option<Arc<Gather>> {
        self.0.upgrade()
    }
}

impl Drop for Gatherer {
    fn drop(&mut self) {
        if let Some(gather) = self.gather() {
            gather.queue.close();
        }
    }
}

/// One of the calls under way; given back when dropped.
struct Place<'a>(&'a Gather);

impl<'a> Place<'a> {
    fn take(gather: &'a Gather, depth: usize) -> Option<Self> {
        let free = |under_way| (under_way < depth).then_some(under_way + 1);
        gather.under_way.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok().map(|_| Self(gather))
    }

    /// One more than there are.
    fn take_anyway(gather: &'a Gather) -> Self {
        gather.under_way.fetch_add(1, Ordering::AcqRel);
        Self(gather)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        if !self.0.queue.is_empty() {
            self.0.changed.notify_one();
        }
    }
}
