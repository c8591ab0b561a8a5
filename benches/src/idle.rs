//! What a coordinator costs that has nothing to do, and how soon it takes over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::options::Options;
use crate::ours;
use crate::report::{Figures, Report};
use crate::seed::seed;
use crate::stage::{Persistence, Stage};
use crate::stock::Stock;

/// What is watched at least: a coordinator looks around once in a lease of ten seconds.
const AT_LEAST: Duration = Duration::from_secs(30);
/// What a coordinator does once, at its start.
const START: Duration = Duration::from_secs(2);
/// The lease of a coordinator, unless it is told otherwise.
const LEASE: Duration = Duration::from_secs(10);

/// Redis commands per second of an idle coordinator; and the time until it settles what a dead one has left.
pub(crate) async fn idle(options: &Options) -> anyhow::Result<Report> {
    let watched = options.measured.max(AT_LEAST);
    let mut report = Report::new("idle", format!("Redis, one idle coordinator, watched for {watched:?}"));
    let mut stage = Stage::redis(Persistence::None);
    for size in options.sizes_or(&[0, 1_000]) {
        stage.clear()?;
        let store = ours::redis(&stage.url()?).await?;
        seed(&store, size, Duration::from_secs(3600)).await?;
        let tcc = ours::start(ours::redis(&stage.url()?).await?, Arc::default()).await?;
        tokio::time::sleep(START).await;
        let before = stage.read()?.context("there is a server")?;
        tokio::time::sleep(watched).await;
        let after = stage.read()?.context("there is a server")?;
        tcc.shutdown().await;
        let seconds = watched.as_secs_f64();
        // The first look is a command that the second one sees.
        let figures = Figures::from_iter([
            ("EVALSHA/s".to_owned(), (after.evalsha - before.evalsha) / seconds),
            ("commands/s".to_owned(), (after.commands - before.commands - 1.0) / seconds),
            ("server CPU µs/s".to_owned(), (after.cpu - before.cpu) / seconds),
        ]);
        eprintln!("{} · {size} unfinished: {:.2} commands/s", report.title, figures["commands/s"]);
        report.add(format!("{size} unfinished, none due"), vec![figures]);
    }
    stage.clear()?;
    report.add("one left by a dead process", vec![takeover(&stage).await?]);
    Ok(report)
}

/// A dead coordinator's transaction is due when its lease ends, and the idle one has looked just before it was left.
async fn takeover(stage: &Stage) -> anyhow::Result<Figures> {
    let stock = Arc::new(Stock::default());
    let tcc = ours::start(ours::redis(&stage.url()?).await?, stock.clone()).await?;
    tokio::time::sleep(START).await;
    let store = ours::redis(&stage.url()?).await?;
    seed(&store, 1, LEASE).await?;
    let since = Instant::now();
    tokio::time::timeout(6 * LEASE, stock.settled(2)).await.context("nobody took it over")?;
    let took = since.elapsed();
    tcc.shutdown().await;
    eprintln!("a transaction that a dead process has left was settled after {took:.2?}");
    Ok(Figures::from_iter([(
        "s after the end of its lease".to_owned(),
        took.as_secs_f64() - LEASE.as_secs_f64(),
    )]))
}
