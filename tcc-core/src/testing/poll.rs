//! Futures that are polled a number of times: to be dropped then, or to meet another.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

/// Polls a future so often, and drops it if it is not done by then.
pub(super) async fn dropped_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    polled(polls, pin!(work)).await
}

/// Polls a future so often; its answer, if it is done by then.
pub(super) async fn polled<F: Future + ?Sized>(polls: usize, mut work: Pin<&mut F>) -> Option<F::Output> {
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
