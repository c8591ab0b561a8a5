//! Whether a transaction costs more when many others are unfinished.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::compare::{PER_SECOND, SERVER_CPU, measure};
use crate::options::Options;
use crate::ours::{self, Live};
use crate::report::{Figures, Report};
use crate::seed::seed;
use crate::shape::Shape;
use crate::stage::{Persistence, Stage, command};

/// The live path on servers with few and with many unfinished transactions, in turn.
pub(crate) async fn unfinished(options: &Options) -> anyhow::Result<Report> {
    let callers = options.callers_or(&[64])[0];
    let mut report = Report::new(
        "unfinished",
        format!(
            "Redis, no AOF, {callers} callers, two sequential branches: by what else is unfinished in the store"
        ),
    );
    let sizes = options.sizes_or(&[1_000, 1_000_000]);
    // A server for each: they are too large to be filled for every turn.
    let mut stages = Vec::new();
    for &size in &sizes {
        let stage = Stage::redis(Persistence::None);
        eprintln!("{} · writing {size}", report.title);
        seed(&ours::redis(&stage.url()?).await?, size, Duration::from_secs(24 * 3600)).await?;
        fill(&stage)?;
        stages.push(stage);
    }
    let mut turns: Vec<Vec<Figures>> = sizes.iter().map(|_| Vec::new()).collect();
    // The first turn is for the tables to settle.
    for turn in 0..=options.turns {
        for (number, stage) in stages.iter().enumerate() {
            let tcc = ours::start(ours::redis(&stage.url()?).await?, Arc::default()).await?;
            let live = Live::new(tcc, Shape::SEQUENTIAL);
            let mut load = options.load(callers);
            if turn == 0 {
                load.measured = load.measured.max(SETTLING);
            }
            let sample = measure(stage, load, &live)
                .await
                .with_context(|| format!("{} unfinished, turn {turn}", sizes[number]))?;
            live.tcc.shutdown().await;
            sweep(stage)?;
            if turn == 0 {
                continue;
            }
            let mut figures = sample.figures(callers);
            if let Some(first) = turns[0].get(turn - 1).filter(|_| number > 0) {
                let cost = |figures: &Figures, name: &str| figures.get(name).copied().unwrap_or(f64::NAN);
                let ratios = [
                    ("time", cost(first, PER_SECOND) / cost(&figures, PER_SECOND)),
                    ("server CPU", cost(&figures, SERVER_CPU) / cost(first, SERVER_CPU)),
                ];
                for (what, ratio) in ratios {
                    figures.insert(format!("{what} ÷ that with {}", sizes[0]), ratio);
                }
            }
            eprintln!(
                "{} · {} · turn {turn}/{}: {:.0} tx/s",
                report.title, sizes[number], options.turns, figures[PER_SECOND]
            );
            turns[number].push(figures);
        }
    }
    for (size, turns) in sizes.iter().zip(turns) {
        report.add(format!("{size} unfinished"), turns);
    }
    Ok(report)
}

// Redis moves a table that grows or shrinks bit by bit, with each command: that is a cost of growing, and not what is
// asked here. So a table is first brought to its size, by keys that stay, and the tombstones of a turn go after it.

/// So many keys that stay: enough that no table shrinks when the tombstones go.
const FILL: usize = 150_000;
/// How long Redis is given to move its tables.
const SETTLING: Duration = Duration::from_secs(5);

fn fill(stage: &Stage) -> anyhow::Result<()> {
    let script = "for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'filled:' .. i, 'x') end";
    command(stage.server()?, &["EVAL", script, "0", &FILL.to_string()])?;
    Ok(())
}

/// Removes all that would expire: the tombstones.
fn sweep(stage: &Stage) -> anyhow::Result<()> {
    let script = "local page = redis.call('SCAN', ARGV[1], 'COUNT', 5000) \
        for _, key in ipairs(page[2]) do if redis.call('PTTL', key) > 0 then redis.call('UNLINK', key) end end \
        return page[1]";
    let mut cursor = "0".to_owned();
    loop {
        cursor = command(stage.server()?, &["EVAL", script, "0", &cursor])?;
        if cursor == "0" {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Work;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_turn_leaves_what_is_unfinished_and_nothing_else() {
        let stage = Stage::redis(Persistence::None);
        let store = ours::redis(&stage.url().unwrap()).await.unwrap();
        seed(&store, 7, Duration::from_secs(60)).await.unwrap();
        let tcc = ours::start(store, Arc::default()).await.unwrap();
        let live = Live::new(tcc, Shape::SEQUENTIAL);
        for _ in 0..20 {
            live.once(0).await.unwrap();
        }
        live.tcc.shutdown().await;
        let keys = || command(stage.server().unwrap(), &["DBSIZE"]).unwrap();
        // The logs, the tombstones, the index, the group's number of shards.
        assert_eq!(keys(), (7 + 20 + 2).to_string());
        sweep(&stage).unwrap();
        assert_eq!(keys(), (7 + 2).to_string());
    }
}
