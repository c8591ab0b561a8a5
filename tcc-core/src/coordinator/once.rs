//! What is said once, and not again.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much is remembered as said. What comes beyond is not said: ten thousand of its kind were.
const MOST: usize = 10_000;

/// What this instance has said already.
#[derive(Debug)]
pub(super) struct Once<T>(Mutex<HashSet<T>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Once<T> {
    /// Whether this is the first time.
    pub(super) fn first(&self, what: T) -> bool {
        let mut said = self.lock();
        said.len() < MOST && said.insert(what)
    }

    /// It is over: if it comes again, that is news.
    pub(super) fn forget(&self, what: &T) {
        self.lock().remove(what);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_may_be_said_again() {
        let once = Once::default();
        assert_eq!([once.first(1), once.first(1), once.first(2)], [true, false, true]);
        once.forget(&1);
        assert_eq!([once.first(1), once.first(2)], [true, false]);
    }

    #[test]
    fn no_more_is_remembered_than_the_memory_should_hold() {
        let once = Once::default();
        assert_eq!((0..MOST + 5).filter(|n| once.first(*n)).count(), MOST);
    }
}
