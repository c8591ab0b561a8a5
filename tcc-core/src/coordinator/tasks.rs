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
use super::open;

/// Whether the runtime here has timers. Tokio says so only by a panic.
pub(super) fn can_tell_the_time() -> bool {
    std::panic::catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// Where work runs that must not end with its caller, and what a shutdown waits for.
///
/// Cheap to clone: it is handed along with every write.
#[derive(Clone)]
pub(super) struct Tasks(Arc<All>);

struct All {
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
        let closing = CancellationToken::new();
        Some(Self(Arc::new(All { runtime, tracker, background, carriers, closing })))
    }

    /// Runs the work to its end. A shutdown waits for it.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tracker.spawn_on(work, &self.0.runtime);
    }

    /// Runs the work to its end, which may be waited for; whoever stops waiting changes nothing. A shutdown waits for it.
    ///
    /// `None` if the runtime was shut down under it. Its panic goes on in who waits for it. It gets no task of its own
    /// without need: see `carried`.
    pub(super) fn run<T: Send + 'static>(&self, work: BoxFuture<'static, T>) -> Carried<T> {
        // A transaction that a participant begins is not within the one around this; and what no task carries may outlive the
        // runtime here.
        let by_caller = open::current().is_none() && tokio::task::try_id().is_some();
        self.0.carriers.carry(work, by_caller)
    }

    /// Runs a task that ends by itself in a shutdown, which waits for that last of all.
    pub(super) fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.background.spawn_on(work, &self.0.runtime);
    }

    /// Runs a task that a shutdown does not wait for: one that holds nothing of the store.
    pub(super) fn spawn_untracked(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.runtime.spawn(work);
    }

    /// Something that a shutdown waits for until it is dropped.
    pub(super) fn token(&self) -> TaskTrackerToken {
        self.0.tracker.token()
    }

    /// Cancelled once a shutdown has begun: nothing new starts.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// Begins a shutdown.
    pub(super) fn close(&self) {
        self.0.closing.cancel();
        self.0.tracker.close();
    }

    /// Waits until all tracked work has ended after [`Tasks::close`].
    pub(super) async fn drained(&self) {
        self.0.tracker.wait().await;
    }

    /// Waits until the tasks in the background have ended after [`Tasks::close`].
    pub(super) async fn background_ended(&self) {
        self.0.background.close();
        self.0.background.wait().await;
    }
}
