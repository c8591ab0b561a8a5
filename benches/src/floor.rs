//! The floor: the least that any framework which keeps its state in Redis could cost, without the framework.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::drive::Work;

/// Four bare EVALSHA for each transaction of two sequential branches, on one multiplexed connection: insert a record with
/// one branch and its index entry; add a branch if still trying; decide if still trying; delete both.
#[derive(Clone)]
pub(crate) struct Floor4 {
    connection: MultiplexedConnection,
    scripts: Arc<[Script; 4]>,
    next: Arc<AtomicU64>,
}

const INDEX: &str = "floor:{0}:due";
const BRANCH: &str =
    r#"{"action":"inventory.reserve","request":{"sku":"apple","amount":3,"order":"0123456789"}}"#;

impl Floor4 {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = redis::Client::open(url).expect("the server's own URL");
        let connection = client.get_multiplexed_async_connection().await.expect("the server answers");
        let scripts = [
            "if redis.call('EXISTS',KEYS[1])==1 then return 0 end \
             redis.call('HSET',KEYS[1],'status','trying','1',ARGV[1]) \
             redis.call('ZADD',KEYS[2],ARGV[2],ARGV[3]) return 1",
            "if redis.call('HGET',KEYS[1],'status')~='trying' then return 0 end \
             redis.call('HSET',KEYS[1],'2',ARGV[1]) return 1",
            "if redis.call('HGET',KEYS[1],'status')~='trying' then return 0 end \
             redis.call('HSET',KEYS[1],'status','confirming') return 1",
            "redis.call('DEL',KEYS[1]) redis.call('ZREM',KEYS[2],ARGV[1]) return 1",
        ];
        let scripts = Arc::new(scripts.map(Script::new));
        Self { connection, scripts, next: Arc::default() }
    }
}

impl Work for Floor4 {
    async fn once(&self) {
        let mut connection = self.connection.clone();
        let id = format!("{:032x}", self.next.fetch_add(1, Ordering::Relaxed));
        let key = format!("floor:{{0}}:{id}");
        let [insert, add, decide, delete] = &*self.scripts;
        let link = &mut connection;
        let done: [i64; 4] = [
            insert.key(&key).key(INDEX).arg(BRANCH).arg(1_790_000_000).arg(&id).invoke_async(link).await,
            add.key(&key).arg(BRANCH).invoke_async(link).await,
            decide.key(&key).invoke_async(link).await,
            delete.key(&key).key(INDEX).arg(&id).invoke_async(link).await,
        ]
        .map(|done| done.expect("the script runs"));
        assert_eq!(done, [1; 4]);
    }
}
