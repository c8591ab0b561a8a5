//! What a participant may answer: done, never, or *unknown, ask again*.

use crate::store::BoxError;

/// What a try answers.
///
/// `?` on any error means *unknown*: the transaction can't rely on this branch, and will cancel it. A definite no is
/// `return refuse(error)`.
pub type Tried<T, E> = Result<T, TryFailure<E>>;

/// Why a try did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TryFailure<E> {
    /// A definite no.
    Refused(E),
    /// It may have happened or not.
    Unknown(BoxError),
    /// The branch was cancelled or refused before this try came: it had no effect, and never will.
    TooLate,
}

impl<E, X: std::error::Error + Send + Sync + 'static> From<X> for TryFailure<E> {
    fn from(error: X) -> Self {
        Self::Unknown(error.into())
    }
}

/// A definite no: what a try answers if the operation is not possible.
///
/// A confirm or a cancel is [`Settled`], whose no is another one: `Err(SettleError::refuse("why"))`. `refuse` in its place
/// is told by rustc as mismatched types (E0308), `Result<(), SettleError>` and `Result<_, TryFailure<_>>`; no `?` mends
/// that.
///
/// ```
/// # use tcc_core::{Tried, refuse};
/// # #[derive(Debug)] struct Short;
/// fn take(available: u32, wanted: u32) -> Tried<u32, Short> {
///     if available < wanted {
///         return refuse(Short);
///     }
///     Ok(available - wanted)
/// }
/// # assert!(take(1, 2).is_err());
/// ```
pub fn refuse<T, E>(error: E) -> Tried<T, E> {
    Err(TryFailure::Refused(error))
}

/// What a confirm or a cancel answers.
///
/// `?` on any error means *later*: it is asked again until it succeeds. A definite never is
/// `Err(SettleError::refuse("why"))`, and not [`refuse`], which answers a try.
pub type Settled = Result<(), SettleError>;

/// Why a confirm or a cancel did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettleError {
    /// Not now: ask again.
    Later(BoxError),
    /// Never. It is kept as a fact, no repeat changes it, and an operator has to resolve it.
    Refused(String),
}

impl SettleError {
    /// Says *never*, and why.
    pub fn refuse(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

impl<X: std::error::Error + Send + Sync + 'static> From<X> for SettleError {
    fn from(error: X) -> Self {
        Self::Later(error.into())
    }
}
