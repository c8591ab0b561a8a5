//! Randomness: ids that never repeat, and jitter.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::protocol::{Op, Owner, Run, TxId};

thread_local! {
    /// Seeded from the operating system, so that no two threads of no two processes draw the same ids. Uniqueness is
    /// what is needed; nothing here is a secret.
    static GENERATOR: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::with_seed(
        getrandom::u64().expect("the operating system gives random numbers"),
    ));
}

fn next<T>(draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    GENERATOR.with_borrow_mut(draw)
}

/// What tells one delivery of a call from all others.
pub(crate) fn delivery() -> u64 {
    next(|rng| rng.u64(..))
}

/// A fresh op.
pub(super) fn op() -> Op {
    Op::from_u64(next(|rng| rng.u64(..)))
}

/// A fresh owner.
pub(super) fn owner() -> Owner {
    Owner::from_u64(getrandom::u64().expect("the operating system gives random numbers"))
}

/// A fresh run of a key.
pub(super) fn run() -> Run {
    Run::from_u64(next(|rng| rng.u64(..)))
}

/// A fresh transaction id.
pub(super) fn tx_id(unix_millis: u64) -> TxId {
    TxId::from_time(
        unix_millis,
        next(|rng| {
            let mut bytes = [0; 10];
            rng.fill(&mut bytes);
            bytes
        }),
    )
}

/// A duration drawn evenly from nothing up to `most`: full jitter (Brooker, *Exponential Backoff And Jitter*, 2015).
pub(super) fn up_to(most: Duration) -> Duration {
    most.mul_f64(next(|rng| rng.f64()))
}

/// Milliseconds since the Unix epoch by this machine's clock. It decides nothing here; fences compare it with the begin
/// times of what they have purged. So it does not go back within a process, though the machine's clock may be set back:
/// what begins now must not look older than what is over.
#[expect(
    clippy::disallowed_methods,
    reason = "it is told to participants and operators, and no coordinator compares it with anything"
)]
pub(crate) fn unix_millis() -> u64 {
    static LATEST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    LATEST.fetch_max(now, Ordering::Relaxed).max(now)
}
