//! The contract of status stores, held on a real Redis: with one shard and with several.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use tcc_core::testing::StoreFixture;
use tcc_redis::RedisStore;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A namespace of its own on the server that all cases share.
struct Redis<const SHARDS: u16> {
    namespace: String,
}

#[async_trait::async_trait]
impl<const SHARDS: u16> StoreFixture for Redis<SHARDS> {
    type Store = RedisStore;

    async fn start() -> Self {
        Self { namespace: format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    async fn open(&self) -> RedisStore {
        let builder = RedisStore::builder(common::shared().url()).namespace(&self.namespace).shards(SHARDS);
        builder.connect().await.expect("the server runs")
    }
}

mod one_shard {
    tcc_core::testing::store_suite!(super::Redis<1>, flavor = "multi_thread", worker_threads = 2);
}

mod three_shards {
    tcc_core::testing::store_suite!(super::Redis<3>, flavor = "multi_thread", worker_threads = 2);
}
