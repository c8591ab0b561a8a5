//! Defects that reviews found, each held by the test that showed it.

#[allow(dead_code, reason = "shared with the coordinator's tests, which use all of it")]
#[path = "../coordinator/rig.rs"]
mod rig;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use rig::*;
use tcc_core::protocol::{
    ActionName, Begin, BranchId, Change, Enlisted, Entry, Group, Json, Log, Name, Op, Owner, Position, TxId,
};
use tcc_core::store::{
    Append, Claim as ClaimReq, Claimed, Due, MemoryStore, Mode, Page, Query, Readiness, Stats, StatusStore,
    StoreError,
};
use tcc_core::*;

type Hook = Box<dyn Fn(&Append) -> Fate + Send + Sync>;
enum Fate {
    Pass,
    LoseThenDelay(Duration, Option<Duration>),
}

/// A memory store with latency and a hook per append.
struct Slow {
    inner: Arc<MemoryStore>,
    latency: Duration,
    claim_latency: Duration,
    hook: Option<Hook>,
    claims: AtomicUsize,
    sweeps: AtomicUsize,
    due_soon_panics: std::sync::atomic::AtomicBool,
}
impl Slow {
    fn new(latency: Duration) -> Self {
        Self {
            inner: Arc::new(MemoryStore::new()),
            latency,
            claim_latency: Duration::ZERO,
            hook: None,
            claims: AtomicUsize::new(0),
            sweeps: AtomicUsize::new(0),
            due_soon_panics: false.into(),
        }
    }
}
#[async_trait]
impl StatusStore for Slow {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        static N: AtomicU64 = AtomicU64::new(0);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency + Duration::from_millis(N.fetch_add(1, SeqCst) * 7 % 23)).await;
        }
        match self.hook.as_ref().map_or(Fate::Pass, |hook| hook(write)) {
            Fate::Pass => self.inner.append(write).await,
            Fate::LoseThenDelay(wait, later) => {
                if let Some(later) = later {
                    let (inner, write) = (self.inner.clone(), write.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(later).await;
                        let _ = inner.append(&write).await;
                    });
                }
                tokio::time::sleep(wait).await;
                Err(StoreError::ambiguous("lost"))
            }
        }
    }
    async fn claim(&self, claim: &ClaimReq) -> Result<Claimed, StoreError> {
        self.claims.fetch_add(1, SeqCst);
        tokio::time::sleep(self.claim_latency).await;
        self.inner.claim(claim).await
    }
    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.inner.read(group, id).await
    }
    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }
    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        self.inner.stats(group).await
    }
    async fn check(&self) -> Result<Readiness, StoreError> {
        Ok(Readiness::default())
    }
    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        self.sweeps.fetch_add(1, SeqCst);
        Ok(limit)
    }
    async fn due_soon(&self, _: &Group, at_most: Duration) {
        assert!(!self.due_soon_panics.load(SeqCst), "a bug in due_soon");
        tokio::time::sleep(at_most).await;
    }
}
fn group() -> Group {
    Group::new("test").unwrap()
}
async fn start(store: Arc<Slow>, bank: Arc<Bank>, set: impl FnOnce(Builder) -> Builder) -> Coordinator {
    set(Coordinator::builder("test", store).register(bank)).start().await.unwrap()
}

/// two futures that are not polled hold both places; every other write of the coordinator waits for ever.
#[tokio::test(start_paused = true)]
async fn callers_that_are_not_polled_hold_up_no_write() {
    let tcc = start(Arc::new(Slow::new(Duration::from_millis(5))), Arc::default(), |b| b).await;
    let pay = |cents| {
        let tcc = tcc.clone();
        async move {
            tcc.run("pay", async |tx: &Tx| tx.call::<Transfer>(works(cents)).await.map_err(Error::from)).await
        }
    };
    // Perfectly ordinary user code: a stream of checkouts, and one more transaction per result.
    let work = futures_util::stream::iter(0..200).map(&pay).buffer_unordered(8).for_each(|done| {
        done.unwrap();
        pay(100).map(|r| {
            r.unwrap();
        })
    });
    tokio::pin!(work);
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), &mut work).await.is_ok(),
        "deadlock: an hour later nothing has moved"
    );
}

