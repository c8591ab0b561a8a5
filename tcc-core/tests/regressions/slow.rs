//! A memory store with latency, whose appends and sweeps a test decides about.

use super::*;

pub(crate) type Hook = Box<dyn Fn(&Append) -> Fate + Send + Sync>;

pub(crate) enum Fate {
    Pass,
    LoseThenDelay(Duration, Option<Duration>),
}

/// A memory store with latency and a hook per append.
pub(crate) struct Slow {
    pub(crate) inner: Arc<MemoryStore>,
    pub(crate) latency: Duration,
    pub(crate) claim_latency: Duration,
    pub(crate) hook: Option<Hook>,
    pub(crate) claims: AtomicUsize,
    pub(crate) sweeps: AtomicUsize,
    pub(crate) due_soon_panics: std::sync::atomic::AtomicBool,
}

impl Slow {
    pub(crate) fn new(latency: Duration) -> Self {
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

pub(crate) fn group() -> Group {
    Group::new("test").unwrap()
}

pub(crate) async fn start(
    store: Arc<Slow>,
    bank: Arc<Bank>,
    set: impl FnOnce(Builder) -> Builder,
) -> Coordinator {
    set(Coordinator::builder("test", store).register(bank)).start().await.unwrap()
}
