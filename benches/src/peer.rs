//! The other frameworks: a child process, as their dependencies are not to enter ours.

use std::path::PathBuf;
use std::process::{Command as Blocking, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::compare::{Contender, Sample};
use crate::drive::Load;
use crate::message::{Mode, Order, Said};
use crate::stage::Stage;

/// dtmrs in one of its modes.
pub(crate) struct Peer {
    pub(crate) program: Arc<Mutex<Program>>,
    pub(crate) mode: Mode,
    /// On SQLite: how a commit is written.
    pub(crate) synchronous: Option<Synchronous>,
}

/// SQLite's `synchronous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synchronous {
    /// As dtmrs sets it: what was committed may be lost when the machine crashes.
    Normal,
    /// A commit is on the disk when it returns, as in ours: dtmrs' setting changed from outside.
    Full,
}

impl Peer {
    /// Its name in the tables.
    pub(crate) fn title(mode: Mode, synchronous: Option<Synchronous>) -> String {
        let mode = match mode {
            Mode::Embedded => "embedded",
            Mode::Inline => "inline",
        };
        let synchronous = match synchronous {
            None => "",
            Some(Synchronous::Normal) => ", synchronous=NORMAL",
            Some(Synchronous::Full) => ", synchronous=FULL",
        };
        format!("dtmrs {mode}{synchronous}")
    }
}

#[async_trait]
impl Contender for Peer {
    fn name(&self) -> String {
        Self::title(self.mode, self.synchronous)
    }

    async fn turn(&mut self, stage: &Stage, load: Load) -> anyhow::Result<Sample> {
        let url = match stage {
            Stage::Redis { .. } => stage.url()?,
            Stage::Folder { .. } => format!("sqlite:{}", stage.file()?),
            Stage::Memory => bail!("dtmrs has no store in memory"),
        };
        let before = stage.read()?;
        let mut program = self.program.lock().await;
        let full = self.synchronous == Some(Synchronous::Full);
        program.tell(&Order::Start { mode: self.mode, url, full }).await?;
        let Said::Started = program.hear(PATIENCE).await? else { bail!("the peer did not start") };
        program.tell(&Order::Run(load)).await?;
        let Said::Begins = program.hear(load.warm_up + PATIENCE).await? else {
            bail!("the peer did not begin")
        };
        let begins = stage.read()?;
        let Said::Ends = program.hear(load.measured + PATIENCE).await? else { bail!("the peer did not end") };
        let ends = stage.read()?;
        let Said::Ran(ran) = program.hear(PATIENCE).await? else { bail!("the peer has no result") };
        program.tell(&Order::Stop).await?;
        let Said::Stopped = program.hear(PATIENCE).await? else { bail!("the peer did not stop") };
        Sample { ran, server: begins.zip(ends), kept: None }.with_kept(before, stage)
    }
}

/// How long an answer may take that needs no time of its own.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program in `benches/peers`; ends with this value.
pub(crate) struct Program {
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Builds it if need be, and starts it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let program = build()?;
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let orders = child.stdin.take().context("its standard input was piped")?;
        let answers = child.stdout.take().context("its standard output was piped")?;
        Ok(Self { _child: child, orders, answers: BufReader::new(answers).lines() })
    }

    async fn tell(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(order).context("an order can't be written")?;
        line.push('\n');
        self.orders.write_all(line.as_bytes()).await.context("the peers' program has ended")
    }

    async fn hear(&mut self, at_most: Duration) -> anyhow::Result<Said> {
        let line = tokio::time::timeout(at_most, self.answers.next_line())
            .await
            .with_context(|| format!("the peers' program said nothing for {at_most:?}"))?
            .context("the peers' program can't be heard")?
            .context("the peers' program has ended")?;
        match serde_json::from_str(&line).with_context(|| format!("{line:?} is no answer"))? {
            Said::Failed(why) => bail!("the peer failed: {why}"),
            said => Ok(said),
        }
    }
}

/// Builds the program if need be, with its own lock file and into a target folder of its own, and says where it is.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let target = target()?;
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("building benches/peers: the first time takes minutes");
    let status = Blocking::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path", manifest, "--target-dir"])
        .arg(&target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cargo does not run")?;
    ensure!(status.success(), "benches/peers could not be built ({status}); what cargo said is above");
    Ok(target.join("release/tcc-bench-peers"))
}

/// `peers` in the target folder that this program was built into: `<target>/<profile>/tcc-bench`.
fn target() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("this program's own path")?;
    let target = program.ancestors().nth(2).context("this program is not in a target folder")?;
    Ok(target.join("peers"))
}
