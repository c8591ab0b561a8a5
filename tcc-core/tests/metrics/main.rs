//! What a coordinator measures, on the memory store and on paused time.
//!
//! The recorder is one of this thread, and so are all tasks: the runtimes of these tests have no other thread.

mod attempts;
mod group;
mod rig;
mod store;
mod table;
mod transactions;
