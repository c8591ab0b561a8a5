//! What may happen to a call between a coordinator and a handler.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::answer::{SettleError, Settled, Tried, TryFailure};
use super::branch::Branch;

/// Stands between a coordinator and a participant's handlers, as a network would: it may hold a call up, lose it,
/// deliver it more than once or when nobody waits for it any more, or lose its answer.
pub trait Intercept: Send + Sync + 'static {
    /// Passes a call on, or not. `Ok`: its caller is given the answer of the delivery that ended last. `Err`: its
    /// caller is told that the answer is *unknown*.
    ///
    /// The future is dropped when its caller no longer waits. What is to be delivered all the same belongs on a task
    /// of its own, with a clone of the delivery.
    fn call<'a>(&'a self, call: &'a Delivery) -> BoxFuture<'a, Result<(), Lost>>;
}

/// A call on its way to a handler. Clones are the same call.
#[derive(Clone)]
pub struct Delivery {
    cx: Branch,
    deliver: Arc<dyn Fn(Branch) -> BoxFuture<'static, Delivered> + Send + Sync>,
}

impl Delivery {
    /// What the handler is told of the call.
    pub fn branch(&self) -> &Branch {
        &self.cx
    }

    /// Calls the handler, and says what it answered. May be called again: the handler then sees a repeat.
    pub async fn deliver(&self) -> Delivered {
        (self.deliver)(self.cx.redelivered()).await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivery").field(&self.cx).finish()
    }
}

/// What a handler answered, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivered {
    /// It is done.
    Done,
    /// A definite no.
    Refused,
    /// The branch was over before its try came.
    TooLate,
    /// It may have happened or not.
    Unknown(String),
}

impl Delivered {
    pub(super) fn of_try<T, E>(answer: &Tried<T, E>) -> Self {
        match answer {
            Ok(_) => Self::Done,
            Err(TryFailure::Refused(_)) => Self::Refused,
            Err(TryFailure::TooLate) => Self::TooLate,
            Err(TryFailure::Unknown(error)) => Self::Unknown(error.to_string()),
        }
    }

    pub(super) fn of_settled(answer: &Settled) -> Self {
        match answer {
            Ok(()) => Self::Done,
            Err(SettleError::Refused(_)) => Self::Refused,
            Err(SettleError::Later(error)) => Self::Unknown(error.to_string()),
        }
    }
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused => f.write_str("refused"),
            Self::TooLate => f.write_str("too late"),
            Self::Unknown(error) => write!(f, "unknown: {error}"),
        }
    }
}

/// A call or an answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Lost {
    /// What was lost, and why.
    pub what: String,
}

/// Lets a call pass an intercept, and returns the last answer.
pub(super) async fn pass<T: Send + 'static>(
    intercept: &dyn Intercept,
    cx: &Branch,
    deliver: impl Fn(Branch) -> BoxFuture<'static, T> + Send + Sync + 'static,
    summary: fn(&T) -> Delivered,
) -> Result<T, Lost> {
    let answer = Arc::new(Mutex::new(None));
    let last = answer.clone();
    let deliver = move |cx| -> BoxFuture<'static, Delivered> {
        let (answer, last) = (deliver(cx), last.clone());
        Box::pin(async move {
            let answer = answer.await;
            let delivered = summary(&answer);
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            delivered
        })
    };
    intercept.call(&Delivery { cx: cx.clone(), deliver: Arc::new(deliver) }).await?;
    let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    answer.ok_or_else(|| Lost { what: "the call was answered without being delivered".into() })
}
