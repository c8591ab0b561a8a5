//! The floor: the least that any framework which keeps its state in Redis could cost, without the framework.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::compare::{Contender, Sample, measure};
use crate::drive::{Load, Work};
use crate::shape::Shape;
use crate::stage::Stage;

/// One bare EVALSHA for each step of a transaction, on one multiplexed connection: insert a record with the first
/// branch, or with all that start together, and its index entry; add a branch if still trying; decide if still trying;
/// delete both.
pub(crate) struct Floor(pub(crate) Shape);

#[async_trait]
impl Contender for Floor {
    fn name(&self) -> String {
        self.0.floor()
    }

    async fn turn(&mut self, stage: &Stage, load: Load) -> anyhow::Result<Sample> {
        let before = stage.read()?;
        let bare = Bare::connect(&stage.url()?, self.0).await?;
        measure(stage, load, &bare).await?.with_kept(before, stage)
    }
}

#[derive(Clone)]
struct Bare {
    connection: MultiplexedConnection,
    scripts: Arc<[Script; 4]>,
    shape: Shape,
    branch: Arc<str>,
    next: Arc<AtomicU64>,
}

const INDEX: &str = "floor:{0}:due";
const DUE: u64 = 1_790_000_000;

const INSERT: &str = "if redis.call('EXISTS',KEYS[1])==1 then return 0 end \
    redis.call('HSET',KEYS[1],'status','trying',unpack(ARGV,3)) \
    redis.call('ZADD',KEYS[2],ARGV[1],ARGV[2]) return 1";
const ADD: &str = "if redis.call('HGET',KEYS[1],'status')~='trying' then return 0 end \
    redis.call('HSET',KEYS[1],ARGV[1],ARGV[2]) return 1";
const DECIDE: &str = "if redis.call('HGET',KEYS[1],'status')~='trying' then return 0 end \
    redis.call('HSET',KEYS[1],'status',ARGV[1]) return 1";
const DELETE: &str = "redis.call('DEL',KEYS[1]) redis.call('ZREM',KEYS[2],ARGV[1]) return 1";

impl Bare {
    async fn connect(url: &str, shape: Shape) -> anyhow::Result<Self> {
        let scripts = Arc::new([INSERT, ADD, DECIDE, DELETE].map(Script::new));
        let (branch, next) = (branch(shape.payload).into(), Arc::default());
        Ok(Self { connection: connect(url).await?, scripts, shape, branch, next })
    }
}

impl Work for Bare {
    async fn once(&self, _: usize) -> anyhow::Result<()> {
        let mut connection = self.connection.clone();
        let link = &mut connection;
        let id = id(&self.next);
        let key = key(&id);
        let [insert, add, decide, delete] = &*self.scripts;
        let shape = self.shape;
        let first = if shape.together { shape.branches } else { 1 };
        let mut call = insert.key(&key);
        call.key(INDEX).arg(DUE).arg(&id);
        for number in 0..first {
            call.arg(number).arg(&*self.branch);
        }
        let mut done: i64 = call.invoke_async(link).await.context("insert")?;
        for number in first..shape.branches {
            done &= add
                .key(&key)
                .arg(number)
                .arg(&*self.branch)
                .invoke_async::<i64>(link)
                .await
                .context("add a branch")?;
        }
        done &= decide.key(&key).arg(shape.decided()).invoke_async::<i64>(link).await.context("decide")?;
        done &= delete.key(&key).key(INDEX).arg(&id).invoke_async::<i64>(link).await.context("delete")?;
        ensure!(done == 1, "a script found another state than it was left in");
        Ok(())
    }
}

pub(crate) async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let client = redis::Client::open(url).context("the server's own URL")?;
    client.get_multiplexed_async_connection().await.context("the floor could not connect to the server")
}

/// What is kept of a branch: its action, and a request of this many bytes.
pub(crate) fn branch(payload: usize) -> String {
    format!(r#"{{"action":"stock.take","request":{}}}"#, Shape::request_json(payload))
}

pub(crate) fn id(next: &AtomicU64) -> String {
    format!("{:032x}", next.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn key(id: &str) -> String {
    format!("floor:{{0}}:{id}")
}
