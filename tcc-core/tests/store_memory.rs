//! The conformance suite on the memory store, on paused time.

use std::sync::Arc;

use async_trait::async_trait;
use tcc_core::store::MemoryStore;
use tcc_core::testing::{StoreFixture, store_suite};

struct Memory(Arc<MemoryStore>);

#[async_trait]
impl StoreFixture for Memory {
    type Store = Arc<MemoryStore>;

    const MANY: usize = 10_000;

    async fn start() -> Self {
        Self(Arc::default())
    }

    async fn open(&self) -> Self::Store {
        Arc::clone(&self.0)
    }
}

store_suite!(Memory, start_paused = true);

mod many_threads {
    //! The same on real time and real threads.

    use super::Memory;

    tcc_core::testing::store_suite!(Memory, flavor = "multi_thread", worker_threads = 2);
}
