//! How long to wait before the next attempt.

use std::time::Duration;

use super::random;

/// Exponential backoff with full jitter: before the n-th repeat, a random time up to `base · 2ⁿ⁻¹`, at most `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most that is waited before the first repeat.
    pub base: Duration,
    /// The most that is ever waited.
    pub cap: Duration,
}

impl Backoff {
    /// Before settling is tried again: 200 ms doubling to 60 s.
    pub const SETTLE: Self = Self { base: Duration::from_millis(200), cap: Duration::from_secs(60) };

    /// Before the store is asked again: 10 ms doubling to 1 s.
    pub(super) const STORE: Self = Self { base: Duration::from_millis(10), cap: Duration::from_secs(1) };

    /// The time to wait after so many failures, at least one.
    pub fn delay(&self, failures: u32) -> Duration {
        random::up_to(self.ceiling(failures))
    }

    /// The most that is waited after so many failures.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_20_backoff_is_capped_and_jittered() {
        let backoff = Backoff::SETTLE;
        assert_eq!(backoff.ceiling(1), Duration::from_millis(200));
        assert_eq!(backoff.ceiling(2), Duration::from_millis(400));
        assert_eq!(backoff.ceiling(9), Duration::from_millis(51_200));
        for failures in [10, 31, 32, 33, 64, u32::MAX] {
            assert_eq!(backoff.ceiling(failures), Duration::from_secs(60));
        }
        let delays: Vec<Duration> = (0..64).map(|_| backoff.delay(10)).collect();
        assert!(delays.iter().all(|delay| *delay <= backoff.cap));
        assert!(delays.iter().any(|delay| *delay != delays[0]), "64 times the same: no jitter");
    }
}
