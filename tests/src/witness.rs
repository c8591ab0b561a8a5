//! A store that watches the logs grow.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tcc_core::protocol::{Decision, Group, Log, Status, TxId, fold};
use tcc_core::store::{
    Append, Claim, Claimed, MemoryStore, Page, Query, Readiness, Stats, StatusStore, StoreError,
};

/// A memory store that looks at each log after each change, and notes what no log may ever show: a change that is
/// illegal where it stands, a second decision, a step back from a settled state.
#[derive(Debug, Default)]
pub struct Witness {
    logs: MemoryStore,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    decisions: HashMap<TxId, Decision>,
    ends: HashMap<TxId, Status>,
    violations: Vec<String>,
}

impl Witness {
    /// What was seen that may not be.
    pub fn violations(&self) -> Vec<String> {
        self.seen().violations.clone()
    }

    /// The transactions that were ever in the store.
    pub fn decision(&self, id: TxId) -> Option<Decision> {
        self.seen().decisions.get(&id).copied()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, group: &Group, id: TxId) {
        let Ok(Some(log)) = self.logs.read(group, id).await else { return };
        let record = fold(&log);
        let mut seen = self.seen();
        let record = match record {
            Ok(record) => record,
            Err(error) => return seen.violations.push(format!("{id}: {error:?}")),
        };
        match (seen.decisions.get(&id).copied(), record.decision()) {
            (None, Some(decision)) => drop(seen.decisions.insert(id, decision)),
            (Some(before), now) if now != Some(before) => {
                seen.violations.push(format!("{id}: the decision was {before} and is {now:?}"));
            }
            _ => {}
        }
        match seen.ends.get(&id).copied() {
            None if record.status().is_settled() => drop(seen.ends.insert(id, record.status())),
            Some(before) if record.status() != before => {
                seen.violations.push(format!("{id}: it was {before} and is {}", record.status()));
            }
            _ => {}
        }
    }
}

#[async_trait]
impl StatusStore for Witness {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        let answer = self.logs.append(write).await;
        self.look(&write.group, write.id).await;
        answer
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let claimed = self.logs.claim(claim).await?;
        for (id, _) in &claimed.logs {
            self.look(&claim.group, *id).await;
        }
        Ok(claimed)
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.logs.read(group, id).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.logs.list(query).await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        self.logs.stats(group).await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        Ok(Readiness::default())
    }

    async fn due_soon(&self, group: &Group, at_most: Duration) {
        self.logs.due_soon(group, at_most).await;
    }
}
