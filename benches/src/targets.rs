//! What the results must show, judged by the results themselves.

use std::fmt;

use crate::compare::{BYTES_IN, BYTES_KEPT, P50, P99, PER_SECOND};
use crate::report::{Figures, Report, Row, median};
use crate::shape::Shape;

/// All targets, in their order, with what the reports say of them.
pub(crate) fn targets(reports: &[&Report]) -> Targets {
    let seen = Seen(reports);
    let mut all = Targets::default();
    all.redis(&seen);
    all.dtmrs(&seen);
    all.other_stores(&seen);
    all.size(&seen);
    all.recovery(&seen);
    all
}

/// A list of targets.
#[derive(Debug, Default)]
pub(crate) struct Targets(Vec<Target>);

/// One of them.
#[derive(Debug)]
struct Target {
    what: String,
    bound: Bound,
    /// What each turn showed; nothing, if it was not measured.
    turns: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Shown beside the ones that are judged.
    None,
}

impl Targets {
    fn redis(&mut self, seen: &Seen<'_>) {
        for persistence in ["no AOF", "AOF everysec"] {
            for callers in [16, 64, 256] {
                let ratio = seen.redis(persistence, Shape::SEQUENTIAL, callers).figure("÷ floor4");
                let what = format!("sequential ÷ floor4, {persistence}, {callers} callers");
                self.add(what, Bound::AtLeast(1.2), ratio);
            }
        }
        for (callers, least) in [(16, 1.2), (64, 1.2), (256, 1.0)] {
            let ratio = seen.redis("no AOF", Shape::TOGETHER, callers).figure("÷ floor3");
            self.add(format!("together ÷ floor3, no AOF, {callers} callers"), Bound::AtLeast(least), ratio);
        }
        for shape in [Shape::SEQUENTIAL, Shape::TOGETHER] {
            for callers in [64, 256] {
                let floor = format!("{} gathered", shape.floor());
                let ratio = seen.redis("no AOF", shape, callers).figure(&format!("÷ {floor}"));
                let what = format!("{} ÷ {floor}, no AOF, {callers} callers", shape.name());
                self.add(what, Bound::AtLeast(0.7), ratio);
            }
        }
        let floor = seen.row("redis", "no AOF, two sequential", "floor4", 1);
        let one = seen
            .redis("no AOF", Shape::SEQUENTIAL, 1)
            .beside(&floor, |ours, floor| Some(ours.get(P50)? / floor.get(P50)?));
        self.add("sequential, 1 caller: p50 ÷ floor4's", Bound::AtMost(0.8), one);
        for shape in [Shape::SEQUENTIAL, Shape::TOGETHER] {
            let tail = seen.redis("no AOF", shape, 64).each(|turn| Some(turn.get(P99)? / turn.get(P50)?));
            self.add(format!("{}, 64 callers: p99 ÷ p50", shape.name()), Bound::AtMost(2.0), tail);
        }
    }

    fn dtmrs(&mut self, seen: &Seen<'_>) {
        let ours = |title, callers| seen.row("peers", title, OURS, callers);
        for (callers, least) in [(1, 3.0), (16, 6.0), (64, 6.0), (256, 6.0)] {
            let ratio = better_mode(&ours("Redis, no AOF", callers));
            let what = format!("÷ dtmrs' better mode, Redis, no AOF, {callers} callers");
            self.add(what, Bound::AtLeast(least), ratio);
        }
        let always = seen.redis("AOF always", Shape::SEQUENTIAL, 64).figure("÷ floor4");
        self.add("sequential ÷ floor4, AOF always, 64 callers", Bound::AtLeast(1.0), always);
        let always = better_mode(&ours("Redis, AOF always", 64));
        self.add("÷ dtmrs' better mode, Redis, AOF always, 64 callers", Bound::AtLeast(5.0), always);
        let sqlite = ours("SQLite", 64);
        for (peer, bound) in [
            ("dtmrs inline, synchronous=FULL", Bound::AtLeast(10.0)),
            ("dtmrs inline, synchronous=NORMAL", Bound::None),
        ] {
            let ratio = sqlite.figure(&format!("÷ {peer}"));
            self.add(format!("SQLite file, synchronous=FULL, 64 callers, ÷ {peer}"), bound, ratio);
        }
    }

