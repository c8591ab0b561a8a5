//! Writes that wait to be sent together, and those who wait for their answers.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use crate::store::{Append, StoreError};

/// How many writes are sent as one call.
const MOST: usize = 128;

pub(super) type Answer = Result<(), StoreError>;

/// Batches of writes: the last one is being filled.
#[derive(Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Arc<Batch>>,
    /// How many writes there are in them.
    count: usize,
    /// Nobody will ever send what is put here.
    closed: bool,
}

/// Writes that are sent as one call.
pub(super) struct Batch(Mutex<State>);

struct State {
    writes: Vec<Append>,
    /// Of those who wait, by the number of their write.
    wakers: Vec<Option<Waker>>,
    /// Somebody watches over the time that it takes.
    watched: bool,
    /// What the store said, until the one who asked has taken it.
    answers: Option<Vec<Option<Answer>>>,
}

/// A place in a batch: the answer to one write.
pub(super) struct Seat {
    batch: Arc<Batch>,
    number: usize,
    /// How long the answer may take.
    patience: Duration,
    /// One of those who wait for a batch has a timer for them all.
    watch: Option<Pin<Box<Sleep>>>,
    answered: bool,
}

/// A batch under way. If this goes before it was answered, the answers are lost.
pub(super) struct Sending(Arc<Batch>);

