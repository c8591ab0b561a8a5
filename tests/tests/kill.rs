//! Processes in the middle of checkouts are killed with SIGKILL, again and again; the next one brings everything to its
//! end.
//!
//! Each round has a store and a shop of its own. Where in its work a process is killed is drawn from a seed, which is
//! printed: `TCC_TEST_SEED=… cargo test -p tcc-tests --test kill` draws the same again. In every third round two processes
//! share the work, and one outlives the other for a while.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use shop::{Audit, GROUP, Shop};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use tcc_core::coordinator::Duplicate;
use tcc_core::protocol::{Group, Status, TxId, fold};
use tcc_core::store::{Query, Select, StatusStore};
use tcc_core::{Coordinator, TransactionError};
use tcc_test_servers::RedisServer;
use tcc_tests::child::Shopper;
use tcc_tests::load::{self, Place, Told};
use tcc_tests::seed;

const SHOPPER: &str = env!("CARGO_BIN_EXE_shopper");
/// Everything a killed process leaves is finished within this, on a machine that is busy with other tests.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);
/// A process is killed at the latest then, even if what was to be waited for has not come.
const LATEST: Duration = Duration::from_secs(10);
/// Of so many orders a round, what the customer was told is compared with what she is told when she asks again.
const ASKED_AGAIN: usize = 4;

#[test]
fn peers_29_a_hundred_kills_on_redis() {
    let server = RedisServer::start();
    let redis = |round: u64, _: &Path| Place::Redis { url: server.url(), namespace: format!("kill-{round}") };
    let indexes = |place: &Place| {
        let Place::Redis { namespace, .. } = place else { unreachable!("it was made above") };
        let keys = |pattern: &str| server.command(&["KEYS", &format!("{{{namespace}:{GROUP}:0}}:{pattern}")]);
        let card = |index: &str| server.command(&["ZCARD", &format!("{{{namespace}:{GROUP}:0}}:{index}")]);
        assert_eq!(card("due").unwrap(), "0", "the due index is not empty");
        assert_eq!(card("kept").unwrap(), "0", "something is kept for an operator");
        let keys = keys(&"?".repeat(32)).unwrap();
        keys.lines().map(|key| key[key.len() - 32..].parse().unwrap()).collect()
    };
    kill_again_and_again(100, redis, indexes);
}

#[test]
fn peers_29_thirty_kills_on_sqlite() {
    let sqlite = |_, dir: &Path| Place::Sqlite { path: dir.join("log.db").to_str().unwrap().to_owned() };
    let indexes = |place: &Place| {
        let Place::Sqlite { path } = place else { unreachable!("it was made above") };
        runtime().block_on(async {
            let mut db = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
            let logs = sqlx::query("SELECT id, due_ms, expires_ms FROM tcc_logs").fetch_all(&mut db).await;
            let finished = |row: sqlx::sqlite::SqliteRow| {
                assert_eq!(row.get::<Option<i64>, _>(1), None, "the due index is not empty");
                assert!(row.get::<Option<i64>, _>(2).is_some(), "something is kept for an operator");
                row.get::<String, _>(0).parse().unwrap()
            };
            logs.unwrap().into_iter().map(finished).collect()
        })
    };
    kill_again_and_again(30, sqlite, indexes);
}

/// When a process is killed, counted from its first transaction.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// At the first line after this time.
    After(Duration),
    /// Once it has said so many lines that begin like this.
    Said(&'static str, u32),
}

impl Moment {
    /// Every kind of moment in turn, so that each phase is struck; when exactly is chance.
    fn draw(round: u64, random: &mut fastrand::Rng) -> Self {
        match round % 8 {
            0 => Self::After(Duration::from_micros(random.u64(..300_000))),
            1 => Self::Said("", random.u32(1..400)),
            2 => Self::Said("asked try", random.u32(1..80)),
            3 => Self::Said("done try", random.u32(1..80)),
            4 => Self::Said("asked confirm", random.u32(1..50)),
            5 => Self::Said("done confirm", random.u32(1..50)),
            6 => Self::Said("asked cancel", random.u32(1..15)),
            _ => Self::Said("told", random.u32(1..15)),
        }
    }

