//! What these tests share: a participant that does as it is told and remembers, a store that counts, a coordinator.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tcc_core::protocol::{BranchKey, Group, Log, Phase, Status, TxId};
use tcc_core::store::{
    Append, Claim, Claimed, MemoryStore, Mode, Page, Query, Readiness, Stats, StatusStore, StoreError,
};
use tcc_core::{
    ActionType, Branch, BranchError, Builder, Coordinator, Handler, Never, Registry, Service, SettleError,
    Settled, TransactionError, Tried, refuse,
};

/// What a bank does in a phase of a branch: told by the request, so that a test reads in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Does {
    Work,
    /// Works, and takes this long for it.
    WorkFor(Duration),
    Refuse,
    Fail,
    Panic,
    Hang,
    /// Fails so many times, then works.
    FailTimes(u32),
    /// Hangs so many times, then works.
    HangTimes(u32),
    /// Fails, and says so in several lines.
    FailInLines,
    /// Fails until [`Bank::up`].
    WhenUp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Move {
    pub cents: i64,
    pub r#try: Does,
    pub confirm: Does,
    pub cancel: Does,
}

pub fn works(cents: i64) -> Move {
    Move { cents, r#try: Does::Work, confirm: Does::Work, cancel: Does::Work }
}

/// What happened to a branch, phase by phase.
pub type History = HashMap<BranchKey, Vec<Phase>>;

#[derive(Default)]
pub struct Bank {
    /// The calls that worked.
    pub effects: Mutex<History>,
    /// All calls.
    pub calls: Mutex<Vec<(BranchKey, Phase)>>,
    pub up: AtomicBool,
    failures: Mutex<HashMap<(BranchKey, Phase), u32>>,
}

impl Bank {
    async fn act(&self, cx: &Branch, does: Does) -> Result<bool, std::io::Error> {
        self.calls.lock().unwrap().push((cx.key(), cx.phase()));
        match does {
            Does::Work => {}
            Does::WorkFor(time) => tokio::time::sleep(time).await,
            Does::Refuse => return Ok(false),
            Does::Fail => return Err(std::io::Error::other("broken")),
            Does::Panic => panic!("as told"),
            Does::Hang => std::future::pending::<()>().await,
            Does::HangTimes(times) => {
                let hangs = {
                    let mut failures = self.failures.lock().unwrap();
                    let hung = failures.entry((cx.key(), cx.phase())).or_default();
                    *hung += 1;
                    *hung <= times
                };
                if hangs {
                    std::future::pending::<()>().await;
                }
            }
            Does::FailInLines => return Err(std::io::Error::other("one\r\ntwo\u{2028}three\u{1b}[2J")),
            Does::WhenUp if self.up.load(Ordering::SeqCst) => {}
            Does::WhenUp => return Err(std::io::Error::other("down")),
            Does::FailTimes(times) => {
                let mut failures = self.failures.lock().unwrap();
                let failed = failures.entry((cx.key(), cx.phase())).or_default();
                if *failed < times {
                    *failed += 1;
                    return Err(std::io::Error::other("not yet"));
                }
            }
        }
        self.effects.lock().unwrap().entry(cx.key()).or_default().push(cx.phase());
        Ok(true)
    }

    pub fn phases(&self, tx: TxId) -> Vec<Vec<Phase>> {
        let effects = self.effects.lock().unwrap();
        let mut keys: Vec<_> = effects.keys().filter(|key| key.tx == tx).copied().collect();
        keys.sort();
        keys.iter().map(|key| effects[key].clone()).collect()
    }

    pub fn calls_of(&self, tx: TxId, phase: Phase) -> usize {
        self.calls.lock().unwrap().iter().filter(|(key, called)| key.tx == tx && *called == phase).count()
    }
}

pub struct Transfer;
impl ActionType for Transfer {
    const NAME: &'static str = "bank.transfer";
    type Request = Move;
    type Output = i64;
    type Error = String;
}

impl Handler<Transfer> for Bank {
    async fn r#try(&self, cx: &Branch, request: Move) -> Tried<i64, String> {
        if !self.act(cx, request.r#try).await? {
            return refuse("no".into());
        }
        Ok(request.cents)
    }

    async fn confirm(&self, cx: &Branch, request: Move, output: i64) -> Settled {
        assert_eq!(request.cents, output, "confirm is given the output of its try");
        if !self.act(cx, request.confirm).await? {
            return Err(SettleError::refuse("never"));
        }
        Ok(())
    }

    async fn cancel(&self, cx: &Branch, request: Move, _: Option<i64>) -> Settled {
        if !self.act(cx, request.cancel).await? {
            return Err(SettleError::refuse("never"));
        }
        Ok(())
    }
}