impl Queue {
    /// Adds a write, and says how many wait now.
    pub(super) fn push(&self, write: Append, patience: Duration) -> Result<(Seat, usize), StoreError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(StoreError::unavailable(SHUT_DOWN));
        }
        waiting.count += 1;
        let count = waiting.count;
        let seat = |batch: &Arc<Batch>, number| Seat {
            batch: batch.clone(),
            number,
            patience,
            watch: None,
            answered: false,
        };
        if let Some(batch) = waiting.batches.back() {
            let mut state = batch.state();
            let number = state.writes.len();
            // One that was given up while it waits takes no more.
            if number < MOST && state.answers.is_none() {
                state.writes.push(write);
                state.wakers.push(None);
                return Ok((seat(batch, number), count));
            }
        }
        let batch = Arc::new(Batch::of(write));
        let seat = seat(&batch, 0);
        waiting.batches.push_back(batch);
        Ok((seat, count))
    }

    /// Takes the batch that waits longest.
    pub(super) fn pop(&self) -> Option<Sending> {
        let mut waiting = self.waiting();
        let batch = waiting.batches.pop_front()?;
        waiting.count -= batch.state().writes.len();
        Some(Sending(batch))
    }

    /// How many writes wait.
    pub(super) fn len(&self) -> usize {
        self.waiting().count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says that nothing will be sent any more.
    pub(super) fn close(&self) {
        let batches = {
            let mut waiting = self.waiting();
            waiting.closed = true;
            waiting.count = 0;
            std::mem::take(&mut waiting.batches)
        };
        for batch in batches {
            batch.lose(|| StoreError::unavailable(SHUT_DOWN));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SHUT_DOWN: &str = "the coordinator's own runtime was shut down";

impl Batch {
    fn of(write: Append) -> Self {
        Self(Mutex::new(State { writes: vec![write], wakers: vec![None], watched: false, answers: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives every write its answer, unless they have one. There are as many as there are wakers.
    fn answer(&self, answers: impl FnOnce(usize) -> Vec<Answer>) {
        let wakers = {
            let mut state = self.state();
            if state.answers.is_some() {
                return;
            }
            state.answers = Some(answers(state.wakers.len()).into_iter().map(Some).collect());
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn lose(&self, why: impl Fn() -> StoreError) {
        self.answer(|count| (0..count).map(|_| Err(why())).collect());
    }
}

impl Sending {
    /// How many writes it has.
    pub(super) fn len(&self) -> usize {
        self.0.state().writes.len()
    }

    /// What is to be sent: once, and nothing if all who waited were told that it is lost.
    pub(super) fn take_writes(&self) -> Vec<Append> {
        let mut state = self.0.state();
        let writes = std::mem::take(&mut state.writes);
        if state.answers.is_some() { Vec::new() } else { writes }
    }

    /// Gives every write its answer.
    pub(super) fn answer(self, answers: Vec<Answer>) {
        self.0.answer(|_| answers);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.lose(|| StoreError::ambiguous(SHUT_DOWN));
    }
}

impl Future for Seat {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let seat = self.get_mut();
        if let Some(answer) = seat.answer_or_wait(cx) {
            return Poll::Ready(answer);
        }
        let too_long = seat.watch.as_mut().is_some_and(|watch| watch.as_mut().poll(cx).is_ready());
        if !too_long {
            return Poll::Pending;
        }
        let patience = seat.patience;
        seat.batch.lose(|| {
            StoreError::ambiguous(format!("no answer within {patience:?}, the wait for its turn included"))
        });
        seat.answer_or_wait(cx).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Seat {
    /// The answer; without one this is woken when there is, and sees to it that somebody watches over the time.
    fn answer_or_wait(&mut self, cx: &Context<'_>) -> Option<Answer> {
        let _old; // dropped without the lock: nobody knows what that does
        let mut state = self.batch.state();
        if let Some(answers) = &mut state.answers {
            self.answered = true;
            return Some(answers[self.number].take().expect("a seat is not polled after it is done"));
        }
        let waker = &mut state.wakers[self.number];
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            _old = waker.replace(cx.waker().clone());
        }
        if !std::mem::replace(&mut state.watched, true) {
            self.watch = Some(Box::pin(tokio::time::sleep(self.patience)));
        }
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let (_mine, next) = {
            let mut state = self.batch.state();
            let mine = state.wakers.get_mut(self.number).and_then(Option::take);
            // Whoever was to take over the watch may be the one that goes.
            if self.watch.is_some() || !state.watched {
                // Another of those who wait is to watch; or the next to come.
                state.watched = false;
                (mine, state.wakers.iter().flatten().next().cloned())
            } else {
                (mine, None)
            }
        };
        if let Some(next) = next {
            next.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::protocol::{Entry, Group, Op, Position, TxId};
    use crate::store::{Due, Mode};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn seat(queue: &Queue, op: u64) -> Seat {
        let write = Append {
            group: Group::new("shop").unwrap(),
            id: "01a0c4506c7b70669791c5b684270707".parse::<TxId>().unwrap(),
            after: Position::START,
            entry: Entry::new(Op::from_u64(op), "{}").unwrap(),
            due: Due::Keep,
            mode: Mode::Extend,
        };
        queue.push(write, PATIENCE).unwrap().0
    }

    fn is_lost(answer: &Answer) -> bool {
        matches!(answer, Err(StoreError::Ambiguous { .. }))
    }

    #[tokio::test]
    async fn each_gets_its_own_answer_in_order() {
        let queue = Queue::default();
        let seats: Vec<Seat> = (0..MOST as u64 + 1).map(|op| seat(&queue, op)).collect();
        assert_eq!(queue.len(), MOST + 1);
        let (full, rest) = (queue.pop().unwrap(), queue.pop().unwrap());
        assert!(queue.pop().is_none() && queue.is_empty());
        assert_eq!(rest.take_writes().len(), 1);
        let writes = full.take_writes();
        assert_eq!(writes.len(), MOST);
        let odd =
            |write: &Append| write.entry.op().to_string().ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']);
        full.answer(
            writes.iter().map(|write| if odd(write) { Err(StoreError::BadCursor) } else { Ok(()) }).collect(),
        );
        rest.answer(vec![Ok(())]);
        for (number, seat) in seats.into_iter().enumerate() {
            assert_eq!(seat.await.is_err(), number % 2 == 1, "{number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_on_its_way_is_lost_at_once() {
        let (queue, since) = (Queue::default(), tokio::time::Instant::now());
        let (one, two) = (seat(&queue, 1), seat(&queue, 2));
        let sending = queue.pop().unwrap();
        assert_eq!(sending.take_writes().len(), 2);
        drop(sending);
        assert!(is_lost(&one.await) && is_lost(&two.await));
        assert!(since.elapsed().is_zero());
    }

    #[tokio::test]
    async fn what_was_never_sent_was_certainly_not_applied() {
        let queue = Queue::default();
        let waiting = seat(&queue, 1);
        queue.close();
        assert!(matches!(waiting.await, Err(StoreError::Unavailable { .. })));
        let write = seat(&Queue::default(), 2).batch.state().writes.remove(0);
        assert!(matches!(queue.push(write, PATIENCE), Err(StoreError::Unavailable { .. })));
    }

    /// A store that hangs for long: what waits for it is told, and nobody takes a place among those who were.
    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_while_it_waits_takes_no_more_and_is_not_sent() {
        let queue = Queue::default();
        assert!(is_lost(&seat(&queue, 1).await));
        let two = seat(&queue, 2);
        assert_eq!(queue.len(), 2);
        let given_up = queue.pop().unwrap();
        assert_eq!((given_up.len(), given_up.take_writes().len()), (1, 0));
        let sending = queue.pop().unwrap();
        assert_eq!(sending.take_writes().len(), 1);
        sending.answer(vec![Ok(())]);
        assert!(two.await.is_ok());
    }

    /// The one that is woken to watch may go before it is polled.
    #[tokio::test(start_paused = true)]
    async fn who_was_to_watch_next_may_go_as_well() {
        let queue = Queue::default();
        let (mut one, mut two, three) = (seat(&queue, 1), seat(&queue, 2), seat(&queue, 3));
        assert!(poll!(&mut one).is_pending() && poll!(&mut two).is_pending());
        let third = tokio::spawn(three);
        tokio::task::yield_now().await;
        drop(one);
        drop(two);
        let third = tokio::time::timeout(PATIENCE * 2, third).await.expect("somebody watches");
        assert!(is_lost(&third.unwrap()));
    }

    /// Whoever watches over the time may be dropped: another takes it over, and each is told once it is over.
    #[tokio::test(start_paused = true)]
    async fn somebody_always_watches_over_the_time() {
        let queue = Queue::default();
        let (mut one, mut two, mut three) = (seat(&queue, 1), seat(&queue, 2), seat(&queue, 3));
        assert!(
            poll!(&mut one).is_pending() && poll!(&mut two).is_pending() && poll!(&mut three).is_pending()
        );
        // One that waits no longer is not the one that is woken to watch.
        drop(two);
        let third = tokio::spawn(three);
        tokio::task::yield_now().await;
        drop(one);
        let since = tokio::time::Instant::now();
        let third = tokio::time::timeout(PATIENCE * 2, third).await.expect("somebody watches");
        assert!(is_lost(&third.unwrap()));
        assert_eq!(since.elapsed().as_secs(), PATIENCE.as_secs());
        // An answer that comes after all changes nothing.
        queue.pop().unwrap().answer(vec![Ok(()), Ok(()), Ok(())]);

        let (mut one, mut two) = (seat(&queue, 4), seat(&queue, 5));
        assert!(poll!(&mut one).is_pending() && poll!(&mut two).is_pending());
        tokio::time::advance(PATIENCE + Duration::from_millis(2)).await;
        assert!(poll!(&mut two).is_pending());
        assert!(matches!(poll!(&mut one), Poll::Ready(answer) if is_lost(&answer)));
        assert!(matches!(poll!(&mut two), Poll::Ready(answer) if is_lost(&answer)));
    }
}
