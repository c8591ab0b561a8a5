//! Keys that run again, and fences that remember the run before.

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tcc_core::protocol::Status;
use tcc_core::store::MemoryStore;
use tcc_core::{Branch, BranchError, Coordinator, Never, Settled, TransactionError, Tried, Tx, participant};
use tcc_sqlx::Fenced;
use tcc_sqlx::sqlite::SqliteFence;

#[derive(Serialize, Deserialize)]
struct Add {
    amount: i64,
}

struct Account {
    db: SqlitePool,
}

#[participant("account")]
impl Account {
    #[action(confirm = settle, cancel = release)]
    async fn freeze(&self, cx: &Branch, request: Add) -> Tried<i64, Never> {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE account SET frozen = frozen + ?")
                .bind(request.amount)
                .execute(&mut *db)
                .await?;
            Ok(request.amount)
        })
        .await
    }

    async fn settle(&self, cx: &Branch, request: Add, _amount: i64) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE account SET frozen = frozen - ?1, paid = paid + ?1")
                .bind(request.amount)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }

    async fn release(&self, cx: &Branch, request: Add, _amount: Option<i64>) -> Settled {
        cx.fenced(&self.db, async |db| {
            sqlx::query("UPDATE account SET frozen = frozen - ?")
                .bind(request.amount)
                .execute(&mut *db)
                .await?;
            Ok(())
        })
        .await
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error("the body's own")]
    Own,
}

/// An account with nothing in it, and where it is kept.
async fn account() -> (tempfile::TempDir, SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let options =
        SqliteConnectOptions::new().filename(folder.path().join("account.db")).create_if_missing(true);
    let db = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    SqliteFence::new(db.clone()).migrate().await.unwrap();
    sqlx::query("CREATE TABLE account (frozen INTEGER NOT NULL, paid INTEGER NOT NULL)")
        .execute(&db)
        .await
        .unwrap();
    sqlx::query("INSERT INTO account VALUES (0, 0)").execute(&db).await.unwrap();
    (folder, db)
}

async fn books(db: &SqlitePool) -> (i64, i64) {
    sqlx::query_as("SELECT frozen, paid FROM account").fetch_one(db).await.unwrap()
}

async fn coordinator(db: &SqlitePool) -> Coordinator {
    let account = Account { db: db.clone() };
    Coordinator::builder("keys", MemoryStore::new()).register(account).start().await.unwrap()
}

#[tokio::test]
async fn a_key_that_is_used_again_after_a_cancel_has_its_effect() {
    let (_folder, db) = account().await;
    let tcc = coordinator(&db).await;
    let pay = async |own: bool| {
        let transaction = tcc.transaction("pay").key("order-1").reuse_after_cancel();
        transaction
            .run(async |tx: &Tx| {
                tx.on::<Account>().freeze(Add { amount: 5 }).await?;
                if own { Err(Error::Own) } else { Ok(tx.id().to_string()) }
            })
            .await
    };
    for _ in 0..2 {
        assert!(matches!(pay(true).await, Err(Error::Own)));
    }
    let id = pay(false).await.unwrap();
    assert_eq!(tcc.settled(id.parse().unwrap()).await.unwrap(), Some(Status::Confirmed));
    assert_eq!(books(&db).await, (0, 5));
    assert_eq!(pay(false).await.unwrap(), id, "the first value");
    assert_eq!(books(&db).await, (0, 5));
}

/// When what was kept of the first run is gone, the key runs again: with all its effects, though the id is the same.
#[tokio::test]
async fn a_key_that_was_forgotten_has_its_effect_again() {
    let (_folder, db) = account().await;
    let mut ids = Vec::new();
    for run in 1..=2 {
        let tcc = coordinator(&db).await;
        let body = async |tx: &Tx| {
            tx.on::<Account>().freeze(Add { amount: 5 }).await?;
            Ok::<_, Error>(tx.id().to_string())
        };
        ids.push(tcc.transaction("pay").key("order-1").run(body).await.unwrap());
        tcc.shutdown().await;
        assert_eq!(books(&db).await, (0, 5 * run));
    }
    assert_eq!(ids[0], ids[1]);
}
