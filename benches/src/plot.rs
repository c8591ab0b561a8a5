//! Pictures for the README, drawn from `results.jsonl`: for a light page and for a dark one.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::compare::{P50, P99, PER_SECOND};
use crate::report::{Report, Row};
use crate::results::Results;
use crate::stage::Persistence;

/// Draws throughput and latency by callers, of ours, the floors and the peers.
pub(crate) fn plot(folder: &Path) -> anyhow::Result<()> {
    let results = Results::read(folder)?;
    let wanted = Persistence::None.name();
    let report = results
        .reports()
        .find(|report| report.case == "peers" && report.title.contains(wanted))
        .with_context(|| format!("there is no report of `peers` with {wanted} in the results"))?;
    let subtitle = format!(
        "Redis, {wanted}, two sequential branches; {} cores shared by server and callers; commit {}",
        results.about.cores, results.about.commit
    );
    let into = folder.join("plots");
    std::fs::create_dir_all(&into).with_context(|| format!("{} can't be made", into.display()))?;
    for (theme, name) in [(LIGHT, "light"), (DARK, "dark")] {
        for (chart, picture) in [
            ("throughput", throughput(report, &subtitle, theme)?),
            ("latency", latency(report, &subtitle, theme)?),
        ] {
            let file = into.join(format!("{chart}-{name}.svg"));
            std::fs::write(&file, picture).with_context(|| format!("{} can't be written", file.display()))?;
            eprintln!("written: {}", file.display());
        }
    }
    Ok(())
}

/// The colours of a page's text. There is no background: the page's own shows through.
#[derive(Debug, Clone, Copy)]
struct Theme {
    text: &'static str,
    /// Of axes and what is said beside.
    faint: &'static str,
    grid: &'static str,
    /// One for each contender, in the order of the report; told apart by the colour-blind too.
    contenders: [&'static str; 5],
}

const LIGHT: Theme = Theme {
    text: "#1f2328",
    faint: "#59636e",
    grid: "#d1d9e0",
    contenders: ["#afb8c1", "#6e7781", "#e69f00", "#d55e00", "#0969da"],
};
const DARK: Theme = Theme {
    text: "#f0f6fc",
    faint: "#9198a1",
    grid: "#3d444d",
    contenders: ["#656c76", "#afb8c1", "#e69f00", "#f47b35", "#4493f8"],
};

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 40.0;

/// Bars from zero: twice as high is twice as fast.
fn throughput(report: &Report, subtitle: &str, theme: Theme) -> anyhow::Result<String> {
    let grid = Grid::of(report)?;
    let most = grid.figures(PER_SECOND).fold(0.0, f64::max);
    ensure!(most > 0.0, "there is no {PER_SECOND} in the report {}", report.title);
    let step = round_step(most / 5.0);
    let high = (most / step).ceil() * step;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / high);
    let mut svg = Svg::new("Transactions per second, by the number of callers", subtitle, theme);
    svg.legend(&grid.names);
    let ticks = (0..=(high / step).round() as u32).map(|tick| f64::from(tick) * step);
    ticks.for_each(|value| svg.tick(y(value), &short(value)));
    grid.each(&mut svg, |svg, row, place, colour| {
        let Some(&value) = row.figures.get(PER_SECOND) else { return };
        let top = y(value);
        svg.add(&format!(
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"1.5\" fill=\"{colour}\"/>",
            place.left + 1.5,
            place.width - 3.0,
            HEIGHT - BOTTOM - top,
        ));
        svg.text(place.middle(), top - 4.0, Style { anchor: "middle", size: 10, colour: theme.text }, &short(value));
    });
    Ok(svg.end())
}

