//! One call of a participant: within its time limit, its panic caught.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::meter::Reply;

/// Why a call gave no answer: it is *unknown* whether it had its effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("the participant did not answer in time")]
    TimedOut,
    #[error("the participant panicked: {0}")]
    Panicked(String),
}

impl NoAnswer {
    /// What is measured of it.
    pub(super) const fn reply(&self) -> Reply {
        match self {
            Self::TimedOut => Reply::TimedOut,
            Self::Panicked(_) => Reply::Panicked,
        }
    }
}

/// Waits for the answer of a participant until then.
pub(crate) async fn answer<T>(call: impl Future<Output = T> + Send, until: Instant) -> Result<T, NoAnswer> {
    match tokio::time::timeout_at(until, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => Err(NoAnswer::Panicked(panic_text(&*panic))),
        Err(_) => Err(NoAnswer::TimedOut),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "without a text".to_owned()
    }
}
