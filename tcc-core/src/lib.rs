//! Distributed transactions by try, confirm, cancel.
pub mod participant;
pub mod protocol;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub use participant::*;
