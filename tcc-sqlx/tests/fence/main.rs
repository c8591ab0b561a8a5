//! The SQLite fence: every cell of its table, repeats, late calls, panics, purging.

mod bodies;
mod phases;
mod purging;
mod rig;
mod twice;
mod waits;
