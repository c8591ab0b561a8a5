//! A store that answers right, and looks at far too much to do so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tcc_core::protocol::{Group, Log, TxId};
use tcc_core::store::{
    Append, Claim, Claimed, MemoryStore, Page, Query, Readiness, Select, Stats, StatusStore, StoreError,
};
use tcc_core::testing::{Metered, StoreFixture};

/// Where it has no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waste {
    None,
    /// It lists all, to find what is due.
    Claim,
    /// It lists all, to count them.
    Stats,
    /// It lists all before the page, to skip them.
    List,
}

/// Its work is the number of logs that it has looked at.
#[derive(Clone)]
pub(crate) struct Wasteful {
    waste: Waste,
    store: Arc<MemoryStore>,
    looked_at: Arc<AtomicU64>,
}

impl Wasteful {
    pub(crate) fn with(waste: Waste) -> Self {
        Self { waste, store: Arc::default(), looked_at: Arc::default() }
    }

    fn look_at(&self, logs: usize) {
        self.looked_at.fetch_add(logs as u64, Ordering::Relaxed);
    }

    /// Goes through all of a group, if that is what this one does here.
    async fn look_at_all(&self, here: Waste, group: &Group) -> Result<(), StoreError> {
        let mut query =
            Query { group: group.clone(), select: Select::Unfinished, cursor: None, limit: 1_000 };
        if self.waste != here {
            return Ok(());
        }
        loop {
            let page = self.store.list(&query).await?;
            self.look_at(page.items.len());
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl StoreFixture for Wasteful {
    type Store = Self;

    async fn start() -> Self {
        Self::with(Waste::None)
    }

    async fn open(&self) -> Self {
        self.clone()
    }
}

#[async_trait]
impl Metered for Wasteful {
    fn very_many(&self) -> usize {
        50_000
    }

    async fn work(&self) -> u64 {
        self.looked_at.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl StatusStore for Wasteful {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        self.store.append(write).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.look_at_all(Waste::Claim, &claim.group).await?;
        let claimed = self.store.claim(claim).await?;
        self.look_at(claimed.logs.len());
        Ok(claimed)
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.store.read(group, id).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.look_at_all(Waste::List, &query.group).await?;
        let page = self.store.list(query).await?;
        self.look_at(page.items.len());
        Ok(page)
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        self.look_at_all(Waste::Stats, group).await?;
        self.store.stats(group).await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        self.store.check().await
    }
}