    fn other_stores(&mut self, seen: &Seen<'_>) {
        let rows = seen.row("sqlite", "SQLite", OURS, 64).figure("÷ bare loop, group commit");
        let what = "SQLite file, synchronous=FULL, 64 callers, ÷ a bare loop with group commit";
        self.add(what, Bound::AtLeast(0.7), rows);
        for shape in [Shape::SEQUENTIAL, Shape::TOGETHER] {
            let name = format!("ours, {}", shape.name());
            let memory = seen.row("memory", "memory store", &name, 64).figure(PER_SECOND);
            self.add(format!("memory store, {}, 64 callers: tx/s", shape.name()), AT_LEAST_300K, memory);
        }
        for shape in [Shape::SEQUENTIAL, Shape::TOGETHER] {
            let name = format!("ours, {}", shape.name());
            let cpu = seen.row("bare", "memory store", &name, 64).median("CPU µs/tx beyond bare calls");
            let what = format!("memory store, {}, 64 callers: CPU µs/tx beyond bare calls", shape.name());
            self.add(what, Bound::AtMost(5.0), cpu);
        }
    }

    fn size(&mut self, seen: &Seen<'_>) {
        let ours = seen.redis("no AOF", Shape::SEQUENTIAL, 64);
        self.add("Redis, 64 callers: bytes in/tx", Bound::AtMost(700.0), ours.figure(BYTES_IN));
        self.add("Redis: bytes that a finished one keeps", Bound::AtMost(200.0), ours.figure(BYTES_KEPT));
        let many = seen.row("unfinished", "Redis", "1000000 unfinished", 64);
        for what in ["time", "server CPU"] {
            let ratio = many.figure(&format!("{what} ÷ that with 1000"));
            self.add(
                format!("10⁶ unfinished: {what} per transaction ÷ that with 10³"),
                Bound::AtMost(1.15),
                ratio,
            );
        }
    }

    fn recovery(&mut self, seen: &Seen<'_>) {
        let row = seen.any("recovery", "Redis", "100000 abandoned");
        for (what, figure, bound) in [
            (
                "settled/s without live callers ÷ live tx/s",
                "settled/s alone ÷ live tx/s before",
                Bound::AtLeast(0.5),
            ),
            ("live p99 meanwhile ÷ before", "p99 beside ÷ before", Bound::AtMost(2.0)),
            (
                "settled/s beside live callers ÷ live tx/s",
                "settled/s beside ÷ live tx/s before",
                Bound::AtLeast(0.5),
            ),
        ] {
            self.add(format!("recovery of 10⁵ abandoned: {what}"), bound, row.figure(figure));
        }
        let idle = ["0 unfinished, none due", "1000 unfinished, none due"]
            .map(|name| seen.any("idle", "Redis", name).figure("commands/s"));
        let most = idle.concat().into_iter().max_by(f64::total_cmp);
        let measured = idle.iter().all(|turns| !turns.is_empty());
        let most = most.filter(|_| measured).into_iter().collect();
        self.add("idle: Redis commands per second and process", Bound::AtMost(2.0), most);
        let late =
            seen.any("idle", "Redis", "one left by a dead process").figure("s after the end of its lease");
        self.add(
            "a dead process's decided transaction is taken over: s after its lease",
            Bound::AtMost(1.0),
            late,
        );
    }

    fn add(&mut self, what: impl Into<String>, bound: Bound, turns: Vec<f64>) {
        self.0.push(Target { what: what.into(), bound, turns });
    }

    /// In Markdown, after a line that counts.
    pub(crate) fn table(&self) -> String {
        let judged = self.0.iter().filter(|target| !matches!(target.bound, Bound::None));
        let met = judged.clone().filter(|target| target.verdict() == Some(true)).count();
        let missing = judged.clone().filter(|target| target.verdict().is_none()).count();
        let mut text = format!("{met} of {} met", judged.count());
        if missing > 0 {
            text.push_str(&format!(", {missing} not measured"));
        }
        text.push_str(
            ". In brackets, the lowest and the highest turn.\n\n| | target | figure | |\n| --- | ---: | ---: | --- |",
        );
        self.0.iter().for_each(|target| text.push_str(&format!("\n{target}")));
        text
    }
}

const AT_LEAST_300K: Bound = Bound::AtLeast(300_000.0);
const OURS: &str = "ours, sequential";

