//! Work that a caller carries for as long as it comes back for it, and that a task of the coordinator takes over if not.
//!
//! A task of its own would cost each transaction an allocation, a place in the runtime's lists, and two changes of tasks.
//! So a decision, and what of phase two is done at once, is polled by who waits for it. If that one is dropped, the rest goes
//! to a task. If it is kept and not polled (PEERS 21), nobody tells: so what has been waiting for a while is taken over as
//! well, whoever has it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::open;

/// What has waited for so long, and not more than twice as long, is taken over.
const STALL: Duration = Duration::from_millis(20);

/// Where the work runs that is taken over, and what is to be looked at.
pub(super) struct Carriers {
    runtime: Handle,
    tracker: TaskTracker,
    waiting: Mutex<Waiting>,
    /// Whether nobody looks, for there is nothing to look at.
    idle: AtomicBool,
    /// There is something to look at again, or all of this is gone.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    /// What has come since it was looked last.
    new: Vec<Arc<dyn Carry>>,
    /// What was there then.
    old: Vec<Arc<dyn Carry>>,
}

impl Carriers {
    /// With the task that looks, which ends with it.
    pub(super) fn start(runtime: &Handle, tracker: &TaskTracker) -> Arc<Self> {
        let changed = Arc::new(Notify::new());
        let carriers = Arc::new(Self {
            runtime: runtime.clone(),
            tracker: tracker.clone(),
            waiting: Mutex::default(),
            idle: AtomicBool::new(true),
            changed: changed.clone(),
        });
        let weak = Arc::downgrade(&carriers);
        runtime.spawn(async move {
            open::learn().await;
            loop {
                changed.notified().await;
                let mut more = weak.strong_count() > 0;
                while more {
                    tokio::time::sleep(STALL).await;
                    more = weak.upgrade().is_some_and(|carriers| carriers.look());
                }
                if weak.strong_count() == 0 {
                    return;
                }
            }
        });
        carriers
    }