    /// Listens until it has come, and keeps what customers were told.
    fn wait(self, process: &Shopper, told: &mut Vec<Told>) {
        let mut count = 0;
        let mut begun = None;
        loop {
            let line = process.line().expect("it runs until it is killed");
            note(&line, told);
            if line == "ready" {
                continue;
            }
            let begun = begun.get_or_insert_with(Instant::now);
            if begun.elapsed() > LATEST {
                return;
            }
            match self {
                Self::After(time) if begun.elapsed() >= time => return,
                Self::Said(start, times) if line.starts_with(start) => {
                    count += 1;
                    if count == times {
                        return;
                    }
                }
                Self::After(_) | Self::Said(..) => {}
            }
        }
    }
}

/// Keeps what a customer was told. A line that was cut by the kill is dropped: nobody heard it.
fn note(line: &str, told: &mut Vec<Told>) {
    if let Some(text) = line.strip_prefix("told ")
        && let Ok(heard) = text.parse()
    {
        told.push(heard);
    }
}

/// What happened, over all rounds.
#[derive(Debug, Default)]
struct Count {
    rounds: u64,
    kills: u64,
    /// Rounds in which something was unfinished when the last process was dead.
    mid_flight: u64,
    /// What was unfinished then, by its status.
    found: BTreeMap<String, u64>,
    /// All transactions, by their status in the end.
    ended: BTreeMap<String, u64>,
    /// What was unfinished, by what became of it.
    recovered: BTreeMap<String, u64>,
    /// What customers were told.
    told: BTreeMap<String, u64>,
    asked_again: u64,
    longest_recovery: Duration,
}

fn kill_again_and_again(
    rounds: u64,
    place: impl Fn(u64, &Path) -> Place,
    indexes: impl Fn(&Place) -> Vec<TxId>,
) {
    let (seed, began) = (seed::of_this_run(), Instant::now());
    let mut count = Count::default();
    for round in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        let place = place(round, dir.path());
        let mut random = seed::round(seed, round);
        let moments: Vec<Moment> = match round % 3 {
            2 => vec![Moment::draw(round, &mut random), Moment::draw(random.u64(..8), &mut random)],
            _ => vec![Moment::draw(round, &mut random)],
        };
        eprintln!("round {round}: {moments:?}");
        let told = kill(&place, dir.path(), &moments, &mut random);
        runtime().block_on(recover(&place, dir.path(), &told, &mut count));
        let all = indexes(&place);
        runtime().block_on(check(&place, dir.path(), &all, &mut count));
        count.rounds += 1;
        count.kills += moments.len() as u64;
    }
    eprintln!("{rounds} rounds in {:?}: {count:#?}", began.elapsed());
    count.must_be_real();
}

/// Runs as many processes as there are moments, and kills each at its own.
fn kill(place: &Place, dir: &Path, moments: &[Moment], random: &mut fastrand::Rng) -> Vec<Told> {
    let mut told = Vec::new();
    let processes: Vec<Shopper> = (0..moments.len())
        .map(|number| Shopper::start(SHOPPER, place, dir, &format!("customer-{number}"), random.u64(..)))
        .collect();
    for (process, moment) in processes.into_iter().zip(moments) {
        moment.wait(&process, &mut told);
        for line in process.kill() {
            note(&line, &mut told);
        }
    }
    told
}

