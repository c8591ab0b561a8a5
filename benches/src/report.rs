//! What is shown: rows of figures, as a table or as JSON.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Figures by name, in the order in which they are shown.
pub(crate) type Figures = IndexMap<String, f64>;

/// What a case has brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The case, as it is called.
    pub(crate) case: String,
    /// What was run, and how.
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was run.
    pub(crate) name: String,
    /// Medians.
    pub(crate) figures: Figures,
    /// What the single turns showed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) turns: Vec<Figures>,
}

impl Report {
    pub(crate) fn new(case: &str, title: impl Into<String>) -> Self {
        Self { case: case.to_owned(), title: title.into(), rows: Vec::new() }
    }

    /// The medians of what the turns showed.
    pub(crate) fn add(&mut self, name: impl Into<String>, turns: Vec<Figures>) {
        let names: Vec<String> = turns.first().map(|turn| turn.keys().cloned().collect()).unwrap_or_default();
        let median = |name: &String| median(turns.iter().filter_map(|turn| turn.get(name).copied()));
        let figures = names.iter().filter_map(|name| Some((name.clone(), median(name)?))).collect();
        self.rows.push(Row { name: name.into(), figures, turns });
    }

    /// In Markdown, with its title.
    pub(crate) fn table(&self) -> String {
        let mut columns: Vec<&str> = Vec::new();
        for name in self.rows.iter().flat_map(|row| row.figures.keys()) {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
        let mut text = format!("{}\n\n| |", self.title);
        columns.iter().for_each(|column| text.push_str(&format!(" {column} |")));
        text.push_str("\n| --- |");
        columns.iter().for_each(|_| text.push_str(" ---: |"));
        for row in &self.rows {
            text.push_str(&format!("\n| {} |", row.name));
            for column in &columns {
                let figure = row.figures.get(*column).map(|figure| shown(*figure)).unwrap_or_default();
                text.push_str(&format!(" {figure} |"));
            }
        }
        text
    }
}

/// The middle one; of two in the middle, the mean. Nothing, if there is none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return Some(values[middle]);
    }
    Some((values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0)
}

/// With three digits or more.
fn shown(figure: f64) -> String {
    match figure.abs() {
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn a_table_has_every_column_once() {
        let mut report = Report::new("redis", "two branches");
        let figures =
            |pairs: &[(&str, f64)]| pairs.iter().map(|(name, value)| ((*name).into(), *value)).collect();
        report.add("floor4", vec![figures(&[("tx/s", 12345.6), ("p50 µs", 81.25)])]);
        report.add("ours", vec![figures(&[("tx/s", 23456.7), ("÷ floor4", 1.9)])]);
        assert_eq!(
            report.table(),
            "two branches\n\n| | tx/s | p50 µs | ÷ floor4 |\n| --- | ---: | ---: | ---: |\n\
             | floor4 | 12346 | 81.2 |  |\n| ours | 23457 |  | 1.90 |"
        );
    }

    #[test]
    fn a_report_comes_back_from_json() {
        let mut report = Report::new("idle", "no work");
        report.add("ours", vec![Figures::from_iter([("b".to_owned(), 1.5), ("a".to_owned(), 2.5)])]);
        let json = serde_json::to_string(&report).unwrap();
        let back: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(back.table(), report.table());
    }
}
