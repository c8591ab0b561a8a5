//! The framework's own cost: the same business calls with a transaction and without one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use tcc_core::store::MemoryStore;

use crate::compare::{Contender, Sample, measure};
use crate::drive::{Load, Work};
use crate::ours::{self, Live};
use crate::report::{Figures, Report};
use crate::shape::Shape;
use crate::stage::Stage;
use crate::stock::{Request, Stock};

/// The calls of two tries and two confirms, and nothing else.
pub(crate) struct Bare;

pub(crate) const NAME: &str = "bare calls";

#[async_trait]
impl Contender for Bare {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    async fn turn(&mut self, stage: &Stage, load: Load) -> anyhow::Result<Sample> {
        measure(stage, load, &Calls::new()).await
    }
}

#[derive(Clone)]
struct Calls {
    stock: Arc<Stock>,
    request: Arc<Request>,
}

impl Calls {
    fn new() -> Self {
        Self { stock: Arc::default(), request: Arc::new(Request::new(Shape::SEQUENTIAL.payload)) }
    }
}

impl Work for Calls {
    async fn once(&self, _: usize) -> anyhow::Result<()> {
        let requests = [Request::clone(&self.request), Request::clone(&self.request)];
        for request in &requests {
            std::hint::black_box(self.stock.take(request));
        }
        for request in &requests {
            self.stock.settle(request);
        }
        // Otherwise the first callers would keep all threads for themselves, and the clock from being looked at.
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// Whose calls are counted: the words of [`count`].
const COUNTED: [(&str, &str); 3] =
    [(NAME, "bare"), ("ours, sequential", "sequential"), ("ours, together", "together")];
/// How many transactions the short run has, and the long one: their difference has no start and no end in it.
const RUNS: [u64; 2] = [500, 2_500];

/// Instructions and allocations of a transaction, as valgrind counts them: one caller on one thread.
pub(crate) fn profile() -> anyhow::Result<Report> {
    let mut report = Report::new(
        "bare",
        "memory store, 1 caller on 1 thread: what a transaction of two branches costs, as valgrind counts it",
    );
    for (name, word) in COUNTED {
        eprintln!("{} · {name}", report.title);
        let per = |tool: &[&str], read: fn(&str) -> Option<Vec<f64>>| -> anyhow::Result<Vec<f64>> {
            let short = valgrind(tool, word, RUNS[0], read)?;
            let long = valgrind(tool, word, RUNS[1], read)?;
            let transactions = (RUNS[1] - RUNS[0]) as f64;
            Ok(long.iter().zip(&short).map(|(long, short)| (long - short) / transactions).collect())
        };
        let instructions = per(&["--tool=callgrind", "--callgrind-out-file=/dev/null"], collected)?;
        let heap = per(&["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"], heap_usage)?;
        report.add(
            name,
            vec![Figures::from_iter([
                ("instructions/tx".to_owned(), instructions[0]),
                ("allocations/tx".to_owned(), heap[0]),
                ("bytes allocated/tx".to_owned(), heap[1]),
            ])],
        );
    }
    Ok(report)
}

/// As in `==1== Collected : 123456`.
fn collected(said: &str) -> Option<Vec<f64>> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?.1;
    Some(vec![line.trim().parse().ok()?])
}

/// As in `==1==   total heap usage: 1,234 allocs, 1,230 frees, 567,890 bytes allocated`.
fn heap_usage(said: &str) -> Option<Vec<f64>> {
    let line = said.lines().find_map(|line| line.split_once("total heap usage:"))?.1;
    let mut numbers = line.split(", ").map(|part| {
        let digits: String = part.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<f64>().ok()
    });
    let (allocations, _, bytes) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(vec![allocations, bytes])
}

fn valgrind(
    tool: &[&str],
    word: &str,
    transactions: u64,
    read: fn(&str) -> Option<Vec<f64>>,
) -> anyhow::Result<Vec<f64>> {
    let program = std::env::current_exe().context("this program's own path")?;
    let output = Command::new("valgrind")
        .args(tool)
        .arg::<&Path>(&program)
        .args(["count", word, &transactions.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("valgrind does not run: install it (on Debian or Ubuntu: apt-get install valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed ({}):\n{said}", output.status);
    read(&said).with_context(|| format!("valgrind does not say what it has counted:\n{said}"))
}

/// What runs under valgrind: so many transactions, one after the other, on one thread.
pub(crate) fn count(mut words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let word = words.next().context("count what?")?;
    let transactions: u64 = words.next().and_then(|text| text.parse().ok()).context("how many?")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.context("no runtime")?.block_on(async {
        let shape = match word.as_str() {
            "bare" => return repeat(&Calls::new(), transactions).await,
            "sequential" => Shape::SEQUENTIAL,
            "together" => Shape::TOGETHER,
            other => bail!("{other} is not counted"),
        };
        let tcc = ours::start(MemoryStore::new(), Arc::default()).await?;
        let live = Live::new(tcc, shape);
        repeat(&live, transactions).await?;
        live.tcc.shutdown().await;
        Ok(())
    })
}

async fn repeat(work: &impl Work, times: u64) -> anyhow::Result<()> {
    for _ in 0..times {
        work.once(0).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_says_is_read() {
        assert_eq!(collected("==7== \n==7== Collected : 1234567\n"), Some(vec![1_234_567.0]));
        let said = "==7==   total heap usage: 1,234 allocs, 1,230 frees, 567,890 bytes allocated\n";
        assert_eq!(heap_usage(said), Some(vec![1234.0, 567_890.0]));
        assert_eq!(heap_usage("==7== all well"), None);
    }
}
