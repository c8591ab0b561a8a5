//! Distributed transactions by try, confirm, cancel.
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod coordinator;
pub mod participant;
pub mod protocol;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub use coordinator::*;
pub use participant::*;
pub use tcc_macros::{action, on_confirm, participant, transactional};
