//! What is said once, and not again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much is remembered as said.
const MOST: usize = 10_000;
/// When there is no room, what has not come up for so long is over: another instance has seen to it.
const OVER: Duration = Duration::from_secs(60 * 60);
/// How often it is looked for that.
const LOOK: Duration = Duration::from_secs(60);

/// What this instance has said already.
#[derive(Debug)]
pub(super) struct Once<T>(Mutex<Said<T>>);

#[derive(Debug)]
struct Said<T> {
    /// When each came up last.
    last: HashMap<T, Instant>,
    /// When it was looked last for what is over.
    looked: Option<Instant>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::new(Said { last: HashMap::new(), looked: None }))
    }
}

impl<T: Eq + Hash> Once<T> {
    /// Whether this is the first time. `None` if nobody can tell, as there is no room to remember it: ten thousand of its
    /// kind have come up within the hour.
    pub(super) fn first(&self, what: T) -> Option<bool> {
        let (mut said, now) = (self.lock(), Instant::now());
        if let Some(last) = said.last.get_mut(&what) {
            *last = now;
            return Some(false);
        }
        if said.last.len() >= MOST {
            said.forget_what_is_over(now);
        }
        if said.last.len() >= MOST {
            return None;
        }
        said.last.insert(what, now);
        Some(true)
    }

    /// It is over: if it comes again, that is news.
    pub(super) fn forget(&self, what: &T) {
        self.lock().last.remove(what);
    }

    fn lock(&self) -> MutexGuard<'_, Said<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Eq + Hash> Said<T> {
    fn forget_what_is_over(&mut self, now: Instant) {
        if self.looked.is_none_or(|looked| now >= looked + LOOK) {
            self.looked = Some(now);
            self.last.retain(|_, last| now < *last + OVER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_may_be_said_again() {
        let once = Once::default();
        assert_eq!([once.first(1), once.first(1), once.first(2)], [Some(true), Some(false), Some(true)]);
        once.forget(&1);
        assert_eq!([once.first(1), once.first(2)], [Some(true), Some(false)]);
    }

    #[test]
    fn no_more_is_remembered_than_the_memory_should_hold() {
        let once = Once::default();
        assert_eq!((0..MOST + 5).filter(|n| once.first(*n) == Some(true)).count(), MOST);
        assert_eq!(once.first(MOST), None);
    }

    /// A process that lives for months: what other instances have settled takes up no room for ever.
    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_up_any_more_makes_room() {
        let once = Once::default();
        for n in 0..MOST {
            assert_eq!(once.first(n), Some(true));
        }
        tokio::time::advance(OVER - LOOK).await;
        assert_eq!([once.first(0), once.first(MOST)], [Some(false), None]);
        tokio::time::advance(LOOK).await;
        assert_eq!([once.first(MOST), once.first(0)], [Some(true), Some(false)], "the others are over");
        assert_eq!(once.lock().last.len(), 2);
    }
}
