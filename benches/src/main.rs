//! `cargo run --release -p tcc-bench -- <case>`: what a transaction costs, beside others in the same run.
//!
//! A figure counts only as a ratio within one run on one machine: everything that is compared is run in turn, several
//! times over (A B C A B C …), on one server that is emptied before each turn, and the ratio is the median of the ratios
//! of the single turns.

mod all;
mod bare;
mod cases;
mod compare;
mod drive;
mod floor;
mod gathered;
mod idle;
mod message;
mod options;
mod ours;
mod peer;
mod plot;
mod recovery;
mod report;
mod results;
mod rows;
mod seed;
mod shape;
mod smoke;
mod stage;
mod stock;
mod targets;
mod unfinished;

use std::process::ExitCode;

use cases::ALL;
use options::Options;
use report::Report;

const USAGE: &str = "\
cargo run --release -p tcc-bench -- <case> [options]

  redis       two branches, sequential and together, beside bare scripts and gathered ones
  branches    1, 4, 16 and 64 branches
  payloads    requests of 0, 256 and 16384 bytes
  cancel      the cancel path beside the confirm path
  memory      on the memory store
  sqlite      on a SQLite file, beside a bare loop that writes the same rows
  bare        the business calls with and without a transaction: CPU, instructions, allocations
  peers       beside dtmrs, on Redis
  peers-sqlite  beside dtmrs, on a SQLite file
  recovery    10^3, 10^5 and 10^6 abandoned transactions, and the live path meanwhile
  idle        what a coordinator costs that has nothing to do
  unfinished  the live path with 10^6 unfinished transactions in the store, beside 10^3
  all         all of these, with every persistence, in some 30 minutes: RESULTS.md and results.jsonl in benches/
  plot        draws benches/plots/*.svg from benches/results.jsonl
  smoke       within a minute: exit code 1 if it has become slower than its bounds

  --callers N,N   closed-loop callers (1,16,64,256, or 64 where their number is not the subject)
  --seconds S     measured seconds of each turn, after half a second of warm-up (3)
  --turns T       turns of each (5)
  --aof A,A       how Redis keeps its data: none, everysec, always (none)
  --sizes N,N     how many transactions are abandoned or unfinished
  --filter TEXT   only those whose name has this text, and what they are compared with
  --resume        all: goes on where it was cut off, or has failed
  --into FOLDER   all, plot: where the results are (benches/)
  --json          one JSON object for each table on standard output, the tables on standard error
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((case, words)) = words.split_first() else {
        eprintln!("which case?\n\n{USAGE}");
        return ExitCode::from(2);
    };
    if case == "count" {
        // Under valgrind, for `bare`: on a runtime of its own.
        return end(bare::count(words.iter().cloned()));
    }
    let options = match Options::parse(words.iter().cloned()) {
        Ok(options) if ALL.contains(&case.as_str()) || ["all", "plot", "smoke"].contains(&case.as_str()) => {
            options
        }
        Ok(_) => {
            eprintln!("there is no case {case:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("{error:#}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    end(run(case, words, &options))
}

#[tokio::main]
async fn run(case: &str, words: &[String], options: &Options) -> anyhow::Result<()> {
    match case {
        "all" => all::all(words, |report| show(report, options.json)).await,
        "plot" => plot::plot(&options.folder),
        "smoke" => {
            let worse = smoke::smoke(|report| show(report, options.json)).await?;
            anyhow::ensure!(
                worse.is_empty(),
                "smoke: it has become slower than its bounds\n{}",
                worse.join("\n")
            );
            Ok(())
        }
        case => cases::run(case, options, &mut |report| show(&report, options.json)).await,
    }
}

fn end(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tcc-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of a program that is run for it")]
fn show(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        eprintln!("\n{}\n", report.table());
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("\n{}\n", report.table());
    }
    Ok(())
}
