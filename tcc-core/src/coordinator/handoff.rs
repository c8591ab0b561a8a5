//! Work that outlives the future that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::tasks::Tasks;

/// Polls a future in its caller's task, without a task of its own; if the caller is dropped in the middle, the rest runs
/// on the coordinator's tasks.
pub(super) struct Handoff<'a, T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    tasks: &'a Tasks,
}

impl<'a, T: Send + 'static> Handoff<'a, T> {
    pub(super) fn new(tasks: &'a Tasks, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), tasks }
    }
}

impl<T: Send + 'static> Future for Handoff<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled: if it panics, there is nothing left to hand on.
        let mut work = self.work.take().expect("a handoff is not polled after it is done");
        let poll = work.as_mut().poll(cx);
        if poll.is_pending() {
            self.work = Some(work);
        }
        poll
    }
}

impl<T: Send + 'static> Drop for Handoff<'_, T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.spawn(async move {
                work.await;
            });
        }
    }
}
