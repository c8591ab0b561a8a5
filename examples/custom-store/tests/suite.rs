//! The store of this example against the whole contract.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use async_trait::async_trait;
use custom_store::RedbStore;
use redb::{Database, DatabaseError, ReadableTable, TableDefinition};
use tcc_core::protocol::{Group, TxId};
use tcc_core::testing::{Damage, StoreFixture, store_suite};

struct Redb {
    folder: tempfile::TempDir,
    /// The file is open for as long as a handle is: handles share it, and the next one after all opens it anew.
    open: Mutex<Weak<Database>>,
}

impl Redb {
    fn path(&self) -> PathBuf {
        self.folder.path().join("tcc.redb")
    }

    fn database(&self) -> Arc<Database> {
        let mut open = self.open.lock().unwrap();
        let began = Instant::now();
        loop {
            if let Some(database) = open.upgrade() {
                return database;
            }
            match Database::create(self.path()) {
                Ok(database) => {
                    let database = Arc::new(database);
                    *open = Arc::downgrade(&database);
                    return database;
                }
                // The last handle is just being closed, by a step whose future was dropped.
                Err(DatabaseError::DatabaseAlreadyOpen) if began.elapsed().as_secs() < 20 => {
                    std::thread::yield_now()
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Changes the text of a log's first entry, past the store.
    fn change_first_entry(&self, group: &Group, id: TxId, change: impl Fn(&[u8]) -> Vec<u8>) {
        const ENTRIES: TableDefinition<'_, (&str, u32), (u64, &[u8])> = TableDefinition::new("entries");
        let key = format!("{id} {group}");
        let database = self.database();
        let begun = database.begin_write().unwrap();
        {
            let mut entries = begun.open_table(ENTRIES).unwrap();
            let all = (&*key, 0)..=(&*key, u32::MAX);
            let first = entries.range(all).unwrap().next().expect("there is a log").unwrap();
            let ((_, n), (op, line)) = (first.0.value(), first.1.value());
            let line = change(line);
            drop(first);
            entries.insert((&*key, n), (op, &*line)).unwrap();
        }
        begun.commit().unwrap();
    }
}

#[async_trait]
impl StoreFixture for Redb {
    type Store = RedbStore;

    async fn start() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), open: Mutex::default() }
    }

    async fn open(&self) -> RedbStore {
        RedbStore(self.database())
    }
}

#[async_trait]
impl Damage for Redb {
    async fn damage(&self, group: &Group, id: TxId) {
        self.change_first_entry(group, id, |line| [&[0xff], line].concat());
    }

    async fn mend(&self, group: &Group, id: TxId) {
        self.change_first_entry(group, id, |line| {
            line.strip_prefix(&[0xff]).expect("it is damaged").to_vec()
        });
    }
}

store_suite!(Redb: Damage, flavor = "multi_thread", worker_threads = 2);
