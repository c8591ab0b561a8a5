//! What the macros' code needs beside the public traits. Not part of the API.

use std::future::Future;

use crate::participant::TryFailure;

/// What a try returns, under whatever alias: its output and its refusal.
#[diagnostic::on_unimplemented(
    message = "a try returns `Tried<Output, Refusal>`, not `{Self}`",
    label = "not what a try returns",
    note = "write `-> Tried<Output, Refusal>`: `?` on any error is *unknown, ask again*, `return refuse(..)` a definite no"
)]
pub trait TryAnswer {
    /// What confirm and cancel are given.
    type Output;

    /// A definite no.
    type Error;
}

impl<T, E> TryAnswer for Result<T, TryFailure<E>> {
    type Output = T;
    type Error = E;
}

/// A transaction may be moved between threads, and so may what its body holds across an `.await`.
pub fn body_of_a_transaction_is_send<F: Future + Send>(body: F) -> F {
    body
}

/// Where `#[transactional]` looks for a field `tcc`: in `T`, and in what that dereferences to. If there is none, rustc names
/// this type, and its name says what to do.
#[derive(Debug)]
pub struct AddOneOrWriteOnEqualsSelfDotItsName<'a, T: ?Sized>(pub &'a T);

impl<T: ?Sized> std::ops::Deref for AddOneOrWriteOnEqualsSelfDotItsName<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

/// How the service of a participant's trait is given: as it is.
#[derive(Debug)]
pub enum Itself {}

/// How the service of a participant's trait is given: in an `Arc`.
#[derive(Debug)]
pub enum Shared {}
