//! Payloads that are written by one process and read by another.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{Status, TxId};
use tcc_core::{ActionType, Branch, Handler, Never, Registry, Service, SettleError, Settled, Tried, Tx};
use tcc_sqlx::sqlite::SqliteStore;

use crate::rig::*;

/// Where the child finds the store.
const CHILD: &str = "TCC_PEERS_CHILD";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers {
    signed: Vec<i64>,
    unsigned: Vec<u64>,
    float: Vec<f64>,
    nested: BTreeMap<String, BTreeMap<i64, Vec<Option<u64>>>>,
}

/// Numbers that a reader of untyped JSON gets wrong.
fn numbers() -> Numbers {
    Numbers {
        signed: vec![i64::MIN, -(1 << 53) - 1, -1, 0, (1 << 53) + 1, i64::MAX],
        unsigned: vec![0, (1 << 53) + 1, 1 << 63, u64::MAX],
        float: vec![
            0.1 + 0.2,
            -0.0,
            1e23,
            5e-324,
            f64::MAX,
            f64::MIN,
            449.491_064_788_738_13,
            945.270_695_553_922_3,
        ],
        nested: BTreeMap::from([
            ("9007199254740993".into(), BTreeMap::from([(i64::MIN, vec![Some(u64::MAX), None])])),
            (String::new(), BTreeMap::new()),
        ]),
    }
}

struct Book;

impl ActionType for Book {
    const NAME: &'static str = "ledger.book";
    type Request = Numbers;
    type Output = Numbers;
    type Error = Never;
}

/// Confirms only where it is open, and remembers what it was given there.
struct Ledger {
    open: bool,
    given: Mutex<Vec<(Numbers, Numbers)>>,
}

impl Ledger {
    fn new(open: bool) -> Arc<Self> {
        Arc::new(Self { open, given: Mutex::default() })
    }
}

impl Handler<Book> for Ledger {
    async fn r#try(&self, _: &Branch, numbers: Numbers) -> Tried<Numbers, Never> {
        Ok(numbers)
    }

    async fn confirm(&self, _: &Branch, request: Numbers, output: Numbers) -> Settled {
        if !self.open {
            return Err(SettleError::Later("not here".into()));
        }
        self.given.lock().unwrap().push((request, output));
        Ok(())
    }

    async fn cancel(&self, _: &Branch, _: Numbers, _: Option<Numbers>) -> Settled {
        Ok(())
    }
}

impl Service for Ledger {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Book, _>(self);
    }
}

/// Does nothing, unless it is the child of the next test: then it decides, says so, and waits for its end.
#[tokio::test]
async fn child_process() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = SqliteStore::open(&path).await.unwrap();
    let tcc = coordinator(store).register(Ledger::new(false)).start().await.unwrap();
    let booked = tcc.run("book", async |tx: &Tx| {
        tx.call::<Book>(numbers()).await?;
        Ok::<_, Error>(tx.id())
    });
    say(&format!("> {}\n", booked.await.unwrap()));
    // Its parent kills it; or ends, and takes the other end of this with it.
    let _ = std::io::stdin().lines().next();
}

/// Past the capture of the test harness.
fn say(line: &str) {
    use std::io::Write as _;
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The process that decided is killed; what it wrote is read by this one.
fn decided_by_another_process(path: &Path) -> TxId {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "payloads::child_process", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = lines.filter_map(|line| line.split_once("> ")?.1.parse().ok());
    let id = said.next();
    child.kill().unwrap();
    child.wait().unwrap();
    id.expect("the child decides before it ends")
}

#[tokio::test]
async fn peers_22_numbers_survive_the_log_and_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let id = decided_by_another_process(&path);
    let ledger = Ledger::new(true);
    let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
    let tcc = coordinator(store).register(ledger.clone()).start().await.unwrap();
    assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
    let given = ledger.given.lock().unwrap().clone();
    assert_eq!(given, [(numbers(), numbers())]);
    let bits = |numbers: &Numbers| numbers.float.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&given[0].0), bits(&numbers()), "to the last bit");
}