/// The same, and an unrelated task is stopped with it.
#[tokio::test(start_paused = true)]
async fn callers_that_are_not_polled_hold_up_no_other_task() {
    let tcc = start(Arc::new(Slow::new(Duration::from_millis(5))), Arc::default(), |b| b).await;
    let pay = || {
        let tcc = tcc.clone();
        async move {
            tcc.run("pay", async |tx: &Tx| tx.call::<Transfer>(works(1)).await.map_err(Error::from)).await
        }
    };
    let (mut a, mut b) = (Box::pin(pay()), Box::pin(pay()));
    for _ in 0..3 {
        let _ = futures_util::poll!(&mut a);
        let _ = futures_util::poll!(&mut b);
    }
    // a and b are kept, and not polled (a client's body is slow, a stream's consumer works ...).
    let other = tokio::spawn(pay());
    let r = tokio::time::timeout(Duration::from_secs(3600), other).await;
    drop((a, b));
    assert!(matches!(r, Ok(Ok(Ok(_)))), "an unrelated transaction can't be done: {r:?}");
}

/// caller 1 is told Ok, though its transaction was cancelled and another call's was confirmed.
#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_not_told_ok() {
    let mut slow = Slow::new(Duration::ZERO);
    let seen = AtomicUsize::new(0);
    slow.hook = Some(Box::new(move |w| {
        let confirm = w.entry.line().contains(r#""decide":{"decision":"confirm""#);
        // The first decision to confirm never arrives; its answer is lost after 8 s.
        if confirm && seen.fetch_add(1, SeqCst) == 0 {
            Fate::LoseThenDelay(Duration::from_secs(8), None)
        } else {
            Fate::Pass
        }
    }));
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    let one = start(store.clone(), bank.clone(), |b| b).await;
    let two = start(store.clone(), bank.clone(), |b| b).await;
    let first = one.transaction("pay").timeout(Duration::from_secs(1)).key(7).run(async |tx: &Tx| {
        tx.call::<Transfer>(works(1)).await?;
        Ok::<_, Error>("first".to_owned())
    });
    let second = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        two.transaction("pay")
            .timeout(Duration::from_secs(30))
            .key(7)
            .reuse_after_cancel()
            .run(async |tx: &Tx| {
                tx.call::<Transfer>(works(2)).await?;
                Ok::<_, Error>("second".to_owned())
            })
            .await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.unwrap(), "second");
    assert!(first.is_err(), "told {first:?}, but it was cancelled");
}

#[tokio::test(start_paused = true)]
async fn recovery_without_a_limit_recovers() {
    let store = Arc::new(Slow::new(Duration::ZERO));
    let _tcc = start(store.clone(), Arc::default(), |b| b.recover_at_once(usize::MAX)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(store.claims.load(SeqCst) > 0, "nothing was ever claimed");
}

#[tokio::test(start_paused = true)]
async fn sweep_keeps_up() {
    let store = Arc::new(Slow::new(Duration::ZERO));
    let _tcc = start(store.clone(), Arc::default(), |b| b).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let swept = store.sweeps.load(SeqCst) * 1000;
    assert!(swept > 100 * 3600);
}

/// A shutdown waits for the claim that is under way, and for what it brings.
#[tokio::test(start_paused = true)]
async fn nothing_is_called_after_a_shutdown_has_returned() {
    let mut slow = Slow::new(Duration::ZERO);
    slow.claim_latency = Duration::from_secs(1);
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    // A decided transaction that somebody left.
    let id = TxId::from_time(1, [1; 10]);
    let begin = Change::Begin(Begin {
        name: Name::new("pay").unwrap(),
        begun_ms: 0,
        timeout_ms: 1,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        branches: vec![Enlisted {
            id: BranchId::new(0),
            action: ActionName::new("bank.transfer").unwrap(),
            version: 1,
            request: Json::of(&works(1)).unwrap(),
            on_confirm: false,
        }],
    });
    store
        .inner
        .append(&Append {
            group: group(),
            id,
            after: Position::START,
            entry: Entry::new(Op::from_u64(5), begin.encode()).unwrap(),
            due: Due::In(Duration::from_millis(1)),
            mode: Mode::Extend,
        })
        .await
        .unwrap();
    let tcc = start(store.clone(), bank.clone(), |b| b).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    tcc.shutdown().await;
    let called = bank.calls.lock().unwrap().len();
    assert_eq!(called, 1, "what was claimed is waited for");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bank.calls.lock().unwrap().len(), called, "a participant was called after the shutdown");
}

