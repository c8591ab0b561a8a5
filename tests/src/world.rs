//! Two coordinators on one store, on paused time, with faults for each.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tcc_core::Coordinator;
use tcc_core::protocol::Group;
use tcc_core::store::StatusStore;
use tcc_core::testing::{FaultStore, Faults};

use crate::bank::Bank;
use crate::witness::Witness;

/// The group of both.
pub const GROUP: &str = "test";
/// How long a transaction may stay undecided.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long one of them alone settles a transaction.
pub const LEASE: Duration = Duration::from_secs(10);
/// For how long they wait for their store, unless a test says otherwise.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than any deadline or lease here.
pub const LONG: Duration = Duration::from_secs(90);

/// Two coordinators of a group: the first begins, the second is there to take over.
pub struct World {
    /// The logs as they are, past all faults.
    pub logs: Arc<Witness>,
    /// The participant of both.
    pub bank: Arc<Bank>,
    /// The one that begins.
    pub first: Coordinator,
    /// What its store does to it.
    pub first_faults: Faults,
    /// The one that takes over.
    pub second: Coordinator,
    /// What its store does to it.
    pub second_faults: Faults,
}

impl World {
    /// Starts both, each of which waits so long for its store.
    ///
    /// # Panics
    /// If they don't start.
    pub async fn start(store_timeout: Duration) -> Self {
        let logs = Arc::new(Witness::default());
        let bank = Arc::new(Bank::new(GROUP, logs.clone()));
        let (first, second) = (FaultStore::new(logs.clone()), FaultStore::new(logs.clone()));
        let (first_faults, second_faults) = (first.faults(), second.faults());
        let start = async |store| {
            Coordinator::builder(GROUP, store)
                .register(bank.clone())
                .timeout(TIMEOUT)
                .lease(LEASE)
                .store_timeout(store_timeout)
                .retention(Duration::from_secs(24 * 3600))
                .start()
                .await
                .expect("the store is ready")
        };
        let (first, second) = (start(first).await, start(second).await);
        Self { logs, bank, first, first_faults, second, second_faults }
    }

    /// How many transactions are unfinished.
    ///
    /// # Panics
    /// Never: the memory store always answers.
    pub async fn unfinished(&self) -> u64 {
        self.logs
            .stats(&Group::new(GROUP).expect("a good name"))
            .await
            .expect("the memory store answers")
            .unfinished
    }

    /// Waits until nothing is unfinished, which takes minutes at most.
    ///
    /// # Errors
    /// If it is not so after 40 minutes.
    pub async fn finished(&self) -> Result<(), String> {
        for _ in 0..10_000 {
            if self.unfinished().await == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Err("something is unfinished after 40 minutes".into())
    }

    /// What was seen that may not be.
    ///
    /// # Errors
    /// That, in words.
    pub fn violations(&self) -> Result<(), String> {
        let all = [self.logs.violations(), self.bank.violations()].concat();
        if all.is_empty() { Ok(()) } else { Err(all.join("; ")) }
    }
}

/// Runs on a runtime of its own, whose time is paused: nothing of one case is left in the next.
///
/// # Panics
/// If there can be no runtime.
pub fn on_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    runtime.block_on(work)
}
