//! The conformance suite on the memory store, on paused time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use tcc_core::protocol::{Group, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{ClockAhead, Damage, Metered, StoreFixture, store_suite};

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

#[async_trait]
impl Damage for Memory {
    async fn damage(&self, group: &Group, id: TxId) {
        assert!(self.0.damage(group, id), "there is a log");
    }

    async fn mend(&self, group: &Group, id: TxId) {
        assert!(self.0.mend(group, id), "there is a log");
    }
}

/// Its clock is tokio's, which goes on and never back.
#[async_trait]
impl ClockAhead for Memory {
    async fn set_ahead(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

/// Its work is the time that passes in a call, by the machine's clock: nothing else runs meanwhile.
#[async_trait]
impl Metered for Memory {
    async fn work(&self) -> u64 {
        static BEGAN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        u64::try_from(BEGAN.elapsed().as_nanos()).expect("a test lasts no centuries")
    }
}

store_suite!(Memory: Damage + ClockAhead + Metered, start_paused = true);

mod many_threads {
    //! The same on real time and real threads.

    use super::Memory;

    tcc_core::testing::store_suite!(Memory: Damage, flavor = "multi_thread", worker_threads = 2);
}
