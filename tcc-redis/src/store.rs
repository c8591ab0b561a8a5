//! The store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tcc_core::protocol::{Group, Log, TxId};
use tcc_core::store::{Append, Claim, Claimed, Page, Query, Readiness, Stats, StatusStore, StoreError};

use crate::batch::{self, Condition};
use crate::builder::{RedisStoreBuilder, Settings};
use crate::connection::Connection;
use crate::error::{ConnectError, Failure};
use crate::index::{self, Forgotten, Found};
use crate::keys::{self, GroupKeys};
use crate::{check, claim, list, shards as number_of_shards};

/// A status store on a Redis server.
///
/// Clones share one connection. It is replaced by itself when it breaks, so a store lives as long as its program; while the
/// server is away, calls fail at once.
///
/// A write that was answered is as durable as the server makes it: with `appendfsync always` it is on the disk, with
/// `everysec` a crash of its machine may lose the last second, or two if its disk is slow. A write whose future was dropped may
/// or may not have been applied.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    settings: Settings,
    /// The groups whose number of shards is known to be ours.
    groups: RwLock<HashMap<Group, Arc<GroupKeys>>>,
}

impl RedisStore {
    /// Connects to a server: `redis://user:password@host:port/db`, `rediss://…` for TLS (with the feature `tls`), or
    /// `redis+unix:///path`.
    ///
    /// # Errors
    /// [`ConnectError`]; it never holds the URL or the password.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// A store with settings of its own, on the server of this URL.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into())
    }

    /// Forgets a transaction of which the indexes have the id and the server has no log: see
    /// [what an index may hold](crate#an-id-without-a-log). `false` if no index has it.
    ///
    /// For an operator who has found out what became of it: nothing else ever takes such an id away, for a missing log is
    /// not an outcome. It is checked and removed at once, so a transaction that has a log is never forgotten.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if there is a log of it, or anything else under its key; or as for every write.
    pub async fn forget(&self, group: &Group, id: TxId) -> Result<bool, StoreError> {
        let keys = self.inner.keys_to_read(group).await?;
        match index::forget(&self.inner.connection, keys.of(id), id).await? {
            Forgotten::Yes => {
                tracing::warn!(%group, tx = %id, "an id without a log was forgotten");
                Ok(true)
            }
            Forgotten::Unknown => Ok(false),
            Forgotten::HasLog => {
                let what =
                    format!("there is a log of transaction {id}: only an id without one can be forgotten");
                Err(StoreError::Invalid { what })
            }
        }
    }

    pub(crate) fn new(connection: Connection, settings: Settings) -> Self {
        Self { inner: Arc::new(Inner { connection, settings, groups: RwLock::default() }) }
    }
}

impl Inner {
    fn known(&self, group: &Group) -> Option<Arc<GroupKeys>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).get(group).cloned()
    }

    /// The keys of a group, to write. Its first use fixes its number of shards.
    async fn keys_to_write(&self, group: &Group) -> Result<Arc<GroupKeys>, StoreError> {
        if let Some(keys) = self.known(group) {
            return Ok(keys);
        }
        let Settings { namespace, shards, .. } = &self.settings;
        let key = keys::shards_key(namespace, group);
        let kept =
            number_of_shards::fix(&self.connection, &key, group, *shards).await.map_err(Failure::of_read)?;
        self.same(group, kept)?;
        let keys = Arc::new(GroupKeys::new(namespace, group, *shards));
        self.groups.write().unwrap_or_else(PoisonError::into_inner).insert(group.clone(), Arc::clone(&keys));
        Ok(keys)
    }

    /// The keys of a group, to read. A group nobody has written to stays unknown.
    async fn keys_to_read(&self, group: &Group) -> Result<Arc<GroupKeys>, StoreError> {
        if let Some(keys) = self.known(group) {
            return Ok(keys);
        }
        let Settings { namespace, shards, .. } = &self.settings;
        let key = keys::shards_key(namespace, group);
        if let Some(kept) = number_of_shards::known(&self.connection, &key).await.map_err(Failure::of_read)? {
            self.same(group, kept)?;
        }
        Ok(Arc::new(GroupKeys::new(namespace, group, *shards)))
    }

    fn same(&self, group: &Group, kept: u16) -> Result<(), StoreError> {
        let ours = self.settings.shards;
        if kept == ours {
            return Ok(());
        }
        let what = format!(
            "the group {group} is kept in {kept} shard(s), and this store is set to {ours}: connect with shards({kept})"
        );
        Err(StoreError::Invalid { what })
    }

    async fn append_to_group(&self, group: &Group, writes: &[&Append]) -> Vec<Result<(), StoreError>> {
        match self.keys_to_write(group).await {
            Ok(keys) => batch::append(&self.connection, &keys, writes, Condition::Position).await,
            Err(error) => writes.iter().map(|_| Err(same_error(&error))).collect(),
        }
    }
}

/// The error of what comes before all writes, for each of them.
fn same_error(error: &StoreError) -> StoreError {
    match error {
        StoreError::Invalid { what } => StoreError::Invalid { what: what.clone() },
        other => StoreError::Unavailable { what: other.to_string(), source: None },
    }
}

#[async_trait]
impl StatusStore for RedisStore {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        let keys = self.inner.keys_to_write(&write.group).await?;
        let mut answers = batch::append(&self.inner.connection, &keys, &[write], Condition::Position).await;
        answers.pop().expect("one write has one answer")
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let Some(first) = writes.first() else { return Vec::new() };
        if writes.iter().all(|write| write.group == first.group) {
            let writes: Vec<&Append> = writes.iter().collect();
            return self.inner.append_to_group(&first.group, &writes).await;
        }
        let mut answers: Vec<Option<Result<(), StoreError>>> = writes.iter().map(|_| None).collect();
        while let Some(next) = answers.iter().position(Option::is_none) {
            let group = &writes[next].group;
            let mine: Vec<usize> = (next..writes.len()).filter(|&i| writes[i].group == *group).collect();
            let some: Vec<&Append> = mine.iter().map(|&i| &writes[i]).collect();
            for (i, answer) in mine.into_iter().zip(self.inner.append_to_group(group, &some).await) {
                answers[i] = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.expect("every write has its group")).collect()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let keys = self.inner.keys_to_write(&claim.group).await?;
        claim::claim(&self.inner.connection, &keys, claim).await
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        let keys = self.inner.keys_to_read(group).await?;
        match index::log(&self.inner.connection, keys.of(id), id).await.map_err(Failure::of_read)? {
            Found::Log(log) => Ok(Some(log)),
            Found::Nothing => Ok(None),
            Found::Garbage(why) => Err(StoreError::Corrupt { id, why }),
        }
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let keys = self.inner.keys_to_read(&query.group).await?;
        list::list(&self.inner.connection, &keys, query).await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        let keys = self.inner.keys_to_read(group).await?;
        list::stats(&self.inner.connection, &keys).await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        let Settings { namespace, allow_eviction, .. } = &self.inner.settings;
        check::check(&self.inner.connection, namespace, *allow_eviction).await
    }
}

impl fmt::Debug for RedisStore {
    /// Where and how it is; never the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.inner.connection.address())
            .field("namespace", &self.inner.settings.namespace)
            .field("shards", &self.inner.settings.shards)
            .finish_non_exhaustive()
    }
}
