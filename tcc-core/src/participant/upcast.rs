//! Payloads of an older version.

use crate::store::BoxError;

/// A payload that can be made from that of an older version: what [`Registry::add_upcast`](super::Registry::add_upcast)
/// asks for.
///
/// Every type that is `TryFrom<Old>`, or `From<Old>`, is one. The error says why a value has no counterpart; it is kept
/// with the branch, so it should not quote the payload.
#[diagnostic::on_unimplemented(
    message = "`{Old}` can't be upcast to `{Self}`",
    label = "`{Self}` is not made from this",
    note = "write `impl From<{Old}> for {Self}`, or `TryFrom` with an error that is a `std::error::Error` if not every \
            value has a counterpart"
)]
pub trait Upcast<Old>: Sized {
    /// The payload as it is written today.
    ///
    /// # Errors
    /// That of the conversion.
    fn upcast(old: Old) -> Result<Self, BoxError>;
}

// So that rustc speaks of `Upcast`, and not of each of its parts.
#[diagnostic::do_not_recommend]
impl<Old, New: TryFrom<Old, Error: Into<BoxError>>> Upcast<Old> for New {
    fn upcast(old: Old) -> Result<Self, BoxError> {
        Self::try_from(old).map_err(Into::into)
    }
}
