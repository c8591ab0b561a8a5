//! The framework.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use futures_util::future::try_join_all;
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_core::{BranchError, Coordinator, Never, TransactionError, Tx};
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;

use crate::compare::{Contender, Sample, measure};
use crate::drive::{Load, Work};
use crate::shape::Shape;
use crate::stage::Stage;
use crate::stock::{Hold, Request, Stock, Take, Touch};

/// The framework, on the store of the stage.
pub(crate) struct Ours(pub(crate) Shape);

/// The group of all coordinators here.
pub(crate) const GROUP: &str = "bench";

#[async_trait]
impl Contender for Ours {
    fn name(&self) -> String {
        format!("ours, {}", self.0.name())
    }

    async fn turn(&mut self, stage: &Stage, load: Load) -> anyhow::Result<Sample> {
        let before = stage.read()?;
        let stock = Arc::new(Stock::default());
        let tcc = match stage {
            Stage::Redis { server, .. } => start(redis(&server.url()).await?, stock).await?,
            Stage::Folder { .. } => {
                let store =
                    SqliteStore::open(stage.file()?).await.context("the SQLite file can't be opened")?;
                start(store, stock).await?
            }
            Stage::Memory => start(MemoryStore::new(), stock).await?,
        };
        let live = Live::new(tcc, self.0);
        let sample = measure(stage, load, &live).await?;
        live.tcc.shutdown().await;
        drop(live);
        sample.with_kept(before, stage)
    }
}

pub(crate) async fn redis(url: &str) -> anyhow::Result<RedisStore> {
    RedisStore::connect(url).await.context("the store could not connect to the server")
}

pub(crate) async fn start(store: impl StatusStore, stock: Arc<Stock>) -> anyhow::Result<Coordinator> {
    Coordinator::builder(GROUP, store).register(stock).start().await.context("the coordinator did not start")
}

/// Transactions of one shape.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) tcc: Coordinator,
    shape: Shape,
    request: Arc<Request>,
}

impl Live {
    pub(crate) fn new(tcc: Coordinator, shape: Shape) -> Self {
        Self { tcc, shape, request: Arc::new(Request::new(shape.payload)) }
    }

    async fn branch(&self, tx: &Tx) -> Result<Hold, Error> {
        if self.shape.payload == 0 {
            Ok(tx.call::<Touch>(()).await?)
        } else {
            Ok(tx.call::<Take>(Request::clone(&self.request)).await?)
        }
    }

    async fn body(&self, tx: &Tx) -> Result<(), Error> {
        match (self.shape.together, self.shape.branches) {
            (true, 2) => {
                tokio::try_join!(self.branch(tx), self.branch(tx))?;
            }
            (true, branches) => {
                try_join_all((0..branches).map(|_| self.branch(tx))).await?;
            }
            (false, branches) => {
                for _ in 0..branches {
                    self.branch(tx).await?;
                }
            }
        }
        if self.shape.cancelled { Err(Error::Wanted) } else { Ok(()) }
    }
}

impl Work for Live {
    async fn once(&self, _: usize) -> anyhow::Result<()> {
        match self.tcc.run("bench", async |tx: &Tx| self.body(tx).await).await {
            Ok(()) | Err(Error::Wanted) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a branch failed")]
    Branch(#[from] BranchError<Never>),
    #[error("the transaction failed")]
    Transaction(#[from] TransactionError),
    #[error("cancelled on purpose")]
    Wanted,
}
