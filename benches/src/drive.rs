//! Closed-loop callers, and what is measured of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tcc_test_servers::RedisServer;

/// What is run: one transaction, again and again.
pub(crate) trait Work: Clone + Send + Sync + 'static {
    fn once(&self) -> impl Future<Output = ()> + Send;
}

/// How it is run.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// How many callers, each of which begins the next transaction when the last has returned.
    pub(crate) callers: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What one turn showed.
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Redis commands per transaction.
    pub(crate) commands: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} tx/s", self.per_second)
    }
}

const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// Runs one turn.
pub(crate) async fn run(server: &RedisServer, load: Load, work: &impl Work) -> Sample {
    let stage = Arc::new(AtomicU8::new(WARM_UP));
    let callers: Vec<_> = (0..load.callers)
        .map(|_| {
            let (stage, work) = (stage.clone(), work.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(1 << 16);
                loop {
                    let since = Instant::now();
                    work.once().await;
                    match stage.load(Ordering::Relaxed) {
                        WARM_UP => {}
                        MEASURED => latencies.push(since.elapsed()),
                        _ => return latencies,
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(load.warm_up).await;
    let (commands, since) = (commands(server), Instant::now());
    stage.store(MEASURED, Ordering::Relaxed);
    tokio::time::sleep(load.measured).await;
    stage.store(OVER, Ordering::Relaxed);
    let (elapsed, commands) = (since.elapsed(), self::commands(server) - commands);
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.expect("a caller does not panic"));
    }
    latencies.sort_unstable();
    let done = latencies.len() as f64;
    let quantile = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize];
    Sample {
        per_second: done / elapsed.as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        commands: commands as f64 / done,
    }
}

/// Commands that the server has run from outside scripts, by its own count.
fn commands(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).expect("the server answers");
    let calls = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")))?;
        line.split(',').next()?.parse::<u64>().ok()
    };
    calls("evalsha").unwrap_or(0)
}
