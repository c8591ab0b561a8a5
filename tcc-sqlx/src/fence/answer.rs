//! The two kinds of answers that a fenced body may give.

use tcc_core::store::BoxError;
use tcc_core::{Payload, SettleError, TryFailure};

use super::FenceError;

/// What a fenced body may answer with: [`TryFailure`] in a try, [`SettleError`] in confirm and cancel. Sealed.
#[diagnostic::on_unimplemented(
    message = "a fenced body can't answer `Result<{T}, {Self}>`",
    label = "neither `Tried<T, E>` nor `Settled`",
    note = "in a try it answers `Tried<T, E>`, whose output and refusal are kept in the fence's row and so must be \
            serialisable; in confirm and cancel it answers `Settled`, that is `Result<(), SettleError>`"
)]
pub trait Answer<T>: sealed::Parts<T> {}

pub(crate) mod sealed {
    use super::{BoxError, FenceError};

    pub trait Parts<T>: Sized {
        /// Whether it answers a try.
        const OF_TRY: bool;

        /// What is kept of an output, as JSON.
        fn keep(output: &T) -> Result<Option<String>, serde_json::Error>;

        /// An output that was kept; in confirm and cancel there is none.
        fn kept(output: Option<&str>) -> Result<T, serde_json::Error>;

        /// What is kept of a refusal, as JSON; `None` if this is none.
        fn refusal(&self) -> Option<Result<String, serde_json::Error>>;

        /// A refusal that was kept.
        fn refused(refusal: &str) -> Result<Self, serde_json::Error>;

        /// A refusal by the fence itself.
        fn contradicts(why: &'static str) -> Self;

        /// The branch is over.
        fn too_late() -> Self;

        /// The fence could not be asked.
        fn unknown(error: FenceError) -> Self;

        /// The same answer; if it is unknown, why is told in another way.
        fn retold(self, told: impl FnOnce(BoxError) -> BoxError) -> Self;
    }
}

impl<T: Payload, X: Payload> Answer<T> for TryFailure<X> {}

impl<T: Payload, X: Payload> sealed::Parts<T> for TryFailure<X> {
    const OF_TRY: bool = true;

    fn keep(output: &T) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(output).map(Some)
    }

    fn kept(output: Option<&str>) -> Result<T, serde_json::Error> {
        serde_json::from_str(output.unwrap_or("null"))
    }

    fn refusal(&self) -> Option<Result<String, serde_json::Error>> {
        match self {
            Self::Refused(refusal) => Some(serde_json::to_string(refusal)),
            // `TryFailure` may grow: what is not known here is no refusal, and rolls back.
            _ => None,
        }
    }

    fn refused(refusal: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(refusal).map(Self::Refused)
    }

    fn contradicts(_: &'static str) -> Self {
        Self::TooLate
    }

    fn too_late() -> Self {
        Self::TooLate
    }

    fn unknown(error: FenceError) -> Self {
        error.into()
    }

    fn retold(self, told: impl FnOnce(BoxError) -> BoxError) -> Self {
        match self {
            Self::Unknown(error) => Self::Unknown(told(error)),
            other => other,
        }
    }
}

impl Answer<()> for SettleError {}

impl sealed::Parts<()> for SettleError {
    const OF_TRY: bool = false;

    fn keep((): &()) -> Result<Option<String>, serde_json::Error> {
        Ok(None)
    }

    fn kept(_: Option<&str>) -> Result<(), serde_json::Error> {
        Ok(())
    }

    fn refusal(&self) -> Option<Result<String, serde_json::Error>> {
        match self {
            Self::Refused(why) => Some(serde_json::to_string(why)),
            _ => None,
        }
    }

    fn refused(refusal: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(refusal).map(Self::Refused)
    }

    fn contradicts(why: &'static str) -> Self {
        Self::refuse(why)
    }

    fn too_late() -> Self {
        Self::refuse("the branch is over")
    }

    fn unknown(error: FenceError) -> Self {
        error.into()
    }

    fn retold(self, told: impl FnOnce(BoxError) -> BoxError) -> Self {
        match self {
            Self::Later(error) => Self::Later(told(error)),
            other => other,
        }
    }
}
