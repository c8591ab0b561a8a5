//! Chance that can be had again.

use std::hash::{BuildHasher, RandomState};

/// The environment variable that makes a test draw the same again.
pub const VARIABLE: &str = "TCC_TEST_SEED";

/// The seed of this run: from [`VARIABLE`], or a new one. It is printed, and a test that fails shows it.
pub fn of_this_run() -> u64 {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is {text:?}: it should be a number")),
        Err(_) => RandomState::new().hash_one(std::process::id()),
    };
    eprintln!("{VARIABLE}={seed}");
    seed
}

/// The generator of one round: the rounds of a run are independent of each other, so that one can be repeated alone.
pub fn round(seed: u64, round: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
