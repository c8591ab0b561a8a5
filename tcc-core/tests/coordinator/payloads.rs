//! Payloads through the log: what they are when they come back, and what does not fit.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{BranchKey, Status, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{CallFault, CallRule, FaultParticipant};
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Filter, Handler, Never, Payload, Register, Registry,
    Service, Settled, TransactionError, Tried, Tx,
};

/// An action of one name whose payloads a test chooses, as two deploys would.
struct Book<T, const VERSION: u16>(PhantomData<fn() -> T>);

impl<T: Payload, const VERSION: u16> ActionType for Book<T, VERSION> {
    const NAME: &'static str = "ledger.book";
    const VERSION: u16 = VERSION;
    type Request = T;
    type Output = T;
    type Error = Never;
}

/// What confirm or cancel was given.
#[derive(Debug, Clone, PartialEq)]
enum Given<T> {
    Confirm(T, T),
    Cancel(T, Option<T>),
}

/// Does the action in one version, and remembers what it was given.
struct Ledger<T, const VERSION: u16>(Mutex<Vec<(BranchKey, Given<T>)>>);

impl<T, const VERSION: u16> Ledger<T, VERSION> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    fn given(&self) -> Vec<Given<T>>
    where
        T: Clone,
    {
        self.0.lock().unwrap().iter().map(|(_, given)| given.clone()).collect()
    }
}

impl<T: Payload + Clone, const VERSION: u16> Handler<Book<T, VERSION>> for Ledger<T, VERSION> {
    async fn r#try(&self, _: &Branch, request: T) -> Tried<T, Never> {
        Ok(request)
    }

    async fn confirm(&self, cx: &Branch, request: T, output: T) -> Settled {
        self.0.lock().unwrap().push((cx.key(), Given::Confirm(request, output)));
        Ok(())
    }

    async fn cancel(&self, cx: &Branch, request: T, output: Option<T>) -> Settled {
        self.0.lock().unwrap().push((cx.key(), Given::Cancel(request, output)));
        Ok(())
    }
}

