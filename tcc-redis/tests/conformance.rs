//! The contract of status stores, held on a real Redis: with one shard and with several.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tcc_core::protocol::{Group, TxId};
use tcc_core::testing::{ClockAhead, ClockBack, Damage, Metered, StoreFixture};
use tcc_redis::RedisStore;
use tcc_test_servers::RedisServer;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A namespace of its own, on the server that all cases share or on one of its own.
struct Redis<const SHARDS: u16> {
    namespace: String,
    alone: Option<RedisServer>,
}

impl<const SHARDS: u16> Redis<SHARDS> {
    fn new(alone: Option<RedisServer>) -> Self {
        Self { namespace: format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed)), alone }
    }

    fn server(&self) -> &RedisServer {
        self.alone.as_ref().unwrap_or_else(|| common::shared())
    }

    fn alone(&self) -> &RedisServer {
        self.alone.as_ref().expect("its case started it alone")
    }

    /// Puts another first byte into a log, if it has the one that is expected.
    fn set_first_byte(&self, group: &Group, id: TxId, before: &str, after: &str) {
        let found = (0..SHARDS).any(|shard| {
            let key = format!("{{{}:{group}:{shard}}}:{id}", self.namespace);
            let script = format!(
                "if redis.call('GETRANGE', KEYS[1], 0, 0) == '{before}' then \
                     return redis.call('SETRANGE', KEYS[1], 0, '{after}') \
                 end"
            );
            !common::ask(self.server(), &["EVAL", &script, "1", &key]).is_empty()
        });
        assert!(found, "there is a log of {id} that begins with {before:?}");
    }
}

#[async_trait]
impl<const SHARDS: u16> StoreFixture for Redis<SHARDS> {
    type Store = RedisStore;

    async fn start() -> Self {
        Self::new(None)
    }

    async fn start_alone() -> Self {
        Self::new(Some(RedisServer::builder().movable_clock().start()))
    }

    async fn open(&self) -> RedisStore {
        let builder = RedisStore::builder(self.server().url()).namespace(&self.namespace).shards(SHARDS);
        builder.connect().await.expect("the server runs")
    }
}

/// A byte that is in no text, in place of the brace with which the suite's entries begin.
#[async_trait]
impl<const SHARDS: u16> Damage for Redis<SHARDS> {
    async fn damage(&self, group: &Group, id: TxId) {
        self.set_first_byte(group, id, "{", "\\255");
    }

    async fn mend(&self, group: &Group, id: TxId) {
        self.set_first_byte(group, id, "\\255", "{");
    }
}

#[async_trait]
impl<const SHARDS: u16> ClockAhead for Redis<SHARDS> {
    async fn set_ahead(&self, by: Duration) {
        self.alone().set_clock_ahead(by);
    }
}

#[async_trait]
impl<const SHARDS: u16> ClockBack for Redis<SHARDS> {
    async fn set_back(&self, by: Duration) {
        self.alone().set_clock_back(by);
    }
}

/// Its work is the time for which the server was busy with commands, by its own account, in microseconds.
#[async_trait]
impl<const SHARDS: u16> Metered for Redis<SHARDS> {
    /// A million in one shard, and enough in several.
    fn very_many(&self) -> usize {
        if SHARDS == 1 { 1_000_000 } else { 100_000 }
    }

    async fn work(&self) -> u64 {
        let stats = common::ask(self.alone(), &["INFO", "commandstats"]);
        let busy = |line: &str| -> Option<u64> {
            let (command, numbers) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let usec = numbers.split(',').find_map(|number| number.strip_prefix("usec="))?;
            (command != "info").then(|| usec.parse().expect("a number"))
        };
        stats.lines().filter_map(busy).sum()
    }
}

mod one_shard {
    tcc_core::testing::store_suite!(
        super::Redis<1>: Damage + ClockAhead + ClockBack + Metered,
        flavor = "multi_thread",
        worker_threads = 2
    );
}

mod three_shards {
    tcc_core::testing::store_suite!(
        super::Redis<3>: Damage + ClockAhead + ClockBack + Metered,
        flavor = "multi_thread",
        worker_threads = 2
    );
}
