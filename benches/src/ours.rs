//! The framework, with a participant that does nothing: what is measured is the framework.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};
use tcc_redis::RedisStore;

use crate::drive::Work;

/// A coordinator, and transactions of two sequential branches on it.
#[derive(Clone)]
pub(crate) struct Ours {
    tcc: Coordinator,
}

impl Ours {
    pub(crate) async fn start(url: &str) -> Self {
        let store = RedisStore::connect(url).await.expect("the server answers");
        let tcc = Coordinator::builder("bench", store).register(Stock).start().await.expect("it is ready");
        Self { tcc }
    }

    pub(crate) async fn stop(&self) {
        self.tcc.shutdown().await;
    }
}

impl Work for Ours {
    async fn once(&self) {
        let body = async |tx: &Tx| {
            tx.call::<Take>(Request::new()).await?;
            tx.call::<Take>(Request::new()).await?;
            Ok::<_, Error>(())
        };
        self.tcc.run("bench", body).await.expect("nothing refuses");
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// Some 64 bytes.
#[derive(Serialize, Deserialize)]
struct Request {
    sku: String,
    amount: u32,
    order: String,
}

impl Request {
    fn new() -> Self {
        Self { sku: "apple".to_owned(), amount: 3, order: "0123456789abcdef0123".to_owned() }
    }
}

#[derive(Serialize, Deserialize)]
struct Hold {
    hold: u32,
}

struct Take;

impl ActionType for Take {
    const NAME: &'static str = "stock.take";
    type Request = Request;
    type Output = Hold;
    type Error = Never;
}

struct Stock;

impl Handler<Take> for Stock {
    async fn r#try(&self, _: &Branch, request: Request) -> Tried<Hold, Never> {
        Ok(Hold { hold: request.amount })
    }

    async fn confirm(&self, _: &Branch, _: Request, _: Hold) -> Settled {
        Ok(())
    }

    async fn cancel(&self, _: &Branch, _: Request, _: Option<Hold>) -> Settled {
        Ok(())
    }
}

impl Service for Stock {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Take, _>(self);
    }
}
