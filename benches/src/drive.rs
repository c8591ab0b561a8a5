//! Closed-loop callers, and what is measured of them.
//!
//! `benches/peers` includes this very file: who is compared is driven by the same code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What is run: one transaction, again and again.
pub(crate) trait Work: Clone + Send + Sync + 'static {
    /// One transaction of a caller; the callers are counted from 0.
    fn once(&self, caller: usize) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// How it is run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Load {
    /// How many callers, each of which begins the next transaction when the last has returned.
    pub(crate) callers: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What the callers saw.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ran {
    /// Within the measurement.
    pub(crate) transactions: u64,
    /// With those of the warm-up, and those that ended after the measurement.
    pub(crate) all: u64,
    pub(crate) seconds: f64,
    /// Microseconds from call to return.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of CPU that this process used.
    pub(crate) cpu: f64,
}

/// The beginning or the end of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Begins,
    Ends,
}

/// How long a caller may need for the transaction that was under way at the end.
const LAST: Duration = Duration::from_secs(60);

const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// Runs one turn, [`Load::measured`] long, or until the first transaction has ended. `edge` is called when the warm-up is over, and when all that is measured is.
///
/// # Errors
/// That of the first transaction that failed.
pub(crate) async fn run(
    load: Load,
    work: &impl Work,
    edge: impl FnMut(Edge) -> anyhow::Result<()>,
) -> anyhow::Result<Ran> {
    // A sleep counts from when it is made, and that is to be after the warm-up.
    run_until(load, work, edge, async { tokio::time::sleep(load.measured).await }).await
}

/// As [`run`], and measures until `over` is ready.
pub(crate) async fn run_until(
    load: Load,
    work: &impl Work,
    mut edge: impl FnMut(Edge) -> anyhow::Result<()>,
    over: impl Future<Output = ()>,
) -> anyhow::Result<Ran> {
    let stage = Arc::new(AtomicU8::new(WARM_UP));
    let one_ended = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..load.callers)
        .map(|caller| tokio::spawn(call(work.clone(), caller, stage.clone(), one_ended.clone())))
        .collect();
    tokio::time::sleep(load.warm_up).await;
    edge(Edge::Begins)?;
    let (since, cpu) = (Instant::now(), process_cpu());
    stage.store(MEASURED, Ordering::Relaxed);
    over.await;
    // A disk that is busy may hold up all callers for longer than that.
    while !one_ended.load(Ordering::Relaxed)
        && callers.iter().any(|caller| !caller.is_finished())
        && since.elapsed() < LAST
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stage.store(OVER, Ordering::Relaxed);
    let (elapsed, cpu) = (since.elapsed(), process_cpu() - cpu);
    edge(Edge::Ends)?;
    let (mut latencies, mut all) = (Vec::new(), 0);
    for caller in callers {
        let (seen, ended) = tokio::time::timeout(LAST, caller)
            .await
            .with_context(|| format!("a transaction did not return within {LAST:?}"))?
            .context("a caller panicked")??;
        latencies.extend(seen);
        all += ended;
    }
    ensure!(
        !latencies.is_empty(),
        "no transaction of {} callers ended within {elapsed:?}: measure for longer (--seconds)",
        load.callers
    );
    latencies.sort_unstable();
    let quantile = |q: f64| f64::from(latencies[((latencies.len() - 1) as f64 * q) as usize]) / 1_000.0;
    Ok(Ran {
        transactions: latencies.len() as u64,
        all,
        seconds: elapsed.as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        cpu: cpu.as_secs_f64() * 1e6,
    })
}

/// One caller; returns the nanoseconds that each measured transaction took, and how many there were in all.
async fn call(
    work: impl Work,
    caller: usize,
    stage: Arc<AtomicU8>,
    one_ended: Arc<AtomicBool>,
) -> anyhow::Result<(Vec<u32>, u64)> {
    let mut latencies = Vec::with_capacity(1 << 16);
    let mut all = 0;
    loop {
        let since = Instant::now();
        work.once(caller).await.with_context(|| format!("a transaction of caller {caller} failed"))?;
        all += 1;
        match stage.load(Ordering::Relaxed) {
            WARM_UP => {}
            MEASURED => {
                latencies.push(u32::try_from(since.elapsed().as_nanos()).unwrap_or(u32::MAX));
                if latencies.len() == 1 {
                    one_ended.store(true, Ordering::Relaxed);
                }
            }
            _ => return Ok((latencies, all)),
        }
    }
}

/// The CPU time that this process has used so far.
pub(crate) fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Pause;

    impl Work for Pause {
        async fn once(&self, _: usize) -> anyhow::Result<()> {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(())
        }
    }

    #[derive(Clone)]
    struct Failing;

    impl Work for Failing {
        async fn once(&self, caller: usize) -> anyhow::Result<()> {
            ensure!(caller != 1, "out of order");
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    const LOAD: Load =
        Load { callers: 3, warm_up: Duration::from_millis(80), measured: Duration::from_millis(60) };

    #[tokio::test]
    async fn the_measurement_begins_after_the_warm_up() {
        let mut edges = Vec::new();
        let ran = run(LOAD, &Pause, |edge| {
            edges.push(edge);
            Ok(())
        });
        let ran = ran.await.unwrap();
        assert_eq!(edges, [Edge::Begins, Edge::Ends]);
        assert!(ran.seconds >= LOAD.measured.as_secs_f64(), "{ran:?}");
        assert!(ran.all > ran.transactions, "those of the warm-up are counted apart: {ran:?}");
        assert!((2_000.0..=ran.p99).contains(&ran.p50), "{ran:?}");
    }

    #[tokio::test]
    async fn a_transaction_that_fails_ends_the_turn_and_says_why() {
        let error = run(LOAD, &Failing, |_| Ok(())).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "a transaction of caller 1 failed: out of order");
    }

    #[derive(Clone)]
    struct Slow;

    impl Work for Slow {
        async fn once(&self, _: usize) -> anyhow::Result<()> {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_turn_lasts_until_one_transaction_has_ended() {
        let ran = run(LOAD, &Slow, |_| Ok(())).await.unwrap();
        assert!(ran.transactions >= 1, "{ran:?}");
    }

    #[tokio::test]
    async fn a_turn_without_a_transaction_is_an_error() {
        let load = Load { callers: 0, ..LOAD };
        let error = run(load, &Pause, |_| Ok(())).await.unwrap_err();
        assert!(error.to_string().starts_with("no transaction of 0 callers ended"), "{error}");
    }
}
