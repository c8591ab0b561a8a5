//! Branches that start together cost one write, whoever polls them: the body's own task, something in the body that has
//! wakers of its own, or a thread that the body blocks.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tcc_core::Tx;
use tokio::runtime::Handle;

use crate::rig::{Error, Notice, Rig, Transfer, works};

/// How a body calls its branches.
#[derive(Debug, Clone, Copy)]
enum Shape {
    OneByOne,
    Joined,
    /// In a set that polls what was woken, and nothing else.
    InASet,
    /// A call by itself, joined with a set and what waits for a message.
    Mixed,
    /// One call is given up in the middle; the other goes on.
    GivenUp,
    /// With one that is only confirmed, which nobody waits for.
    WithANotice,
}

/// Each with the number of appends: the first branches, those that come later, the decision, the tombstone.
const SHAPES: [(Shape, u64); 6] = [
    (Shape::OneByOne, 5),
    (Shape::Joined, 3),
    (Shape::InASet, 3),
    (Shape::Mixed, 3),
    (Shape::GivenUp, 3),
    (Shape::WithANotice, 3),
];

async fn body(tx: &Tx, shape: Shape) -> Result<i64, Error> {
    let call = |cents| tx.call::<Transfer>(works(cents));
    let set = |of: Vec<i64>| async move {
        let mut calls: FuturesUnordered<_> = of.into_iter().map(call).collect();
        let mut sum = 0;
        while let Some(cents) = calls.next().await {
            sum += cents?;
        }
        Ok::<_, Error>(sum)
    };
    Ok(match shape {
        Shape::OneByOne => call(1).await? + call(2).await? + call(3).await?,
        Shape::Joined => {
            let (one, two, three) = tokio::try_join!(call(1), call(2), call(3))?;
            one + two + three
        }
        Shape::InASet => set(vec![1, 2, 3]).await?,
        Shape::Mixed => {
            let (sender, message) = tokio::sync::oneshot::channel();
            let first = async {
                let cents = call(1).await?;
                // The other waits for this in the same task.
                sender.send(cents).expect("somebody waits");
                Ok::<_, Error>(0)
            };
            let (none, rest, one) = tokio::join!(first, set(vec![2, 3]), message);
            none? + rest? + one.expect("it is sent")
        }
        Shape::GivenUp => {
            let given_up = async {
                tokio::select! {
                    biased;
                    cents = call(100) => cents.map_err(Error::from),
                    () = std::future::ready(()) => Ok(4),
                }
            };
            let (four, two) = tokio::join!(given_up, call(2));
            four? + two?
        }
        Shape::WithANotice => {
            tx.enlist::<Notice>(works(0))?;
            tokio::task::yield_now().await;
            let (one, two) = tokio::try_join!(call(4), call(2))?;
            one + two
        }
    })
}

/// In a task or outside of one, on a store that answers at once or not.
#[tokio::test(start_paused = true)]
async fn what_starts_together_is_one_write() {
    for (shape, appends) in SHAPES {
        for (slow, in_a_task) in [(false, false), (false, true), (true, false), (true, true)] {
            let rig = Rig::start().await;
            rig.store.slow.store(slow, Ordering::SeqCst);
            let tcc = rig.tcc.clone();
            let run = async move { tcc.run("pay", async |tx: &Tx| body(tx, shape).await).await };
            let seen = format!("{shape:?}, slow: {slow}, in a task: {in_a_task}");
            let sum = within(run, in_a_task).await.unwrap_or_else(|| panic!("{seen}: it hangs"));
            assert_eq!(sum.unwrap(), 6, "{seen}");
            rig.tcc.shutdown().await;
            assert_eq!(rig.appends(), appends, "{seen}");
        }
    }
}

/// Blocks its thread until a branch is called, which nobody should do.
#[test]
fn a_body_that_blocks_its_thread_on_a_branch_gets_its_answer() {
    let places = [(false, false), (true, false), (true, true)];
    for (slow, (in_a_task, twice)) in
        [false, true].into_iter().flat_map(|slow| places.map(|place| (slow, place)))
    {
        let seen = format!("slow: {slow}, in a task: {in_a_task}, blocked around it as well: {twice}");
        let (sender, done) = std::sync::mpsc::channel();
        // A thread that hangs is left behind.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().worker_threads(2).build();
            sender
                .send(runtime.unwrap().block_on(within(blocked(slow, twice), in_a_task)))
                .expect("somebody waits");
        });
        let (sum, appends) = done.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{seen}: it hangs")).unwrap();
        assert_eq!((sum, appends), (6, 4), "{seen}");
    }
}

/// The sum, and the number of appends.
async fn blocked(slow: bool, twice: bool) -> (i64, u64) {
    let rig = Rig::start().await;
    rig.store.slow.store(slow, Ordering::SeqCst);
    let block = async |tx: &Tx| {
        let call = |cents| tx.call::<Transfer>(works(cents));
        let one = call(1).await?;
        let rest = async { tokio::try_join!(call(2), call(3)) };
        let (two, three) = tokio::task::block_in_place(|| Handle::current().block_on(rest))?;
        Ok::<_, Error>(one + two + three)
    };
    let run = rig.tcc.run("pay", block);
    let sum = if twice { tokio::task::block_in_place(|| Handle::current().block_on(run)) } else { run.await };
    let sum = sum.unwrap();
    rig.tcc.shutdown().await;
    (sum, rig.appends())
}

/// A task that is woken by itself costs a way through its runtime's queue, and there often another thread is woken as well.
#[tokio::test(start_paused = true)]
async fn in_a_task_a_branch_needs_no_further_poll() {
    let polls = async |branches: i64| {
        let rig = Rig::start().await;
        let count = Arc::new(AtomicU64::new(0));
        let (counted, tcc) = (count.clone(), rig.tcc.clone());
        let run = async move {
            let mut run = pin!(tcc.run("pay", async |tx: &Tx| {
                for cents in 0..branches {
                    tx.call::<Transfer>(works(cents)).await?;
                }
                Ok::<_, Error>(())
            }));
            poll_fn(|cx| {
                counted.fetch_add(1, Ordering::SeqCst);
                run.as_mut().poll(cx)
            })
            .await
        };
        tokio::spawn(run).await.unwrap().unwrap();
        count.load(Ordering::SeqCst)
    };
    assert_eq!(polls(5).await, polls(1).await);
}

/// On a store that answers at once, and with participants that do, nothing ever has to wait.
#[tokio::test(start_paused = true)]
async fn who_never_has_to_wait_lets_others_have_their_turn() {
    let rig = Rig::start().await;
    let (tcc, other) = (rig.tcc.clone(), Arc::new(AtomicU64::new(0)));
    let seen = other.clone();
    let busy = tokio::spawn(async move {
        let pay = async |tx: &Tx| tx.call::<Transfer>(works(1)).await.map_err(Error::from);
        for turn in 0..10_000 {
            if seen.load(Ordering::SeqCst) > 0 {
                return turn;
            }
            tcc.run("pay", pay).await.unwrap();
        }
        panic!("nobody else had a turn");
    });
    tokio::spawn(async move { other.fetch_add(1, Ordering::SeqCst) });
    assert!(busy.await.unwrap() > 1, "but not each time");
}

const LIMIT: Duration = Duration::from_secs(20);

async fn within<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    in_a_task: bool,
) -> Option<T> {
    if in_a_task {
        let task = tokio::spawn(work);
        tokio::time::timeout(LIMIT, task).await.ok().map(|joined| joined.expect("it does not panic"))
    } else {
        tokio::time::timeout(LIMIT, work).await.ok()
    }
}
