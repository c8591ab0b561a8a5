//! The body of a transaction while it is polled: whose it is, and that its branches get to know of each other.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use crate::protocol::TxId;

thread_local! {
    /// The body that is being polled in this thread; the inner one of two.
    static OPEN: Cell<Option<Open>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Open {
    id: TxId,
    /// Who is woken to poll it, if that is a task.
    waker: Option<Identity>,
    /// It is to be polled once more before its task does anything else.
    again: bool,
}

/// Which waker it is: its data and its functions.
type Identity = (*const (), usize);

fn identity(waker: &Waker) -> Identity {
    (waker.data(), std::ptr::from_ref(waker.vtable()).addr())
}

/// The transaction whose body is polled here.
pub(super) fn current() -> Option<TxId> {
    OPEN.get().map(|open| open.id)
}

/// The functions of the wakers of tokio's tasks, once they are known.
static OF_TASKS: AtomicUsize = AtomicUsize::new(0);

/// Learns what a task's waker looks like. To be awaited in a task.
pub(super) async fn learn() {
    poll_fn(|cx| {
        OF_TASKS.store(identity(cx.waker()).1, Ordering::Relaxed);
        Poll::Ready(())
    })
    .await;
}

/// Only a task's waker tells who polls: its runtime and nobody else. All that one thread is blocked for, in a body or around
/// it, has the same waker, that of the thread; an inner one would wait for an outer one that never comes back.
fn is_of_a_task(waker: Identity) -> bool {
    waker.1 == OF_TASKS.load(Ordering::Relaxed)
}

/// Polls a body, and once more whenever one of its branches asks for that.
pub(super) async fn body<T>(id: TxId, body: impl Future<Output = T>) -> T {
    body_polled_by(is_of_a_task, id, body).await
}

async fn body_polled_by<T>(trusted: fn(Identity) -> bool, id: TxId, body: impl Future<Output = T>) -> T {
    let mut body = pin!(body);
    poll_fn(|cx| {
        let waker = identity(cx.waker());
        let waker = trusted(waker).then_some(waker);
        loop {
            let entered = Entered::enter(id, waker);
            let poll = body.as_mut().poll(cx);
            if poll.is_ready() || !entered.leave() {
                return poll;
            }
        }
    })
    .await
}

/// Lets what was joined with this branch be polled before it goes on.
///
/// Its body is polled once more at once. That takes no turn of the runtime, and no thread is woken for it; but only who is
/// polled with the body's own waker is surely polled with it, and all others wake themselves.
pub(super) async fn after_siblings() {
    let mut polled = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        match OPEN.get() {
            Some(open) if open.waker == Some(identity(cx.waker())) => {
                OPEN.set(Some(Open { again: true, ..open }))
            }
            _ => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    })
    .await;
}

/// Takes back what it has put in the place of another body, also when the inner one panics.
struct Entered {
    outer: Option<Open>,
}

impl Entered {
    fn enter(id: TxId, waker: Option<Identity>) -> Self {
        Self { outer: OPEN.replace(Some(Open { id, waker, again: false })) }
    }

    /// Whether to poll again.
    fn leave(self) -> bool {
        OPEN.get().is_some_and(|open| open.again)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        OPEN.set(self.outer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Wake};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn id(n: u64) -> TxId {
        TxId::from_time(n, [0; 10])
    }

    /// Polls once, and says how often it was woken meanwhile.
    fn poll_once<T>(work: impl Future<Output = T>) -> (Poll<T>, usize) {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let poll = pin!(work).poll(&mut Context::from_waker(&waker));
        (poll, wakes.0.load(Ordering::Relaxed))
    }

    /// As in a task.
    async fn body<T>(id: TxId, body: impl Future<Output = T>) -> T {
        body_polled_by(|_| true, id, body).await
    }

    #[test]
    fn a_branch_goes_on_after_its_siblings_in_one_turn() {
        let said = std::cell::RefCell::new(Vec::new());
        let branch = async |name| {
            said.borrow_mut().push((name, "queued"));
            after_siblings().await;
            said.borrow_mut().push((name, "goes on"));
        };
        let (poll, wakes) = poll_once(body(id(1), async { tokio::join!(biased; branch(1), branch(2)) }));
        assert!(poll.is_ready());
        assert_eq!(wakes, 0, "nobody need be woken");
        assert_eq!(said.into_inner(), [(1, "queued"), (2, "queued"), (1, "goes on"), (2, "goes on")]);
    }

    #[test]
    fn who_has_a_waker_of_its_own_wakes_itself() {
        let (poll, _) = poll_once(body(id(1), async {
            let (poll, wakes) = poll_once(after_siblings());
            assert!(poll.is_pending());
            assert_eq!(wakes, 1, "whoever polls it is not polled again by the body");
        }));
        assert!(poll.is_ready());
        let (poll, wakes) = poll_once(after_siblings());
        assert!(poll.is_pending() && wakes == 1, "nor is it where there is no body");
    }

    #[test]
    fn an_inner_body_gives_its_place_back_even_if_it_panics() {
        let (poll, wakes) = poll_once(body(id(1), async {
            body(id(2), async {
                assert_eq!(current(), Some(id(2)));
                after_siblings().await;
            })
            .await;
            assert_eq!(current(), Some(id(1)));
            let panicked =
                std::panic::catch_unwind(|| poll_once(body(id(3), async { panic!("as it should") })));
            assert!(panicked.is_err());
            assert_eq!(current(), Some(id(1)));
            after_siblings().await;
        }));
        assert!(poll.is_ready() && wakes == 0);
        assert_eq!(current(), None);
    }
}
