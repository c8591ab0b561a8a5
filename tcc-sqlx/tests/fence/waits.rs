//! A body that uses the pool instead of the connection that it was given: it waits for itself.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tcc_core::protocol::Phase;
use tcc_core::{SettleError, Settled, Tried, TryFailure, refuse};
use tcc_sqlx::{FenceError, Fenced};

use crate::rig::{Hold, Inventory, Short, call};

const A_WHILE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
#[error("nothing was shipped")]
struct NotShipped(#[source] sqlx::Error);

#[tokio::test]
async fn what_waited_in_vain_says_for_what() {
    let mut it = Inventory::new(5).await;
    let file = SqliteConnectOptions::new().filename(it._folder.path().join("shop.db")).busy_timeout(A_WHILE);
    // The write lock is waited for, or the only connection.
    for connections in [2, 1] {
        let pool = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(10 * A_WHILE);
        it.db = pool.connect_with(file.clone()).await.unwrap();
        let tried: Tried<Hold, Short> = call(1, Phase::Try)
            .fenced(&it.db, async |_| {
                sqlx::query("UPDATE stock SET available = 0").execute(&it.db).await?;
                Ok(Hold { serial: 0 })
            })
            .await;
        let Err(TryFailure::Unknown(error)) = tried else { panic!("{tried:?}") };
        assert!(matches!(error.downcast_ref(), Some(FenceError::OtherConnection { .. })), "{error}");
        let shipped: Settled = call(2, Phase::Confirm)
            .with_on_confirm(true)
            .fenced(&it.db, async |_| {
                let done = sqlx::query("UPDATE stock SET available = 0").execute(&it.db).await;
                // As a cause of an error of her own.
                done.map_err(NotShipped)?;
                Ok(())
            })
            .await;
        let Err(SettleError::Later(error)) = shipped else { panic!("{shipped:?}") };
        assert!(error.to_string().contains("does it use the pool instead of the connection"), "{error}");
    }
    assert_eq!(it.stock().await, (5, 0, 0));
}

#[tokio::test]
async fn what_failed_otherwise_is_told_as_it_is() {
    let it = Inventory::new(5).await;
    let tried: Tried<Hold, Short> = call(1, Phase::Try)
        .fenced(&it.db, async |db| {
            sqlx::query("UPDATE no_such_table SET x = 1").execute(&mut *db).await?;
            Ok(Hold { serial: 0 })
        })
        .await;
    let Err(TryFailure::Unknown(error)) = tried else { panic!("{tried:?}") };
    assert!(error.downcast_ref::<sqlx::Error>().is_some(), "{error}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_is_logged_with_the_likely_cause() {
    let it = Inventory::new(5).await;
    let written = Written::default();
    let to = written.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
    let _log = tracing::subscriber::set_default(log);

    // The body waits for the lock that is its own, for longer than its caller does.
    let cx = call(1, Phase::Try);
    let waits = cx.fenced::<Hold, TryFailure<Short>, _>(&it.db, async |_| {
        sqlx::query("UPDATE stock SET shipped = 99").execute(&it.db).await?;
        Ok(Hold { serial: 0 })
    });
    tokio::time::timeout(A_WHILE, waits).await.unwrap_err();
    let said = written.take();
    for part in
        ["WARN", "a fenced body was dropped before it ended", "use the pool", "inventory.reserve", "try"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }

    // What comes to an end is not.
    it.reserve(&call(2, Phase::Try), 1).await.unwrap();
    let refused: Tried<Hold, Short> =
        call(3, Phase::Try).fenced(&it.db, async |_| refuse(Short { available: 0 })).await;
    assert!(matches!(refused, Err(TryFailure::Refused(_))), "{refused:?}");
    assert!(!written.take().contains("dropped"));
}