/// From p50, a dot, to p99, a ring, on a logarithmic axis.
fn latency(report: &Report, subtitle: &str, theme: Theme) -> anyhow::Result<String> {
    const MS: f64 = 1_000.0;
    let grid = Grid::of(report)?;
    let values: Vec<f64> =
        [P50, P99].iter().flat_map(|name| grid.figures(name)).map(|value| value / MS).collect();
    let least = values.iter().copied().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    ensure!(least.is_finite(), "there is no {P50} in the report {}", report.title);
    // With room for what is written above and below.
    let (low, high) = ((least / 1.9).log10(), (most * 1.9).log10());
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value.log10() - low) / (high - low));
    let mut svg =
        Svg::new("Milliseconds from call to return, by the number of callers: ● p50, ○ p99", subtitle, theme);
    svg.legend(&grid.names);
    (low.ceil() as i32..=high.floor() as i32)
        .for_each(|power| svg.tick(y(10_f64.powi(power)), &format!("{}", 10_f64.powi(power))));
    grid.each(&mut svg, |svg, row, place, colour| {
        let figure = |name: &str| row.figures.get(name).map(|value| value / MS).filter(|value| *value > 0.0);
        let (Some(p50), Some(p99)) = (figure(P50), figure(P99)) else { return };
        let x = place.middle();
        svg.add(&format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>\n\
             <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\"/>\n\
             <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            y(p50) - 5.0,
            (y(p99) + 4.0).min(y(p50) - 5.0),
            y(p50),
            y(p99),
        ));
        let style = Style { anchor: "middle", size: 10, colour: theme.text };
        svg.text(x, y(p99) - 8.0, style, &plain(p99));
        svg.text(x, y(p50) + 16.0, style, &plain(p50));
    });
    Ok(svg.end())
}

/// Who and how many: a group of places for each number of callers.
struct Grid<'a> {
    names: Vec<&'a str>,
    groups: Vec<f64>,
    rows: &'a [Row],
}

/// Where one contender is drawn in one group.
struct Place {
    left: f64,
    width: f64,
}

impl Place {
    fn middle(&self) -> f64 {
        self.left + self.width / 2.0
    }
}

impl<'a> Grid<'a> {
    fn of(report: &'a Report) -> anyhow::Result<Self> {
        let (mut names, mut groups) = (Vec::new(), Vec::new());
        for row in &report.rows {
            let callers =
                *row.figures.get("callers").with_context(|| format!("{} has no callers", row.name))?;
            if !names.contains(&row.name.as_str()) {
                names.push(row.name.as_str());
            }
            if !groups.contains(&callers) {
                groups.push(callers);
            }
        }
        ensure!(names.len() <= LIGHT.contenders.len(), "{} contenders, and not so many colours", names.len());
        Ok(Self { names, groups, rows: &report.rows })
    }

    fn figures(&self, name: &str) -> impl Iterator<Item = f64> {
        self.rows.iter().filter_map(move |row| row.figures.get(name).copied())
    }

    fn each(&self, svg: &mut Svg, draw: impl Fn(&mut Svg, &Row, Place, &str)) {
        const FILLED: f64 = 0.9;
        let group_width = (WIDTH - LEFT - RIGHT) / self.groups.len() as f64;
        let width = group_width * FILLED / self.names.len() as f64;
        for (group, callers) in self.groups.iter().enumerate() {
            let start = LEFT + group_width * (group as f64 + (1.0 - FILLED) / 2.0);
            let unit = if *callers == 1.0 { "caller" } else { "callers" };
            let style = Style { anchor: "middle", size: 13, colour: svg.theme.text };
            let middle = start + group_width * FILLED / 2.0;
            svg.text(middle, HEIGHT - BOTTOM + 22.0, style, &format!("{callers} {unit}"));
            for (number, name) in self.names.iter().enumerate() {
                let has = |row: &&Row| row.name == *name && row.figures.get("callers") == Some(callers);
                if let Some(row) = self.rows.iter().find(has) {
                    let place = Place { left: start + width * number as f64, width };
                    let colour = svg.theme.contenders[number];
                    draw(svg, row, place, colour);
                }
            }
        }
    }
}

/// A picture that is being drawn.
struct Svg {
    text: String,
    theme: Theme,
}

#[derive(Debug, Clone, Copy)]
struct Style {
    anchor: &'static str,
    size: u32,
    colour: &'static str,
}

