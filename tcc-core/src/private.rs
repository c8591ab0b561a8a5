//! What the macros' code needs beside the public traits. Not part of the API.

use std::future::Future;

use crate::participant::{Settled, TryFailure};

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

/// What a confirm, a cancel or an action on confirm returns, under whatever alias.
#[diagnostic::on_unimplemented(
    message = "a confirm, a cancel and an action on confirm return `Settled`, not `{Self}`",
    label = "can't tell a refusal from an answer that is unknown",
    note = "write `-> Settled`: `?` on any error is *later, ask again*, `Err(SettleError::refuse(\"why\"))` a definite never"
)]
pub trait SettleAnswer {
    /// The same, by its own name.
    fn settled(self) -> Settled;
}

impl SettleAnswer for Settled {
    fn settled(self) -> Settled {
        self
    }
}

/// The request as a confirm or a cancel has written its type, perhaps by an alias.
#[diagnostic::on_unimplemented(
    message = "the try takes the request as `{Self}`, but its confirm or cancel as `{Written}`",
    label = "expected `{Self}`, as the try has it",
    note = "a confirm and a cancel are given the request of their try: write the same type in all three"
)]
pub trait Request<Written> {
    /// The same.
    fn given(self) -> Written;
}

impl<T> Request<T> for T {
    fn given(self) -> T {
        self
    }
}

/// The output as a confirm or a cancel has written its type, perhaps by an alias.
#[diagnostic::on_unimplemented(
    message = "the try's output is given as `{Self}`, but taken as `{Written}`",
    label = "expected `{Self}`, as the try has it",
    note = "a confirm is given the output of its try, a cancel an `Option` of it: write the same type in all three"
)]
pub trait Output<Written> {
    /// The same.
    fn given(self) -> Written;
}

impl<T> Output<T> for T {
    fn given(self) -> T {
        self
    }
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
