//! The cases: who is compared with whom, and on what.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::bare::{self, Bare};
use crate::compare::{CLIENT_CPU, Entrant, compare, entrant};
use crate::floor::Floor;
use crate::gathered::Gathered;
use crate::idle::idle;
use crate::message::Mode;
use crate::options::Options;
use crate::ours::Ours;
use crate::peer::{Peer, Program, Synchronous};
use crate::recovery::recovery;
use crate::report::Report;
use crate::rows::Rows;
use crate::shape::Shape;
use crate::stage::Stage;
use crate::unfinished::unfinished;

/// All of them.
pub(crate) const ALL: [&str; 12] = [
    "redis",
    "branches",
    "payloads",
    "cancel",
    "memory",
    "sqlite",
    "bare",
    "peers",
    "peers-sqlite",
    "recovery",
    "idle",
    "unfinished",
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
            let sequential = [1, 4, 16, 64].map(|branches| Shape { branches, ..Shape::SEQUENTIAL });
            let together = [4, 16, 64].map(|branches| Shape { branches, ..Shape::TOGETHER });
            let shapes = [&sequential[..], &together[..]].concat();
            beside_floors(case, options, &shapes, shown).await
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
        "peers-sqlite" => peers_on_sqlite(options, shown).await,
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
        // The filter may have left nobody.
        if !report.rows.is_empty() {
            shown(report)?;
        }
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
        let cpu = row.figures[CLIENT_CPU];
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
    let peer = |mode| entrant(Peer { program: program.clone(), mode, synchronous: None }, &[]);
    let mut entrants = [
        entrant(Floor(Shape::SEQUENTIAL), &[]),
        entrant(Gathered(Shape::SEQUENTIAL), &[]),
        peer(Mode::Embedded),
        peer(Mode::Inline),
        entrant(Ours(Shape::SEQUENTIAL), &[0, 1, 2, 3]),
    ];
    let callers = options.callers_or(&CALLERS);
    on_redis("peers", "two sequential branches, beside dtmrs 0.13", options, &callers, &mut entrants, shown)
        .await
}

async fn peers_on_sqlite(
    options: &Options,
    shown: &mut impl FnMut(Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let program = Arc::new(Mutex::new(Program::start()?));
    let peer = |mode, synchronous| {
        entrant(Peer { program: program.clone(), mode, synchronous: Some(synchronous) }, &[])
    };
    let mut report = Report::new(
        "peers",
        "SQLite file, two sequential branches: ours with synchronous=FULL, beside dtmrs 0.13 with NORMAL, as it comes, and \
         with FULL",
    );
    let mut entrants = [
        peer(Mode::Embedded, Synchronous::Normal),
        peer(Mode::Inline, Synchronous::Normal),
        peer(Mode::Inline, Synchronous::Full),
        entrant(Ours(Shape::SEQUENTIAL), &[0, 1, 2]),
    ];
    let callers = options.callers_or(&CALLERS);
    compare(&mut report, &mut Stage::folder()?, options, &callers, &mut entrants).await?;
    shown(report)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::Contender;
    use crate::drive::Load;
    use crate::stage::{Persistence, command};

    const LOAD: Load =
        Load { callers: 16, warm_up: Duration::from_millis(20), measured: Duration::from_millis(150) };

    fn keys(stage: &Stage) -> u64 {
        command(stage.server().unwrap(), &["DBSIZE"]).unwrap().parse().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_floors_make_the_calls_they_are_named_after_and_leave_nothing_behind() {
        let stage = Stage::redis(Persistence::None);
        let calls = || stage.read().unwrap().unwrap().evalsha;
        let many = Shape { branches: 5, ..Shape::SEQUENTIAL };
        for (shape, expected) in [(Shape::SEQUENTIAL, 4.0), (Shape::TOGETHER, 3.0), (many, 7.0)] {
            let name = shape.floor();
            // The first time, the server asks for the scripts.
            Floor(shape).turn(&stage, LOAD).await.unwrap();
            let before = calls();
            let sample = Floor(shape).turn(&stage, LOAD).await.unwrap();
            assert_eq!(calls() - before, expected * sample.ran.all as f64, "{name}");
            assert_eq!(keys(&stage), 0, "{name}");
            let before = calls();
            let sample = Gathered(shape).turn(&stage, LOAD).await.unwrap();
            assert!(calls() - before < expected * sample.ran.all as f64, "{name} is not gathered");
            assert_eq!(keys(&stage), 0, "{name} gathered");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ours_keeps_one_tombstone_for_each_transaction() {
        let mut stage = Stage::redis(Persistence::None);
        let cancelled = Shape { cancelled: true, ..Shape::SEQUENTIAL };
        let empty = Shape { payload: 0, branches: 3, ..Shape::TOGETHER };
        for shape in [Shape::SEQUENTIAL, Shape::TOGETHER, cancelled, empty] {
            stage.clear().unwrap();
            assert_eq!(keys(&stage), 0);
            let sample = Ours(shape).turn(&stage, LOAD).await.unwrap();
            // One more key is the group's number of shards.
            assert_eq!(keys(&stage), sample.ran.all + 1, "{}", shape.name());
            assert!(sample.kept.is_some() && sample.server.is_some());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn stores_without_a_server_have_their_turns_too() {
        let mut stage = Stage::folder().unwrap();
        Rows.turn(&stage, LOAD).await.unwrap();
        stage.clear().unwrap();
        Ours(Shape::TOGETHER).turn(&stage, LOAD).await.unwrap();
        Ours(Shape::SEQUENTIAL).turn(&Stage::Memory, LOAD).await.unwrap();
        Bare.turn(&Stage::Memory, LOAD).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ratio_is_that_of_one_turn() {
        let options = Options { turns: 3, measured: Duration::from_millis(30), ..Options::default() };
        let mut report = Report::new("memory", "a test");
        let mut entrants =
            [entrant(Ours(Shape::SEQUENTIAL), &[]), entrant(Ours(Shape::TOGETHER), &[0]), entrant(Bare, &[])];
        let options = Options { filter: Some("together".into()), ..options };
        compare(&mut report, &mut Stage::Memory, &options, &[2], &mut entrants).await.unwrap();
        let [base, row] = &report.rows[..] else { panic!("the filter keeps one, and its base: {report:?}") };
        assert_eq!(base.name, "ours, sequential");
        for (turn, other) in row.turns.iter().zip(&base.turns) {
            assert_eq!(turn["÷ ours, sequential"], turn["tx/s"] / other["tx/s"]);
        }
        assert_eq!(row.turns.len(), 3);
    }
}
