//! The SQLite store against the contract of every store.

use async_trait::async_trait;
use tcc_core::testing::StoreFixture;
use tcc_sqlx::sqlite::SqliteStore;

struct Sqlite(tempfile::TempDir);

#[async_trait]
impl StoreFixture for Sqlite {
    type Store = SqliteStore;

    async fn start() -> Self {
        Self(tempfile::tempdir().expect("a folder for a test"))
    }

    async fn open(&self) -> SqliteStore {
        let file = self.0.path().join("tcc.db");
        SqliteStore::open(file.to_str().expect("its path is text")).await.expect("it opens")
    }
}

tcc_core::testing::store_suite!(Sqlite);
