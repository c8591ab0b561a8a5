//! A store with faults by plan.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::plan::{Call, Fault, Faults, Rates, Until};
use crate::protocol::{Entry, Group, Log, TxId};
use crate::store::{Append, Claim, Claimed, Page, Query, Readiness, Stats, StatusStore, StoreError};

/// Wraps a store, and lets calls fail, wait, linger or repeat by plan: by script, by chance, or both.
///
/// ```
/// use tcc_core::store::MemoryStore;
/// use tcc_core::testing::{Fault, FaultStore, Rule};
///
/// let store = FaultStore::new(MemoryStore::new());
/// let faults = store.faults();
/// faults.next_append(Fault::AnswerLost);
/// faults.add(Rule::new(Fault::Unavailable).when_change("decide").nth(2).times(3));
/// ```
///
/// All its waiting is on tokio's clock, so a test on paused time is quick, and the same calls in the same order meet
/// the same faults. A rule on [`Call::Append`] strikes a single write, also within a batch; one on
/// [`Call::AppendAll`] strikes the batch as a whole, and so does chance.
#[derive(Debug)]
pub struct FaultStore<S> {
    store: Arc<S>,
    faults: Faults,
}

impl<S: StatusStore> FaultStore<S> {
    /// A store without any fault, until its plan has some.
    pub fn new(store: S) -> Self {
        Self { store: Arc::new(store), faults: Faults::default() }
    }

    /// A store with faults by chance. The same seed gives the same faults to the same calls.
    pub fn random(store: S, seed: u64, rates: Rates) -> Self {
        let this = Self::new(store);
        this.faults.chance(seed, rates);
        this
    }

    /// The plan.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// The store within, without faults.
    pub fn inner(&self) -> &Arc<S> {
        &self.store
    }

    /// Makes a call meet its fault. `work` applies it, each time it is called.
    async fn meet<T: Send + 'static>(
        &self,
        fault: Option<Fault>,
        work: impl Fn(Arc<S>) -> BoxFuture<'static, Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        match fault {
            None => work(store).await,
            Some(Fault::Unavailable) => Err(unavailable()),
            Some(Fault::RequestLost) => Err(ambiguous()),
            Some(Fault::AnswerLost) => {
                // Its answer is lost, whatever it was.
                let _ = work(store).await;
                Err(ambiguous())
            }
            Some(Fault::Lingers(until)) => {
                let late = async move {
                    let _ = work(store).await;
                };
                match until {
                    Until::Released => self.faults.linger(late),
                    Until::After(time) => {
                        tokio::spawn(async move {
                            tokio::time::sleep(time).await;
                            late.await;
                        });
                    }
                }
                Err(ambiguous())
            }
            Some(Fault::Twice) => {
                let first = work(Arc::clone(&store)).await;
                let _ = work(store).await;
                first
            }
            Some(Fault::DelayBefore(time)) => {
                tokio::time::sleep(time).await;
                work(store).await
            }
            Some(Fault::DelayAfter(time)) => {
                let answer = work(store).await;
                tokio::time::sleep(time).await;
                answer
            }
            Some(Fault::Hangs) => {
                self.faults.hang().await;
                work(store).await
            }
        }
    }

    /// A call that is no write.
    async fn call<T: Send + 'static>(
        &self,
        call: Call,
        entry: Option<&Entry>,
        work: impl Fn(Arc<S>) -> BoxFuture<'static, Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.faults.count(call, 1);
        let fault = self.faults.scripted(call, entry).or_else(|| self.faults.by_chance());
        self.meet(fault, work).await
    }

    /// Sends what has met no fault, in one batch.
    async fn flush(&self, writes: &mut Vec<Append>, answers: &mut Vec<Result<(), StoreError>>) {
        if !writes.is_empty() {
            answers.extend(self.store.append_all(&std::mem::take(writes)).await);
        }
    }
}

#[async_trait]
impl<S: StatusStore> StatusStore for FaultStore<S> {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        self.call(Call::Append, Some(&write.entry), one(write)).await
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        self.faults.count(Call::AppendAll, 1);
        self.faults.count(Call::Append, writes.len());
        if let Some(fault) = self.faults.scripted(Call::AppendAll, None).or_else(|| self.faults.by_chance()) {
            let batch = writes.to_vec();
            let work = move |store: Arc<S>| -> BoxFuture<'static, _> {
                let batch = batch.clone();
                Box::pin(async move { Ok(store.append_all(&batch).await) })
            };
            return match self.meet(Some(fault), work).await {
                Ok(answers) => answers,
                Err(StoreError::Unavailable { .. }) => writes.iter().map(|_| Err(unavailable())).collect(),
                Err(_) => writes.iter().map(|_| Err(ambiguous())).collect(),
            };
        }
        let (mut answers, mut untouched) = (Vec::with_capacity(writes.len()), Vec::new());
        for write in writes {
            match self.faults.scripted(Call::Append, Some(&write.entry)) {
                None => untouched.push(write.clone()),
                fault => {
                    self.flush(&mut untouched, &mut answers).await;
                    answers.push(self.meet(fault, one(write)).await);
                }
            }
        }
        self.flush(&mut untouched, &mut answers).await;
        answers
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let entry = claim.entry.clone();
        let claim = claim.clone();
        self.call(Call::Claim, Some(&entry), move |store| {
            let claim = claim.clone();
            Box::pin(async move { store.claim(&claim).await })
        })
        .await
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        let group = group.clone();
        self.call(Call::Read, None, move |store| {
            let group = group.clone();
            Box::pin(async move { store.read(&group, id).await })
        })
        .await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let query = query.clone();
        self.call(Call::List, None, move |store| {
            let query = query.clone();
            Box::pin(async move { store.list(&query).await })
        })
        .await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        let group = group.clone();
        self.call(Call::Stats, None, move |store| {
            let group = group.clone();
            Box::pin(async move { store.stats(&group).await })
        })
        .await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        self.call(Call::Check, None, |store| Box::pin(async move { store.check().await })).await
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        self.call(Call::Sweep, None, move |store| Box::pin(async move { store.sweep(limit).await })).await
    }

    async fn due_soon(&self, group: &Group, at_most: Duration) {
        self.store.due_soon(group, at_most).await;
    }
}

fn one<S: StatusStore>(
    write: &Append,
) -> impl Fn(Arc<S>) -> BoxFuture<'static, Result<(), StoreError>> + Send + 'static {
    let write = write.clone();
    move |store| {
        let write = write.clone();
        Box::pin(async move { store.append(&write).await })
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { what: "by plan".into(), source: None }
}

fn ambiguous() -> StoreError {
    StoreError::Ambiguous { what: "by plan".into(), source: None }
}
