//! Distributed transactions by try, confirm, cancel.
pub mod coordinator;
pub mod participant;
pub mod protocol;
pub mod store;
pub use coordinator::*;
pub use participant::*;
