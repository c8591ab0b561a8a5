//! The trace that a transaction belongs to: kept with it, and told in every phase, live and recovered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tcc_core::protocol::{Phase, Status, TraceParent, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, Builder, Coordinator, Filter, Handler, Never, Registry, Service, Settled, Tried, Tx,
};

use crate::rig::{Bank, Error, works};

/// A participant that remembers in which trace each of its phases was called.
#[derive(Default)]
struct Witness {
    told: Mutex<Vec<(TxId, Phase, Option<TraceParent>)>>,
    down: AtomicBool,
}

impl Witness {
    fn told(&self, cx: &Branch) -> Settled {
        self.told.lock().unwrap().push((cx.tx(), cx.phase(), cx.traceparent()));
        if self.down.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("down").into());
        }
        Ok(())
    }

    fn of(&self, tx: TxId) -> Vec<(Phase, Option<TraceParent>)> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|(id, ..)| *id == tx).map(|(_, phase, trace)| (*phase, *trace)).collect()
    }
}

struct Seen;
impl ActionType for Seen {
    const NAME: &'static str = "witness.seen";
    type Request = ();
    type Output = ();
    type Error = Never;
}

impl Handler<Seen> for Witness {
    async fn r#try(&self, cx: &Branch, (): ()) -> Tried<(), Never> {
        self.told.lock().unwrap().push((cx.tx(), cx.phase(), cx.traceparent()));
        Ok(())
    }

    async fn confirm(&self, cx: &Branch, (): (), (): ()) -> Settled {
        self.told(cx)
    }

    async fn cancel(&self, cx: &Branch, (): (), _: Option<()>) -> Settled {
        self.told(cx)
    }
}

impl Service for Witness {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Seen, _>(self);
    }
}

fn trace(number: u64) -> TraceParent {
    TraceParent::new(number.into(), number, 1).unwrap()
}

async fn start(
    store: &Arc<MemoryStore>,
    witness: &Arc<Witness>,
    set: impl FnOnce(Builder) -> Builder,
) -> Coordinator {
    set(Coordinator::builder("test", store.clone()).register(witness.clone())).start().await.unwrap()
}

async fn see(tx: &Tx) -> Result<TxId, Error> {
    tx.call::<Seen>(()).await.map_err(|_| Error::Own)?;
    Ok(tx.id())
}

#[tokio::test(start_paused = true)]
async fn every_phase_is_told_the_trace() {
    let (store, witness) = (Arc::default(), Arc::default());
    let tcc = start(&store, &witness, |builder| builder).await;
    let body = async |tx: &Tx| {
        assert_eq!(tx.traceparent(), Some(trace(7)));
        see(tx).await
    };
    let id = tcc.transaction("pay").traceparent(trace(7)).run(body).await.unwrap();
    assert_eq!(witness.of(id), [(Phase::Try, Some(trace(7))), (Phase::Confirm, Some(trace(7)))]);

    let mut cancelled = None;
    let body = async |tx: &Tx| {
        cancelled = Some(see(tx).await?);
        Err::<(), _>(Error::Own)
    };
    tcc.transaction("pay").key("a").run(body).await.unwrap_err();
    let told = witness.of(cancelled.take().unwrap());
    assert_eq!(told, [(Phase::Try, None), (Phase::Cancel, None)], "it was told of none");
}

#[tokio::test(start_paused = true)]
async fn the_trace_context_is_asked_at_the_begin_of_each() {
    let (store, witness) = (Arc::default(), Arc::default());
    let asked = Arc::new(AtomicU64::new(0));
    let asking = asked.clone();
    let tcc = start(&store, &witness, |builder| {
        builder.trace_context(move || match asking.fetch_add(1, Ordering::SeqCst) {
            2 => None,
            3 => panic!("as told"),
            number => Some(trace(number + 1)),
        })
    })
    .await;
    let seen = async |tx: &Tx| Ok::<_, Error>((tx.traceparent(), see(tx).await?));
    for expected in [Some(trace(1)), Some(trace(2)), None, None, Some(trace(5))] {
        let (told, id) = tcc.run("pay", seen).await.unwrap();
        assert_eq!(told, expected);
        assert_eq!(witness.of(id), [(Phase::Try, expected), (Phase::Confirm, expected)]);
    }
    // What is said by hand goes before it, and it is not asked.
    let (told, _) = tcc.transaction("pay").traceparent(trace(99)).run(seen).await.unwrap();
    assert_eq!((told, asked.load(Ordering::SeqCst)), (Some(trace(99)), 5));
    // One with a key as well.
    let keyed = async |tx: &Tx| Ok::<_, Error>(tx.traceparent().map(TraceParent::span_id));
    assert_eq!(tcc.transaction("pay").key("k").run(keyed).await.unwrap(), Some(6));
}

/// The process that began it is dead, and its successor was never told of any trace but by the log.
#[tokio::test(start_paused = true)]
async fn who_settles_it_after_a_claim_knows_the_trace() {
    let (store, witness): (Arc<MemoryStore>, Arc<Witness>) = Default::default();
    witness.down.store(true, Ordering::SeqCst);
    let id = {
        let first = start(&store, &witness, |builder| builder).await;
        let id = first.transaction("pay").traceparent(trace(7)).run(see).await.unwrap();
        first.shutdown().await;
        id
    };
    let second = start(&store, &witness, |builder| builder).await;
    // Long enough for a snapshot to take the place of a log grown long.
    tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await;
    let operator = second.operator();
    let listed = operator.list(&Filter::new(), None, 10).await.unwrap();
    assert_eq!(listed.items[0].record.traceparent(), Some(trace(7)));
    let timeline = operator.timeline(id).await.unwrap().unwrap();
    assert!(timeline.events[0].what.starts_with("snapshot of pay"), "{}", timeline.events[0].what);
    assert!(timeline.events[0].what.contains(&trace(7).to_string()), "{}", timeline.events[0].what);
    witness.down.store(false, Ordering::SeqCst);
    operator.retry_now(id).await.unwrap();
    assert_eq!(second.settled(id).await.unwrap(), Some(Status::Confirmed));
    let told = witness.of(id);
    assert!(told.len() > 64 && told.iter().all(|(_, told)| *told == Some(trace(7))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_timeline_shows_the_trace() {
    let tcc =
        Coordinator::builder("test", MemoryStore::new()).register(Bank::default()).start().await.unwrap();
    let body = async |tx: &Tx| {
        tx.call::<crate::rig::Transfer>(works(1)).await?;
        let timeline = tcc.operator().timeline(tx.id()).await.unwrap().unwrap();
        Ok::<_, Error>(timeline.events[0].what.clone())
    };
    let what = tcc.transaction("pay").traceparent(trace(7)).run(body).await.unwrap();
    assert!(what.contains(&format!("in the trace {}", trace(7))), "{what}");
    let what = tcc.run("pay", body).await.unwrap();
    assert!(!what.contains("trace"), "{what}");
}
