//! A store that counts the answers that were none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tcc_core::protocol::{Group, Log, TxId};
use tcc_core::store::{Append, Claim, Claimed, Page, Query, Readiness, Stats, StatusStore, StoreError};

/// A store that counts which of its appends and claims were not answered.
#[derive(Debug, Clone)]
pub struct Outages<S> {
    store: S,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    unavailable: AtomicU64,
    ambiguous: AtomicU64,
}

impl<S> Outages<S> {
    /// Counts the outages of a store.
    pub fn new(store: S) -> Self {
        Self { store, counts: Arc::default() }
    }

    /// How many were certainly not applied.
    pub fn unavailable(&self) -> u64 {
        self.counts.unavailable.load(Ordering::SeqCst)
    }

    /// Of how many the answer was lost.
    pub fn ambiguous(&self) -> u64 {
        self.counts.ambiguous.load(Ordering::SeqCst)
    }

    fn count<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match &answer {
            Err(StoreError::Unavailable { .. }) => self.counts.unavailable.fetch_add(1, Ordering::SeqCst),
            Err(StoreError::Ambiguous { .. }) => self.counts.ambiguous.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        answer
    }
}

#[async_trait]
impl<S: StatusStore> StatusStore for Outages<S> {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        self.count(self.store.append(write).await)
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let answers = self.store.append_all(writes).await;
        answers.into_iter().map(|answer| self.count(answer)).collect()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.count(self.store.claim(claim).await)
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.store.read(group, id).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.store.list(query).await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        self.store.stats(group).await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        self.store.check().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        self.store.sweep(limit).await
    }

    async fn due_soon(&self, group: &Group, at_most: Duration) {
        self.store.due_soon(group, at_most).await;
    }
}
