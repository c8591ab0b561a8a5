//! One transaction on it, and the same file opened anew. `cargo run -p custom-store`
#![expect(clippy::print_stdout, reason = "it shows what happens")]
use std::path::Path;
use std::sync::Arc;

use custom_store::RedbStore;
use redb::Database;
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
    let db = Database::create(file)?; // and locks it
    Ok(Coordinator::builder("greetings", RedbStore(Arc::new(db))).register(Greeter).start().await?)
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
    drop(tcc); // and with it the store and its lock of the file

    let tcc = start(&file).await?;
    println!("transaction {id}, read from the file that was opened anew: {:?}", tcc.outcome(id).await?);
    tcc.shutdown().await;
    Ok(())
}
