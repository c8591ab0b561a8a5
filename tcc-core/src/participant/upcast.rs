//! Payloads of an older version.

use crate::store::BoxError;

/// A payload of an older version that becomes the `New` one: what
/// [`Registry::add_upcast`](super::Registry::add_upcast) asks for.
///
/// Every type of which `New` is `TryFrom`, or `From`, is one. The error becomes a `Box<dyn Error + Send + Sync>`, as every
/// [`std::error::Error`] that is `Send + Sync + 'static` does, and a `String`. It says why a value has no counterpart; it is kept
/// with the branch, so it should not quote the payload.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be upcast to `{New}`",
    label = "`{New}` is not made from this",
    note = "write `impl From<{Self}> for {New}`, or `TryFrom` if not every value has a counterpart, with an error \
            that can be boxed: a `std::error::Error` that is `Send + Sync + 'static`, or a `String`"
)]
pub trait Upcast<New> {
    /// The payload as it is written today.
    ///
    /// # Errors
    /// That of the conversion.
    fn upcast(self) -> Result<New, BoxError>;
}

// So that rustc speaks of `Upcast`, and not of each of its parts.
#[diagnostic::do_not_recommend]
impl<Old, New: TryFrom<Old, Error: Into<BoxError>>> Upcast<New> for Old {
    fn upcast(self) -> Result<New, BoxError> {
        New::try_from(self).map_err(Into::into)
    }
}
