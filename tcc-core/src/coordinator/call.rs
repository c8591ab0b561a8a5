//! One call of a participant: within its time limit, its panic caught.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::store::BoxError;

/// Why a call gave no answer: it is *unknown* whether it had its effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("the participant did not answer in time")]
    TimedOut,
    #[error("the participant panicked: {0}")]
    Panicked(String),
}

/// Waits for the answer of a participant until then.
pub(crate) async fn answer<T>(call: impl Future<Output = T> + Send, until: Instant) -> Result<T, BoxError> {
    match tokio::time::timeout_at(until, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => Err(NoAnswer::Panicked(panic_text(&*panic)).into()),
        Err(_) => Err(NoAnswer::TimedOut.into()),
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
