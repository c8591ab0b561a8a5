//! What tests need: the conformance suite for status stores, and a store with faults by plan.
//!
//! # A store of one's own, proved
//!
//! A [`StoreFixture`] says how to start a store and how to open another handle on the same data; one line then gives
//! one `#[tokio::test]` per case of the contract:
//!
//! ```
//! use std::sync::Arc;
//! use tcc_core::store::MemoryStore;
//! use tcc_core::testing::StoreFixture;
//!
//! struct Memory(Arc<MemoryStore>);
//!
//! #[async_trait::async_trait]
//! impl StoreFixture for Memory {
//!     type Store = Arc<MemoryStore>;
//!
//!     async fn start() -> Self {
//!         Self(Arc::default())
//!     }
//!
//!     async fn open(&self) -> Self::Store {
//!         Arc::clone(&self.0)
//!     }
//! }
//!
//! tcc_core::testing::store_suite!(Memory, start_paused = true);
//! # fn main() {}
//! ```
//!
//! A failure names the promise of the contract that broke, what was found, and how to mend it. [`store_cases`] gives
//! the same cases as a table, for a harness of one's own.
//!
//! Some promises can only be held to by who reaches behind the store: what it does with logs that can't be read, when
//! its clock jumps, with a million logs in it. A fixture that implements [`Damage`], [`ClockAhead`], [`ClockBack`] or
//! [`Metered`] says so, and gets those cases too: `store_suite!(Memory: Damage + Metered, start_paused = true)`.

mod case;
mod cases;
mod fault;
mod fault_participant;
mod hooks;
mod plan;
mod promise;
mod suite;

pub use case::{Case, run_store_case, store_cases};
pub use fault::FaultStore;
pub use fault_participant::{CallFault, CallFaults, CallRule, FaultParticipant, LateAnswer, Struck};
pub use hooks::{ClockAhead, ClockBack, Damage, Hook, Hooks, Metered};
pub use plan::{Call, Fault, FaultKind, Faults, Rates, Rule, Until};
pub use promise::Broken;
pub use suite::{StoreFixture, Suite};

#[doc(inline)]
pub use crate::store_suite;
