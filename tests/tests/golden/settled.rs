//! What becomes of each golden log, on every store.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tcc_core::coordinator::Duplicate;
use tcc_core::protocol::{Group, fold};
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::{Coordinator, TransactionError, Tx};
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;
use tcc_test_servers::RedisServer;

use crate::files::{self, Golden};
use crate::on_real_time;
use crate::participant::Witness;

/// The group that the golden logs belong to: ids of keys are derived from it.
pub(crate) fn group() -> Group {
    Group::new("golden").unwrap()
}

/// Within this all of them are settled, on a machine that is busy with other tests.
const WITHIN: Duration = Duration::from_secs(60);

/// Settles what is in a store with today's coordinator, and holds each log's end against its file.
pub(crate) async fn settle_all(store: Arc<dyn StatusStore>, logs: &[Golden]) {
    let witness = Arc::new(Witness::default());
    let tcc = Coordinator::builder("golden", store.clone()).register(witness.clone()).start().await.unwrap();
    let settled = async {
        while store.stats(&group()).await.unwrap().unfinished > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(WITHIN, settled).await.is_err() {
        let left = tcc.operator().list(&tcc_core::Filter::new(), None, 100).await;
        panic!("not all is settled after {WITHIN:?}: {left:?}");
    }
    for Golden { name, id, .. } in logs {
        let log = store.read(&group(), *id).await.unwrap().unwrap_or_else(|| panic!("{name} is gone"));
        let record = fold(&log).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut text = format!("{id} {name} is {}\n", record.status());
        if let Some(key) = record.key() {
            writeln!(text, "key {:?} run {} request {:?}", key.text, record.run().unwrap(), key.request)
                .unwrap();
        }
        if let Some(cause) = record.cause() {
            writeln!(text, "cause: {cause}").unwrap();
        }
        if let Some(value) = record.value() {
            writeln!(text, "value: {}", value.as_str()).unwrap();
        }
        for branch in record.branches() {
            writeln!(text, "branch {} is {:?}", branch.id, branch.state).unwrap();
        }
        for call in witness.calls(*id) {
            writeln!(text, "{call}").unwrap();
        }
        files::hold(&format!("logs/v1/{name}.expected"), &text);
    }
    let heuristic = logs.iter().filter(|log| {
        files::read(&format!("logs/v1/{}.expected", log.name)).lines().next().unwrap().ends_with("heuristic")
    });
    assert_eq!(store.stats(&group()).await.unwrap().kept, heuristic.count() as u64);
    keys_are_known(&tcc).await;
    tcc.shutdown().await;
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Error(#[from] TransactionError);

/// A key that ran under an earlier release does not run again.
async fn keys_are_known(tcc: &Coordinator) {
    let again = async |key: &str, pieces: u32| {
        let body = async |_: &Tx| -> Result<String, Error> { panic!("the key {key:?} ran again") };
        tcc.transaction("checkout").key(key).request(&("apple", pieces)).run(body).await
    };
    assert_eq!(again("order-7", 3).await.unwrap(), "receipt 7 \u{1f9fe}");
    let error = again("order-7", 4).await.unwrap_err().0;
    assert!(matches!(error, TransactionError::Duplicate { why: Duplicate::AnotherRequest, .. }), "{error}");
    let error = again("order-8 \"odd\" \u{fc}", 3).await.unwrap_err().0;
    assert!(matches!(error, TransactionError::Duplicate { why: Duplicate::Cancelled, .. }), "{error}");
}

async fn through_append(store: Arc<dyn StatusStore>) {
    let logs = files::logs("logs/v1");
    files::append(&*store, &group(), &logs).await;
    settle_all(store, &logs).await;
}

#[test]
fn the_memory_store_settles_every_golden_log() {
    on_real_time(through_append(Arc::new(MemoryStore::new())));
}

#[test]
fn the_redis_store_settles_every_golden_log() {
    let server = RedisServer::start();
    on_real_time(async {
        through_append(Arc::new(RedisStore::connect(server.url()).await.unwrap())).await;
    });
}

#[test]
fn the_sqlite_store_settles_every_golden_log() {
    let folder = tempfile::tempdir().unwrap();
    on_real_time(async {
        let path = folder.path().join("log.db");
        through_append(Arc::new(SqliteStore::open(path.to_str().unwrap()).await.unwrap())).await;
    });
}
