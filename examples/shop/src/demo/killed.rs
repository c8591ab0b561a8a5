//! The scenarios in which a process is killed: it is this program again, which plays a part until then.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use shop::Order;
use tcc_core::protocol::Phase;
use tcc_core::testing::{CallFault, CallFaults, CallRule};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::scenario::{Scenario, Surprise, Told, ensure};
use super::stage::{CALM, Limits, PATIENCE, Stage};
use crate::store::Address;
use crate::{Ended, say};

/// What the child says when it may be killed.
const READY: &str = "ready";

/// What a child is to play, and where.
pub(crate) struct Part {
    pub(crate) scenario: Scenario,
    pub(crate) group: String,
    pub(crate) dir: PathBuf,
    pub(crate) store: Address,
}

pub(super) async fn after_deciding(stage: &Stage) -> Result<Told, Surprise> {
    let frozen = start_and_kill(stage, Scenario::KilledDecided).await?;
    // The next one: it finds what is due, and finishes it.
    stage.calm_shop().await?;
    stage.settled().await?;
    Told::paid(
        1,
        format!(
            "A process is killed (SIGKILL) when it has decided that ann buys, with {frozen} of hers still frozen. The next confirms."
        ),
    )
}

pub(super) async fn while_trying(stage: &Stage) -> Result<Told, Surprise> {
    let frozen = start_and_kill(stage, Scenario::KilledTrying).await?;
    stage.calm_shop().await?;
    stage.settled().await?;
    Told::paid(
        0,
        format!(
            "A process is killed (SIGKILL) before it has decided, with {frozen} of ann's frozen. After the deadline the next cancels."
        ),
    )
}

/// Lets a child play its part, kills it, and says how much money it left frozen.
async fn start_and_kill(stage: &Stage, scenario: Scenario) -> Result<shop::Cents, Surprise> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["until-killed", scenario.name(), &stage.group])
        .arg(&stage.folder)
        .args(["--store", stage.address.as_str()])
        // It ends when this pipe does: it can't outlive this process, however this one ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = String::new();
    let out = child.stdout.take().ok_or("the child has no output")?;
    tokio::time::timeout(PATIENCE, BufReader::new(out).read_line(&mut said))
        .await
        .map_err(|_| format!("the child did not come so far within {PATIENCE:?}"))??;
    ensure!(said.trim_end() == READY, "the child ended before it was killed");
    child.kill().await?; // SIGKILL
    let frozen = stage.audit().await?.money.frozen;
    ensure!(frozen.0 > 0, "the child left nothing frozen");
    Ok(frozen)
}

/// The child: buys, and gets stuck where it is to be killed.
pub(crate) async fn until_killed(part: Part) -> Ended {
    end_with_parent();
    let store = part.store.open().await?;
    let stage = Stage::open(part.dir, part.group, part.store, store).await?;
    let faults = CallFaults::default();
    let (stuck_in, limits) = match part.scenario {
        // All confirms hang: the decision is durable, and nothing of it is done.
        Scenario::KilledDecided => (Phase::Confirm, CALM),
        // The order can't be written down; stock, coupon and money are put aside.
        Scenario::KilledTrying => (Phase::Try, Limits { deadline: Duration::from_secs(3), ..CALM }),
        other => return Err(format!("nobody is killed in {}", other.name()).into()),
    };
    let rule = CallRule::new(CallFault::Hangs).on(stuck_in).always();
    faults.add(if stuck_in == Phase::Try { rule.of("orders.place") } else { rule });
    let shop = stage.shop(limits, &faults).await?;
    let order = Order::new("order-1", "ann", "teapot", 2).with_coupon("WELCOME");
    tokio::select! {
        done = shop.checkout(order) => Err(format!("it ended by itself: {done:?}").into()),
        told = async {
            stuck(&stage, &faults).await?;
            say(&format!("{READY}\n"))?;
            std::future::pending().await
        } => told,
    }
}

/// Waits until a call hangs and the money is frozen: the payment is tried at the same time as the order.
async fn stuck(stage: &Stage, faults: &CallFaults) -> Result<(), Surprise> {
    faults.until_struck(1).await;
    while stage.audit().await?.money.frozen.0 == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Ends this process when its parent has gone.
fn end_with_parent() {
    std::thread::spawn(|| {
        // Nothing is ever written there: it returns at the end of the pipe.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(3);
    });
}
