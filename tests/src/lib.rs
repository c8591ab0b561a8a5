//! What the tests of the whole share. README.md says which of them holds which invariant.

pub mod bank;
pub mod child;
pub mod generations;
pub mod load;
pub mod outages;
pub mod seed;
pub mod witness;

/// The code of README.md, compiled as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
pub mod world;
