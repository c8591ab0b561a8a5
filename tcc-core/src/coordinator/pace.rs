//! How much recovery has in hand at once: all it may while nobody begins a transaction here, a share while callers do.
//!
//! Recovery and callers have the same store and the same cores. Who has twice as much in hand gets about twice as much of
//! them, so what recovery has in hand decides by how much the callers' latency grows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Beside callers, recovery has at most one transaction in hand for so many of theirs.
const CALLERS_FOR_ONE: usize = 3;
/// But always so many: it never starves, however many begin or however few.
const LEAST: usize = 8;
/// Callers are reckoned with for so long after the last transaction began.
const LULL: Duration = Duration::from_millis(100);
/// For how long at most a transaction counts as in hand. What takes longer waits for a participant, and needs nothing of what
/// callers need. So recovery takes on at least [`LEAST`] in each such time, if the store bears it.
pub(super) const HOLD: Duration = Duration::from_millis(20);

/// What recovery and callers have in hand.
pub(super) struct Pace {
    /// The most that recovery may have in hand.
    most: usize,
    /// The transactions that callers have begun here since the start.
    begun: AtomicUsize,
    /// Those of them that have returned to their callers.
    returned: AtomicUsize,
    /// What recovery has in hand.
    in_hand: AtomicUsize,
    /// A place was given back.
    freed: Notify,
    seen: Mutex<Seen>,
}

/// What was seen of the callers at the last look.
struct Seen {
    begun: usize,
    /// When one had begun since the look before.
    at: Option<Instant>,
}

impl Pace {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            begun: AtomicUsize::new(0),
            returned: AtomicUsize::new(0),
            in_hand: AtomicUsize::new(0),
            freed: Notify::new(),
            seen: Mutex::new(Seen { begun: 0, at: None }),
        })
    }

    /// A caller begins a transaction here.
    pub(super) fn begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// It has returned to its caller.
    pub(super) fn returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }

    /// How many places there are now.
    fn places(&self) -> usize {
        // In this order: what returns in between is not taken for more callers than there are.
        let begun = self.begun.load(Ordering::Relaxed);
        let callers = begun.saturating_sub(self.returned.load(Ordering::Relaxed));
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if begun != seen.begun {
            *seen = Seen { begun, at: Some(now) };
        }
        if seen.at.is_none_or(|at| now >= at + LULL) {
            return self.most;
        }
        (callers / CALLERS_FOR_ONE).max(LEAST).min(self.most)
    }

    /// How many places are free.
    pub(super) fn free(&self) -> usize {
        self.places().saturating_sub(self.in_hand.load(Ordering::Acquire))
    }

    /// Takes a place for what was claimed, whether or not one is free.
    pub(super) fn take(self: &Arc<Self>) -> Place {
        self.in_hand.fetch_add(1, Ordering::AcqRel);
        Place(self.clone())
    }

    /// Waits for a place, and takes it.
    ///
    /// Cancellation safe: a dropped future has taken nothing.
    pub(super) async fn place(self: &Arc<Self>) -> Place {
        self.until(|places, in_hand| in_hand < places).await;
        self.take()
    }

    /// Waits until so many places are free, or half of them: a claim of one costs as many calls as a claim of many.
    ///
    /// Cancellation safe: it only waits.
    pub(super) async fn room_for(&self, many: usize) {
        self.until(|places, in_hand| places.saturating_sub(in_hand) >= many.min(places.div_ceil(2))).await;
    }

    async fn until(&self, enough: impl Fn(usize, usize) -> bool) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if enough(self.places(), self.in_hand.load(Ordering::Acquire)) {
                return;
            }
            // Each that is in hand gives its place back within HOLD: then there may be more of them as well.
            freed.await;
        }
    }
}

/// One of the transactions that recovery has in hand.
pub(super) struct Place(Arc<Pace>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 256;

    fn begin(pace: &Pace, callers: usize) {
        (0..callers).for_each(|_| pace.begun());
    }

    #[tokio::test(start_paused = true)]
    async fn callers_leave_recovery_a_share_and_never_less_than_a_few_places() {
        let pace = Pace::new(MOST);
        assert_eq!(pace.free(), MOST, "nobody else wants anything");
        begin(&pace, 1);
        assert_eq!(pace.free(), LEAST);
        begin(&pace, 99);
        assert_eq!(pace.free(), 100 / CALLERS_FOR_ONE);
        begin(&pace, 100_000);
        assert_eq!(pace.free(), MOST);
        assert_eq!(
            Pace { begun: 5.into(), ..Arc::into_inner(Pace::new(2)).unwrap() }.free(),
            2,
            "as it is set"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn recovery_has_all_places_again_after_a_lull() {
        let pace = Pace::new(MOST);
        for _ in 0..50 {
            begin(&pace, 1);
            pace.returned();
            tokio::time::advance(LULL / 2).await;
            assert_eq!(pace.free(), LEAST, "one caller after the other is no lull");
        }
        tokio::time::advance(LULL).await;
        assert_eq!(pace.free(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_gets_the_one_that_is_given_back() {
        let pace = Pace::new(2);
        let (first, second) = (pace.place().await, pace.place().await);
        assert_eq!(pace.free(), 0);
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { drop(pace.place().await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        tokio::time::timeout(HOLD, waiting).await.expect("it is woken").unwrap();
        tokio::time::timeout(HOLD, pace.room_for(MOST)).await.unwrap();
        drop(second);
    }
}
