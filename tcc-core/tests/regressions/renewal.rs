//! A lease is renewed while participants work, and one lost answer does not end it.

use super::*;

/// The store's renewal waits for a lock that a participant's call holds (one SQLite file for both): simulated.
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
    let id = tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Ship>(()).await?;
            Ok::<_, Unrefused>(tx.id())
        })
        .await
        .unwrap();
    let settled = tokio::time::timeout(Duration::from_secs(3600), tcc.settled(id)).await;
    let (started, done) = (ships.started.load(SeqCst), ships.done.load(SeqCst));
    assert!(settled.is_ok(), "after an hour: confirm started {started} times, ended {done} times");
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
    let id = tcc
        .run("pay", async |tx: &Tx| {
            tx.call::<Ship>(()).await?;
            Ok::<_, Unrefused>(tx.id())
        })
        .await
        .unwrap();
    settled(&tcc, id).await;
    assert_eq!(ships.started.load(SeqCst), 1);
}
