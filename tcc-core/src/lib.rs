//! Distributed transactions by try, confirm, cancel.
pub mod participant;
pub mod protocol;
pub mod store;
pub use participant::*;
