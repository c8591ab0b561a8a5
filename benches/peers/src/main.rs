//! dtmrs, driven by `tcc-bench peers`: orders come as JSON lines on standard input, answers go to standard output.
//!
//! It is run as a child, so that it takes its turn in the same interleaved run, on the same Redis server, and none of its
//! dependencies enters the framework's own lock file.

#[path = "../../src/drive.rs"]
mod drive;
mod dtmrs;
#[path = "../../src/message.rs"]
mod message;

use std::io::Write;

use anyhow::Context;

use drive::Edge;
use dtmrs::Peer;
use message::{Order, Said};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut peer = None;
    for line in std::io::stdin().lines() {
        let line = line.context("standard input can't be read")?;
        let order = serde_json::from_str(&line).with_context(|| format!("{line:?} is no order"))?;
        let answer = obey(order, &mut peer).await;
        say(&answer.unwrap_or_else(|error| Said::Failed(format!("{error:#}"))))?;
    }
    Ok(())
}

async fn obey(order: Order, peer: &mut Option<Peer>) -> anyhow::Result<Said> {
    match order {
        Order::Start { mode, url, full } => {
            *peer = Some(Peer::start(mode, &url, full).await?);
            Ok(Said::Started)
        }
        Order::Run(load) => {
            let peer = peer.as_ref().context("it was not started")?;
            let edge = |edge| {
                say(match edge {
                    Edge::Begins => &Said::Begins,
                    Edge::Ends => &Said::Ends,
                })
            };
            Ok(Said::Ran(drive::run(load, peer, edge).await?))
        }
        Order::Stop => {
            if let Some(peer) = peer.take() {
                peer.stop().await?;
            }
            Ok(Said::Stopped)
        }
    }
}

fn say(said: &Said) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, said).context("an answer can't be written")?;
    out.write_all(b"\n").and_then(|()| out.flush()).context("nobody reads the answers")
}
