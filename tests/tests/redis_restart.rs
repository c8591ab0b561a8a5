//! Redis itself is killed and started again, while one process keeps selling: it goes on by itself, and nothing is lost or
//! stuck.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shop::{Audit, GROUP, Shop};
use tcc_core::Coordinator;
use tcc_core::protocol::{Group, Status, TxId, fold};
use tcc_core::store::StatusStore;
use tcc_redis::RedisStore;
use tcc_test_servers::{AppendFsync, RedisServer};
use tcc_tests::load::{self, Customer, Told};
use tcc_tests::outages::Outages;
use tcc_tests::seed;

const CUSTOMERS: u64 = 8;
/// Between two kills, so many checkouts are to confirm.
const BETWEEN: u64 = 12;
/// Longer than most outages: most checkouts get through them.
const TIMEOUT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// Customers who buy until they are told that the shop closes.
struct Market {
    shop: Shop,
    store: Outages<RedisStore>,
    bought: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    customers: Vec<tokio::task::JoinHandle<Vec<Told>>>,
}

impl Market {
    async fn open(server: &RedisServer, dir: &Path) -> Self {
        let seed = seed::of_this_run();
        let limit = Duration::from_millis(400);
        let store =
            RedisStore::builder(server.url()).response_timeout(limit).connect_timeout(limit).connect().await;
        let store = Outages::new(store.unwrap());
        let services = load::services(dir).await.unwrap();
        let builder = load::builder(store.clone()).timeout(TIMEOUT);
        let shop = Shop::new(services.register(builder).start().await.unwrap());
        let (bought, closing) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let customers = (0..CUSTOMERS).map(|number| {
            let mut customer = Customer::new(&shop, format!("customer-{number}"), seed::round(seed, number));
            let (bought, closing) = (bought.clone(), closing.clone());
            tokio::spawn(async move {
                let mut told = Vec::new();
                while !closing.load(Ordering::SeqCst) {
                    let heard = customer.visit().await;
                    bought.fetch_add(u64::from(matches!(heard, Told::Bought { .. })), Ordering::SeqCst);
                    if matches!(heard, Told::Failed { .. } | Told::InDoubt { .. }) {
                        // Nobody storms a shop that is closed.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    told.push(heard);
                }
                told
            })
        });
        let customers = customers.collect();
        Self { shop, store, bought, closing, customers }
    }

    /// Waits until so many more have bought: the process goes on by itself.
    async fn sells(&self, more: u64) {
        let (began, before) = (Instant::now(), self.bought.load(Ordering::SeqCst));
        while self.bought.load(Ordering::SeqCst) < before + more {
            assert!(began.elapsed() < PATIENCE, "the shop does not sell any more");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets everything come to its end, by itself, and looks at it.
    async fn close(self, server: &RedisServer, dir: &Path) -> Vec<Told> {
        let tcc = self.shop.coordinator();
        self.closing.store(true, Ordering::SeqCst);
        let mut told = Vec::new();
        for customer in self.customers {
            told.extend(customer.await.unwrap());
        }
        let (began, group) = (Instant::now(), Group::new(GROUP).unwrap());
        while self.store.stats(&group).await.map_or(1, |stats| stats.unfinished) > 0 {
            assert!(began.elapsed() < PATIENCE, "something is stuck");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for heard in &told {
            nothing_told_is_reversed(tcc, heard).await;
        }
        assert_eq!(server.command(&["ZCARD", "{tcc:shop:0}:due"]).unwrap(), "0");
        assert_eq!(server.command(&["ZCARD", "{tcc:shop:0}:kept"]).unwrap(), "0");
        let keys = server.command(&["KEYS", &format!("{{tcc:shop:0}}:{}", "?".repeat(32))]).unwrap();
        for key in keys.lines() {
            let id: TxId = key[key.len() - 32..].parse().unwrap();
            let log = self.store.read(&group, id).await.unwrap().expect("its key is there");
            assert!(fold(&log).unwrap().status().is_finished(), "{id}");
        }
        tcc.shutdown().await;
        let audit = Audit::of(dir).await.unwrap();
        assert!(audit.is_sound(), "{audit}");
        told
    }
}

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
            assert!(tcc.outcome(*tx).await.unwrap().is_some_and(Status::is_finished), "{heard}");
        }
        Told::Refused { .. } | Told::Failed { tx: None } | Told::HungUp => {}
    }
}

/// In how many ways customers were told, and how often.
fn tally(told: &[Told]) -> std::collections::BTreeMap<&'static str, u32> {
    let mut tally = std::collections::BTreeMap::new();
    for heard in told {
        *tally.entry(heard.kind()).or_default() += 1;
    }
    tally
}

async fn killed_and_restarted(times: u32, fsync: AppendFsync) {
    let mut server = RedisServer::builder().append_only(fsync).start();
    let dir = tempfile::tempdir().unwrap();
    let market = Market::open(&server, dir.path()).await;
    let store = market.store.clone();
    let outages = || store.unavailable() + store.ambiguous();
    let began = Instant::now();
    for number in 1..=times {
        market.sells(BETWEEN).await;
        let before = outages();
        server.kill();
        // It is down until that was noticed; and now and then for longer than a checkout may take.
        while outages() < before + 3 {
            assert!(began.elapsed() < 10 * PATIENCE, "nobody asks for anything");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if number % 5 == 0 {
            tokio::time::sleep(TIMEOUT + Duration::from_millis(300)).await;
        }
        server.restart();
    }
    market.sells(BETWEEN).await;
    let selling = began.elapsed();
    let tally = tally(&market.close(&server, dir.path()).await);
    let (unavailable, ambiguous) = (store.unavailable(), store.ambiguous());
    eprintln!(
        "{times} restarts in {selling:?}: {unavailable} calls unavailable, {ambiguous} ambiguous; {tally:?}"
    );
    assert!(tally["bought"] >= u32::try_from(BETWEEN).unwrap() * times);
    assert!(ambiguous >= u64::from(times) / 2, "only {ambiguous} answers were lost");
    if times >= 5 {
        assert!(tally.get("failed") > Some(&0), "no checkout was struck by the long outages: {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_02_redis_is_killed_and_restarted_ten_times() {
    killed_and_restarted(10, AppendFsync::Always).await;
}

/// With `everysec` a *machine* that dies can lose a second; a server that is killed has given its writes to the system.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_restarted_with_everysec() {
    killed_and_restarted(2, AppendFsync::EverySec).await;
}

/// Scripts are the server's cache, and may go at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_flushed_under_load() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let market = Market::open(&server, dir.path()).await;
    for _ in 0..10 {
        market.sells(BETWEEN).await;
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
    }
    market.sells(BETWEEN).await;
    let tally = tally(&market.close(&server, dir.path()).await);
    eprintln!("10 times without scripts: {tally:?}");
    assert!(tally["bought"] >= 100);
    let failed = ["failed", "doubt"].iter().filter_map(|kind| tally.get(kind)).sum::<u32>();
    // On a slow machine some exceed their deadline; not those that were under way at a flush.
    assert!(failed * 10 < tally["bought"], "{tally:?}");
}
