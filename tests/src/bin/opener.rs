//! Opens a store and starts a coordinator on it, as another user or under other limits than the test itself.
//!
//! `opener <store> [fill | pay]`. It says what went wrong, in one line, or `started`. With `fill` it then pays until that
//! fails, and says why. With either it does what each line of its standard input says, and says how that went: `pay`,
//! `hang` (a body that runs past its deadline) or `begin` (one that is left undecided).

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use tcc_core::store::BoxError;
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};
use tcc_tests::load::Place;

struct Till;

struct Pay;

impl ActionType for Pay {
    const NAME: &'static str = "till.pay";
    type Request = String;
    type Output = u64;
    type Error = Never;
}

impl Handler<Pay> for Till {
    async fn r#try(&self, cx: &Branch, _: String) -> Tried<u64, Never> {
        Ok(cx.begun().duration_since(std::time::UNIX_EPOCH)?.as_millis() as u64)
    }

    async fn confirm(&self, _: &Branch, _: String, _: u64) -> Settled {
        Ok(())
    }

    async fn cancel(&self, _: &Branch, _: String, _: Option<u64>) -> Settled {
        Ok(())
    }
}

impl Service for Till {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Pay, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)] // one of them waits for its standard input
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let place: Place = arguments.next().ok_or("usage: opener <store> [fill | pay]")?.parse()?;
    let tcc = match start(&place).await {
        Ok(tcc) => tcc,
        Err(error) => return say(&chain(&*error)),
    };
    say("started")?;
    match arguments.next().as_deref() {
        None => {
            tcc.shutdown().await;
            return Ok(());
        }
        Some("fill") => {
            while pay(&tcc, 50_000).await.is_ok() {}
            say(&told(pay(&tcc, 50_000).await))?;
        }
        Some(_) => {}
    }
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "hang" => say(&told(hang(&tcc, None).await))?,
            "begin" => {
                let (sender, begun) = tokio::sync::oneshot::channel();
                let tcc = tcc.clone();
                tokio::spawn(async move { hang(&tcc, Some(sender)).await });
                begun.await?;
                say("begun")?;
            }
            _ => say(&told(pay(&tcc, 10).await))?,
        }
    }
    Ok(())
}

async fn start(place: &Place) -> Result<Coordinator, BoxError> {
    let builder = Coordinator::builder("shop", place.open().await?).register(Till);
    Ok(builder.lease(Duration::from_millis(500)).timeout(Duration::from_secs(2)).start().await?)
}

/// Pays, and says when the transaction began: in milliseconds since the Unix epoch, as its participant is told.
async fn pay(tcc: &Coordinator, bytes: usize) -> Result<u64, Error> {
    tcc.run("pay", async |tx: &Tx| Ok(tx.call::<Pay>("x".repeat(bytes)).await?)).await
}

/// A body that tries, and never ends.
async fn hang(tcc: &Coordinator, tried: Option<tokio::sync::oneshot::Sender<()>>) -> Result<u64, Error> {
    let body = async |tx: &Tx| {
        tx.call::<Pay>(String::new()).await?;
        // Nobody may be there to be told.
        let _ = tried.map(|tried| tried.send(()));
        std::future::pending().await
    };
    tcc.run("hang", body).await
}

fn told(paid: Result<u64, Error>) -> String {
    paid.map_or_else(|error| chain(&error), |begun| format!("paid {begun}"))
}

/// With all causes, as they are.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn say(what: &str) -> Result<(), BoxError> {
    Ok(std::io::stdout().write_all(format!("{what}\n").as_bytes())?)
}
