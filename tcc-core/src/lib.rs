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
//! `Ok` confirms. `Err`, a panic, the deadline, and dropping the future cancel. The caller is back when the decision is
//! durable and each branch had its first attempt; [`Coordinator::settled`] waits for the end, [`Coordinator::outcome`]
//! asks.
//!
//! # Unknown is not refused
//!
//! A method has three answers. `Ok` is done. `?` on any error is *unknown*: the answer may have been lost, the work done
//! or not; a try is then cancelled, a confirm or cancel asked again until it succeeds. A *refusal* is definite:
//! [`refuse`] in a try gives the body a typed [`BranchError::Refused`]; [`SettleError::refuse`] in a confirm or cancel
//! makes the transaction *heuristic*, to be resolved by an operator.
//!
//! # Several branches
//!
//! Branches may follow one another or start together; those that start together cost one write of the store. A body may
//! survive a branch that failed, and still confirm the others: what is not acknowledged is cancelled.
//!
//! ```
//! # use tcc_core::{Branch, BranchError, Never, Settled, TransactionError, Tried, Tx, participant, refuse};
//! # struct Inventory; struct Wallet; struct Coupons; struct Mail;
//! # #[participant("inventory")] impl Inventory {
//! #     #[action(cancel = release)] async fn reserve(&self, cx: &Branch, n: u32) -> Tried<u32, Never> { Ok(n) }
//! #     async fn release(&self, cx: &Branch, n: u32, _: Option<u32>) -> Settled { Ok(()) }
//! # }
//! # #[participant("wallet")] impl Wallet {
//! #     #[action(cancel = refund)] async fn freeze(&self, cx: &Branch, n: u32) -> Tried<u32, Never> { Ok(n) }
//! #     async fn refund(&self, cx: &Branch, n: u32, _: Option<u32>) -> Settled { Ok(()) }
//! # }
//! # #[participant("coupons")] impl Coupons {
//! #     #[action(cancel = restore)] async fn spend(&self, cx: &Branch, c: String) -> Tried<u32, String> { refuse("spent".into()) }
//! #     async fn restore(&self, cx: &Branch, c: String, _: Option<u32>) -> Settled { Ok(()) }
//! # }
//! #[participant("mail")]
//! impl Mail {
//!     /// No try: it is called if, and when, the transaction confirms. A reliable message.
//!     #[on_confirm]
//!     async fn receipt(&self, cx: &Branch, to: String) -> Settled {
//!         Ok(())
//!     }
//! }
//!
//! # #[derive(Debug, thiserror::Error)]
//! # enum Error {
//! #     #[error(transparent)] Branch(#[from] BranchError<Never>),
//! #     #[error(transparent)] Transaction(#[from] TransactionError),
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let tcc = tcc_core::Coordinator::builder("shop", tcc_core::store::MemoryStore::new());
//! # let tcc = tcc.register(Inventory).register(Wallet).register(Coupons).register(Mail).start().await?;
//! let price = tcc.run("checkout", async |tx: &Tx| {
//!     let rebate = match tx.on::<Coupons>().spend("SPRING".into()).await {
//!         Ok(rebate) => rebate,
//!         Err(BranchError::Refused(_)) => 0, // then without: this branch alone is cancelled
//!         Err(_) => 0,
//!     };
//!     let (_, price) = tokio::try_join!(
//!         tx.on::<Inventory>().reserve(3),
//!         tx.on::<Wallet>().freeze(30 - rebate),
//!     )?;
//!     tx.on::<Mail>().receipt("ann@example.com".into()).await?;
//!     Ok::<_, Error>(price)
//! }).await?;
//! assert_eq!(price, 30);
//! # tcc.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # The fence
//!
//! Every phase may be called more than once, late, and in any order: a network repeats and delays, and a coordinator
//! that was killed is succeeded by another that asks again. The *fence* gives every (branch, phase) exactly one effect. It
//! is one row per branch in the participant's own database, written in the same local transaction as her business
//! change. `tcc-sqlx` has it for SQLite: `cx.fenced(&self.db, async |db| { … })`.
//!
//! ```text
//! async fn reserve(&self, cx: &Branch, request: Reserve) -> Tried<Hold, OutOfStock> {
//!     cx.fenced(&self.db, async |db| {
//!         let taken = sqlx::query("UPDATE stock SET free = free - ?1, held = held + ?1 WHERE free >= ?1")
//!             .bind(request.quantity).execute(&mut *db).await?; // unknown: ask again
//!         if taken.rows_affected() == 0 {
//!             return refuse(OutOfStock { sku: request.sku });
//!         }
//!         Ok(Hold { quantity: request.quantity })
//!     }).await
//! }
//! ```
//!
//! | phase ↓ / row → | none | tried | confirmed | cancelled | refused |
//! | --- | --- | --- | --- | --- | --- |
//! | try | insert, run | first output again | first output again | **too late** | too late |
//! | confirm | refused (without a try: insert, run) | mark, run | skip | refused | refused again |
//! | cancel | insert a mark, skip | mark, run | refused | skip | refused again |
//!
//! # Once only
//!
//! A key makes a business operation idempotent: the same name and key never run twice for as long as
//! [`Builder::key_retention`] says, and a repeat gets the first call's value.
//!
//! ```
//! # use tcc_core::{Coordinator, TransactionError, Tx, store::MemoryStore};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let tcc = Coordinator::builder("shop", MemoryStore::new()).start().await?;
//! for ran in [true, false] {
//!     let mut called = false;
//!     let checkout = tcc.transaction("checkout").key("order-17").request(&("apple", 3));
//!     let total = checkout.run(async |_: &Tx| {
//!         called = true;
//!         Ok::<u32, TransactionError>(30)
//!     }).await?;
//!     assert_eq!((total, called), (30, ran));
//! }
//! # tcc.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! With the macro: `#[transactional(key = order.id)]`, of anything that is `Display`. Another request with the same key is
//! [`TransactionError::Duplicate`].
//!
//! # Join
//!
//! A transaction inside another one is a mistake, and an error. A method marked [`macro@transactional`] has a twin that
//! joins the one that is open: its branches are decided with the others. What is to stand by itself, whatever becomes of
//! the outer one, says `independent`.
//!
//! ```
//! # use tcc_core::{Coordinator, TransactionError, Tx, store::MemoryStore, transactional};
//! # struct Shop { tcc: Coordinator }
//! impl Shop {
//!     #[transactional]
//!     async fn buy(&self, tx: &Tx, pieces: u32) -> Result<u32, TransactionError> {
//!         Ok(10 * pieces)
//!     }
//!
//!     #[transactional]
//!     async fn buy_two(&self, tx: &Tx) -> Result<u32, TransactionError> {
//!         self.record("two at once").await?; // kept, even if what follows is cancelled
//!         Ok(self.buy_in(tx, 1).await? + self.buy_in(tx, 2).await?) // one transaction
//!     }
//!
//!     #[transactional(independent)]
//!     async fn record(&self, tx: &Tx, what: &'static str) -> Result<(), TransactionError> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let shop = Shop { tcc: Coordinator::builder("shop", MemoryStore::new()).start().await? };
//! assert_eq!(shop.buy(1).await?, 10); // by itself
//! assert_eq!(shop.buy_two().await?, 30);
//! # shop.tcc.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # Across processes
//!
//! A participant's *trait* is what both sides know of it. Who calls it does so by its client, `tx.on::<BankClient>()`, and
//! registers whatever implements the trait: `BankClient::serve(bank)`.
//!
//! No transport comes with this crate. Yours implements the trait over HTTP or gRPC. Its request carries what the far side
//! makes its [`Branch`] of: `cx.key()`, `cx.phase()`, `cx.attempt()`, `cx.begun()`, of an action without a try
//! `cx.is_on_confirm()`, and the payloads. The far side then calls its own implementation, behind its own fence, and needs
//! no coordinator. What the network does is *unknown*, and is asked again; a refusal has to come back as one.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use std::time::UNIX_EPOCH;
//! use tcc_core::protocol::{BranchKey, Phase};
//! use tcc_core::{Branch, SettleError, Settled, Tried, TryFailure, participant, refuse};
//! # use std::{error::Error, io};
//! # use tcc_core::{BranchError, Coordinator, TransactionError, Tx, protocol::Status, store::MemoryStore};
//!
//! #[participant("bank")]
//! trait Bank {
//!     #[action(confirm = take, cancel = thaw)]
//!     async fn freeze(&self, cx: &Branch, cents: u64) -> Tried<(), String>;
//!     async fn take(&self, cx: &Branch, cents: u64, frozen: ()) -> Settled;
//!     async fn thaw(&self, cx: &Branch, cents: u64, frozen: Option<()>) -> Settled;
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Call { key: BranchKey, phase: Phase, attempt: u32, begun_ms: u64, cents: u64 }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Answer { Done, Refused(String), TooLate }
//!
//! /// The near side: it is registered as `BankClient::serve(HttpBank { … })`.
//! struct HttpBank {
//! #   far: FarBank,
//! }
//!
//! impl HttpBank {
//!     async fn ask(&self, cx: &Branch, cents: u64) -> Result<Answer, io::Error> {
//!         let begun_ms = cx.begun().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
//!         let (key, phase, attempt) = (cx.key(), cx.phase(), cx.attempt());
//!         self.post(Call { key, phase, attempt, begun_ms, cents }).await // the wire
//!     }
//! #   async fn post(&self, call: Call) -> Result<Answer, io::Error> {
//! #       let call = serde_json::from_str(&serde_json::to_string(&call)?)?;
//! #       answer(&self.far, call).await.map_err(|error| io::Error::other(error.to_string()))
//! #   }
//!
//!     async fn settle(&self, cx: &Branch, cents: u64) -> Settled {
//!         match self.ask(cx, cents).await? {
//!             Answer::Done => Ok(()),
//!             Answer::Refused(why) => Err(SettleError::refuse(why)),
//!             Answer::TooLate => Err(SettleError::refuse("it is no try that can be too late")),
//!         }
//!     }
//! }
//!
//! impl Bank for HttpBank {
//!     async fn freeze(&self, cx: &Branch, cents: u64) -> Tried<(), String> {
//!         match self.ask(cx, cents).await? { // unknown
//!             Answer::Done => Ok(()),
//!             Answer::Refused(why) => refuse(why),
//!             Answer::TooLate => Err(TryFailure::TooLate),
//!         }
//!     }
//!
//!     async fn take(&self, cx: &Branch, cents: u64, _: ()) -> Settled {
//!         self.settle(cx, cents).await
//!     }
//!
//!     async fn thaw(&self, cx: &Branch, cents: u64, _: Option<()>) -> Settled {
//!         self.settle(cx, cents).await
//!     }
//! }
//!
//! /// The far side: what its server does with a request. An error is a status 500.
//! async fn answer(bank: &impl Bank, call: Call) -> Result<Answer, Box<dyn Error + Send + Sync>> {
//!     let cx = Branch::new(call.key, "bank.freeze".parse()?, call.phase)
//!         .with_attempt(call.attempt)
//!         .with_begun_ms(call.begun_ms);
//!     let settled = match call.phase {
//!         Phase::Try => {
//!             return match bank.freeze(&cx, call.cents).await {
//!                 Ok(()) => Ok(Answer::Done),
//!                 Err(TryFailure::Refused(why)) => Ok(Answer::Refused(why)),
//!                 Err(TryFailure::TooLate) => Ok(Answer::TooLate),
//!                 Err(unknown) => Err(format!("{unknown:?}").into()),
//!             };
//!         }
//!         Phase::Confirm => bank.take(&cx, call.cents, ()).await,
//!         Phase::Cancel => bank.thaw(&cx, call.cents, None).await,
//!     };
//!     match settled {
//!         Ok(()) => Ok(Answer::Done),
//!         Err(SettleError::Refused(why)) => Ok(Answer::Refused(why)),
//!         Err(later) => Err(format!("{later:?}").into()),
//!     }
//! }
//! #
//! # struct FarBank;
//! # impl Bank for FarBank {
//! #     async fn freeze(&self, cx: &Branch, cents: u64) -> Tried<(), String> {
//! #         assert_eq!((cx.phase(), cx.attempt()), (Phase::Try, 1));
//! #         assert!(cx.begun() > UNIX_EPOCH);
//! #         if cents > 100 { refuse("poor".into()) } else { Ok(()) }
//! #     }
//! #     async fn take(&self, cx: &Branch, _: u64, _: ()) -> Settled { assert_eq!(cx.phase(), Phase::Confirm); Ok(()) }
//! #     async fn thaw(&self, _: &Branch, _: u64, _: Option<()>) -> Settled { Ok(()) }
//! # }
//! # #[derive(Debug, thiserror::Error)]
//! # enum Failed {
//! #     #[error(transparent)] Branch(#[from] BranchError<String>),
//! #     #[error(transparent)] Transaction(#[from] TransactionError),
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! # let bank = BankClient::serve(HttpBank { far: FarBank });
//! # let tcc = Coordinator::builder("shop", MemoryStore::new()).register(bank).start().await?;
//! # for (cents, status) in [(100, Status::Confirmed), (101, Status::Cancelled)] {
//! #     let mut id = None;
//! #     let ended: Result<_, Failed> = tcc.run("pay", async |tx: &Tx| {
//! #         id = Some(tx.id());
//! #         Ok(tx.on::<BankClient>().freeze(cents).await?)
//! #     }).await;
//! #     assert_eq!(tcc.settled(id.unwrap()).await?, Some(status));
//! #     match ended {
//! #         Ok(()) => assert_eq!(cents, 100),
//! #         Err(error) => assert!(matches!(error, Failed::Branch(BranchError::Refused(_))), "{error}"),
//! #     }
//! # }
//! # tcc.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # Stopping
//!
//! [`Coordinator::shutdown`] begins nothing new, lets what runs come to its decision, waits for the attempts under way, and
//! puts the rest back for other instances. A token begins it from elsewhere, at a signal say. A process that is killed
//! instead loses nothing: another one takes over when its leases have run out.
//!
//! ```
//! # use tcc_core::{Coordinator, TransactionError, Tx, store::MemoryStore};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let token = CancellationToken::new();
//! let tcc = Coordinator::builder("shop", MemoryStore::new()).shutdown_on(token.clone()).start().await?;
//! token.cancel(); // at Ctrl-C
//! tcc.shutdown().await; // until all is in the store
//! let late = tcc.run("checkout", async |_: &Tx| Ok::<_, TransactionError>(())).await;
//! assert!(matches!(late, Err(TransactionError::Closed)));
//! # Ok(()) }
//! ```
//!
//! # Deploys
//!
//! Names and payloads are persisted, so they outlive a release. An action that is not known to an instance is put back for
//! another; nothing is guessed. A payload that changes gets a new `version`, handled beside the old one for as long as
//! old transactions live: see [`macro@action`].
//!
//! # Operators
//!
//! [`Coordinator::operator`] lists what is unfinished, shows a log as a timeline, cancels what is undecided, retries, and
//! resolves what a participant has refused; who and why are kept. [`Builder::on_stuck`] and [`Builder::on_heuristic`] call
//! for help.
//!
//! ```
//! # use tcc_core::{Coordinator, Filter, store::MemoryStore};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let tcc = Coordinator::builder("shop", MemoryStore::new()).start().await?;
//! let stuck = Filter::new().failed_attempts(10);
//! let page = tcc.operator().list(&stuck, None, 100).await?;
//! for transaction in &page.items {
//!     println!("{} {}", transaction.id, transaction.record.status());
//! }
//! tcc.operator().retry_all_now(&stuck).await?; // the outage is over: don't wait for the backoff
//! # tcc.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # A store of your own
//!
//! Implement [`StatusStore`](store::StatusStore): append if the log still ends where the writer believes, claim what is
//! due, read, list. It knows nothing of the protocol. One macro line runs the conformance suite on it, with one test for
//! each promise of the contract:
//!
//! ```text
//! tcc_core::testing::store_suite!(MyFixture);
//! ```
//!
//! `testing` has the same for an action of your own, and a `FaultStore` and a `FaultParticipant` that fail by plan.
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
//! - [`metrics`]: what is measured (feature `metrics`), and how to show it to Prometheus.
//! - [`TraceParent`](protocol::TraceParent): the trace that a transaction belongs to. With the feature `opentelemetry` it is
//!   that of the span in which the transaction begins: [`Builder::trace_context`].
//! - `testing` (feature `testing`): the conformance suites for a store and for an action of your own, and stores and
//!   participants that fail by plan.

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod coordinator;
pub mod metrics;
pub mod participant;
pub mod protocol;
mod span;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use coordinator::{
    Alert, Backoff, BranchError, Builder, ConfigError, Coordinator, Duplicate, Event, Filter,
    KeyedTransaction, Operator, OperatorError, Participant, SettleOrder, StartError, Timeline, Transaction,
    TransactionError, TransactionInfo, Transactions, Tx, UnknownAction,
};
pub use participant::{
    ActionType, Branch, Delivered, Delivery, DeliveryId, Handler, Intercept, Lost, Never, Payload, Register,
    RegisterError, Registry, Service, SettleError, Settled, Tried, TryFailure, Upcast, refuse,
};
pub use tcc_macros::{action, on_confirm, participant, transactional};
