//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::drive::Load;
use crate::stage::Persistence;

/// The options of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    /// How many closed-loop callers: each in turn; the case's own if it is empty.
    pub(crate) callers: Vec<usize>,
    /// How long the callers run before each turn is measured.
    pub(crate) warm_up: Duration,
    /// How long each turn is measured.
    pub(crate) measured: Duration,
    /// How often each contender has its turn.
    pub(crate) turns: usize,
    /// How the Redis server keeps its data: each in turn.
    pub(crate) persistence: Vec<Persistence>,
    /// How many transactions are abandoned or unfinished: each in turn; the case's own if it is empty.
    pub(crate) sizes: Vec<usize>,
    /// Whether standard output is JSON.
    pub(crate) json: bool,
    /// Only contenders whose name contains this, beside those that they are compared with.
    pub(crate) filter: Option<String>,
    /// Whether a full run goes on where it was cut off.
    pub(crate) resume: bool,
    /// Where the results of a full run are.
    pub(crate) folder: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            callers: Vec::new(),
            warm_up: Duration::from_millis(500),
            measured: Duration::from_secs(3),
            turns: 5,
            persistence: vec![Persistence::None],
            sizes: Vec::new(),
            json: false,
            filter: None,
            resume: false,
            folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        }
    }
}

impl Options {
    /// Reads what follows the case.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--resume" => options.resume = true,
                _ => options.set(&word, words.next())?,
            }
        }
        Ok(options)
    }

    fn set(&mut self, word: &str, value: Option<String>) -> anyhow::Result<()> {
        let value = value.with_context(|| format!("{word} needs a value"))?;
        match word {
            "--callers" => self.callers = numbers(word, &value)?,
            "--seconds" => {
                let seconds: f64 = value.parse().with_context(|| format!("--seconds {value}: a number"))?;
                ensure!((0.1..=3600.0).contains(&seconds), "--seconds {value}: from 0.1 to 3600");
                self.measured = Duration::from_secs_f64(seconds);
            }
            "--turns" => self.turns = numbers(word, &value)?[0],
            "--sizes" => self.sizes = numbers(word, &value)?,
            "--aof" => {
                self.persistence = value.split(',').map(Persistence::parse).collect::<Result<_, _>>()?;
            }
            "--filter" => self.filter = Some(value),
            "--into" => self.folder = PathBuf::from(value),
            other => bail!("there is no option {other:?}"),
        }
        Ok(())
    }

    pub(crate) fn load(&self, callers: usize) -> Load {
        Load { callers, warm_up: self.warm_up, measured: self.measured }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.as_deref().is_none_or(|filter| name.contains(filter))
    }

    /// The numbers of callers that were asked for, or those of the case.
    pub(crate) fn callers_or(&self, otherwise: &[usize]) -> Vec<usize> {
        if self.callers.is_empty() { otherwise.to_vec() } else { self.callers.clone() }
    }

    /// The sizes that were asked for, or those of the case.
    pub(crate) fn sizes_or(&self, otherwise: &[usize]) -> Vec<usize> {
        if self.sizes.is_empty() { otherwise.to_vec() } else { self.sizes.clone() }
    }
}

fn numbers(word: &str, value: &str) -> anyhow::Result<Vec<usize>> {
    value
        .split(',')
        .map(|text| text.parse().ok().filter(|number| *number > 0))
        .collect::<Option<_>>()
        .with_context(|| format!("{word} {value}: numbers from 1, with commas between them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let options =
            parse("--callers 1,64 --seconds 0.5 --turns 3 --aof none,always --json --filter seq").unwrap();
        assert_eq!(options.callers, [1, 64]);
        assert_eq!(options.measured, Duration::from_millis(500));
        assert_eq!(options.turns, 3);
        assert_eq!(options.persistence, [Persistence::None, Persistence::Always]);
        assert!(options.json && options.wants("sequential") && !options.wants("together"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["--callers 0", "--callers 1,,2", "--seconds nan", "--turns", "--aof often", "--what 1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