impl<T: Payload + Clone, const VERSION: u16> Service for Ledger<T, VERSION> {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Book<T, VERSION>, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// One process of the group, from its start.
async fn process(store: &Arc<MemoryStore>, participant: impl Register) -> Coordinator {
    Coordinator::builder("test", store.clone()).register(participant).alert_after(1).start().await.unwrap()
}

/// A transaction whose confirm never arrives in the process that decided it, and that process has ended.
async fn left_confirming<T: Payload + Clone, const VERSION: u16>(store: &Arc<MemoryStore>, value: T) -> TxId {
    let broken = FaultParticipant::new(Ledger::<T, VERSION>::new());
    broken.faults().add(CallRule::new(CallFault::Fails).on(tcc_core::protocol::Phase::Confirm).always());
    let tcc = process(store, broken).await;
    let id = tcc
        .run("book", async |tx: &Tx| {
            tx.call::<Book<T, VERSION>>(value.clone()).await?;
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    tcc.shutdown().await;
    assert_eq!(tcc.outcome(id).await.unwrap(), Some(Status::Confirming));
    id
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers {
    signed: Vec<i64>,
    unsigned: Vec<u64>,
    long: Vec<i128>,
    float: Vec<f64>,
    nested: BTreeMap<String, BTreeMap<u64, Option<i64>>>,
}

/// Every number is one that some reader of untyped JSON gets wrong: beyond 2⁵³, at the ends of its type, not a decimal.
fn numbers(random: &mut fastrand::Rng) -> Numbers {
    let ends = [i64::MIN, i64::MIN + 1, -(1 << 53) - 1, -1, 0, 1, (1 << 53) + 1, i64::MAX];
    let floats =
        [0.1 + 0.2, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e23, 9_007_199_254_740_993.0];
    let more = (0..2_000).map(|_| f64::from_bits(random.u64(..))).filter(|float| float.is_finite());
    Numbers {
        signed: ends.to_vec(),
        unsigned: vec![0, (1 << 53) + 1, 1 << 63, u64::MAX - 1, u64::MAX],
        long: vec![i128::from(i64::MIN) - 1, i128::from(u64::MAX) + 1, i128::MAX, i128::MIN],
        float: floats.into_iter().chain(more).collect(),
        nested: BTreeMap::from([
            (String::new(), BTreeMap::new()),
            ("9007199254740993".into(), BTreeMap::from([(u64::MAX, Some(i64::MIN)), (0, None)])),
        ]),
    }
}

#[tokio::test(start_paused = true)]
async fn peers_22_numbers_come_back_as_they_were() {
    let seed = fastrand::u64(..);
    let value = numbers(&mut fastrand::Rng::with_seed(seed));
    let store = Arc::new(MemoryStore::new());
    let id = left_confirming::<Numbers, 1>(&store, value.clone()).await;
    let ledger = Ledger::<Numbers, 1>::new();
    let next = process(&store, ledger.clone()).await;
    assert_eq!(next.settled(id).await.unwrap(), Some(Status::Confirmed));
    let [Given::Confirm(request, output)] = &ledger.given()[..] else { panic!("one confirm") };
    for found in [request, output] {
        let mut pairs = found.float.iter().zip(&value.float);
        let changed = pairs.find(|(found, value)| found.to_bits() != value.to_bits());
        assert_eq!(changed, None, "to the last bit; seed {seed}");
        assert!(*found == value, "seed {seed}");
    }
}

/// JSON has no *not a number*: it would be written as nothing, and never be read again.
#[tokio::test(start_paused = true)]
async fn peers_22_what_could_not_be_read_back_is_refused_before_it_is_written() {
    let store = Arc::new(MemoryStore::new());
    let tcc = process(&store, Ledger::<f64, 1>::new()).await;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let told = tcc.run("book", async |tx: &Tx| {
            tx.call::<Book<f64, 1>>(number).await?;
            Ok::<_, Error>(())
        });
        let Err(Error::Branch(BranchError::Transaction(TransactionError::Payload { action, what, .. }))) =
            told.await
        else {
            panic!("{number} was taken")
        };
        assert_eq!((action, what), ("ledger.book", "request"));
    }
    assert_eq!(tcc.operator().stats().await.unwrap().unfinished, 0);
}

/// What an operator sees of the only unsettled branch.
async fn stuck_with(tcc: &Coordinator) -> String {
    let page = tcc.operator().list(&Filter::new().failed_attempts(1), None, 10).await.unwrap();
    let [item] = &page.items[..] else { panic!("{page:?}") };
    item.record.branches()[0].last_error.clone().unwrap()
}

/// The log holds a text where this process's action, of the same version, takes a number.
#[tokio::test(start_paused = true)]
async fn peers_22_what_does_not_fit_is_parked_and_named_and_never_guessed() {
    let store = Arc::new(MemoryStore::new());
    let id = left_confirming::<String, 1>(&store, "9007199254740993".to_owned()).await;
    let other = Ledger::<u64, 1>::new();
    let wrong = process(&store, other.clone()).await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(other.given(), [], "its confirm was not called with a guess");
    assert_eq!(
        wrong.outcome(id).await.unwrap(),
        Some(Status::Confirming),
        "parked: neither done nor given up"
    );
    let error = stuck_with(&wrong).await;
    assert!(error.contains("request in the log does not fit") && error.contains("expected u64"), "{error}");
    assert!(error.contains("raise `version`") && error.contains("`upcast(1: Old)`"), "{error}");
    // Others are not held up by it.
    let well = wrong.run("book", async |tx: &Tx| {
        tx.call::<Book<u64, 1>>(7).await?;
        Ok::<_, Error>(())
    });
    well.await.unwrap();
    assert_eq!(other.given(), [Given::Confirm(7, 7)]);
    wrong.shutdown().await;

    let right = Ledger::<String, 1>::new();
    let next = process(&store, right.clone()).await;
    assert_eq!(next.settled(id).await.unwrap(), Some(Status::Confirmed));
    let kept = "9007199254740993".to_owned();
    assert_eq!(right.given(), [Given::Confirm(kept.clone(), kept)]);
}

/// What a second deploy reads otherwise without an error: the pieces became cents, and nothing in the text says so.
#[tokio::test(start_paused = true)]
async fn peers_23_an_unknown_version_is_parked_and_not_guessed() {
    let store = Arc::new(MemoryStore::new());
    let id = left_confirming::<u64, 1>(&store, 5).await;
    let cents = Ledger::<u64, 2>::new();
    let newer = process(&store, cents.clone()).await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(cents.given(), [], "version 2 was not given a payload of version 1");
    assert_eq!(newer.outcome(id).await.unwrap(), Some(Status::Confirming));
    let error = stuck_with(&newer).await;
    assert!(error.contains("ledger.book version 1"), "{error}");
    let record = newer.operator().timeline(id).await.unwrap().unwrap().record.unwrap();
    assert_eq!(record.branches()[0].version, 1, "the version is in the record");

    // Both versions in one process: each gets its own.
    let pieces = Ledger::<u64, 1>::new();
    newer.shutdown().await;
    let both = Coordinator::builder("test", store.clone()).register(cents.clone()).register(pieces.clone());
    let both = both.start().await.unwrap();
    assert_eq!(both.settled(id).await.unwrap(), Some(Status::Confirmed));
    assert_eq!((pieces.given(), cents.given()), (vec![Given::Confirm(5, 5)], vec![]));
}
