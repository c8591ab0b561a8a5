//! The project's own commands, as `cargo xtask <command>`.
//!
//! No dependency: this is compiled first in every clean clone, before anything can be tested.

mod cargo;
mod servers;

use std::process::ExitCode;
use std::time::Instant;

use cargo::Cargo;

/// What a command has to say when it fails; it becomes exit code 1.
type Outcome = Result<(), String>;

struct Task {
    name: &'static str,
    about: &'static str,
    run: fn() -> Outcome,
}

const TASKS: &[Task] = &[
    Task {
        name: "test",
        about: "set up what the tests need, run every test of the workspace, then the bench's smoke test",
        run: test,
    },
    Task { name: "ci", about: "formatting, clippy and docs without a warning, then `test`", run: ci },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h" | "help"] => {
            help();
            Ok(())
        }
        [] => Err(format!("which command?\n\n{}", usage())),
        [name] => match TASKS.iter().find(|task| task.name == name) {
            Some(task) => (task.run)(),
            None => Err(format!("there is no command `{name}`\n\n{}", usage())),
        },
        [name, unexpected, ..] => {
            Err(format!("`{name}` takes no arguments, but there is `{unexpected}`\n\n{}", usage()))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn test() -> Outcome {
    servers::ensure()?;
    test_workspace()?;
    smoke()
}

fn ci() -> Outcome {
    let began = Instant::now();
    // First, as it is the one thing that may need a human.
    servers::ensure()?;
    Cargo::new(&["fmt", "--all", "--check"]).run()?;
    Cargo::new(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
        .run()?;
    // With all features on, what stands in for those that are off is never compiled.
    Cargo::new(&["clippy", "--package", "tcc-core", "--", "-D", "warnings"]).run()?;
    // Each feature for itself: what is only used by one of them must not be missed, or warned of, without it.
    Cargo::new(&["clippy", "-p", "tcc-sqlx", "--no-default-features", "--", "-D", "warnings"]).run()?;
    Cargo::new(&["doc", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    test_workspace()?;
    smoke()?;
    let seconds = began.elapsed().as_secs();
    eprintln!("xtask: everything holds: formatting, clippy, docs, tests, throughput ({seconds} s)");
    Ok(())
}

/// Unit, integration and doc tests; one that fails does not hide the next.
fn test_workspace() -> Outcome {
    let began = Instant::now();
    let (outcome, tally) =
        Cargo::new(&["test", "--workspace", "--all-features", "--no-fail-fast"]).run_tests();
    let verdict = if outcome.is_ok() { "all tests passed" } else { "NOT all tests passed" };
    eprintln!("\nxtask: {verdict}: {tally} ({} s)", began.elapsed().as_secs());
    outcome
}

/// Whether it has become slower. After the tests, as it wants the machine for itself; in release, as nothing else is fast.
fn smoke() -> Outcome {
    let began = Instant::now();
    Cargo::new(&["run", "--release", "--package", "tcc-bench", "--", "smoke"]).run()?;
    eprintln!("\nxtask: no slower than it has to be ({} s)", began.elapsed().as_secs());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it was asked for, and may be piped into a pager")]
fn help() {
    println!("{}", usage());
}

fn usage() -> String {
    let mut usage = "Usage: cargo xtask <command>\n\nCommands:\n".to_owned();
    for Task { name, about, .. } in TASKS {
        usage += &format!("  {name:<6} {about}\n");
    }
    usage
        + "\nServers that the tests start, installed with apt-get where that is possible:\n"
        + &servers::listed()
}
