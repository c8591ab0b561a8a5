//! What these tests share: a recorder that adds up, a participant that does as it is told, a coordinator.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde::{Deserialize, Serialize};
use tcc_core::protocol::{Phase, TxId};
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::testing::FaultStore;
use tcc_core::{
    ActionType, Branch, BranchError, Builder, Coordinator, Handler, Registry, Service, SettleError, Settled,
    TransactionError, Tried, TryFailure, Tx, refuse,
};

/// A metric with its labels.
pub type Series = (String, BTreeMap<String, String>);

/// What was told to a recorder. Each look at it takes what is new, and adds it to what was there.
#[derive(Default)]
pub struct Seen {
    pub recorder: DebuggingRecorder,
    numbers: Mutex<BTreeMap<Series, f64>>,
    times: Mutex<BTreeMap<Series, Vec<f64>>>,
    /// What the gauges were at the last look.
    gauges: Mutex<BTreeMap<String, f64>>,
}

impl Seen {
    /// A recorder for what starts on this thread, until the next.
    pub fn install() -> &'static Self {
        let seen: &'static Self = Box::leak(Box::default());
        std::mem::forget(metrics::set_default_local_recorder(&seen.recorder));
        seen
    }

    fn look(&self) {
        let (mut numbers, mut times) = (self.numbers.lock().unwrap(), self.times.lock().unwrap());
        for (key, _, about, value) in self.recorder.snapshotter().snapshot().into_vec() {
            let key = key.key();
            assert!(about.is_some(), "{} is not described", key.name());
            let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
            let series = (key.name().to_owned(), labels.collect());
            match value {
                DebugValue::Counter(value) => *numbers.entry(series).or_default() += value as f64,
                // A look sets it to nothing, so what is added and taken away adds up as well.
                DebugValue::Gauge(value) => {
                    self.gauges.lock().unwrap().insert(series.0.clone(), value.into_inner());
                    *numbers.entry(series).or_default() += value.into_inner();
                }
                DebugValue::Histogram(values) => {
                    times
                        .entry(series)
                        .or_default()
                        .extend(values.into_iter().map(|value| value.into_inner()));
                }
            }
        }
    }

    /// All series that were told of, also those that are still 0.
    pub fn series(&self) -> Vec<Series> {
        self.look();
        let (numbers, times) = (self.numbers.lock().unwrap(), self.times.lock().unwrap());
        numbers.keys().chain(times.keys()).cloned().collect()
    }

    fn sum<T>(of: &BTreeMap<Series, T>, name: &str, labels: &[(&str, &str)], mut add: impl FnMut(&T)) {
        let fits = |have: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| have.get(*label).is_some_and(|have| have == value))
        };
        of.iter().filter(|((of, have), _)| of == name && fits(have)).for_each(|(_, value)| add(value));
    }

    /// The sum of all that have these labels.
    pub fn number(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.look();
        let mut sum = 0.0;
        Self::sum(&self.numbers.lock().unwrap(), name, labels, |value| sum += value);
        sum
    }

    /// All times of those that have these labels.
    pub fn times(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.look();
        let mut all = Vec::new();
        Self::sum(&self.times.lock().unwrap(), name, labels, |values| all.extend_from_slice(values));
        all
    }

    /// What gauges are set to in the time that is long enough for each.
    pub async fn gauges<const N: usize>(&self, names: [&str; N]) -> [f64; N] {
        self.gauges_within(Duration::from_secs(11), names).await
    }

    /// What gauges are set to from now until then; 0 if they are not.
    pub async fn gauges_within<const N: usize>(&self, time: Duration, names: [&str; N]) -> [f64; N] {
        self.look();
        tokio::time::sleep(time).await;
        self.look();
        let gauges = self.gauges.lock().unwrap();
        names.map(|name| gauges[name])
    }
}

/// What a bank does in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Does {
    Work,
    Refuse,
    Fail,
    Panic,
    Hang,
    TooLate,
    /// Works in two seconds.
    Slowly,
    /// Fails until [`Bank::up`].
    WhenUp,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Told {
    pub r#try: Does,
    pub confirm: Does,
    pub cancel: Does,
}

