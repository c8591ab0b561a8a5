//! Whether it has become slower: quick enough for every run of the tests.

use std::time::Duration;

use anyhow::Context;

use crate::compare::{EVALSHA, PER_SECOND, compare, entrant};
use crate::floor::Floor;
use crate::options::Options;
use crate::ours::Ours;
use crate::report::{Report, Row};
use crate::shape::Shape;
use crate::stage::{Persistence, Stage};

/// The least that the throughput of two sequential branches may be, of that of the floor, with 64 callers.
const RATIO: f64 = 0.9;
/// The most script calls per transaction, by callers: with one caller each of four appends is a call, with many they
/// share them.
const CALLS: [(usize, f64); 2] = [(1, 4.05), (64, 0.30)];
const TURNS: usize = 5;
const MEASURED: Duration = Duration::from_millis(1500);

/// What has become worse than its bound; nothing, if all is well.
pub(crate) async fn smoke(
    mut shown: impl FnMut(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<String>> {
    let mut report = Report::new("smoke", "Redis, no AOF, two sequential branches");
    let mut entrants = [entrant(Floor(Shape::SEQUENTIAL), &[]), entrant(Ours(Shape::SEQUENTIAL), &[0])];
    let mut stage = Stage::redis(Persistence::None);
    let options = Options { turns: TURNS, measured: MEASURED, ..Options::default() };
    compare(&mut report, &mut stage, &options, &[64], &mut entrants).await?;
    // Its calls are the same in every turn.
    let once = Options { turns: 1, ..options };
    compare(&mut report, &mut stage, &once, &[1], &mut entrants).await?;
    shown(&report)?;
    worse(&report)
}

/// Compares a report with the bounds.
fn worse(report: &Report) -> anyhow::Result<Vec<String>> {
    let mut worse = Vec::new();
    for (callers, most) in CALLS {
        let row = ours(report, callers)?;
        let calls = figure(row, EVALSHA)?;
        if calls > most {
            worse.push(format!(
                "{callers} callers: {calls:.2} script calls per transaction, more than {most}"
            ));
        }
    }
    let row = ours(report, 64)?;
    let ratio = figure(row, &format!("÷ {}", Shape::SEQUENTIAL.floor()))?;
    if ratio < RATIO {
        let per_second = figure(row, PER_SECOND)?;
        worse.push(format!(
            "64 callers: {per_second:.0} tx/s, {ratio:.2} of the floor's; {RATIO} is the least"
        ));
    }
    Ok(worse)
}

fn ours(report: &Report, callers: usize) -> anyhow::Result<&Row> {
    let mut rows = report.rows.iter();
    let name = format!("ours, {}", Shape::SEQUENTIAL.name());
    rows.find(|row| row.name == name && row.figures.get("callers") == Some(&(callers as f64)))
        .with_context(|| format!("there is no row of {name} with {callers} callers"))
}

fn figure(row: &Row, name: &str) -> anyhow::Result<f64> {
    row.figures.get(name).copied().with_context(|| format!("{} has no {name}", row.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    fn report(ratio: f64, calls: f64, calls_of_one: f64) -> Report {
        let mut report = Report::new("smoke", "");
        for (callers, ratio, calls) in [(64.0, ratio, calls), (1.0, 1.0, calls_of_one)] {
            report.add(
                "ours, sequential",
                vec![Figures::from_iter([
                    ("callers".to_owned(), callers),
                    (PER_SECOND.to_owned(), 1e4),
                    (EVALSHA.to_owned(), calls),
                    ("÷ floor4".to_owned(), ratio),
                ])],
            );
        }
        report
    }

    #[test]
    fn each_bound_is_watched() {
        assert_eq!(worse(&report(0.9, 0.3, 4.0)).unwrap(), Vec::<String>::new());
        assert!(worse(&report(0.89, 0.3, 4.0)).unwrap()[0].contains("0.89 of the floor's"));
        assert!(worse(&report(0.9, 0.31, 4.0)).unwrap()[0].contains("64 callers: 0.31 script calls"));
        assert!(worse(&report(0.9, 0.3, 5.0)).unwrap()[0].contains("1 callers: 5.00 script calls"));
        assert_eq!(worse(&report(0.1, 9.0, 9.0)).unwrap().len(), 3);
    }

    #[test]
    fn what_was_not_measured_is_no_success() {
        assert!(worse(&Report::new("smoke", "")).is_err());
    }
}
