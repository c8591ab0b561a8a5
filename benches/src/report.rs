//! Medians and ratios, as a table.

use std::time::Duration;

use crate::drive::Sample;

/// A line of the table.
pub(crate) struct Row {
    name: &'static str,
    per_second: f64,
    ratio: f64,
    p50: Duration,
    p99: Duration,
    commands: f64,
}

impl Row {
    /// The medians of the samples, each with the one of the same turn that it is compared with.
    pub(crate) fn of<'a>(
        name: &'static str,
        turns: impl Iterator<Item = (&'a Sample, &'a Sample)> + Clone,
    ) -> Self {
        Self {
            name,
            per_second: median(turns.clone().map(|(sample, _)| sample.per_second)),
            ratio: median(turns.clone().map(|(sample, base)| sample.per_second / base.per_second)),
            p50: Duration::from_secs_f64(median(turns.clone().map(|(sample, _)| sample.p50.as_secs_f64()))),
            p99: Duration::from_secs_f64(median(turns.clone().map(|(sample, _)| sample.p99.as_secs_f64()))),
            commands: median(turns.map(|(sample, _)| sample.commands)),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The rows in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | tx/s | ratio | p50 | p99 | EVALSHA per tx |\n| --- | --- | --- | --- | --- | --- |",
    );
    for row in rows {
        let Row { name, per_second, ratio, p50, p99, commands } = row;
        text.push_str(&format!(
            "\n| {name} | {per_second:.0} | {ratio:.2} | {p50:.2?} | {p99:.2?} | {commands:.2} |"
        ));
    }
    text
}