pub const WORKS: Told = Told { r#try: Does::Work, confirm: Does::Work, cancel: Does::Work };

#[derive(Default)]
pub struct Bank {
    pub calls: Mutex<Vec<(TxId, Phase)>>,
    pub up: AtomicBool,
    /// Instead of failing, [`Does::WhenUp`] never answers.
    pub hangs: AtomicBool,
}

impl Bank {
    async fn act(&self, cx: &Branch, does: Does) -> Result<bool, std::io::Error> {
        self.calls.lock().unwrap().push((cx.tx(), cx.phase()));
        match does {
            Does::Work | Does::TooLate => {}
            Does::Refuse => return Ok(false),
            Does::Fail => return Err(std::io::Error::other("broken")),
            Does::Panic => panic!("as told"),
            Does::Hang => std::future::pending::<()>().await,
            Does::Slowly => tokio::time::sleep(Duration::from_secs(2)).await,
            Does::WhenUp if self.up.load(Ordering::SeqCst) => {}
            Does::WhenUp if self.hangs.load(Ordering::SeqCst) => std::future::pending().await,
            Does::WhenUp => return Err(std::io::Error::other("down")),
        }
        Ok(true)
    }

    async fn settle(&self, cx: &Branch, does: Does) -> Settled {
        match self.act(cx, does).await? {
            true => Ok(()),
            false => Err(SettleError::refuse("never")),
        }
    }
}

pub struct Transfer;
impl ActionType for Transfer {
    const NAME: &'static str = "bank.transfer";
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(5));
    type Request = Told;
    type Output = ();
    type Error = String;
}

impl Handler<Transfer> for Bank {
    async fn r#try(&self, cx: &Branch, told: Told) -> Tried<(), String> {
        match self.act(cx, told.r#try).await? {
            true if told.r#try == Does::TooLate => Err(TryFailure::TooLate),
            true => Ok(()),
            false => refuse("no".into()),
        }
    }

    async fn confirm(&self, cx: &Branch, told: Told, (): ()) -> Settled {
        self.settle(cx, told.confirm).await
    }

    async fn cancel(&self, cx: &Branch, told: Told, _: Option<()>) -> Settled {
        self.settle(cx, told.cancel).await
    }
}

impl Service for Bank {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Transfer, _>(self);
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

pub struct Rig {
    pub store: Arc<FaultStore<MemoryStore>>,
    pub bank: Arc<Bank>,
    pub tcc: Coordinator,
    pub seen: &'static Seen,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub async fn with(set: impl FnOnce(Builder) -> Builder) -> Self {
        let store = Arc::new(FaultStore::new(MemoryStore::new()));
        let (bank, seen) = (Arc::<Bank>::default(), Seen::install());
        let tcc = start(&store, &bank, set).await;
        Self { store, bank, tcc, seen }
    }

    /// Runs a transaction with these branches, one after the other.
    pub async fn pay(&self, branches: &[Told]) -> Result<TxId, Error> {
        let body = async |tx: &Tx| {
            for branch in branches {
                tx.call::<Transfer>(*branch).await?;
            }
            Ok(tx.id())
        };
        self.tcc.run("pay", body).await
    }

    pub fn number(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.seen.number(name, labels)
    }

    pub fn times(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.seen.times(name, labels)
    }
}

pub async fn start(
    store: &Arc<impl StatusStore>,
    bank: &Arc<Bank>,
    set: impl FnOnce(Builder) -> Builder,
) -> Coordinator {
    set(Coordinator::builder("test", store.clone()).register(bank.clone())).start().await.unwrap()
}

/// Whether times are these, to the millisecond that a paused clock may be late.
pub fn about(times: &[f64], seconds: &[f64]) -> bool {
    times.len() == seconds.len()
        && times.iter().zip(seconds).all(|(time, expected)| (expected..=&(expected + 0.005)).contains(&time))
}
