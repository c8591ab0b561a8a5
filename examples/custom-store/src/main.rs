//! One transaction on it, and the same file opened anew. `cargo run -p custom-store`
#![expect(clippy::print_stdout, reason = "it shows what happens")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use custom_store::RedbStore;
use redb::{Database, DatabaseError};
use tcc_core::{Branch, Coordinator, Settled, Tried, participant};

type Error = Box<dyn std::error::Error + Send + Sync>;
struct Greeter; // A participant with something to lose has a fence in its own database: see quickstart.

#[participant("greeter")]
impl Greeter {
    #[action(confirm = greet, cancel = forget)]
    async fn prepare(&self, _cx: &Branch, name: String) -> Tried<String, String> {
        Ok(format!("hello, {name}"))
    }
    async fn greet(&self, _cx: &Branch, _name: String, greeting: String) -> Settled {
        println!("{greeting}");
        Ok(())
    }
    async fn forget(&self, _cx: &Branch, _name: String, _greeting: Option<String>) -> Settled {
        Ok(())
    }
}

async fn start(file: &Path) -> Result<Coordinator, Error> {
    let db = open(file).await?;
    Ok(Coordinator::builder("greetings", RedbStore(Arc::new(db))).register(Greeter).start().await?)
}

/// redb locks its file for as long as the last task of a coordinator, shut down a moment ago, takes to let go of it.
async fn open(file: &Path) -> Result<Database, Error> {
    for _ in 0..1_000 {
        match Database::create(file) {
            Err(DatabaseError::DatabaseAlreadyOpen) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return Ok(opened?),
        }
    }
    Err("another process has the file".into())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("greetings.redb");
    let tcc = start(&file).await?;
    let greeted = tcc.run("greet", async |tx| {
        tx.on::<Greeter>().prepare("world".into()).await?;
        Ok::<_, Error>(tx.id())
    });
    let id = greeted.await?;
    tcc.shutdown().await;
    drop(tcc); // with the store, and the file

    let tcc = start(&file).await?;
    println!("transaction {id}, read from the file that was opened anew: {:?}", tcc.outcome(id).await?);
    tcc.shutdown().await;
    Ok(())
}
