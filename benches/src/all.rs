//! A full run: every case, its tables and the targets in `RESULTS.md`, its figures in `results.jsonl`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cases;
use crate::options::Options;
use crate::peer;
use crate::report::Report;
use crate::results::{About, Results, Step, load_average};
use crate::targets::targets;

/// The steps of a full run, each as it would be called by itself: some 30 minutes. What matters most comes first, for a run
/// may be cut off. What a target is judged by has three interleaved turns or more.
const STEPS: [&str; 16] = [
    "redis --aof none --turns 5 --seconds 1.5",
    "peers --aof none --turns 3 --seconds 1.5",
    "redis --aof everysec --turns 3 --seconds 1.5",
    "recovery --sizes 1000,100000 --turns 3 --seconds 2",
    "memory --turns 3 --seconds 1.5",
    "bare --turns 3 --seconds 1.5",
    "sqlite --turns 3 --seconds 2",
    "peers-sqlite --callers 1,64 --turns 3 --seconds 2",
    "redis --aof always --callers 1,64 --turns 3 --seconds 2",
    "peers --aof always --callers 64 --turns 3 --seconds 2",
    "idle",
    "unfinished --turns 3 --seconds 2",
    "cancel --turns 3 --seconds 1.5",
    "payloads --turns 3 --seconds 1.5",
    "branches --turns 3 --seconds 1.5",
    "recovery --sizes 1000000 --turns 1 --seconds 2",
];

const TABLES: &str = "RESULTS.md";

/// Runs every step that is not there yet, and writes what it has brought; `shown` is given each report as well. What the
/// words say holds for each step, above what the step itself says.
pub(crate) async fn all(
    words: &[String],
    mut shown: impl FnMut(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Options { folder, resume, .. } = Options::parse(words.iter().cloned())?;
    let about = About::here();
    // That takes minutes the first time, and is no part of a measurement.
    peer::build()?;
    let mut results =
        if resume { Results::resume(&folder, &about)? } else { Results::begin(&folder, about)? };
    for (number, command) in STEPS.iter().enumerate() {
        if results.has(command) {
            continue;
        }
        eprintln!("step {} of {}: {command}", number + 1, STEPS.len());
        let (case, options) = step(command, words)?;
        let since = Instant::now();
        let mut reports = Vec::new();
        let mut keep = |report: Report| {
            shown(&report)?;
            reports.push(report);
            Ok(())
        };
        // One that fails does not hide the others.
        let failure = cases::run(&case, &options, &mut keep).await.err().map(|error| format!("{error:#}"));
        if let Some(why) = &failure {
            eprintln!("{command} failed: {why}");
        }
        let seconds = since.elapsed().as_secs_f64();
        results.add(&folder, Step { command: (*command).to_owned(), seconds, failure, reports })?;
        write(&folder, &results)?;
    }
    write(&folder, &results)?;
    eprintln!("written: {}", folder.join(TABLES).display());
    let failures = results.steps.iter().filter(|step| step.failure.is_some()).count();
    anyhow::ensure!(failures == 0, "{failures} step(s) failed; `all --resume` runs them again");
    Ok(())
}

/// The case of a step, and its options.
fn step(command: &str, words: &[String]) -> anyhow::Result<(String, Options)> {
    let mut own = command.split_whitespace().map(str::to_owned);
    let case = own.next().context("a step has a case")?;
    Ok((case, Options::parse(own.chain(words.iter().cloned()))?))
}

fn write(folder: &Path, results: &Results) -> anyhow::Result<()> {
    let path = folder.join(TABLES);
    std::fs::write(&path, tables(results)).with_context(|| format!("{} can't be written", path.display()))
}

/// `RESULTS.md`.
fn tables(results: &Results) -> String {
    let seconds: f64 = results.steps.iter().map(|step| step.seconds).sum();
    let About { commit, date, cpu, cores, memory, kernel, redis, rust, load } = &results.about;
    let missing = STEPS.iter().filter(|command| !results.has(command)).count();
    let whole = match missing {
        0 => String::new(),
        missing => format!(" It was cut off: {missing} of {} steps are missing.", STEPS.len()),
    };
    let mut text = format!(
        "# Results\n\nOne run of `cargo run --release -p tcc-bench -- all`, {:.0} minutes without building. Medians of \
         interleaved turns; a ratio (÷) is the median of those of the single turns. [README.md](README.md) says how to read \
         it.{whole}\n",
        seconds / 60.0
    );
    text.push_str("\n| machine | |\n| --- | --- |");
    for (what, said) in [
        ("CPU", cpu),
        ("cores", cores),
        ("memory", memory),
        ("kernel", kernel),
        ("Redis", redis),
        ("Rust", rust),
        ("commit", commit),
        ("date", date),
        ("load average before, after", &format!("{load}, {}", load_average())),
    ] {
        text.push_str(&format!("\n| {what} | {said} |"));
    }
    text.push_str("\n\nThe server, the callers and the framework share its cores.\n\n## Targets\n\n");
    text.push_str(&targets(&results.reports().collect::<Vec<_>>()).table());
    text.push('\n');
    for step in &results.steps {
        let took = Duration::from_secs(step.seconds.round() as u64);
        text.push_str(&format!("\n## `{}`\n\nin {took:?}\n", step.command));
        for report in &step.reports {
            text.push_str(&format!("\n{}\n", report.table()));
        }
        if let Some(why) = &step.failure {
            text.push_str(&format!("\nIt failed: {why}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::ALL;

    #[test]
    fn every_case_is_in_a_full_run_and_no_step_is_there_twice() {
        let cases: Vec<String> = STEPS.iter().map(|command| step(command, &[]).unwrap().0).collect();
        for case in &cases {
            assert!(ALL.contains(&case.as_str()), "{case} is a case");
        }
        for case in ALL {
            assert!(cases.iter().any(|one| one == case), "{case} is run");
        }
        let mut steps = STEPS.to_vec();
        steps.sort_unstable();
        steps.dedup();
        assert_eq!(steps.len(), STEPS.len());
    }

    #[test]
    fn what_is_asked_for_holds_for_each_step() {
        let words = ["--seconds", "0.5", "--turns", "1"].map(str::to_owned);
        for command in STEPS {
            let (_, options) = step(command, &words).unwrap();
            assert_eq!((options.measured, options.turns), (Duration::from_millis(500), 1), "{command}");
        }
        assert_eq!(step(STEPS[0], &[]).unwrap().1.turns, 5);
    }

    #[test]
    fn the_tables_say_what_is_missing_and_what_failed() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::begin(folder.path(), About::here()).unwrap();
        let mut report = Report::new("memory", "memory store");
        report.add("ours", vec![[("tx/s".to_owned(), 123.0)].into_iter().collect()]);
        let failure = Some("no more memory".to_owned());
        let step = Step { command: STEPS[4].to_owned(), seconds: 90.0, failure, reports: vec![report] };
        results.add(folder.path(), step).unwrap();
        write(folder.path(), &results).unwrap();
        let text = std::fs::read_to_string(folder.path().join(TABLES)).unwrap();
        for said in [
            "2 minutes without building",
            "15 of 16 steps are missing",
            "| commit |",
            "## Targets",
            "| ours | 123 |",
            "It failed: no more memory",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
