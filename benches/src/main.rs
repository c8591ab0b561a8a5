//! `cargo run --release -p tcc-bench -- first`: what a transaction costs, beside bare Redis in the same run.
//!
//! A figure counts only as a ratio within one run on one machine: everything that is compared is run in turn, several
//! times over (A B A B …), on one server, and the ratio is the median of the ratios of the single turns.

mod drive;
mod floor;
mod ours;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use tcc_test_servers::RedisServer;

use drive::{Load, Sample};
use report::{Row, table};

const USAGE: &str = "\
cargo run --release -p tcc-bench -- first [--callers N] [--seconds S] [--turns T]

  first   two sequential branches on Redis, beside four bare EVALSHA per transaction (floor4)

  --callers N   closed-loop callers (64)
  --seconds S   measured seconds of each turn, after half a second of warm-up (3)
  --turns T     turns of each (5)
";

#[tokio::main]
async fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => {
            first(&options).await;
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

struct Options {
    callers: usize,
    seconds: u64,
    turns: usize,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        match words.next().as_deref() {
            Some("first") => {}
            Some(other) => return Err(format!("there is no case {other:?}")),
            None => return Err("which case?".to_owned()),
        }
        let mut options = Self { callers: 64, seconds: 3, turns: 5 };
        while let Some(word) = words.next() {
            let value = words.next().and_then(|text| text.parse::<u64>().ok()).filter(|number| *number > 0);
            let value = value.ok_or_else(|| format!("{word} needs a number, at least 1"))?;
            match word.as_str() {
                "--callers" => options.callers = value as usize,
                "--seconds" => options.seconds = value,
                "--turns" => options.turns = value as usize,
                other => return Err(format!("there is no option {other:?}")),
            }
        }
        Ok(options)
    }
}

async fn first(options: &Options) {
    let server = RedisServer::start();
    let load = Load {
        callers: options.callers,
        warm_up: Duration::from_millis(500),
        measured: Duration::from_secs(options.seconds),
    };
    let floor = floor::Floor4::connect(&server.url()).await;
    let ours = ours::Ours::start(&server.url()).await;
    let mut turns: Vec<(Sample, Sample)> = Vec::new();
    for turn in 1..=options.turns {
        let bare = drive::run(&server, load, &floor).await;
        let framework = drive::run(&server, load, &ours).await;
        eprintln!("turn {turn} of {}: floor4 {bare}, ours {framework}", options.turns);
        turns.push((bare, framework));
    }
    ours.stop().await;
    let rows = [
        Row::of("floor4: four bare EVALSHA", turns.iter().map(|turn| (&turn.0, &turn.0))),
        Row::of("ours: two sequential branches", turns.iter().map(|turn| (&turn.1, &turn.0))),
    ];
    eprintln!();
    print_line(&format!(
        "{} callers, Redis without persistence, medians of {} turns",
        options.callers, options.turns
    ));
    print_line(&table(&rows));
}

#[expect(clippy::print_stdout, reason = "the result of a program that is run for it")]
fn print_line(text: &str) {
    println!("{text}");
}
