//! Pictures for the README, drawn from `benches/results.jsonl`.

use anyhow::{Context, ensure};

use crate::all::file;
use crate::compare::{P50, P99, PER_SECOND};
use crate::report::{Report, Row};
use crate::stage::Persistence;

/// Draws throughput and latency of ours, floor and peers by callers.
pub(crate) fn plot() -> anyhow::Result<()> {
    let results = file("results.jsonl");
    let text = std::fs::read_to_string(&results)
        .with_context(|| format!("{} can't be read: run `all` first, which writes it", results.display()))?;
    let reports: Vec<Report> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("results.jsonl")?;
    let wanted = Persistence::None.name();
    let report = reports
        .iter()
        .find(|report| report.case == "peers" && report.title.contains(wanted))
        .with_context(|| format!("there is no report of `peers` with {wanted} in results.jsonl"))?;
    let folder = file("plots");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let throughput = chart("Transactions per second, by callers", report, PER_SECOND, None)?;
    let latency = chart("Latency in microseconds, by callers: bar p50, line p99", report, P50, Some(P99))?;
    for (name, svg) in [("throughput.svg", throughput), ("latency.svg", latency)] {
        let file = folder.join(name);
        std::fs::write(&file, svg).with_context(|| format!("{} can't be written", file.display()))?;
        eprintln!("written: {}", file.display());
    }
    Ok(())
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 50.0;
/// One for each contender, told apart by the colour-blind too.
const COLOURS: [&str; 6] = ["#9aa5b1", "#e69f00", "#d55e00", "#0072b2", "#009e73", "#cc79a7"];

/// Bars on a logarithmic axis, in groups by the number of callers; `upper` is the end of a thin line on each bar.
fn chart(title: &str, report: &Report, bar: &str, upper: Option<&str>) -> anyhow::Result<String> {
    let mut names: Vec<&str> = Vec::new();
    let mut groups: Vec<f64> = Vec::new();
    for row in &report.rows {
        let callers = *row.figures.get("callers").with_context(|| format!("{} has no callers", row.name))?;
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
        if !groups.contains(&callers) {
            groups.push(callers);
        }
    }
    let figure = |row: &Row, name: &str| row.figures.get(name).copied().filter(|value| *value > 0.0);
    let values: Vec<f64> = report
        .rows
        .iter()
        .flat_map(|row| [figure(row, bar), upper.and_then(|upper| figure(row, upper))])
        .flatten()
        .collect();
    ensure!(!values.is_empty(), "there is no {bar} in the report {}", report.title);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    let (low, high) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value.log10() - low) / (high - low));

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n{}\n{}\n",
        text(LEFT, 22.0, "start", 15, title),
        text(LEFT, 40.0, "start", 11, &report.title),
    );
    let mut across = LEFT;
    for (number, name) in names.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        svg.push_str(&format!(
            "<rect x=\"{across:.1}\" y=\"52\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n"
        ));
        svg.push_str(&(text(across + 15.0, 61.0, "start", 12, name) + "\n"));
        across += 38.0 + 6.6 * name.chars().count() as f64;
    }
    for power in low as i32..=high as i32 {
        let value = 10_f64.powi(power);
        svg.push_str(&format!(
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\" stroke=\"#ddd\"/>\n{1}\n",
            WIDTH - RIGHT,
            text(LEFT - 8.0, y(value) + 4.0, "end", 12, &short(value)),
            y(value),
        ));
    }
    let group_width = (WIDTH - LEFT - RIGHT) / groups.len() as f64;
    let bar_width = group_width * 0.84 / names.len() as f64;
    for (group, callers) in groups.iter().enumerate() {
        let start = LEFT + group_width * (group as f64 + 0.08);
        let unit = if *callers == 1.0 { "caller" } else { "callers" };
        let middle = start + group_width * 0.42;
        svg.push_str(
            &(text(middle, HEIGHT - BOTTOM + 20.0, "middle", 12, &format!("{callers} {unit}")) + "\n"),
        );
        for (number, name) in names.iter().enumerate() {
            let row = report.rows.iter().find(|row| row.name == *name && row.figures["callers"] == *callers);
            let Some((row, value)) = row.and_then(|row| Some((row, figure(row, bar)?))) else { continue };
            let (x, top) = (start + bar_width * number as f64, y(value));
            let colour = COLOURS[number % COLOURS.len()];
            svg.push_str(&format!(
                "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n",
                x + 1.0,
                bar_width - 2.0,
                HEIGHT - BOTTOM - top,
            ));
            let centre = x + bar_width / 2.0;
            let mut label = top;
            if let Some(value) = upper.and_then(|upper| figure(row, upper)) {
                label = label.min(y(value));
                svg.push_str(&format!(
                    "<line x1=\"{centre:.1}\" x2=\"{centre:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\" stroke=\"#222\"/>\n",
                    y(value)
                ));
            }
            svg.push_str(&(text(centre, label - 4.0, "middle", 10, &short(value)) + "\n"));
        }
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn text(x: f64, y: f64, anchor: &str, size: u32, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{words}</text>")
}

/// With two digits or more: 950, 1.2k, 55k, 1.0M.
fn short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.1}M", value / 1e6),
        _ if value >= 1e4 => format!("{:.0}k", value / 1e3),
        _ if value >= 1e3 => format!("{:.1}k", value / 1e3),
        _ if value >= 10.0 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn every_contender_has_a_bar_in_every_group() {
        let mut report = Report::new("peers", "Redis <here>");
        for callers in [1.0, 64.0] {
            for (name, per_second) in [("floor4", 40_000.0), ("ours", 55_000.0)] {
                let figures = [("callers".to_owned(), callers), (PER_SECOND.to_owned(), per_second)];
                report.add(name, vec![Figures::from_iter(figures)]);
            }
        }
        let svg = chart("Throughput", &report, PER_SECOND, None).unwrap();
        // The background, two colours of the legend, four bars.
        assert_eq!(svg.matches("<rect ").count(), 1 + 2 + 4);
        assert_eq!(svg.matches(">55k<").count(), 2);
        assert!(
            svg.contains("Redis &lt;here&gt;") && svg.contains(">1 caller<") && svg.contains(">64 callers<")
        );
        assert!(chart("Latency", &report, P50, Some(P99)).is_err(), "nothing to draw");
    }
}
