//! Whether a transaction costs more when many others are unfinished.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::compare::{PER_SECOND, measure};
use crate::options::Options;
use crate::ours::{self, Live};
use crate::report::{Figures, Report};
use crate::seed::seed;
use crate::shape::Shape;
use crate::stage::{Persistence, Stage};

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
        stages.push(stage);
    }
    let mut turns: Vec<Vec<Figures>> = sizes.iter().map(|_| Vec::new()).collect();
    // The first turn is for the tables to settle: Redis moves a table that has grown bit by bit, with each command.
    for turn in 0..=options.turns {
        for (number, stage) in stages.iter().enumerate() {
            let tcc = ours::start(ours::redis(&stage.url()?).await?, Arc::default()).await?;
            let live = Live::new(tcc, Shape::SEQUENTIAL);
            let sample = measure(stage, options.load(callers), &live)
                .await
                .with_context(|| format!("{} unfinished, turn {turn}", sizes[number]))?;
            live.tcc.shutdown().await;
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

const SERVER_CPU: &str = "server CPU µs/tx";
