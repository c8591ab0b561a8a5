//! The body of a transaction and the writes that it waits for, polled together.
//!
//! Once all of a body has been polled, all branches that start together have queued: one entry takes them, and no task
//! switch is needed to find out.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use super::handoff::Handoff;
use super::live::Live;

/// Polls a body, and the writes of the branches that it waits for.
///
/// Outside of a task it only polls: there a body that blocks may poll its own branches, with the very waker that this is
/// polled with.
pub(super) async fn drive<T>(live: &Arc<Live>, body: impl Future<Output = T>) -> T {
    if tokio::task::try_id().is_none() {
        return body.await;
    }
    let mut body = pin!(body);
    let mut write: Option<Handoff<()>> = None;
    poll_fn(|cx| {
        live.drive(cx.waker());
        if let Some(under_way) = &mut write
            && Pin::new(under_way).poll(cx).is_ready()
        {
            write = None;
        }
        loop {
            if let Poll::Ready(done) = body.as_mut().poll(cx) {
                // A write that is still under way goes on in the coordinator's tasks.
                return Poll::Ready(done);
            }
            if write.is_some() {
                return Poll::Pending;
            }
            let Some(mut next) = live.wanted_write() else { return Poll::Pending };
            if Pin::new(&mut next).poll(cx).is_pending() {
                write = Some(next);
                return Poll::Pending;
            }
        }
    })
    .await
}