impl Target {
    /// Whether it is met; nothing, if it was not measured or is not judged.
    fn verdict(&self) -> Option<bool> {
        let figure = median(self.turns.iter().copied())?;
        match self.bound {
            Bound::AtLeast(least) => Some(figure >= least),
            Bound::AtMost(most) => Some(figure <= most),
            Bound::None => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = match self.bound {
            Bound::AtLeast(least) => format!("≥ {}", shown(least)),
            Bound::AtMost(most) => format!("≤ {}", shown(most)),
            Bound::None => String::new(),
        };
        let figure = match (median(self.turns.iter().copied()), &self.turns[..]) {
            (Some(figure), [_]) => shown(figure),
            (Some(figure), turns) => {
                let low = turns.iter().copied().fold(f64::INFINITY, f64::min);
                let high = turns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                format!("{} ({}–{})", shown(figure), shown(low), shown(high))
            }
            (None, _) => String::new(),
        };
        let verdict = match (self.bound, self.verdict()) {
            (Bound::None, _) => "not judged",
            (_, Some(true)) => "met",
            (_, Some(false)) => "**missed**",
            (_, None) => "not measured",
        };
        write!(f, "| {} | {bound} | {figure} | {verdict} |", self.what)
    }
}

fn shown(figure: f64) -> String {
    if figure.abs() >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

/// The smaller of the ratios to dtmrs' modes, turn by turn; nothing, if one of them is missing.
fn better_mode(ours: &Found<'_>) -> Vec<f64> {
    let modes = ["÷ dtmrs embedded", "÷ dtmrs inline"].map(|column| ours.median(column));
    match [modes[0].first(), modes[1].first()] {
        [Some(embedded), Some(inline)] if embedded < inline => ours.figure("÷ dtmrs embedded"),
        [Some(_), Some(_)] => ours.figure("÷ dtmrs inline"),
        _ => Vec::new(),
    }
}

struct Seen<'a>(&'a [&'a Report]);

impl<'a> Seen<'a> {
    /// Ours in the case `redis`.
    fn redis(&self, persistence: &str, shape: Shape, callers: usize) -> Found<'a> {
        let what = if shape.together { "together" } else { "two sequential" };
        let reports = |report: &&&Report| report.title.contains(persistence) && report.title.contains(what);
        self.find("redis", reports, &format!("ours, {}", shape.name()), Some(callers))
    }

    fn row(&self, case: &str, title: &str, name: &str, callers: usize) -> Found<'a> {
        self.find(case, |report| report.title.contains(title), name, Some(callers))
    }

    /// Of a case that does not count callers.
    fn any(&self, case: &str, title: &str, name: &str) -> Found<'a> {
        self.find(case, |report| report.title.contains(title), name, None)
    }

    fn find(
        &self,
        case: &str,
        wanted: impl Fn(&&&Report) -> bool,
        name: &str,
        callers: Option<usize>,
    ) -> Found<'a> {
        let reports = self.0.iter().filter(|report| report.case == case).filter(|report| wanted(report));
        let mut rows = reports.flat_map(|report| &report.rows);
        let callers = callers.map(|callers| callers as f64);
        let has = |row: &&Row| {
            row.name == name && callers.is_none_or(|callers| row.figures.get("callers") == Some(&callers))
        };
        Found(rows.find(has))
    }
}

/// A row, if it was measured.
struct Found<'a>(Option<&'a Row>);