impl Svg {
    fn new(title: &str, subtitle: &str, theme: Theme) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif\">\n"
        );
        let mut svg = Self { text, theme };
        svg.text(LEFT, 22.0, Style { anchor: "start", size: 16, colour: theme.text }, title);
        svg.text(LEFT, 42.0, Style { anchor: "start", size: 12, colour: theme.faint }, subtitle);
        svg
    }

    fn add(&mut self, element: &str) {
        self.text.push_str(element);
        self.text.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, Style { anchor, size, colour }: Style, words: &str) {
        let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{colour}\">{words}</text>"
        ));
    }

    /// The names in one line, each with its colour.
    fn legend(&mut self, names: &[&str]) {
        let mut across = LEFT;
        for (number, name) in names.iter().enumerate() {
            let colour = self.theme.contenders[number];
            self.add(&format!(
                "<rect x=\"{across:.1}\" y=\"58\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>"
            ));
            self.text(
                across + 18.0,
                69.0,
                Style { anchor: "start", size: 13, colour: self.theme.text },
                name,
            );
            // About as wide as letters are in most fonts.
            across += 42.0 + 7.6 * name.chars().count() as f64;
        }
    }

    /// A line across, and what it stands for.
    fn tick(&mut self, y: f64, words: &str) {
        let (right, grid) = (WIDTH - RIGHT, self.theme.grid);
        self.add(&format!(
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{grid}\"/>"
        ));
        self.text(LEFT - 8.0, y + 4.0, Style { anchor: "end", size: 12, colour: self.theme.faint }, words);
    }

    fn end(mut self) -> String {
        self.add("</svg>");
        self.text
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= least).unwrap_or(least)
}

/// With two digits or more: 0, 950, 1.2k, 55k, 1.0M.
fn short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.1}M", value / 1e6),
        _ if value >= 1e4 => format!("{:.0}k", value / 1e3),
        _ if value >= 1e3 => format!("{:.1}k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// With two digits: 0.072, 0.12, 1.2, 14.
fn plain(value: f64) -> String {
    match value {
        _ if value >= 9.95 => format!("{value:.0}"),
        _ if value >= 0.995 => format!("{value:.1}"),
        _ if value >= 0.0995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
    .trim_end_matches(".0")
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    fn report(columns: &[&str]) -> Report {
        let mut report = Report::new("peers", "Redis");
        for callers in [1.0, 64.0] {
            for (name, size) in [("floor4", 1.0), ("ours", 1.4)] {
                let columns = columns.iter().map(|column| ((*column).to_owned(), 40_000.0 * size));
                report.add(
                    name,
                    vec![Figures::from_iter([("callers".to_owned(), callers)].into_iter().chain(columns))],
                );
            }
        }
        report
    }

    #[test]
    fn every_contender_has_a_bar_in_every_group() {
        let svg = throughput(&report(&[PER_SECOND]), "Redis <here>", LIGHT).unwrap();
        // Two colours of the legend, four bars.
        assert_eq!(svg.matches("<rect ").count(), 2 + 4);
        assert_eq!(svg.matches(">56k<").count(), 2);
        // 0, 20k, 40k, 60k.
        assert_eq!(svg.matches("<line ").count(), 4);
        for said in ["Redis &lt;here&gt;", ">1 caller<", ">64 callers<", ">60k<"] {
            assert!(svg.contains(said), "{said}: {svg}");
        }
    }

    #[test]
    fn latency_goes_from_p50_to_p99() {
        let svg = latency(&report(&[P50, P99]), "Redis", DARK).unwrap();
        assert_eq!(svg.matches("<circle ").count(), 2 * 4);
        // Both quantiles of ours, in both groups.
        assert_eq!(svg.matches(">56<").count(), 4);
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        assert!(throughput(&report(&[]), "Redis", LIGHT).is_err());
        assert!(latency(&report(&[PER_SECOND]), "Redis", LIGHT).is_err());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 950.0, 1_234.0, 55_123.0].map(short), ["0", "950", "1.2k", "55k"]);
        assert_eq!([0.0724, 0.124, 1.0, 1.24, 14.4].map(plain), ["0.072", "0.12", "1", "1.2", "14"]);
        assert_eq!([900.0, 1_100.0, 2_500.0].map(round_step), [1_000.0, 2_000.0, 5_000.0]);
    }
}
