//! What a coordinator knows of each participant: how many calls it bears at once, and who waits for it to work again.

use foldhash::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::participant::{Action, Registry};
use crate::protocol::{ActionName, Position, TxId};

/// How many transactions are remembered as waiting for one participant. The others come back when they are due.
const MOST_WAITING: usize = 10_000;

/// When those that wait were woken last. A participant that answers now and then, or one request of which it can never do,
/// would else be asked by all of them at each success: the pause doubles with each waking, as a backoff does, and begins
/// anew after a long quiet.
#[derive(Debug, Default)]
struct Woken {
    last: Option<(Instant, Duration)>,
}

/// The first pause between two wakings, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Woken {
    fn may_wake(&mut self, now: Instant) -> bool {
        let pause = match self.last {
            None => PAUSE.0,
            Some((last, pause)) if now < last + pause => return false,
            Some((last, _)) if now > last + 2 * PAUSE.1 => PAUSE.0,
            Some((_, pause)) => (pause * 2).min(PAUSE.1),
        };
        self.last = Some((now, pause));
        true
    }
}

/// All participants that are registered, as [`Registry::participants`] has them.
pub(super) struct Participants {
    all: Vec<Participant>,
    /// Where each stands.
    by_name: HashMap<String, usize>,
}

/// One participant.
pub(super) struct Participant {
    calls: Arc<Semaphore>,
    /// Whether any wait, so that a success need not look.
    any_waiting: AtomicBool,
    /// Those put back into the store.
    waiting: Mutex<HashMap<TxId, Position>>,
    /// When they were woken last, and how long to let them sleep.
    woken: Mutex<Woken>,
    /// Those held here until their next attempt.
    works: Notify,
}

/// A permit for one call; given back when it is dropped.
pub(super) struct Room(Arc<Semaphore>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// A transaction that was put back into the store because the participant failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: TxId,
    /// Where its log ended then: if it still does, nobody has taken it since.
    pub(super) position: Position,
}

impl Participants {
    /// The participants of these actions, each with so many calls at once.
    pub(super) fn of(registry: &Registry, at_once: usize) -> Self {
        let names = registry.participants();
        Self {
            all: names.iter().map(|_| Participant::new(at_once)).collect(),
            by_name: names.iter().cloned().zip(0..).collect(),
        }
    }

    /// The participant of an action that is registered here.
    pub(super) fn serving(&self, action: &Action) -> &Participant {
        &self.all[action.participant()]
    }

    /// The participant of an action, if it is registered here, be it without that action.
    pub(super) fn of_action(&self, action: &ActionName) -> Option<&Participant> {
        self.by_name.get(action.participant()).map(|place| &self.all[*place])
    }
}

impl Participant {
    fn new(at_once: usize) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            any_waiting: AtomicBool::new(false),
            waiting: Mutex::default(),
            woken: Mutex::default(),
            works: Notify::new(),
        }
    }

    /// Waits for its next success.
    ///
    /// Cancellation safe: a dropped future waits no more.
    pub(super) async fn until_it_works(&self) {
        let mut works = std::pin::pin!(self.works.notified());
        works.as_mut().enable();
        self.any_waiting.store(true, Ordering::Release);
        works.await;
    }

    /// Waits until it bears one more call; the call is over when the permit is dropped.
    ///
    /// Cancellation safe: a dropped future loses its place and nothing else.
    pub(super) async fn call(&self) -> Option<SemaphorePermit<'_>> {
        match self.call_now() {
            Some(permit) => Some(permit),
            // It is never closed.
            None => self.calls.acquire().await.ok(),
        }
    }

    /// The same, if it bears one more call now. Who waits for that goes first.
    pub(super) fn call_now(&self) -> Option<SemaphorePermit<'_>> {
        self.calls.try_acquire().ok()
    }

    /// Makes a permit of it one that may be taken elsewhere.
    pub(super) fn keep(&self, permit: SemaphorePermit<'_>) -> Room {
        permit.forget();
        Room(self.calls.clone())
    }

    /// Remembers a transaction to be woken by its next success.
    pub(super) fn wait(&self, waiting: Waiting) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_WAITING || all.contains_key(&waiting.id) {
            all.insert(waiting.id, waiting.position);
            self.any_waiting.store(true, Ordering::Release);
        }
    }

    /// It has answered: who waited for that is to be woken. The less often, the more often that was in vain.
    pub(super) fn works(&self) -> Vec<Waiting> {
        if !self.any_waiting.load(Ordering::Acquire) {
            return Vec::new();
        }
        if !self.woken.lock().unwrap_or_else(PoisonError::into_inner).may_wake(Instant::now()) {
            return Vec::new();
        }
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.any_waiting.store(false, Ordering::Release);
        self.works.notify_waiters();
        std::mem::take(&mut *all).into_iter().map(|(id, position)| Waiting { id, position }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Op;

    #[test]
    fn who_waits_is_woken_once() {
        let participant = Participant::new(1);
        assert_eq!(participant.works(), []);
        let position = Position { entries: 3, op: Op::from_u64(1) };
        let waiting = Waiting { id: TxId::from_time(1, [0; 10]), position };
        participant.wait(waiting);
        assert_eq!(participant.works(), [waiting]);
        assert_eq!(participant.works(), []);
    }

    #[test]
    fn a_permit_that_is_kept_is_one_until_it_is_dropped() {
        let participant = Participant::new(1);
        let room = participant.keep(participant.call_now().expect("it has room for one"));
        assert!(participant.call_now().is_none());
        drop(room);
        assert!(participant.call_now().is_some());
    }

    #[test]
    fn no_more_are_remembered_than_the_memory_should_hold() {
        let participant = Participant::new(1);
        for n in 0..MOST_WAITING as u64 + 5 {
            participant.wait(Waiting { id: TxId::from_time(n, [0; 10]), position: Position::START });
        }
        assert_eq!(participant.works().len(), MOST_WAITING);
    }

    #[test]
    fn those_that_wait_are_woken_less_and_less_often() {
        let start = Instant::now();
        let mut woken = Woken::default();
        let seconds = (0..600).filter(|second| woken.may_wake(start + Duration::from_secs(*second)));
        assert_eq!(
            seconds.collect::<Vec<_>>(),
            [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543, 603][..15]
        );
        assert!(woken.may_wake(start + Duration::from_secs(1000)));
        assert!(woken.may_wake(start + Duration::from_secs(1001)));
    }
}
