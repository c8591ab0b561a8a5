//! What a dead process has left: how fast it is settled, and what becomes of the live path meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::drive::{self, Load};
use crate::options::Options;
use crate::ours::{self, Live};
use crate::report::{Figures, Report};
use crate::seed::seed;
use crate::shape::Shape;
use crate::stage::{Persistence, Stage, command};
use crate::stock::Stock;

/// How long the settling of all may take.
const WITHIN: Duration = Duration::from_secs(1800);
/// With so many, once is enough.
const ONCE: usize = 500_000;

/// Time until all abandoned transactions are settled, alone and beside live callers.
pub(crate) async fn recovery(options: &Options) -> anyhow::Result<Report> {
    let callers = options.callers_or(&[64])[0];
    let mut report = Report::new(
        "recovery",
        format!(
            "Redis, no AOF: abandoned transactions of two branches, alone and beside {callers} live callers"
        ),
    );
    let mut stage = Stage::redis(Persistence::None);
    for size in options.sizes_or(&[1_000, 100_000, 1_000_000]) {
        let turns = if size >= ONCE { 1 } else { options.turns };
        let mut seen = Vec::new();
        for turn in 1..=turns {
            let figures = turn_of(&mut stage, size, options.load(callers))
                .await
                .with_context(|| format!("{size} abandoned, turn {turn}"))?;
            eprintln!(
                "{} · {size} · turn {turn}/{turns}: {:.0}/s alone",
                report.title, figures["settled/s alone"]
            );
            seen.push(figures);
        }
        report.add(format!("{size} abandoned"), seen);
    }
    Ok(report)
}

async fn turn_of(stage: &mut Stage, size: usize, load: Load) -> anyhow::Result<Figures> {
    let branches = 2 * size as u64;
    // The live path by itself.
    stage.clear()?;
    let store = ours::redis(&stage.url()?).await?;
    let live = Live::new(ours::start(store, Arc::default()).await?, Shape::SEQUENTIAL);
    let before = drive::run(load, &live, |_| Ok(())).await?;
    live.tcc.shutdown().await;

    // The abandoned ones by themselves.
    abandoned(stage, size).await?;
    let stock = Arc::new(Stock::default());
    let since = Instant::now();
    let tcc = ours::start(ours::redis(&stage.url()?).await?, stock.clone()).await?;
    tokio::time::timeout(WITHIN, stock.settled(branches))
        .await
        .with_context(|| format!("not settled within {WITHIN:?}"))?;
    let alone = since.elapsed().as_secs_f64();
    tcc.shutdown().await;
    nothing_is_left(stage)?;

    // Both.
    abandoned(stage, size).await?;
    let stock = Arc::new(Stock::default());
    let since = Instant::now();
    let tcc = ours::start(ours::redis(&stage.url()?).await?, stock.clone()).await?;
    let live = Live::new(tcc, Shape::SEQUENTIAL);
    let (mut beside, mut settled) = (0.0, false);
    let over = async {
        settled = tokio::time::timeout(WITHIN, stock.settled(branches)).await.is_ok();
        beside = since.elapsed().as_secs_f64();
    };
    let meanwhile =
        drive::run_until(Load { warm_up: Duration::ZERO, ..load }, &live, |_| Ok(()), over).await?;
    ensure!(settled, "not settled within {WITHIN:?} beside live callers");
    live.tcc.shutdown().await;
    nothing_is_left(stage)?;

    let per_second = |ran: &drive::Ran| ran.transactions as f64 / ran.seconds;
    let size = size as f64;
    Ok(Figures::from_iter([
        ("s alone".to_owned(), alone),
        ("settled/s alone".to_owned(), size / alone),
        ("s beside".to_owned(), beside),
        ("settled/s beside".to_owned(), size / beside),
        ("live tx/s before".to_owned(), per_second(&before)),
        ("live tx/s beside".to_owned(), per_second(&meanwhile)),
        ("live p99 µs before".to_owned(), before.p99),
        ("live p99 µs beside".to_owned(), meanwhile.p99),
        ("settled/s alone ÷ live tx/s before".to_owned(), size / alone / per_second(&before)),
        ("settled/s beside ÷ live tx/s before".to_owned(), size / beside / per_second(&before)),
        ("live tx/s beside ÷ before".to_owned(), per_second(&meanwhile) / per_second(&before)),
        ("p99 beside ÷ before".to_owned(), meanwhile.p99 / before.p99),
    ]))
}

/// An empty server with so many abandoned transactions, all of them due.
async fn abandoned(stage: &mut Stage, size: usize) -> anyhow::Result<()> {
    stage.clear()?;
    let store = ours::redis(&stage.url()?).await?;
    seed(&store, size, Duration::ZERO).await
}

fn nothing_is_left(stage: &Stage) -> anyhow::Result<()> {
    let left = command(stage.server()?, &["ZCARD", &format!("{{tcc:{}:0}}:due", ours::GROUP)])?;
    ensure!(left == "0", "{left} transactions are unfinished after all were settled");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn all_that_is_abandoned_is_settled() {
        let mut stage = Stage::redis(Persistence::None);
        let load = Load { callers: 2, warm_up: Duration::ZERO, measured: Duration::from_millis(100) };
        let figures = turn_of(&mut stage, 300, load).await.unwrap();
        assert!(figures["settled/s alone"] > 0.0 && figures["settled/s beside"] > 0.0, "{figures:?}");

        // Half of them were decided, half were not.
        abandoned(&mut stage, 10).await.unwrap();
        nothing_is_left(&stage).unwrap_err();
        let logs = "local n = {0, 0} for _, key in ipairs(redis.call('KEYS', '*:01a0c4506c00*')) do n[1] = n[1] + 1 \
            if string.find(redis.call('GET', key), 'decide') then n[2] = n[2] + 1 end end return n";
        let server = stage.server().unwrap();
        assert_eq!(command(server, &["ZCARD", "{tcc:bench:0}:due"]).unwrap(), "10");
        assert_eq!(command(server, &["EVAL", logs, "0"]).unwrap(), "10\n5");
    }
}
