//! Settings, payloads, stores and logs at their limits; shutdown.

use super::*;

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
        traceparent: None,
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
    let id = tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Rate>(()).await?;
            Ok::<_, Unrefused>(tx.id())
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
