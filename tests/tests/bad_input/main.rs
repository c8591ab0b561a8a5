//! Bad input: what a user sees, and that the rest works.
//!
//! Each case is told in one sentence that says what is wrong and how to mend it. `cargo test -p tcc-tests --test bad_input
//! -- --nocapture --test-threads 1` prints all of them as a table.

mod clock;
mod fake;
mod garbage;
mod mistakes;
mod redis_running;
mod redis_start;
mod said;
mod setup;
mod sqlite;
mod till;