impl Found<'_> {
    /// A figure in each turn.
    fn figure(&self, name: &str) -> Vec<f64> {
        self.each(|turn| turn.get(name).copied())
    }

    /// A figure that is there for all turns together only.
    fn median(&self, name: &str) -> Vec<f64> {
        self.0.and_then(|row| row.figures.get(name).copied()).into_iter().collect()
    }

    fn each(&self, of: impl Fn(&Figures) -> Option<f64>) -> Vec<f64> {
        self.0.into_iter().flat_map(|row| row.turns.iter().filter_map(&of)).collect()
    }

    /// Of each turn and that of another row.
    fn beside(&self, other: &Self, of: impl Fn(&Figures, &Figures) -> Option<f64>) -> Vec<f64> {
        let (Some(row), Some(other)) = (self.0, other.0) else { return Vec::new() };
        row.turns.iter().zip(&other.turns).filter_map(|(turn, other)| of(turn, other)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of one row, with the same figures in three turns, one of them a little higher.
    fn report(case: &str, title: &str, name: &str, callers: f64, figures: &[(&str, f64)]) -> Report {
        let turn = |factor: f64| {
            let callers = [("callers".to_owned(), callers)];
            callers
                .into_iter()
                .chain(figures.iter().map(move |(name, figure)| ((*name).to_owned(), figure * factor)))
        };
        let mut report = Report::new(case, title);
        report.add(name, [1.0, 1.0, 1.5].map(|factor| turn(factor).collect()).to_vec());
        report
    }

    fn line(reports: &[Report], what: &str) -> String {
        let all = targets(&reports.iter().collect::<Vec<_>>());
        let mut lines = all.0.iter().filter(|target| target.what == what).map(Target::to_string);
        let line = lines.next().unwrap_or_else(|| panic!("there is a target {what}"));
        assert_eq!(lines.next(), None, "{what} is there once");
        line
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let all = targets(&[]);
        assert!(all.0.len() >= 30, "{}", all.0.len());
        assert!(all.0.iter().all(|target| target.verdict().is_none()));
        let judged = all.0.iter().filter(|target| !matches!(target.bound, Bound::None)).count();
        assert!(
            all.table().starts_with(&format!("0 of {judged} met, {judged} not measured")),
            "{}",
            all.table()
        );
    }

    #[test]
    fn a_ratio_is_judged_by_its_median() {
        let title = "Redis, AOF everysec, two sequential branches";
        let what = "sequential ÷ floor4, AOF everysec, 64 callers";
        let seen = |ratio| vec![report("redis", title, "ours, sequential", 64.0, &[("÷ floor4", ratio)])];
        assert_eq!(line(&seen(1.2), what), format!("| {what} | ≥ 1.20 | 1.20 (1.20–1.80) | met |"));
        assert_eq!(line(&seen(1.0), what), format!("| {what} | ≥ 1.20 | 1.00 (1.00–1.50) | **missed** |"));
        let other = "sequential ÷ floor4, no AOF, 64 callers";
        assert_eq!(line(&seen(1.2), other), format!("| {other} | ≥ 1.20 |  | not measured |"));
    }

    #[test]
    fn the_better_mode_of_the_peer_is_the_smaller_ratio() {
        let title = "Redis, no AOF, two sequential branches, beside dtmrs 0.13";
        let what = "÷ dtmrs' better mode, Redis, no AOF, 16 callers";
        let both = [("÷ dtmrs embedded", 9.0), ("÷ dtmrs inline", 5.0)];
        let seen = [report("peers", title, OURS, 16.0, &both)];
        assert_eq!(line(&seen, what), format!("| {what} | ≥ 6.00 | 5.00 (5.00–7.50) | **missed** |"));
        let seen = [report("peers", title, OURS, 16.0, &both[..1])];
        assert!(line(&seen, what).ends_with("| not measured |"), "with one mode alone nothing is said");
    }

    #[test]
    fn the_peers_own_setting_of_sqlite_is_shown_and_not_judged() {
        let figures =
            [("÷ dtmrs inline, synchronous=FULL", 11.0), ("÷ dtmrs inline, synchronous=NORMAL", 3.0)];
        let seen = [report("peers", "SQLite file", OURS, 64.0, &figures)];
        let what = "SQLite file, synchronous=FULL, 64 callers, ÷ dtmrs inline, synchronous=";
        assert!(line(&seen, &format!("{what}FULL")).ends_with("| ≥ 10.00 | 11.00 (11.00–16.50) | met |"));
        assert!(line(&seen, &format!("{what}NORMAL")).ends_with("|  | 3.00 (3.00–4.50) | not judged |"));
    }

    #[test]
    fn quantiles_are_compared_turn_by_turn() {
        let title = "Redis, no AOF, two sequential branches";
        let mut both = report("redis", title, "floor4", 1.0, &[(P50, 100.0)]);
        both.rows.extend(report("redis", title, OURS, 1.0, &[(P50, 74.0)]).rows);
        let what = "sequential, 1 caller: p50 ÷ floor4's";
        assert_eq!(line(&[both], what), format!("| {what} | ≤ 0.80 | 0.74 (0.74–0.74) | met |"));
        let seen = [report("redis", title, OURS, 64.0, &[(P50, 1.0), (P99, 2.5)])];
        let what = "sequential, 64 callers: p99 ÷ p50";
        assert_eq!(line(&seen, what), format!("| {what} | ≤ 2.00 | 2.50 (2.50–2.50) | **missed** |"));
    }

    #[test]
    fn an_idle_coordinator_is_judged_by_the_worse_of_both() {
        let mut idle = report("idle", "Redis", "0 unfinished, none due", 0.0, &[("commands/s", 0.1)]);
        let what = "idle: Redis commands per second and process";
        assert!(line(std::slice::from_ref(&idle), what).ends_with("not measured |"));
        idle.rows.extend(report("idle", "", "1000 unfinished, none due", 0.0, &[("commands/s", 2.1)]).rows);
        assert!(line(&[idle], what).ends_with("**missed** |"));
    }
}
