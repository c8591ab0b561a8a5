//! What today's release can't read is left as it is, named, and kept for one that can.

use std::sync::Arc;
use std::time::Duration;

use tcc_core::protocol::{FORMAT_VERSION, Group, fold};
use tcc_core::store::{MemoryStore, StatusStore, StoreError};
use tcc_core::{Coordinator, Filter, OperatorError};
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;
use tcc_test_servers::RedisServer;

use crate::files::{self, Golden};
use crate::on_real_time;
use crate::participant::Witness;

async fn parks_it(store: Arc<dyn StatusStore>) {
    let group = Group::new("newer").unwrap();
    let logs = files::logs("logs/newer");
    files::append(&*store, &group, &logs).await;
    let witness = Arc::new(Witness::default());
    let tcc = Coordinator::builder("newer", store.clone()).register(witness.clone()).start().await.unwrap();
    // Each is claimed and put back: two entries more.
    for Golden { name, id, log } in &logs {
        for round in 0.. {
            let now = store.read(&group, *id).await.unwrap().expect("it is never deleted");
            if now.entries().len() >= log.entries().len() + 2 {
                assert_eq!(
                    now.entries()[..log.entries().len()],
                    *log.entries(),
                    "{name}: nothing of it is lost"
                );
                break;
            }
            assert!(round < 6_000, "{name} was not looked at");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let operator = tcc.operator();
    let page = operator.list(&Filter::new(), None, 100).await.unwrap();
    assert_eq!(page.items, []);
    for Golden { name, id, log } in &logs {
        let why = fold(log).unwrap_err();
        let source = std::error::Error::source(&why).map(ToString::to_string).unwrap_or_default();
        // Which is the newest that is known changes; what is not known yet does not.
        let newest = |source: &str| {
            let source = source.replace(&format!("reads up to {FORMAT_VERSION};"), "reads up to its own;");
            source.replace(&format!("of format {FORMAT_VERSION},"), "of the newest format,")
        };
        files::hold(&format!("logs/newer/{name}.expected"), &format!("{why}: {}\n", newest(&source)));
        let listed = page.unreadable.iter().find(|unreadable| unreadable.id == *id);
        assert_eq!(listed.expect("it is named").why, format!("{why}: {source}"), "{name}");
        let outcome = tcc.outcome(*id).await;
        assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{name}: {outcome:?}");
        let cancelled = operator.cancel(*id, "ada", "why not").await;
        assert!(matches!(cancelled, Err(OperatorError::Unreadable { .. })), "{name}: {cancelled:?}");
        assert!(operator.timeline(*id).await.unwrap().expect("it is shown").record.is_err(), "{name}");
    }
    assert_eq!(store.stats(&group).await.unwrap().unfinished, logs.len() as u64);
    assert_eq!(witness.count(), 0, "nothing is guessed");
    tcc.shutdown().await;
}

#[test]
fn the_memory_store_parks_what_is_of_no_known_format() {
    on_real_time(parks_it(Arc::new(MemoryStore::new())));
}

#[test]
fn the_redis_store_parks_what_is_of_no_known_format() {
    let server = RedisServer::start();
    on_real_time(async { parks_it(Arc::new(RedisStore::connect(server.url()).await.unwrap())).await });
}

#[test]
fn the_sqlite_store_parks_what_is_of_no_known_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    on_real_time(async {
        parks_it(Arc::new(SqliteStore::open(path.to_str().unwrap()).await.unwrap())).await;
    });
}
