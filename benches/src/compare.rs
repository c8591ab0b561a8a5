//! The comparison: everybody in turn, several times over, and the ratios of the single turns.

use anyhow::Context;
use async_trait::async_trait;

use crate::drive::{self, Edge, Load, Ran, Work};
use crate::options::Options;
use crate::report::{Figures, Report};
use crate::stage::{Reading, Stage};

/// Who is compared.
#[async_trait]
pub(crate) trait Contender: Send {
    /// As the table has it.
    fn name(&self) -> String;

    /// One turn, on a stage that is empty.
    async fn turn(&mut self, stage: &Stage, load: Load) -> anyhow::Result<Sample>;
}

/// What one turn showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) ran: Ran,
    /// What the server said when the measurement began, and when it ended.
    pub(crate) server: Option<(Reading, Reading)>,
    /// Bytes that the server keeps of each transaction once all is finished.
    pub(crate) kept: Option<f64>,
}

/// Runs a piece of work, and reads the server at both ends.
pub(crate) async fn measure(stage: &Stage, load: Load, work: &impl Work) -> anyhow::Result<Sample> {
    let (mut begins, mut ends) = (None, None);
    let ran = drive::run(load, work, |edge| {
        match edge {
            Edge::Begins => begins = stage.read()?,
            Edge::Ends => ends = stage.read()?,
        }
        Ok(())
    })
    .await?;
    Ok(Sample { ran, server: begins.zip(ends), kept: None })
}

impl Sample {
    /// With what the server keeps now: `before` was read on the empty stage, and nothing is under way any more.
    pub(crate) fn with_kept(mut self, before: Option<Reading>, stage: &Stage) -> anyhow::Result<Self> {
        if let (Some(before), Some(after)) = (before, stage.read()?) {
            self.kept = Some((after.memory - before.memory).max(0.0) / self.ran.all as f64);
        }
        Ok(self)
    }

    pub(crate) fn figures(&self, callers: usize) -> Figures {
        let done = self.ran.transactions as f64;
        let mut figures = Figures::from_iter([
            ("callers".to_owned(), callers as f64),
            (PER_SECOND.to_owned(), done / self.ran.seconds),
            (P50.to_owned(), self.ran.p50),
            (P99.to_owned(), self.ran.p99),
            (CLIENT_CPU.to_owned(), self.ran.cpu / done),
        ]);
        if let Some((begins, ends)) = &self.server {
            for (name, of) in SERVER {
                figures.insert(name.to_owned(), (of(ends) - of(begins)) / done);
            }
        }
        if let Some(kept) = self.kept {
            figures.insert(BYTES_KEPT.to_owned(), kept);
        }
        figures
    }
}

pub(crate) const PER_SECOND: &str = "tx/s";
pub(crate) const P50: &str = "p50 µs";
pub(crate) const P99: &str = "p99 µs";
pub(crate) const EVALSHA: &str = "EVALSHA/tx";
pub(crate) const COMMANDS: &str = "commands/tx";
pub(crate) const BYTES_IN: &str = "bytes in/tx";
pub(crate) const BYTES_KEPT: &str = "bytes kept/tx";
pub(crate) const CLIENT_CPU: &str = "client CPU µs/tx";
pub(crate) const SERVER_CPU: &str = "server CPU µs/tx";

type Of = fn(&Reading) -> f64;

const SERVER: [(&str, Of); 4] = [
    (SERVER_CPU, |reading| reading.cpu),
    (EVALSHA, |reading| reading.evalsha),
    (COMMANDS, |reading| reading.commands),
    (BYTES_IN, |reading| reading.bytes_in),
];

/// A contender, and the numbers of those with whom it is compared.
pub(crate) struct Entrant {
    contender: Box<dyn Contender>,
    bases: Vec<usize>,
}

/// One more, compared with those of these numbers.
pub(crate) fn entrant(contender: impl Contender + 'static, bases: &[usize]) -> Entrant {
    Entrant { contender: Box::new(contender), bases: bases.to_vec() }
}

/// Runs all of them, for each number of callers A B C A B C …, and adds their rows to the report.
pub(crate) async fn compare(
    report: &mut Report,
    stage: &mut Stage,
    options: &Options,
    callers: &[usize],
    entrants: &mut [Entrant],
) -> anyhow::Result<()> {
    let names: Vec<String> = entrants.iter().map(|entrant| entrant.contender.name()).collect();
    let wanted = wanted(entrants, &names, options);
    for &callers in callers {
        let mut turns: Vec<Vec<Figures>> = entrants.iter().map(|_| Vec::new()).collect();
        for turn in 1..=options.turns {
            for (number, entrant) in entrants.iter_mut().enumerate().filter(|(number, _)| wanted[*number]) {
                let name = &names[number];
                let place = || format!("{}, {name}, {callers} callers, turn {turn}", report.title);
                stage.clear().with_context(place)?;
                let sample =
                    entrant.contender.turn(stage, options.load(callers)).await.with_context(place)?;
                let mut figures = sample.figures(callers);
                let mut shown = String::new();
                for &base in &entrant.bases {
                    let Some(other) = turns[base].get(turn - 1) else { continue };
                    let ratio = figures[PER_SECOND] / other[PER_SECOND];
                    let column = format!("÷ {}", names[base]);
                    shown.push_str(&format!(" {column} {ratio:.2}"));
                    figures.insert(column, ratio);
                }
                eprintln!(
                    "{} · {callers} callers · turn {turn}/{} · {name}: {:.0} tx/s{shown}",
                    report.title, options.turns, figures[PER_SECOND]
                );
                turns[number].push(figures);
            }
        }
        for (name, turns) in names.iter().zip(turns).filter(|(_, turns)| !turns.is_empty()) {
            report.add(name, turns);
        }
    }
    Ok(())
}

/// Those that the filter asks for, and with whom they are compared.
fn wanted(entrants: &[Entrant], names: &[String], options: &Options) -> Vec<bool> {
    let mut wanted: Vec<bool> = names.iter().map(|name| options.wants(name)).collect();
    for (number, entrant) in entrants.iter().enumerate() {
        if options.wants(&names[number]) {
            entrant.bases.iter().for_each(|&base| wanted[base] = true);
        }
    }
    wanted
}
