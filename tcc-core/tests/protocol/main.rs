//! The protocol: its table, its text, and what holds for every history.
//!
//! The properties are proptest's: a failure prints the history made small, and keeps its seed in
//! `tests/proptest-regressions`, to be tried first ever after. `PROPTEST_CASES` sets how many are tried.

mod arbitrary;
mod doubt;
mod encoding;
mod histories;
mod legality;
