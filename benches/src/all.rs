//! A full run: every case, its tables in `benches/RESULTS.md`, its figures in `benches/results.jsonl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::cases::{self, ALL, PERSISTENCES};
use crate::options::Options;
use crate::report::Report;
use crate::stage::Persistence;

/// Cases that are run with each persistence; the others without.
const EACH: [&str; 2] = ["redis", "peers"];

/// Runs every case and writes what it has brought; `shown` is given each report as well.
pub(crate) async fn all(
    options: &Options,
    mut shown: impl FnMut(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let load_before = load_average();
    let mut reports = Vec::new();
    let mut failures = Vec::new();
    for case in ALL {
        let mut options = options.clone();
        if options.persistence == [Persistence::None] && EACH.contains(&case) {
            options.persistence = PERSISTENCES.to_vec();
        }
        let mut keep = |report: Report| {
            shown(&report)?;
            reports.push(report);
            Ok(())
        };
        // One that fails does not hide the others: a full run takes long.
        if let Err(error) = cases::run(case, &options, &mut keep).await {
            eprintln!("{case} failed: {error:#}");
            failures.push(format!("- `{case}` failed: {error:#}"));
        }
    }
    let lines: Vec<String> = reports.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    write("results.jsonl", &(lines.join("\n") + "\n"))?;
    let mut text = format!(
        "# Results\n\nOne run of `cargo run --release -p tcc-bench -- all`: {} turns of {:?} for each line, medians; \
         a ratio (÷) is the median of those of the single turns. [README.md](README.md) says how to read it.\n\n{}\n",
        options.turns,
        options.measured,
        machine(&load_before)
    );
    let mut last = "";
    for report in &reports {
        if report.case != last {
            text.push_str(&format!("\n## {}\n", report.case));
            last = &report.case;
        }
        text.push_str(&format!("\n{}\n", report.table()));
    }
    if !failures.is_empty() {
        text.push_str(&format!("\n## Failed\n\n{}\n", failures.join("\n")));
    }
    write("RESULTS.md", &text)?;
    anyhow::ensure!(failures.is_empty(), "{} case(s) failed", failures.len());
    Ok(())
}

/// A file in `benches/`.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn write(name: &str, text: &str) -> anyhow::Result<()> {
    let file = file(name);
    std::fs::write(&file, text).with_context(|| format!("{} can't be written", file.display()))?;
    eprintln!("written: {}", file.display());
    Ok(())
}

/// What it was run on.
fn machine(load_before: &str) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let find = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string());
    let lines = [
        ("CPU", format!("{} × {}", cores, find(&cpu, "model name").unwrap_or_else(unknown))),
        ("memory", find(&memory, "MemTotal").unwrap_or_else(unknown)),
        ("kernel", kernel.trim().to_owned()),
        ("Redis", said_by("redis-server", &["--version"])),
        ("Rust", said_by("rustc", &["--version"])),
        ("commit", said_by("git", &["describe", "--always", "--dirty"])),
        ("load average before, after", format!("{load_before}, {}", load_average())),
    ];
    let rows: String = lines.iter().map(|(what, said)| format!("\n| {what} | {said} |")).collect();
    format!(
        "| machine | |\n| --- | --- |{rows}\n\nThe server, the callers and the framework share its cores."
    )
}

fn load_average() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
