//! The participant's side: what an action is, who does it, and what it may answer.
//!
//! The macros are sugar over the traits here, and hand-written implementations are equal citizens: [`ActionType`] says
//! what an action is (a client needs no more), [`Handler`] does it, [`Service`] registers the handlers of one
//! participant. On a trait, `#[participant]` makes a client by whose name it is called, and serves it by what implements
//! it.
//!
//! A branch is settled by the handler of the version under which it was logged; [`Registry::add_upcast`] lets a newer one
//! do so.

mod action;
mod answer;
mod bound;
mod branch;
mod intercept;
mod registry;
mod upcast;

pub use action::{ActionType, Handler, Never, Payload};
pub use answer::{SettleError, Settled, Tried, TryFailure, refuse};
pub(crate) use bound::{Payloads, Read};
pub use branch::{Branch, DeliveryId};
pub use intercept::{Delivered, Delivery, Intercept, Lost};
pub(crate) use registry::TIMEOUTS;
pub use registry::{Action, Register, RegisterError, Registry, Service};
pub use upcast::Upcast;
