//! The table, for people: a row is printed as soon as its scenario has ended.

use std::fmt;
use std::time::Duration;

use shop::Audit;

/// The widths of the columns.
const TITLE: usize = 21;
const WHAT: usize = 56;
const MONEY: usize = 16;
const STOCK: usize = 11;

/// What became of a scenario.
pub(super) struct Row {
    pub(super) title: &'static str,
    /// What happened, in words.
    pub(super) what: String,
    /// How the books stand; `None` if it came to nothing.
    pub(super) audit: Option<Audit>,
    pub(super) verdict: Verdict,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// It ended as described, and everything adds up.
    Sound,
    /// It did not, or something does not: this.
    Broken(Vec<String>),
    /// It can't be shown on this store.
    NotPlayed,
}

pub(super) fn head(log: &str) -> String {
    let rule = |width| "─".repeat(width);
    format!(
        "A checkout over five services (orders, inventory, wallet, coupons, mail), each with its own SQLite database.\n\
         The transactions' log is {log}. Every scenario begins with a new shop: 525.00 of money, 13 pieces of stock.\n\n\
         {:TITLE$}  {:WHAT$}  {:>MONEY$}  {:>STOCK$}  \n\
         {:TITLE$}  {:WHAT$}  {:>MONEY$}  {:>STOCK$}  verdict\n\
         {}  {}  {}  {}  {}\n",
        "",
        "",
        "money: with",
        "stock:",
        "scenario",
        "what happened",
        "customers + till",
        "here + sold",
        rule(TITLE),
        rule(WHAT),
        rule(MONEY),
        rule(STOCK),
        rule(7),
    )
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (money, stock) = match &self.audit {
            Some(Audit { money, stock, .. }) => (
                format!("{} + {:>6}", money.customers, money.till.to_string()),
                format!("{} + {}", stock.available, stock.sold),
            ),
            None => ("-".into(), "-".into()),
        };
        let verdict = match self.verdict {
            Verdict::Sound => "sound",
            Verdict::Broken(_) => "BROKEN",
            Verdict::NotPlayed => "-",
        };
        let mut what = wrapped(&self.what, WHAT).into_iter();
        let first = what.next().unwrap_or_default();
        writeln!(f, "{:TITLE$}  {first:WHAT$}  {money:>MONEY$}  {stock:>STOCK$}  {verdict}", self.title)?;
        for line in what {
            writeln!(f, "{:TITLE$}  {line}", "")?;
        }
        if let Verdict::Broken(violations) = &self.verdict {
            for violation in violations {
                for (n, line) in wrapped(violation, WHAT + MONEY + STOCK).iter().enumerate() {
                    writeln!(f, "{:TITLE$}  {} {line}", "", if n == 0 { "!" } else { " " })?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn foot(verdicts: &[Verdict], took: Duration) -> String {
    let count = |of: fn(&Verdict) -> bool| verdicts.iter().filter(|verdict| of(verdict)).count();
    let sound = count(|verdict| matches!(verdict, Verdict::Sound));
    let broken = count(|verdict| matches!(verdict, Verdict::Broken(_)));
    let not_played = count(|verdict| matches!(verdict, Verdict::NotPlayed));
    let mut foot = format!("\n{sound} of {} as described", verdicts.len());
    if not_played > 0 {
        foot.push_str(&format!(", {not_played} not played"));
    }
    foot.push_str(&match broken {
        0 => {
            "; money and stock are conserved, nothing is frozen, every paid order has its receipt.".to_owned()
        }
        _ => format!(", {broken} BROKEN."),
    });
    foot.push_str(&format!(" ({:.1} s)\n", took.as_secs_f64()));
    foot
}

/// Breaks a text into lines of at most that many characters, between words where it can.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable text", 4), ["unbreakable", "text"]);
        assert!(wrapped("", 4).is_empty());
    }

    #[test]
    fn a_broken_row_says_why() {
        let verdict = Verdict::Broken(vec!["a cent is missing".into()]);
        let row = Row { title: "bought", what: "ann buys".into(), audit: None, verdict };
        let row = row.to_string();
        assert!(row.contains("BROKEN\n") && row.contains("! a cent is missing"), "{row}");
    }
}
