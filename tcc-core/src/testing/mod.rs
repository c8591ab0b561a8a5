//! What tests need: the conformance suites for status stores and for actions, and stores and participants with faults
//! by plan.
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
//!
//! # An action of one's own, proved
//!
//! A phase may be called more than once, late, at the same time as another, or be dropped half-way. A
//! [`ParticipantFixture`] says how to start a service on fresh data, what to ask of it, and what its data say; one line
//! then gives one `#[tokio::test]` per case of the [fence's table](crate#the-fence), of repeats, and of calls that are
//! dropped, lost, late or at once. The suite learns from plain runs what *held*, *taken* and *given back* look like in
//! her data, so an action is described by no more than this:
//!
//! ```
//! # use std::sync::Mutex;
//! # use tcc_core::{Branch, Settled, Tried, participant, refuse};
//! use tcc_core::testing::ParticipantFixture;
//!
//! /// Cents: balance and frozen.
//! struct Wallet { cents: Mutex<(u32, u32)> }
//!
//! #[participant("wallet")]
//! impl Wallet {
//!     #[action(confirm = pay, cancel = thaw)]
//!     async fn freeze(&self, _: &Branch, amount: u32) -> Tried<(), String> {
//!         let mut cents = self.cents.lock().unwrap();
//!         if cents.0 < amount {
//!             return refuse(format!("only {} left", cents.0));
//!         }
//!         *cents = (cents.0 - amount, cents.1 + amount);
//!         Ok(()) // no fence: nothing says that this branch has been here
//!     }
//!     // …
//! #   async fn pay(&self, _: &Branch, amount: u32, _: ()) -> Settled {
//! #       self.cents.lock().unwrap().1 -= amount;
//! #       Ok(())
//! #   }
//! #   async fn thaw(&self, _: &Branch, amount: u32, _: Option<()>) -> Settled {
//! #       let mut cents = self.cents.lock().unwrap();
//! #       *cents = (cents.0 + amount, cents.1.saturating_sub(amount));
//! #       Ok(())
//! #   }
//! }
//!
//! struct Freeze(Wallet);
//!
//! impl ParticipantFixture for Freeze {
//!     type Action = WalletFreeze;
//!     type Service = Wallet;
//!     type State = (u32, u32);
//!
//!     async fn start() -> Self {
//!         Self(Wallet { cents: Mutex::new((100, 0)) })
//!     }
//!
//!     fn service(&self) -> &Wallet {
//!         &self.0
//!     }
//!
//!     fn request(&self, _: u32) -> u32 {
//!         30
//!     }
//!
//!     fn refused(&self) -> Option<u32> {
//!         Some(101)
//!     }
//!
//!     async fn state(&self) -> (u32, u32) {
//!         *self.0.cents.lock().unwrap()
//!     }
//! }
//!
//! tcc_core::testing::participant_suite!(Freeze, start_paused = true);
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # use tcc_core::testing::{ParticipantSuite, participant_cases};
//! # let case = participant_cases().iter().find(|case| case.name() == "a_repeated_try_answers_the_first_output").unwrap();
//! # let broken = case.run(&ParticipantSuite::of::<Freeze>()).await.unwrap_err();
//! # assert_eq!(broken.to_string(), "a promise of the contract is broken
//! #   promise: a repeat of a try answers the first output, and changes nothing
//! #   found:   the last call has an effect, where none was expected; before it
//! #        (70, 30)
//! #     at first
//! #        (100, 0)
//! #     1. try: done, with the output null
//! #        (70, 30)
//! #     2. try: done, with the output null
//! #        (40, 60)
//! #   to mend: write a row for the branch, by `cx.key()`, in the same database transaction as the effect, with the \
//! # output in it; if the row is there, answer with what it keeps");
//! # }
//! ```
//!
//! If the suite is in `tests/`, make the method `pub`: `WalletFreeze` is as visible as `freeze`.
//!
//! This one has no fence. Of the cases that fail, `a_repeated_try_answers_the_first_output` says:
//!
//! ```text
//! a promise of the contract is broken
//!   promise: a repeat of a try answers the first output, and changes nothing
//!   found:   the last call has an effect, where none was expected; before it
//!        (70, 30)
//!     at first
//!        (100, 0)
//!     1. try: done, with the output null
//!        (70, 30)
//!     2. try: done, with the output null
//!        (40, 60)
//!   to mend: write a row for the branch, by `cx.key()`, in the same database transaction as the effect, with the output
//!            in it; if the row is there, answer with what it keeps
//! ```
//!
//! A fence of `tcc-sqlx` keeps all of these promises, if the whole effect is inside of it. [`participant_cases`] gives
//! the cases as a table, and [`ParticipantSuite::starting`] takes a fixture that can't be started from nothing.

mod case;
mod cases;
mod fault;
mod fault_participant;
mod hooks;
mod participant_suite;
mod plan;
mod poll;
mod promise;
mod store_suite;
mod suite;

pub use case::Case;
pub use fault::FaultStore;
pub use fault_participant::{CallFault, CallFaults, CallRule, FaultParticipant, LateAnswer, Struck};
pub use hooks::{ClockAhead, ClockBack, Damage, Hook, Hooks, Metered};
pub use participant_suite::{
    ParticipantCase, ParticipantFixture, ParticipantSuite, participant_cases, run_participant_case,
};
pub use plan::{Call, Fault, FaultKind, Faults, Rates, Rule, Until};
pub use promise::Broken;
pub use store_suite::{run_store_case, store_cases};
pub use suite::{StoreFixture, Suite};

#[doc(inline)]
pub use crate::{participant_suite, store_suite};
