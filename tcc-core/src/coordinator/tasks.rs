//! The coordinator's own tasks.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::carried::{Carried, Carriers};
use super::run::is_in_a_body;

/// Whether the runtime here has timers. Tokio says so only by a panic.
pub(super) fn can_tell_the_time() -> bool {
    std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// Where work runs that must not end with its caller, and what a shutdown waits for.
#[derive(Clone)]
pub(super) struct Tasks {
    runtime: Handle,
    /// What a transaction waits for.
    tracker: TaskTracker,
    /// What goes on for as long as the coordinator does.
    background: TaskTracker,
    carriers: Arc<Carriers>,
    closing: CancellationToken,
}

impl Tasks {
    /// Tasks on the current runtime; `None` if there is none.
    pub(super) fn new() -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let (tracker, background) = (TaskTracker::new(), TaskTracker::new());
        let carriers = Carriers::start(&runtime, &tracker);
        Some(Self { runtime, tracker, background, carriers, closing: CancellationToken::new() })
    }

    /// Runs the work to its end. A shutdown waits for it.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn_on(work, &self.runtime);
    }

    /// Runs the work to its end, which may be waited for; whoever stops waiting changes nothing. A shutdown waits for it.
    ///
    /// `None` if the runtime was shut down under it. Its panic goes on in who waits for it. Without need it gets no task of
    /// its own, so what it calls of a user's is polled once at most in the task of who waits for it.
    pub(super) fn run<T: Send + 'static>(&self, work: BoxFuture<'static, T>) -> Carried<T> {
        // A transaction that a participant begins is not within the one around this.
        self.carriers.carry(work, !is_in_a_body())
    }

    /// Runs a task that ends by itself in a shutdown, which waits for that last of all.
    pub(super) fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn_on(work, &self.runtime);
    }

    /// Runs a task that a shutdown does not wait for: one that holds nothing of the store.
    pub(super) fn spawn_untracked(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Something that a shutdown waits for until it is dropped.
    pub(super) fn token(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Cancelled once a shutdown has begun: nothing new starts.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Begins a shutdown.
    pub(super) fn close(&self) {
        self.closing.cancel();
        self.tracker.close();
    }

    /// Waits until all tracked work has ended after [`Tasks::close`].
    pub(super) async fn drained(&self) {
        self.tracker.wait().await;
    }

    /// Waits until the tasks in the background have ended after [`Tasks::close`].
    pub(super) async fn background_ended(&self) {
        self.background.close();
        self.background.wait().await;
    }
}