/// An action without a try.
pub struct Notice;
impl ActionType for Notice {
    const NAME: &'static str = "bank.notice";
    const ON_CONFIRM: bool = true;
    type Request = Move;
    type Output = ();
    type Error = Never;
}

impl Handler<Notice> for Bank {
    async fn r#try(&self, _: &Branch, _: Move) -> Tried<(), Never> {
        panic!("an action without a try is not tried")
    }

    async fn confirm(&self, cx: &Branch, request: Move, (): ()) -> Settled {
        assert!(cx.is_on_confirm());
        self.act(cx, request.confirm).await?;
        Ok(())
    }

    async fn cancel(&self, _: &Branch, _: Move, _: Option<()>) -> Settled {
        panic!("an action without a try is not cancelled")
    }
}

impl Service for Bank {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Transfer, _>(self.clone());
        registry.add::<Notice, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<String>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error("the body's own")]
    Own,
}

/// A memory store that counts what it is asked.
#[derive(Default)]
pub struct Counting {
    pub inner: MemoryStore,
    pub appends: AtomicU64,
    /// The length of each entry appended.
    pub bytes: Mutex<Vec<usize>>,
    /// A call takes five milliseconds.
    pub slow: AtomicBool,
    /// A call never ends.
    pub hangs: AtomicBool,
    /// Calls under way, but for those of tombstones, and the most of them.
    pub under_way: AtomicU64,
    pub at_once: AtomicU64,
}

impl Counting {
    /// Counts a call, until what is returned is dropped.
    async fn call(&self, writes: &[Append]) -> impl Drop + '_ {
        struct Call<'a>(&'a AtomicU64, u64);
        impl Drop for Call<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(self.1, Ordering::SeqCst);
            }
        }
        self.appends.fetch_add(writes.len() as u64, Ordering::SeqCst);
        self.bytes.lock().unwrap().extend(writes.iter().map(|write| write.entry.line().len()));
        let counted = u64::from(writes.iter().any(|write| write.mode == Mode::Extend));
        let under_way = self.under_way.fetch_add(counted, Ordering::SeqCst) + counted;
        self.at_once.fetch_max(under_way, Ordering::SeqCst);
        let call = Call(&self.under_way, counted);
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        call
    }
}

#[async_trait]
impl StatusStore for Counting {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        let _call = self.call(std::slice::from_ref(write)).await;
        self.inner.append(write).await
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let _call = self.call(writes).await;
        self.inner.append_all(writes).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
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
}

pub struct Rig {
    pub store: Arc<Counting>,
    pub bank: Arc<Bank>,
    pub tcc: Coordinator,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub async fn with(set: impl FnOnce(Builder) -> Builder) -> Self {
        let (store, bank) = (Arc::new(Counting::default()), Arc::new(Bank::default()));
        let tcc =
            set(Coordinator::builder("test", store.clone()).register(bank.clone())).start().await.unwrap();
        Self { store, bank, tcc }
    }

    /// Another instance of the group, on the same store and bank.
    pub async fn another(&self) -> Coordinator {
        Coordinator::builder("test", self.store.clone()).register(self.bank.clone()).start().await.unwrap()
    }

    pub fn appends(&self) -> u64 {
        self.store.appends.load(Ordering::SeqCst)
    }

    pub async fn unfinished(&self) -> u64 {
        self.store.stats(&Group::new("test").unwrap()).await.unwrap().unfinished
    }

    /// Waits until a transaction is settled.
    pub async fn settled(&self, id: TxId) -> Option<Status> {
        settled(&self.tcc, id).await
    }

    /// Waits until nothing is unfinished.
    pub async fn quiet(&self) {
        for _ in 0..100_000 {
            if self.unfinished().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("something is unfinished after 5 000 seconds");
    }
}

/// Waits until a transaction is settled; a test whose transaction never is fails, where it would else go on for ever.
pub async fn settled(tcc: &Coordinator, id: TxId) -> Option<Status> {
    match tokio::time::timeout(Duration::from_secs(8_000), tcc.settled(id)).await {
        Ok(answer) => answer.expect("the log can be read"),
        Err(_) => panic!("{id} is not settled after 8 000 seconds: {:?}", tcc.outcome(id).await),
    }
}