/// One lost answer of a settle does not cost the lease.
#[tokio::test(start_paused = true)]
async fn one_lost_answer_of_a_settle() {
    let mut slow = Slow::new(Duration::ZERO);
    let seen = AtomicUsize::new(0);
    slow.hook = Some(Box::new(move |w| {
        if (w.entry.line().contains("\"settle\"") || w.entry.line().contains("\"claim\""))
            && seen.fetch_add(1, SeqCst) == 0
        {
            Fate::LoseThenDelay(Duration::ZERO, None)
        } else {
            Fate::Pass
        }
    }));
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    let tcc = start(store.clone(), bank.clone(), |b| {
        b.lease(Duration::from_secs(600)).call_timeout(Duration::from_secs(900))
    })
    .await;
    // Fails for 400 s, then works: a renewal happens at 300 s.
    let id = tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Transfer>(Move { confirm: Does::FailTimes(12), ..works(1) }).await?;
            Ok::<_, Error>(tx.id())
        })
        .await
        .unwrap();
    tcc.settled(id).await.unwrap();
}

/// a key is used again; the answer to the begin is lost, and it arrives a little later.
#[tokio::test(start_paused = true)]
async fn reuse_with_a_late_begin() {
    let mut slow = Slow::new(Duration::ZERO);
    let seen = AtomicUsize::new(0);
    slow.hook = Some(Box::new(move |w| {
        if w.mode == Mode::Replace && w.entry.line().contains("\"begin\"") && seen.fetch_add(1, SeqCst) == 0 {
            Fate::LoseThenDelay(Duration::ZERO, Some(Duration::from_millis(1)))
        } else {
            Fate::Pass
        }
    }));
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    let tcc = start(store.clone(), bank.clone(), |b| b).await;
    let failing = tcc.transaction("pay").key(7).run(async |_: &Tx| Err::<u32, _>(Error::Own)).await;
    assert!(failing.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again =
        tcc.transaction("pay").key(7).reuse_after_cancel().run(async |_: &Tx| Ok::<_, Error>(1)).await;
    assert!(again.is_ok());
}
/// while the store can be read and each begin's answer is lost, the caller waits far beyond its deadline.
#[tokio::test(start_paused = true)]
async fn a_reused_key_returns_by_its_deadline() {
    let mut slow = Slow::new(Duration::ZERO);
    slow.hook = Some(Box::new(move |w| {
        if w.mode == Mode::Replace && w.entry.line().contains("\"begin\"") {
            Fate::LoseThenDelay(Duration::ZERO, None)
        } else {
            Fate::Pass
        }
    }));
    let (store, bank) = (Arc::new(slow), Arc::<Bank>::default());
    let tcc = start(store.clone(), bank.clone(), |b| b).await;
    assert!(tcc.transaction("pay").key(7).run(async |_: &Tx| Err::<u32, _>(Error::Own)).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = tcc.transaction("pay").key(7).reuse_after_cancel().run(async |_: &Tx| Ok::<_, Error>(1));
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), again).await.is_ok(),
        "the timeout is 30 s; an hour has passed"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_request_has_the_same_digest() {
    let rig = Rig::start().await;
    let request = || (0..20).map(|n| (n.to_string(), n)).collect::<HashMap<String, u32>>();
    let call = async || {
        rig.tcc.transaction("pay").key(7).request(&request()).run(async |_: &Tx| Ok::<_, Error>(1)).await
    };
    call().await.unwrap();
    call().await.unwrap();
}

struct Forever;
impl ActionType for Forever {
    const NAME: &'static str = "slow.forever";
    const ON_CONFIRM: bool = true;
    const TIMEOUT: Option<Duration> = Some(Duration::MAX);
    type Request = ();
    type Output = ();
    type Error = Never;
}
struct SlowService;
impl Handler<Forever> for SlowService {
    async fn r#try(&self, _: &Branch, _: ()) -> Tried<(), Never> {
        Ok(())
    }
    async fn confirm(&self, _: &Branch, _: (), (): ()) -> Settled {
        Ok(())
    }
    async fn cancel(&self, _: &Branch, _: (), _: Option<()>) -> Settled {
        Ok(())
    }
}
impl Service for SlowService {
    fn register(self: Arc<Self>, r: &mut Registry) {
        r.add::<Forever, _>(self);
    }
}
#[tokio::test(start_paused = true)]
async fn an_action_without_a_time_limit() {
    let started = Coordinator::builder("test", MemoryStore::new()).register(SlowService).start().await;
    assert!(matches!(started, Err(StartError::Register(RegisterError::Timeout { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_log_of_a_newer_format_hardly_grows() {
    let store = Arc::new(Slow::new(Duration::ZERO));
    let id = TxId::from_time(1, [1; 10]);
    store
        .inner
        .append(&Append {
            group: group(),
            id,
            after: Position::START,
            entry: Entry::new(Op::from_u64(5), r#"{"v":2,"begin":{}}"#).unwrap(),
            due: Due::In(Duration::ZERO),
            mode: Mode::Extend,
        })
        .await
        .unwrap();
    let _tcc = start(store.clone(), Arc::default(), |b| b).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let log = store.inner.read(&group(), id).await.unwrap().unwrap();
    assert!(log.entries().len() < 100);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_due_soon() {
    let store = Arc::new(Slow::new(Duration::ZERO));
    let _tcc = start(store.clone(), Arc::default(), |b| b).await;
    store.due_soon_panics.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    store.due_soon_panics.store(false, SeqCst);
    let before = store.claims.load(SeqCst);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(store.claims.load(SeqCst) > before, "recovery has ended for good");
}

struct Rate;
impl ActionType for Rate {
    const NAME: &'static str = "fx.rate";
    type Request = ();
    type Output = f64;
    type Error = Never;
}
struct Fx(AtomicUsize);
impl Handler<Rate> for Fx {
    async fn r#try(&self, _: &Branch, _: ()) -> Tried<f64, Never> {
        Ok(f64::NAN)
    }
    async fn confirm(&self, _: &Branch, _: (), _: f64) -> Settled {
        self.0.fetch_add(1, SeqCst);
        Ok(())
    }
    async fn cancel(&self, _: &Branch, _: (), _: Option<f64>) -> Settled {
        Ok(())
    }
}
impl Service for Fx {
    fn register(self: Arc<Self>, r: &mut Registry) {
        r.add::<Rate, _>(self);
    }
}
#[tokio::test(start_paused = true)]
async fn a_payload_that_can_be_written_and_not_read() {
    let fx = Arc::new(Fx(AtomicUsize::new(0)));
    let tcc = Coordinator::builder("test", MemoryStore::new()).register(fx.clone()).start().await.unwrap();
    #[derive(Debug, thiserror::Error)]
    enum E {
        #[error(transparent)]
        B(#[from] BranchError<Never>),
        #[error(transparent)]
        T(#[from] TransactionError),
    }
    let id = tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Rate>(()).await?;
            Ok::<_, E>(tx.id())
        })
        .await;
    let Ok(id) = id else { return };
    let settled = tokio::time::timeout(Duration::from_secs(24 * 3600), tcc.settled(id)).await;
    assert!(
        settled.is_ok(),
        "reported Ok, and unsettled after a day: confirm was called {} times",
        fx.0.load(SeqCst)
    );
}

/// the caller hangs up while the begin of its key is written.
#[tokio::test(start_paused = true)]
async fn hang_up_during_a_keyed_begin() {
    let store = Arc::new(Slow::new(Duration::from_millis(10)));
    let tcc = start(store.clone(), Arc::default(), |b| b).await;
    let call = || {
        tcc.transaction("pay").timeout(Duration::from_secs(3600)).key(7).run(async |_: &Tx| Ok::<_, Error>(1))
    };
    assert!(tokio::time::timeout(Duration::from_millis(5), call()).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let unfinished = store.inner.stats(&group()).await.unwrap().unfinished;
    assert_eq!(
        unfinished, 0,
        "nobody cancels it before its deadline, an hour from now, and its key is taken"
    );
}

/// the store's renewal waits for a lock that a participant's call holds (one SQLite file for both): simulated.
struct Locking {
    inner: Slow,
    lock: Arc<tokio::sync::Mutex<()>>,
}
#[async_trait]
impl StatusStore for Locking {
    async fn append(&self, w: &Append) -> Result<(), StoreError> {
        match tokio::time::timeout(Duration::from_secs(5), self.lock.lock()).await {
            Ok(_guard) => self.inner.append(w).await,
            Err(_) => Err(StoreError::Unavailable { what: "busy".into(), source: None }),
        }
    }
    async fn claim(&self, c: &ClaimReq) -> Result<Claimed, StoreError> {
        let _g = self.lock.lock().await;
        self.inner.claim(c).await
    }
    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.inner.read(group, id).await
    }
    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }
    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        self.inner.stats(group).await
    }
    async fn check(&self) -> Result<Readiness, StoreError> {
        Ok(Readiness::default())
    }
}
struct Ship;
impl ActionType for Ship {
    const NAME: &'static str = "ship.it";
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(30));
    type Request = ();
    type Output = ();
    type Error = Never;
}
struct Ships {
    lock: Arc<tokio::sync::Mutex<()>>,
    started: AtomicUsize,
    done: AtomicUsize,
}
impl Handler<Ship> for Ships {
    async fn r#try(&self, _: &Branch, _: ()) -> Tried<(), Never> {
        Ok(())
    }
    async fn confirm(&self, _: &Branch, _: (), (): ()) -> Settled {
        self.started.fetch_add(1, SeqCst);
        let _transaction = self.lock.lock().await;
        tokio::time::sleep(Duration::from_secs(6)).await; // longer than half a lease, well within its own limit
        self.done.fetch_add(1, SeqCst);
        Ok(())
    }
    async fn cancel(&self, _: &Branch, _: (), _: Option<()>) -> Settled {
        Ok(())
    }
}
impl Service for Ships {
    fn register(self: Arc<Self>, r: &mut Registry) {
        r.add::<Ship, _>(self);
    }
}
#[tokio::test(start_paused = true)]
async fn a_renewal_does_not_stop_the_calls() {
    let lock = Arc::<tokio::sync::Mutex<()>>::default();
    let ships =
        Arc::new(Ships { lock: lock.clone(), started: AtomicUsize::new(0), done: AtomicUsize::new(0) });
    let store = Arc::new(Locking { inner: Slow::new(Duration::ZERO), lock });
    let tcc = Coordinator::builder("test", store).register(ships.clone()).start().await.unwrap();
    #[derive(Debug, thiserror::Error)]
    enum E {
        #[error(transparent)]
        B(#[from] BranchError<Never>),
        #[error(transparent)]
        T(#[from] TransactionError),
    }
    let id = tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Ship>(()).await?;
            Ok::<_, E>(tx.id())
        })
        .await
        .unwrap();
    let settled = tokio::time::timeout(Duration::from_secs(3600), tcc.settled(id)).await;
    let (started, done) = (ships.started.load(SeqCst), ships.done.load(SeqCst));
    assert!(settled.is_ok(), "after an hour: confirm started {started} times, ended {done} times");
}
#[tokio::test(start_paused = true)]
async fn a_stream_of_checkouts() {
    let mut bad = Vec::new();
    for width in 2..=12usize {
        for seed in 0..6u64 {
            let tcc = start(Arc::new(Slow::new(Duration::from_millis(3))), Arc::default(), |b| b).await;
            let pay = |n: u64| {
                let tcc = tcc.clone();
                async move {
                    tcc.run("pay", async |tx: &Tx| {
                        for k in 0..(n * 5 + seed) % 3 + 1 {
                            tx.call::<Transfer>(works(1)).await?;
                            tokio::time::sleep(Duration::from_millis((n * 31 + k * 17 + seed * 13) % 9))
                                .await;
                        }
                        Ok::<_, Error>(())
                    })
                    .await
                }
            };
            let failed = std::cell::Cell::new(0);
            let work = futures_util::stream::iter(0..60).map(&pay).buffer_unordered(width).for_each(|done| {
                if done.is_err() {
                    failed.set(failed.get() + 1)
                }
                pay(0).map(|r| {
                    if r.is_err() {
                        failed.set(failed.get() + 1)
                    }
                })
            });
            let hung = tokio::time::timeout(Duration::from_secs(3 * 3600), work).await.is_err();
            if hung || failed.get() > 0 {
                bad.push((width, seed, hung, failed.get()));
            }
        }
    }
    assert!(bad.is_empty(), "(width, seed, hung for hours, failed of 120): {bad:?}");
}
/// Shutdown waits for ever as well, and so does a decision (no deadline bounds it).
#[tokio::test(start_paused = true)]
async fn a_body_that_holds_another_transaction() {
    let tcc = start(Arc::new(Slow::new(Duration::from_millis(5))), Arc::default(), |b| b).await;
    let pay = || {
        let tcc = tcc.clone();
        async move {
            tcc.run("pay", async |tx: &Tx| tx.call::<Transfer>(works(1)).await.map_err(Error::from)).await
        }
    };
    let other = tokio::spawn(pay());
    tokio::time::sleep(Duration::from_millis(40)).await; // may be done; what matters comes now
    let _ = other.await;
    let (mut a, mut b) = (Box::pin(pay()), Box::pin(pay()));
    for _ in 0..3 {
        let _ = futures_util::poll!(&mut a);
        let _ = futures_util::poll!(&mut b);
    }
    let keyed = tokio::spawn({
        let tcc = tcc.clone();
        async move { tcc.transaction("pay").key(1).run(async |_: &Tx| Ok::<_, Error>(1)).await }
    });
    let r = tokio::time::timeout(Duration::from_secs(3600), keyed).await;
    drop((a, b));
    assert!(r.is_ok(), "a keyed call with a deadline of 30 s has not returned after an hour");
}
/// One lost answer of a renewal, the store otherwise well: the confirm under way is thrown away and begun again.
#[tokio::test(start_paused = true)]
async fn one_lost_renewal() {
    let lock = Arc::<tokio::sync::Mutex<()>>::default();
    let ships = Arc::new(Ships { lock, started: AtomicUsize::new(0), done: AtomicUsize::new(0) });
    let mut slow = Slow::new(Duration::ZERO);
    let seen = AtomicUsize::new(0);
    slow.hook = Some(Box::new(move |w| {
        if w.entry.line().contains("\"claim\"") && seen.fetch_add(1, SeqCst) == 0 {
            Fate::LoseThenDelay(Duration::ZERO, None)
        } else {
            Fate::Pass
        }
    }));
    let tcc = Coordinator::builder("test", Arc::new(slow)).register(ships.clone()).start().await.unwrap();
    #[derive(Debug, thiserror::Error)]
    enum E {
        #[error(transparent)]
        B(#[from] BranchError<Never>),
        #[error(transparent)]
        T(#[from] TransactionError),
    }
    let id = tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Ship>(()).await?;
            Ok::<_, E>(tx.id())
        })
        .await
        .unwrap();
    tcc.settled(id).await.unwrap();
    assert_eq!(ships.started.load(SeqCst), 1);
}
