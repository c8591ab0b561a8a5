//! The cases: who is compared with whom, and on what.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::bare::{self, Bare};
use crate::compare::{Entrant, compare, entrant};
use crate::floor::Floor;
use crate::gathered::Gathered;
use crate::idle::idle;
use crate::message::Mode;
use crate::options::Options;
use crate::ours::Ours;
use crate::peer::{Peer, Program};
use crate::recovery::recovery;
use crate::report::Report;
use crate::rows::Rows;
use crate::shape::Shape;
use crate::stage::{Persistence, Stage};
use crate::unfinished::unfinished;

/// The cases that `all` runs, in this order.
pub(crate) const ALL: [&str; 11] = [
    "redis",
    "branches",
    "payloads",
    "cancel",
    "memory",
    "sqlite",
    "bare",
    "peers",
    "idle",
    "unfinished",
    "recovery",
];

/// Runs one case; `shown` is given each report as soon as it is there.
pub(crate) async fn run(
    case: &str,
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match case {
        "redis" => redis(options, shown).await,
        "branches" => {
            let shapes = [1, 4, 16, 64].map(|branches| Shape { branches, ..Shape::SEQUENTIAL });
            let together = shapes.map(|shape| Shape { together: true, ..shape });
            beside_floors(case, options, &[shapes, together].concat(), shown).await
        }
        "payloads" => {
            let shapes = [0, 256, 16 * 1024].map(|payload| Shape { payload, ..Shape::SEQUENTIAL });
            beside_floors(case, options, &shapes, shown).await
        }
        "cancel" => cancel(options, shown).await,
        "memory" => memory(options, shown).await,
        "sqlite" => sqlite(options, shown).await,
        "bare" => {
            own_cost(options, shown).await?;
            shown(bare::profile()?)
        }
        "peers" => peers(options, shown).await,
        "recovery" => shown(recovery(options).await?),
        "idle" => shown(idle(options).await?),
        "unfinished" => shown(unfinished(options).await?),
        other => anyhow::bail!("there is no case {other:?}"),
    }
}

/// How many callers, unless it is said.
const CALLERS: [usize; 4] = [1, 16, 64, 256];
/// For cases whose subject is not the number of callers.
const SOME: [usize; 1] = [64];

/// One comparison on Redis for each persistence that is asked for.
async fn on_redis(
    case: &str,
    what: &str,
    options: &Options,
    callers: &[usize],
    entrants: &mut [Entrant],
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for &persistence in &options.persistence {
        let mut report = Report::new(case, format!("Redis, {}, {what}", persistence.name()));
        let mut stage = Stage::redis(persistence);
        compare(&mut report, &mut stage, options, callers, entrants).await?;
        shown(report)?;
    }
    Ok(())
}

async fn redis(
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (what, shape) in [
        ("two sequential branches", Shape::SEQUENTIAL),
        ("two branches that start together", Shape::TOGETHER),
    ] {
        let mut entrants =
            [entrant(Floor(shape), &[]), entrant(Gathered(shape), &[0]), entrant(Ours(shape), &[0, 1])];
        let callers = options.callers_or(&CALLERS);
        on_redis("redis", what, options, &callers, &mut entrants, shown).await?;
    }
    Ok(())
}

/// Each shape beside its own floor.
async fn beside_floors(
    case: &str,
    options: &Options,
    shapes: &[Shape],
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for &shape in shapes {
        let mut entrants = [entrant(Floor(shape), &[]), entrant(Ours(shape), &[0])];
        on_redis(case, &shape.name(), options, &options.callers_or(&SOME), &mut entrants, shown).await?;
    }
    Ok(())
}

async fn cancel(
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cancelled = Shape { cancelled: true, ..Shape::SEQUENTIAL };
    let mut entrants = [
        entrant(Floor(Shape::SEQUENTIAL), &[]),
        entrant(Ours(Shape::SEQUENTIAL), &[0]),
        entrant(Ours(cancelled), &[0, 1]),
    ];
    on_redis("cancel", "confirm and cancel", options, &options.callers_or(&SOME), &mut entrants, shown).await
}

async fn memory(
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut report = Report::new("memory", "memory store, two branches");
    let mut entrants = [entrant(Ours(Shape::SEQUENTIAL), &[]), entrant(Ours(Shape::TOGETHER), &[0])];
    let callers = options.callers_or(&CALLERS);
    compare(&mut report, &mut Stage::Memory, options, &callers, &mut entrants).await?;
    shown(report)
}

async fn sqlite(
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut report = Report::new("sqlite", "SQLite file, synchronous=FULL, two branches");
    let mut entrants =
        [entrant(Rows, &[]), entrant(Ours(Shape::SEQUENTIAL), &[0]), entrant(Ours(Shape::TOGETHER), &[0])];
    let callers = options.callers_or(&CALLERS);
    compare(&mut report, &mut Stage::folder()?, options, &callers, &mut entrants).await?;
    shown(report)
}

/// The column of the framework's own cost.
const BEYOND: &str = "CPU µs/tx beyond bare calls";

async fn own_cost(
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut report =
        Report::new("bare", "memory store: the business calls of two branches with and without us");
    let mut entrants =
        [entrant(Bare, &[]), entrant(Ours(Shape::SEQUENTIAL), &[0]), entrant(Ours(Shape::TOGETHER), &[0])];
    let callers = options.callers_or(&[1, 64]);
    compare(&mut report, &mut Stage::Memory, options, &callers, &mut entrants).await?;
    let mut bare = 0.0;
    for row in &mut report.rows {
        let cpu = row.figures["client CPU µs/tx"];
        if row.name == bare::NAME {
            bare = cpu;
        } else {
            row.figures.insert(BEYOND.to_owned(), cpu - bare);
        }
    }
    shown(report)
}

async fn peers(
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let program = Arc::new(Mutex::new(Program::start()?));
    let peer = |mode, full| entrant(Peer { program: program.clone(), mode, full }, &[]);
    let callers = options.callers_or(&CALLERS);
    let mut entrants = [
        entrant(Floor(Shape::SEQUENTIAL), &[]),
        peer(Mode::Embedded, false),
        peer(Mode::Inline, false),
        entrant(Ours(Shape::SEQUENTIAL), &[0, 1, 2]),
    ];
    on_redis("peers", "two sequential branches, beside dtmrs 0.13", options, &callers, &mut entrants, shown)
        .await?;
    let title = "SQLite file, two sequential branches: ours with synchronous=FULL; dtmrs 0.13 with NORMAL, as it \
                 comes, and with FULL";
    let mut report = Report::new("peers", title);
    let mut entrants = [
        peer(Mode::Embedded, false),
        peer(Mode::Inline, false),
        peer(Mode::Inline, true),
        entrant(Ours(Shape::SEQUENTIAL), &[0, 1, 2]),
    ];
    compare(&mut report, &mut Stage::folder()?, options, &callers, &mut entrants).await?;
    shown(report)
}

/// All persistences: for `all`, unless it is told otherwise.
pub(crate) const PERSISTENCES: [Persistence; 3] =
    [Persistence::None, Persistence::EverySec, Persistence::Always];
