//! The shop on the command line: plays named scenarios, and shows what became of money and stock.

mod command;
mod demo;
mod store;

use std::io::Write;
use std::process::ExitCode;

use command::{Command, Mistake};
use shop::Audit;

#[tokio::main]
async fn main() -> ExitCode {
    let command = match Command::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(Mistake(what)) => return fail(&format!("{what}; `shop --help` says what may be given")),
    };
    let run = async {
        match command {
            Command::Help => say(&command::help()),
            Command::Audit { dir } => audit(&dir).await,
            Command::Demo { scenarios, store } => demo::play(&scenarios, &store).await,
            Command::UntilKilled(part) => demo::until_killed(part).await,
        }
    };
    tokio::select! {
        ended = run => ended.unwrap_or_else(|error| fail(&chain(&*error))),
        // What is dropped here ends its child and removes its folder.
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
    }
}

/// How a command ended; an error is told to the user.
type Ended = Result<ExitCode, Box<dyn std::error::Error + Send + Sync>>;

/// Something is broken: not what the demo shows.
fn fail(what: &str) -> ExitCode {
    // Nobody reads standard error: then there is nobody to be told.
    let _ = writeln!(std::io::stderr(), "shop: {what}");
    ExitCode::from(2)
}

/// Writes to standard output. Whoever has closed it has seen enough.
fn say(text: &str) -> Ended {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

async fn audit(dir: &str) -> Ended {
    let audit = Audit::of(dir).await?;
    say(&format!("{audit}\n"))?;
    Ok(if audit.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An error with its causes, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
