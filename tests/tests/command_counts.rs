//! What a transaction costs, from the server's own statistics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics_util::debugging::DebuggingRecorder;
use tcc_core::{
    ActionType, Branch, BranchError, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};
use tcc_redis::RedisStore;
use tcc_test_servers::RedisServer;

/// What the scripts call on the server: commands of theirs are no way to it and back.
const INNER: [&str; 11] =
    ["time", "getrange", "zscore", "exists", "zadd", "zrem", "set", "mset", "append", "pexpire", "persist"];

struct Nothing;

impl ActionType for Nothing {
    const NAME: &'static str = "nothing.happens";
    type Request = ();
    type Output = ();
    type Error = Never;
}

impl Handler<Nothing> for Nothing {
    async fn r#try(&self, _: &Branch, (): ()) -> Tried<(), Never> {
        Ok(())
    }

    async fn confirm(&self, _: &Branch, (): (), (): ()) -> Settled {
        Ok(())
    }

    async fn cancel(&self, _: &Branch, (): (), _: Option<()>) -> Settled {
        Ok(())
    }
}

impl Service for Nothing {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Self, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// One after the other: the second is enlisted with what the first returned.
async fn sequential(tx: &Tx) -> Result<(), Error> {
    tx.call::<Nothing>(()).await?;
    tx.call::<Nothing>(()).await?;
    Ok(())
}

async fn together(tx: &Tx) -> Result<(), Error> {
    tokio::try_join!(tx.call::<Nothing>(()), tx.call::<Nothing>(()))?;
    Ok(())
}

struct Rig {
    server: RedisServer,
    tcc: Coordinator,
}

impl Rig {
    /// A coordinator that has done all that is done once: connected, loaded its scripts, fixed its shards, claimed.
    async fn start() -> Self {
        let server = RedisServer::start();
        let store = RedisStore::connect(server.url()).await.unwrap();
        // It renews, and looks for what is due, once in a long time: what is counted here are transactions.
        let tcc = Coordinator::builder("cost", store)
            .register(Nothing)
            .lease(Duration::from_secs(600))
            .start()
            .await
            .unwrap();
        let rig = Self { server, tcc };
        rig.tcc.run("warm-up", sequential).await.unwrap();
        rig.finished().await;
        // Four for the warm-up, and its first look at what is due.
        for _ in 0..10_000 {
            if rig.all_commands().get("evalsha") >= Some(&5) {
                return rig;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("it never looked for what is due: {:?}", rig.all_commands());
    }

    fn ask(&self, command: &[&str]) -> String {
        self.server.command(command).unwrap()
    }

    /// Waits until every tombstone is written: they are written together, and nobody waits for them.
    async fn finished(&self) {
        for _ in 0..10_000 {
            if self.ask(&["ZCARD", "{tcc:cost:0}:due"]) == "0" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("it is not finished: {}", self.ask(&["ZRANGE", "{tcc:cost:0}:due", "0", "-1"]));
    }

    /// How often each command was called since the server started.
    fn all_commands(&self) -> BTreeMap<String, u64> {
        let line = |line: &str| {
            let (name, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), counts.split(',').next()?.parse().ok()?))
        };
        self.ask(&["INFO", "commandstats"]).lines().filter_map(line).collect()
    }

    /// The commands that the coordinator has sent since then: without those of its scripts, and without ours.
    fn sent_since(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let ours = ["info", "zcard", "ping"];
        let sent = self.all_commands().into_iter().filter_map(|(name, count)| {
            let count = count - before.get(&name).copied().unwrap_or_default();
            (count > 0 && !ours.contains(&&*name) && !INNER.contains(&&*name)).then_some((name, count))
        });
        sent.collect()
    }
}

/// What so many transactions of one caller cost.
async fn cost_of(transactions: u64, body: impl AsyncFn(&Tx) -> Result<(), Error>) -> BTreeMap<String, u64> {
    let rig = Rig::start().await;
    let before = rig.all_commands();
    for _ in 0..transactions {
        rig.tcc.run("pay", async |tx: &Tx| body(tx).await).await.unwrap();
        // Lest two be finished together.
        rig.finished().await;
    }
    rig.sent_since(&before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sequential_branches_cost_four_commands() {
    assert_eq!(cost_of(50, sequential).await, BTreeMap::from([("evalsha".to_owned(), 4 * 50)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_branches_that_start_together_cost_three_commands() {
    assert_eq!(cost_of(50, together).await, BTreeMap::from([("evalsha".to_owned(), 3 * 50)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_commands() {
    const CALLERS: u64 = 64;
    const EACH: u64 = 20;
    let rig = Rig::start().await;
    let before = rig.all_commands();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let tcc = rig.tcc.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    tcc.run("pay", sequential).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    rig.finished().await;
    let sent = rig.sent_since(&before);
    let per_transaction = sent.values().sum::<u64>() as f64 / (CALLERS * EACH) as f64;
    eprintln!("{CALLERS} callers: {per_transaction:.2} commands for each transaction: {sent:?}");
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["evalsha"]);
    // Four without batching.
    assert!(per_transaction < 1.0, "{per_transaction}");
}

/// How many commands a coordinator sends in this time that has nothing to do.
async fn idle_for(time: Duration) -> u64 {
    let server = RedisServer::start();
    let store = RedisStore::connect(server.url()).await.unwrap();
    let tcc = Coordinator::builder("cost", store).register(Nothing).start().await.unwrap();
    let rig = Rig { server, tcc };
    rig.tcc.run("warm-up", sequential).await.unwrap();
    rig.finished().await;
    let processed = || {
        let stats = rig.ask(&["INFO", "stats"]);
        let count = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        count.expect("the server counts").parse::<u64>().unwrap()
    };
    let before = processed();
    tokio::time::sleep(time).await;
    // Our own question is one of them.
    let commands = processed() - before - 1;
    eprintln!("idle for {time:?}: {commands} commands");
    commands
}

/// A coordinator that has nothing to do asks for nothing, or nearly; also with the feature `metrics`, if nobody listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_coordinator_sends_at_most_two_commands_a_second() {
    let time = Duration::from_secs(5);
    let commands = idle_for(time).await;
    assert!(commands <= 2 * time.as_secs(), "{commands} commands in {time:?}");
}

/// The gauges of its group cost four commands every ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_coordinator_that_is_measured_sends_at_most_two_commands_a_second() {
    // For this thread, in which the coordinator starts: there it looks up what it tells later.
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let time = Duration::from_secs(11);
    let commands = idle_for(time).await;
    assert!((4..=2 * time.as_secs()).contains(&commands), "{commands} commands in {time:?}");
    let shown = recorder.snapshotter().snapshot().into_vec();
    let unfinished = shown.iter().find(|(key, ..)| key.key().name() == "tcc_transactions_unfinished");
    assert!(unfinished.is_some(), "nothing was measured");
}