/// The next process: it does nothing but finish what it finds.
async fn recover(place: &Place, dir: &Path, told: &[Told], count: &mut Count) {
    let store = place.open().await.unwrap();
    let found = unfinished(&*store).await;
    count.mid_flight += u64::from(!found.is_empty());

    let began = Instant::now();
    let services = load::services(dir).await.unwrap();
    let tcc = services.register(load::builder(store.clone())).start().await.unwrap();
    while store.stats(&group()).await.unwrap().unfinished > 0 {
        assert!(
            began.elapsed() < RECOVERED_WITHIN,
            "not recovered: {:?}; it began with {found:?}",
            unfinished(&*store).await
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    count.longest_recovery = count.longest_recovery.max(began.elapsed());

    for (id, before) in found {
        let after = tcc.outcome(id).await.unwrap().expect("its tombstone is kept for longer than this");
        let fitting = match before {
            Status::Trying | Status::Cancelling => Status::Cancelled,
            Status::Confirming => Status::Confirmed,
            settled => settled,
        };
        assert_eq!(after, fitting, "{id} was {before} when it was found");
        *count.found.entry(before.to_string()).or_default() += 1;
        *count.recovered.entry(after.to_string()).or_default() += 1;
    }
    for heard in told {
        *count.told.entry(heard.kind().to_owned()).or_default() += 1;
        nothing_told_is_reversed(&tcc, heard).await;
    }
    count.asked_again += ask_again(&Shop::new(tcc.clone()), told).await;
    tcc.shutdown().await;
}

/// What a customer was told by the process that is dead now, is so for ever.
async fn nothing_told_is_reversed(tcc: &Coordinator, heard: &Told) {
    match heard {
        Told::Bought { tx, .. } | Told::Refunded { tx } => {
            assert_eq!(tcc.outcome(*tx).await.unwrap(), Some(Status::Confirmed), "{heard}");
        }
        Told::Failed { tx: Some(tx) } => {
            let outcome = tcc.outcome(*tx).await.unwrap();
            assert!(matches!(outcome, None | Some(Status::Cancelled)), "{heard}, and it is {outcome:?}");
        }
        Told::InDoubt { tx } => {
            assert!(tcc.outcome(*tx).await.unwrap().is_some_and(Status::is_finished), "{heard}")
        }
        Told::Refused { .. } | Told::Failed { tx: None } | Told::HungUp => {}
    }
}

/// A customer who sends her order again hears what she heard before, and buys nothing.
async fn ask_again(shop: &Shop, told: &[Told]) -> u64 {
    let bought = told.iter().filter(|heard| matches!(heard, Told::Bought { .. })).take(ASKED_AGAIN);
    let refused = told.iter().filter(|heard| matches!(heard, Told::Refused { .. })).take(ASKED_AGAIN);
    let mut asked = 0;
    for heard in bought.chain(refused) {
        asked += 1;
        match heard {
            Told::Bought { order, tx } => {
                let receipt = shop
                    .checkout(order.clone())
                    .await
                    .unwrap_or_else(|error| panic!("{heard}, and then {error}"));
                assert_eq!(receipt.tx, *tx, "{heard}");
            }
            Told::Refused { order } => {
                let error = shop.checkout(order.clone()).await.expect_err("it was refused");
                let cancelled = matches!(
                    load::error_of_checkout(&error),
                    Some(TransactionError::Duplicate { why: Duplicate::Cancelled, .. })
                );
                assert!(cancelled, "{heard}, and then {error}");
            }
            _ => {}
        }
    }
    asked
}

/// All that is in the store is finished, and all that is in the shop adds up.
async fn check(place: &Place, dir: &Path, all: &[TxId], count: &mut Count) {
    let store = place.open().await.unwrap();
    for id in all {
        let log = store.read(&group(), *id).await.unwrap().expect("it is in the store");
        let status = fold(&log).unwrap().status();
        assert!(status.is_finished(), "{id} is {status}");
        *count.ended.entry(status.to_string()).or_default() += 1;
    }
    let stats = store.stats(&group()).await.unwrap();
    assert_eq!((stats.unfinished, stats.kept), (0, 0));
    let audit = Audit::of(dir).await.unwrap();
    assert!(audit.is_sound(), "{audit}");
}

async fn unfinished(store: &dyn StatusStore) -> Vec<(TxId, Status)> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let query = Query { group: group(), select: Select::Unfinished, cursor, limit: 100 };
        let page = store.list(&query).await.unwrap();
        assert!(page.unreadable.is_empty(), "{:?}", page.unreadable);
        found.extend(page.items.iter().map(|item| (item.id, fold(&item.log).unwrap().status())));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

impl Count {
    /// A run in which nothing happens must not pass.
    fn must_be_real(&self) {
        let least = |what: &str, counts: &BTreeMap<String, u64>, key: &str, least: u64| {
            let count = counts.get(key).copied().unwrap_or_default();
            assert!(count >= least, "only {count} {what} {key}, where at least {least} are to be expected");
        };
        let rounds = self.rounds;
        assert!(self.mid_flight >= rounds * 9 / 10, "only {} kills struck anything", self.mid_flight);
        least("found", &self.found, "trying", rounds);
        least("found", &self.found, "confirming", rounds / 2);
        least("found", &self.found, "cancelling", rounds / 10);
        least("recovered to", &self.recovered, "confirmed", rounds / 2);
        least("recovered to", &self.recovered, "cancelled", rounds);
        least("in all", &self.ended, "confirmed", rounds * 2);
        least("in all", &self.ended, "cancelled", rounds * 2);
        least("told", &self.told, "bought", rounds * 2);
        least("told", &self.told, "refused", rounds / 4);
        assert!(self.asked_again >= rounds, "only {} orders were sent again", self.asked_again);
    }
}

fn group() -> Group {
    Group::new(GROUP).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
