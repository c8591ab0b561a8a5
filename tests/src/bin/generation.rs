//! A process of one generation of an application.
//!
//! `generation <store> <folder> <generation> <work>`, where work is
//! - `leaves N`: decides N transactions, and never settles any of their branches;
//! - `sells`: customers buy, again and again, until it is told to end;
//! - `serves`: settles what it finds, until it is told to end.
//!
//! It says on its standard output what happens: `ready`, `asked confirm wallet.freeze 1 <id>`, `bought <id>`, `failed`,
//! `unknown gift.wrap 1 <transactions> <times>`. SIGTERM is a shutdown.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tcc_core::Coordinator;
use tcc_core::store::BoxError;
use tcc_tests::generations::{Error, Generation, Served, Services, Watch, builder, checkout};
use tcc_tests::load::Place;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const CUSTOMERS: u64 = 4;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [place, dir, generation, work @ ..] = &arguments[..] else {
        return Err("usage: generation <store> <folder> <generation> <work>".into());
    };
    std::thread::spawn(end_with_parent);
    let mut told_to_end = signal(SignalKind::terminate())?;
    let (place, dir, generation): (Place, _, Generation) =
        (place.parse()?, PathBuf::from(dir), generation.parse()?);

    let leaves = work.first() == Some(&"leaves");
    let watch: Watch = Arc::new(move |cx, version| {
        say(format_args!("asked {} {} {version} {}", cx.phase(), cx.action(), cx.tx()));
        if leaves { Served::Never } else { Served::Now }
    });
    let services = Services::open(&dir, generation, watch).await?;
    let tcc = builder(place.open().await?).register(services).start().await?;
    say(format_args!("ready"));

    let closing = CancellationToken::new();
    let mut working = tokio::task::JoinSet::new();
    match work {
        ["leaves", number] => {
            for _ in 0..number.parse::<u64>()? {
                let tcc = tcc.clone();
                working.spawn(async move { drop(checkout(&tcc, generation, false).await) });
            }
        }
        ["sells"] => {
            for number in 0..CUSTOMERS {
                working.spawn(buys(tcc.clone(), generation, number, closing.clone()));
            }
        }
        ["serves"] => {}
        other => return Err(format!("there is no such work: {other:?}").into()),
    }
    working.spawn(tells_of_unknown(tcc.clone(), closing.clone()));
    told_to_end.recv().await;
    closing.cancel();
    while let Some(ended) = working.join_next().await {
        ended?;
    }
    tcc.shutdown().await;
    say(format_args!("ended"));
    Ok(())
}

/// Every seventh customer thinks better of it.
async fn buys(tcc: Coordinator, generation: Generation, number: u64, closing: CancellationToken) {
    for visit in number.. {
        if closing.is_cancelled() {
            return;
        }
        match checkout(&tcc, generation, visit % 7 == 6).await {
            Ok(id) => say(format_args!("bought {id}")),
            Err(Error::Regret) => say(format_args!("regretted")),
            Err(error) => say(format_args!("failed {error}")),
        }
        // More would only wait for the database, which the services of all processes share.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn tells_of_unknown(tcc: Coordinator, closing: CancellationToken) {
    let mut before = Vec::new();
    while !closing.is_cancelled() {
        let unknown: Vec<String> = tcc
            .operator()
            .unknown_actions()
            .iter()
            .map(|u| format!("unknown {} {} {} {}", u.action, u.version, u.transactions, u.times))
            .collect();
        for line in unknown.iter().filter(|line| !before.contains(*line)) {
            say(format_args!("{line}"));
        }
        before = unknown;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One line, whole and at once.
fn say(what: std::fmt::Arguments<'_>) {
    // Who no longer listens is about to kill this process, or is gone.
    let _ = std::io::stdout().write_all(format!("{what}\n").as_bytes());
}

/// The parent holds the other end of the standard input, and never writes to it.
fn end_with_parent() {
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(1);
}
