//! Running cargo from within cargo.

use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::Outcome;

/// One call of cargo; its output is shown as it comes.
pub(crate) struct Cargo {
    command: Command,
    shown: String,
}

impl Cargo {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).stdin(Stdio::null());
        // What `cargo run` says of xtask is not true of the packages to come: build scripts that watch it would run again.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            {
                command.env_remove(name);
            }
        }
        Self { command, shown: format!("cargo {}", arguments.join(" ")) }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self.shown = format!("{name}={value:?} {}", self.shown);
        self
    }

    pub(crate) fn run(mut self) -> Outcome {
        self.announce();
        let status = self.command.status();
        self.judge(status)
    }

    /// Also counts what the tests report. Their output passes through byte by byte.
    pub(crate) fn run_tests(mut self) -> (Outcome, Tally) {
        self.announce();
        let mut cargo = match self.command.stdout(Stdio::piped()).spawn() {
            Ok(cargo) => cargo,
            Err(error) => return (self.judge(Err(error)), Tally::default()),
        };
        let output = cargo.stdout.take().expect("stdout was piped");
        let (count, counts) = mpsc::channel();
        std::thread::spawn(move || forward(output, io::stdout(), &count));
        let mut outcome = self.judge(cargo.wait());

        // A process that a test left behind may hold the pipe open for ever. That is a fault of the test, and is said so.
        let mut tally = Tally::default();
        loop {
            match counts.recv_timeout(Duration::from_secs(5)) {
                Ok(suite) => tally.add(&suite),
                Err(RecvTimeoutError::Disconnected) => return (outcome, tally),
                Err(RecvTimeoutError::Timeout) => {
                    let why = "a test left a process behind that still holds its output open";
                    outcome = outcome.and_then(|()| Err(why.into()));
                    return (outcome, tally);
                }
            }
        }
    }

    fn announce(&self) {
        eprintln!("\nxtask: {}", self.shown);
    }

    fn judge(&self, status: io::Result<std::process::ExitStatus>) -> Outcome {
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{}` failed ({status})", self.shown)),
            Err(error) => Err(format!("`{}` does not run: {error}", self.shown)),
        }
    }
}

/// The sum of all `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    suites: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Tally {
    /// As in `test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.26s`.
    fn of_suite(line: &str) -> Option<Self> {
        let (_, counts) = line.split_once("test result: ")?;
        let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        let count = |what| words.windows(2).find(|pair| pair[1] == what)?[0].parse().ok();
        Some(Self {
            suites: 1,
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
        })
    }

    fn add(&mut self, other: &Self) {
        self.suites += other.suites;
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suites, passed, failed, ignored } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored, in {suites} suites")
    }
}

fn forward(mut output: impl Read, mut shown: impl Write, count: &mpsc::Sender<Tally>) {
    let mut line = Vec::new();
    let mut piece = [0; 8192];
    // Neither end of the pipes going away is our failure: cargo's exit code tells.
    while let Ok(length @ 1..) = output.read(&mut piece) {
        let _ = shown.write_all(&piece[..length]).and_then(|()| shown.flush());
        for &byte in &piece[..length] {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            if let Some(suite) = Tally::of_suite(&String::from_utf8_lossy(&line)) {
                let _ = count.send(suite);
            }
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let output = "running 3 tests\n\n\
            test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.26s\n\
            test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.26s\n";
        let (count, counts) = mpsc::channel();
        let mut shown = Vec::new();
        forward(output.as_bytes(), &mut shown, &count);
        assert_eq!(shown, output.as_bytes(), "byte by byte");
        let mut tally = Tally::default();
        counts.try_iter().for_each(|suite| tally.add(&suite));
        assert_eq!(tally, Tally { suites: 2, passed: 15, failed: 2, ignored: 1 });
    }
}