    /// Does the work in the caller's task, if that may be and its runtime is the one here: what is begun on another would
    /// end with that.
    pub(super) fn carry<T: Send + 'static>(
        self: &Arc<Self>,
        work: BoxFuture<'static, T>,
        by_caller: bool,
    ) -> Carried<T> {
        let by_caller =
            by_caller && Handle::try_current().is_ok_and(|handle| handle.id() == self.runtime.id());
        let work = if by_caller { By::Caller(work) } else { By::Task(self.spawn(work)) };
        Carried { work, carriers: self.clone() }
    }

    fn spawn<T: Send + 'static>(&self, work: BoxFuture<'static, T>) -> JoinHandle<T> {
        self.tracker.spawn_on(work, &self.runtime)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers to look at it.
    fn watch(&self, work: Arc<dyn Carry>) {
        self.waiting().new.push(work);
        if self.idle.load(Ordering::Relaxed) && self.idle.swap(false, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }

    /// Takes over what was there already when it was looked last. `false` if there is nothing more to look at.
    fn look(&self) -> bool {
        let stalled = {
            let mut waiting = self.waiting();
            let new = std::mem::take(&mut waiting.new);
            let stalled = std::mem::replace(&mut waiting.old, new);
            if waiting.old.is_empty() {
                // Under the lock: what comes next sees it.
                self.idle.store(true, Ordering::Release);
            }
            stalled
        };
        for work in stalled {
            if !work.take_over(self) {
                self.watch(work);
            }
        }
        !self.idle.load(Ordering::Acquire)
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// Work that may be taken over.
trait Carry: Send + Sync {
    /// Gives it to a task, unless it is done. `false` if it is being polled in this moment.
    fn take_over(&self, carriers: &Carriers) -> bool;
}

/// What waits for work, and does it.
pub(super) struct Carried<T: Send + 'static> {
    work: By<T>,
    carriers: Arc<Carriers>,
}

/// By whom work is done.
enum By<T> {
    /// Its caller, who has not had to wait yet.
    Caller(BoxFuture<'static, T>),
    /// Its caller, or a task that has taken it over.
    Either(Arc<Slot<T>>),
    /// A task.
    Task(JoinHandle<T>),
    Nobody,
}

struct Slot<T>(Mutex<State<T>>);

enum State<T> {
    Caller { work: BoxFuture<'static, T>, caller: Waker },
    Task(JoinHandle<T>),
    Nobody,
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Carry for Slot<T> {
    fn take_over(&self, carriers: &Carriers) -> bool {
        let mut state = match self.0.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        match std::mem::replace(&mut *state, State::Nobody) {
            State::Caller { work, caller } => {
                *state = State::Task(carriers.spawn(work));
                drop(state);
                // It waits for the task from now on.
                caller.wake();
            }
            other => *state = other,
        }
        true
    }
}

impl<T: Send + 'static> Future for Carried<T> {
    /// `None` if the runtime was shut down under the work. A panic of the work goes on in who waits for it.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // Taken out while it is polled: if it panics, there is nothing left to hand on.
        let (polled, work) = match std::mem::replace(&mut self.work, By::Nobody) {
            By::Caller(mut work) => match work.as_mut().poll(cx) {
                Poll::Ready(done) => return Poll::Ready(Some(done)),
                Poll::Pending => {
                    let state = State::Caller { work, caller: cx.waker().clone() };
                    let slot = Arc::new(Slot(Mutex::new(state)));
                    self.carriers.watch(slot.clone());
                    (Poll::Pending, By::Either(slot))
                }
            },
            By::Either(slot) => {
                let polled = slot.state().poll(cx);
                (polled, By::Either(slot))
            }
            By::Task(mut task) => (join(&mut task, cx), By::Task(task)),
            By::Nobody => panic!("work is not polled after it is done"),
        };
        if polled.is_pending() {
            self.work = work;
        }
        polled
    }
}

impl<T> State<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let (polled, state) = match std::mem::replace(self, Self::Nobody) {
            Self::Caller { mut work, mut caller } => {
                let polled = work.as_mut().poll(cx).map(Some);
                if polled.is_pending() {
                    caller.clone_from(cx.waker());
                }
                (polled, Self::Caller { work, caller })
            }
            Self::Task(mut task) => (join(&mut task, cx), Self::Task(task)),
            Self::Nobody => panic!("work is not polled after it is done"),
        };
        if polled.is_pending() {
            *self = state;
        }
        polled
    }
}

fn join<T>(task: &mut JoinHandle<T>, cx: &mut Context<'_>) -> Poll<Option<T>> {
    Pin::new(task).poll(cx).map(|joined| match joined {
        Ok(done) => Some(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    })
}

impl<T: Send + 'static> Drop for Carried<T> {
    fn drop(&mut self) {
        let work = match std::mem::replace(&mut self.work, By::Nobody) {
            By::Caller(work) => work,
            By::Either(slot) => match std::mem::replace(&mut *slot.state(), State::Nobody) {
                State::Caller { work, .. } => work,
                State::Task(_) | State::Nobody => return,
            },
            By::Task(_) | By::Nobody => return,
        };
        drop(self.carriers.spawn(work));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    fn carriers() -> Arc<Carriers> {
        Carriers::start(&Handle::current(), &TaskTracker::new())
    }

    /// Work that waits for a word, and says what it was; and that word.
    fn work() -> (BoxFuture<'static, u32>, oneshot::Sender<u32>) {
        let (word, heard) = oneshot::channel();
        (async { heard.await.expect("it is said") }.boxed(), word)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_at_once_is_done_here() {
        let carriers = carriers();
        assert_eq!(carriers.carry(std::future::ready(7).boxed(), true).await, Some(7));
        assert_eq!(carriers.tracker.len(), 0);
        assert!(carriers.idle.load(Ordering::Relaxed), "there was nothing to look at");
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_caller_does_not_come_back_for_is_taken_over() {
        let carriers = carriers();
        let (work, word) = work();
        let mut carried = carriers.carry(work, true);
        assert!(poll!(&mut carried).is_pending());
        tokio::time::sleep(STALL / 2).await;
        assert_eq!(carriers.tracker.len(), 0, "its caller may well come back");
        tokio::time::sleep(STALL * 2).await;
        assert_eq!(carriers.tracker.len(), 1);
        word.send(7).unwrap();
        assert_eq!(carried.await, Some(7));
    }

    /// The caller waits as it should, and the work takes its time: it is woken for the answer, whoever has found it.
    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_by_whoever_does_the_work() {
        let carriers = carriers();
        for time in [STALL / 4, STALL * 5] {
            let work = async move { tokio::time::sleep(time).await }.boxed();
            let waiting = tokio::spawn(carriers.carry(work, true));
            let told = tokio::time::timeout(STALL * 10, waiting).await.expect("it is woken");
            assert_eq!(told.unwrap(), Some(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_caller_drops_goes_on() {
        let carriers = carriers();
        for polls in 0..2 {
            let (done, is_done) = oneshot::channel();
            let (work, word) = work();
            let mut carried = carriers.carry(work.map(|said| done.send(said).unwrap()).boxed(), true);
            for _ in 0..polls {
                assert!(poll!(&mut carried).is_pending());
            }
            drop(carried);
            word.send(7).unwrap();
            assert_eq!(is_done.await, Ok(7), "after {polls} polls");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_goes_on_in_who_waits() {
        let carriers = carriers();
        for time in [Duration::ZERO, STALL / 4, STALL * 5] {
            let work: BoxFuture<'static, ()> = async move {
                tokio::time::sleep(time).await;
                panic!("as told");
            }
            .boxed();
            let panic = tokio::spawn(carriers.carry(work, true)).await.unwrap_err().into_panic();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"as told"), "after {time:?}");
        }
    }

    /// What is being polled in the moment of the look may be left behind right after that.
    #[tokio::test(start_paused = true)]
    async fn what_is_polled_while_it_is_looked_at_is_looked_at_again() {
        let carriers = carriers();
        let (work, _word) = work();
        let mut carried = carriers.carry(work, true);
        assert!(poll!(&mut carried).is_pending());
        let By::Either(slot) = &carried.work else { panic!("it was polled once") };
        let polled = slot.state();
        assert!(carriers.look(), "it is old from now on");
        carriers.look();
        drop(polled);
        assert_eq!(carriers.tracker.len(), 0);
        assert!(carriers.look());
        carriers.look();
        assert_eq!(carriers.tracker.len(), 1);
    }

    /// Nothing looks while there is nothing to look at; and all of it ends when nobody needs it.
    #[tokio::test(start_paused = true)]
    async fn it_rests_and_ends() {
        let carriers = carriers();
        let (work, word) = work();
        let mut carried = carriers.carry(work, true);
        assert!(poll!(&mut carried).is_pending());
        word.send(7).unwrap();
        assert_eq!(carried.await, Some(7));
        tokio::time::sleep(STALL * 3).await;
        assert!(carriers.idle.load(Ordering::Relaxed));
        assert!(carriers.waiting().old.is_empty());
        let tasks = Handle::current().metrics();
        assert_eq!(tasks.num_alive_tasks(), 1);
        drop(carriers);
        tokio::time::sleep(STALL).await;
        assert_eq!(tasks.num_alive_tasks(), 0);
    }
}
