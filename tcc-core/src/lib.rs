//! Distributed transactions by **TCC**: try, confirm, cancel.
//!
//! A business operation that spans several services, each with its own data, happens everywhere or nowhere: through
//! crashes, timeouts, lost messages and redeploys. Every service first *tries*: it puts aside what the operation needs.
//! When all have, the transaction is decided, once and durably; then every branch is *confirmed*, or every one is
//! *cancelled*, for as long as it takes.
//!
//! # The first transaction
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tcc_core::store::MemoryStore;
//! use tcc_core::{
//!     Branch, BranchError, Coordinator, Settled, TransactionError, Tried, Tx, participant, refuse, transactional,
//! };
//!
//! #[derive(Serialize, Deserialize)]
//! struct Reserve { sku: String, quantity: u32 }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Hold { quantity: u32 }
//!
//! #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
//! #[error("{sku} is out of stock")]
//! struct OutOfStock { sku: String }
//!
//! struct Inventory;
//!
//! #[participant("inventory")] // the stable, persisted name
//! impl Inventory {
//!     /// Puts stock aside until the order settles.
//!     #[action(confirm = ship, cancel = release, timeout = "5s")]
//!     async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, OutOfStock> {
//!         // Her own database: see the fence below.
//!         if request.quantity > 100 {
//!             return refuse(OutOfStock { sku: request.sku }); // a definite no
//!         }
//!         Ok(Hold { quantity: request.quantity })
//!     }
//!
//!     async fn ship(&self, cx: &Branch, request: Reserve, hold: Hold) -> Settled {
//!         Ok(()) // takes what was put aside
//!     }
//!
//!     async fn release(&self, cx: &Branch, request: Reserve, hold: Option<Hold>) -> Settled {
//!         Ok(()) // gives it back
//!     }
//! }
//!
//! #[derive(Debug, thiserror::Error)]
//! enum CheckoutError {
//!     #[error(transparent)]
//!     Stock(#[from] BranchError<OutOfStock>),
//!     #[error(transparent)]
//!     Transaction(#[from] TransactionError),
//! }
//!
//! struct Shop { tcc: Coordinator }
//!
//! impl Shop {
//!     #[transactional(name = "checkout", timeout = "30s")]
//!     async fn checkout(&self, tx: &Tx, quantity: u32) -> Result<u32, CheckoutError> {
//!         let hold = tx.on::<Inventory>().reserve(Reserve { sku: "apple".into(), quantity }).await?;
//!         Ok(hold.quantity)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tcc = Coordinator::builder("shop", MemoryStore::new()).register(Inventory).start().await?;
//! let shop = Shop { tcc };
//! assert_eq!(shop.checkout(3).await?, 3); // confirmed
//! assert!(shop.checkout(101).await.is_err()); // cancelled
//! # shop.tcc.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! `Ok` confirms. `Err`, a panic, the deadline, and dropping the future cancel.
//!
//! # Unknown is not refused
//!
//! A method has three answers. `Ok` is done. `?` on any error is *unknown*: the answer may have been lost, the work done
//! or not; a try is then cancelled, a confirm or cancel asked again until it succeeds. A *refusal* is definite:
//! [`refuse`] in a try gives the body a typed [`BranchError::Refused`]; [`SettleError::refuse`] in a confirm or cancel
//! makes the transaction *heuristic*, to be resolved by an operator.
//!
//! A body may survive a branch that failed, and still confirm the others: what is not acknowledged is cancelled.
//!
//! # The fence
//!
//! Every phase may be called more than once, late, and in any order: a network repeats and delays, and a coordinator
//! that was killed is succeeded by another that asks again. The *fence* gives every (branch, phase) exactly one effect. It
//! is one row per branch in the participant's own database, written in the same local transaction as her business
//! change. `tcc-sqlx` has it for SQLite: `cx.fenced(&self.db, async |db| { … })`.
//!
//! | phase ↓ / row → | none | tried | confirmed | cancelled | refused |
//! | --- | --- | --- | --- | --- | --- |
//! | try | insert, run | first output again | first output again | **too late** | too late |
//! | confirm | refused (without a try: insert, run) | mark, run | skip | refused | refused again |
//! | cancel | insert a mark, skip | mark, run | refused | skip | refused again |
//!
//! # Parts
//!
//! - [`mod@participant`]: what an action is, and what it answers. The macros [`macro@participant`], [`macro@action`] and
//!   [`macro@on_confirm`] are sugar over the traits there.
//! - [`coordinator`]: runs transactions, settles them, recovers what others left. [`macro@transactional`] is sugar over
//!   [`Coordinator::transaction`].
//! - [`protocol`]: the pure machine beneath: changes, records, the transition table.
//! - [`store`]: the contract of a status store, and [`MemoryStore`](store::MemoryStore). Durable stores are in crates of
//!   their own: `tcc-redis`, `tcc-sqlx`.
//! - `testing` (feature `testing`): the conformance suite for a store of your own, and stores and participants that
//!   fail by plan.
//!
//! # A store of your own
//!
//! Implement [`StatusStore`](store::StatusStore): append if the log still ends where the writer believes, claim what is
//! due, read, list. It knows nothing of the protocol. One macro line runs the conformance suite on it:
//!
//! ```text
//! tcc_core::testing::store_suite!(MyFixture);
//! ```

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod coordinator;
pub mod participant;
pub mod protocol;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use coordinator::{
    Alert, Backoff, BranchError, Builder, ConfigError, Coordinator, Duplicate, Event, Filter,
    KeyedTransaction, Operator, OperatorError, Participant, SettleOrder, StartError, Timeline, Transaction,
    TransactionError, TransactionInfo, Transactions, Tx, UnknownAction,
};
pub use participant::{
    ActionType, Branch, Delivered, Delivery, Handler, Intercept, Lost, Never, Payload, Register,
    RegisterError, Registry, Service, SettleError, Settled, Tried, TryFailure, refuse,
};
pub use tcc_macros::{action, on_confirm, participant, transactional};
