//! Deploys: two generations of one program run together, and are killed and replaced.
//!
//! Each process is one of `bin/generation`, for real. What a process does not know it leaves to one that does: nothing is
//! guessed, lost or refused, nobody spins, and its own work goes on. (How little the waiting costs, and how soon it ends, is
//! held exactly on paused time, in `tcc-core/tests/coordinator/deploys.rs`.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tcc_core::protocol::{BranchState, Group, Record, Status, TxId, fold};
use tcc_core::store::{Query, Select, StatusStore};
use tcc_test_servers::RedisServer;
use tcc_tests::child::Shopper as Process;
use tcc_tests::generations::{Audit, CAP, GROUP, Generation, LEASE};
use tcc_tests::load::Place;
use tcc_tests::seed;

const PROGRAM: &str = env!("CARGO_BIN_EXE_generation");
/// Whatever is waited for comes within this, on a machine that is busy with other tests.
const WITHIN: Duration = Duration::from_secs(60);
/// How many transactions a killed process leaves.
const LEFT: usize = 3;

fn start(place: &Place, dir: &Path, generation: Generation, work: &[&str]) -> Process {
    let place = place.to_string();
    let arguments = [&[&*place, dir.to_str().unwrap(), generation.name()], work].concat();
    let process = Process::start_with(PROGRAM, &arguments);
    assert_eq!(process.line().as_deref(), Some("ready"));
    process
}

fn group() -> Group {
    Group::new(GROUP).unwrap()
}

fn on_real_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Asks again and again until it is so.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What a log says, and how many entries it ever had.
async fn look(store: &dyn StatusStore, id: TxId) -> (Record, u32) {
    let log = store.read(&group(), id).await.unwrap().expect("nothing is lost");
    (fold(&log).unwrap(), log.position().entries)
}

async fn unfinished(store: &dyn StatusStore) -> Vec<(TxId, Record)> {
    let query = Query { group: group(), select: Select::Unfinished, cursor: None, limit: 200 };
    let page = store.list(&query).await.unwrap();
    assert!(page.unreadable.is_empty(), "{:?}", page.unreadable);
    page.items.into_iter().map(|item| (item.id, fold(&item.log).unwrap())).collect()
}

/// One generation decides and is killed; another finds what it does not know; then one comes that does.
struct Case {
    leaves: Generation,
    finds: Generation,
    /// `action version` of what the finder does not know.
    unknown: &'static [&'static str],
    knows: Generation,
}

/// What the first deploys have to bear: the new generation's work in the hands of the old.
const NEWER: Case = Case {
    leaves: Generation::Two,
    finds: Generation::One,
    unknown: &["gift.wrap 1", "inventory.reserve 2"],
    knows: Generation::Two,
};

/// A version was removed while it was still needed.
const TOO_EARLY: Case = Case {
    leaves: Generation::One,
    finds: Generation::TooEarly,
    unknown: &["inventory.reserve 1"],
    knows: Generation::One,
};

impl Case {
    fn run(&self, place: &Place, dir: &Path) {
        on_real_time(async {
            let store = place.open().await.unwrap();
            let left = self.leave(place, dir).await;
            let finder = start(place, dir, self.finds, &["sells"]);
            self.rest_is_settled(&*store, &left).await;
            self.nobody_spins(&*store, &left, &finder).await;

            // One that knows comes, while the other still runs: settled when it is due next.
            let knows = start(place, dir, self.knows, &["serves"]);
            let came = Instant::now();
            until("settled by one that knows", async || {
                for id in &left {
                    let (record, _) = look(&*store, *id).await;
                    assert_ne!(record.status(), Status::Heuristic, "nothing is refused");
                    if record.status() != Status::Confirmed {
                        return None;
                    }
                }
                Some(())
            })
            .await;
            // Two leases is the longest that it may be put back; the rest is a busy machine's.
            let bound = (2 * LEASE).max(CAP) + Duration::from_secs(10);
            assert!(came.elapsed() < bound, "settled after {:?}", came.elapsed());

            let asked = knows.end();
            for action in self.unknown {
                for id in &left {
                    let line = format!("asked confirm {action} {id}");
                    assert_eq!(asked.iter().filter(|said| **said == line).count(), 1, "{line}: {asked:?}");
                }
            }
            assert_eq!(finder.end().last().map(String::as_str), Some("ended"));
            until("finished", async || (store.stats(&group()).await.unwrap().unfinished == 0).then_some(()))
                .await;
            assert_eq!(store.stats(&group()).await.unwrap().kept, 0);
            let audit = Audit::of(dir, &*store).await.unwrap();
            assert!(audit.confirmed > LEFT as u64 + 5 && audit.cancelled > 0, "{audit:?}");
        });
    }

    /// Transactions that are decided and of which no branch is settled, by a process that is dead.
    async fn leave(&self, place: &Place, dir: &Path) -> Vec<TxId> {
        let process = start(place, dir, self.leaves, &["leaves", &LEFT.to_string()]);
        let (branches, mut asked) = (if self.leaves == Generation::Two { 4 } else { 2 }, Vec::new());
        while asked.len() < LEFT * branches {
            let line = process.line().expect("it runs until it is killed");
            if let Some(call) = line.strip_prefix("asked confirm ") {
                asked.push(call.rsplit_once(' ').unwrap().1.parse::<TxId>().unwrap());
            }
        }
        process.kill();
        let left: BTreeSet<TxId> = asked.into_iter().collect();
        assert_eq!(left.len(), LEFT);
        let store = place.open().await.unwrap();
        for id in &left {
            let (record, _) = look(&*store, *id).await;
            assert_eq!(record.status(), Status::Confirming);
            assert!(record.branches().iter().all(|branch| branch.state == BranchState::Acknowledged));
        }
        left.into_iter().collect()
    }

    fn is_unknown(&self, branch: &tcc_core::protocol::BranchRecord) -> bool {
        self.unknown.contains(&&*format!("{} {}", branch.action, branch.version))
    }

    /// The finder settles what it knows; the rest names what is missing.
    async fn rest_is_settled(&self, store: &dyn StatusStore, left: &[TxId]) {
        for id in left {
            let record = until("the branches that are known are settled", async || {
                let (record, _) = look(store, *id).await;
                let settled = |b: &tcc_core::protocol::BranchRecord| {
                    if self.is_unknown(b) { b.attempts > 0 } else { b.state == BranchState::Confirmed }
                };
                record.branches().iter().all(settled).then_some(record)
            })
            .await;
            assert_eq!(record.status(), Status::Confirming);
            let unknown: Vec<_> = record.branches().iter().filter(|branch| self.is_unknown(branch)).collect();
            assert_eq!(unknown.len(), self.unknown.len());
            for branch in unknown {
                assert_eq!(branch.state, BranchState::Acknowledged, "nothing is guessed");
                let error = branch.last_error.as_deref().unwrap();
                let names = format!("{} version {} is unknown here: deploy", branch.action, branch.version);
                assert!(error.starts_with(&names), "{error}");
            }
        }
    }

    /// The finder looks at what it does not know at most once a lease, says what it is, and its customers go on buying.
    async fn nobody_spins(&self, store: &dyn StatusStore, left: &[TxId], finder: &Process) {
        let began = Instant::now();
        let mut before = Vec::new();
        for id in left {
            before.push(look(store, *id).await.1);
        }
        let (mut bought, mut unknown) = (0, BTreeMap::new());
        let mut listen = || {
            while let Some(line) = finder.said() {
                bought += u64::from(line.starts_with("bought "));
                if let Some(said) = line.strip_prefix("unknown ") {
                    let [action, version, transactions, times] = said.split(' ').collect::<Vec<_>>()[..]
                    else {
                        panic!("{line}")
                    };
                    let counts: (u64, u64) = (transactions.parse().unwrap(), times.parse().unwrap());
                    unknown.insert(format!("{action} {version}"), counts);
                }
            }
            bought
        };
        let enough = async || {
            let mut least = u32::MAX;
            for (id, before) in left.iter().zip(&before) {
                least = least.min(look(store, *id).await.1 - before);
            }
            let bought = listen();
            (least >= 8 && bought >= 20).then_some(bought)
        };
        until("looked at four times more, and twenty bought meanwhile", enough).await;
        for (id, before) in left.iter().zip(before) {
            let grown = look(store, *id).await.1 - before;
            // A claim and a failure each time, and a lease at least between two times.
            let most = 2 * (began.elapsed().as_millis() / LEASE.as_millis()) as u32 + 4;
            assert!(grown <= most, "{id}: {grown} entries in {:?}", began.elapsed());
        }
        assert_eq!(unknown.keys().map(String::as_str).collect::<Vec<_>>(), self.unknown, "named");
        for (action, (transactions, times)) in unknown {
            assert_eq!(transactions, LEFT as u64, "{action}");
            assert!(times >= 3 * LEFT as u64, "{action}: {times} times");
        }
    }
}

#[test]
fn peers_23_the_new_generations_work_waits_for_it_on_redis() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    NEWER.run(&Place::Redis { url: server.url(), namespace: "newer".into() }, dir.path());
}

#[test]
fn peers_23_the_new_generations_work_waits_for_it_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    NEWER.run(&sqlite(dir.path()), dir.path());
}

#[test]
fn peers_23_what_was_removed_too_early_waits_until_it_is_back_on_redis() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    TOO_EARLY.run(&Place::Redis { url: server.url(), namespace: "early".into() }, dir.path());
}

#[test]
fn peers_23_what_was_removed_too_early_waits_until_it_is_back_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    TOO_EARLY.run(&sqlite(dir.path()), dir.path());
}

fn sqlite(dir: &Path) -> Place {
    Place::Sqlite { path: dir.join("log.db").to_str().unwrap().to_owned() }
}

/// Two processes sell; again and again one of them is replaced by one of the other generation, told to end or killed.
fn roll(place: &Place, dir: &Path, rounds: u64) {
    let seed = seed::of_this_run();
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    let mut bought: Vec<TxId> = Vec::new();
    let mut unknown: u64 = 0;
    let mut hear = |line: &str| {
        *said.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
        if let Some(id) = line.strip_prefix("bought ") {
            // A line that was cut by a kill was heard by nobody.
            bought.extend(id.parse::<TxId>());
        }
    };
    let mut running = [
        (Generation::One, start(place, dir, Generation::One, &["sells"])),
        (Generation::Two, start(place, dir, Generation::Two, &["sells"])),
    ];
    let (mut ended, mut killed, mut struck) = (0, 0, 0);
    for round in 0..rounds {
        let mut random = seed::round(seed, round);
        // Somewhere in its work: after so many lines of it.
        let (generation, process) = &running[(round % 2) as usize];
        let next = if *generation == Generation::One { Generation::Two } else { Generation::One };
        for _ in 0..random.u32(20..120) {
            hear(&process.line().expect("it sells until it is replaced"));
        }
        let replacement = start(place, dir, next, &["sells"]);
        let (_, old) = std::mem::replace(&mut running[(round % 2) as usize], (next, replacement));
        // In turn, so that each generation meets both.
        let rest = if round % 4 < 2 {
            ended += 1;
            old.end()
        } else {
            killed += 1;
            let rest = old.kill();
            struck += on_real_time(async {
                u64::from(!unfinished(&*place.open().await.unwrap()).await.is_empty())
            });
            rest
        };
        rest.iter().for_each(|line| hear(line));
    }
    // The last of the second generation die with their work: the first finds it, alone.
    for (_, process) in running {
        process.kill().iter().for_each(|line| hear(line));
        killed += 1;
    }
    let left = start(place, dir, Generation::Two, &["leaves", "2"]);
    let mut asked = 0;
    while asked < 8 {
        asked += u32::from(left.line().expect("it runs until it is killed").starts_with("asked confirm"));
    }
    left.kill();
    let one = start(place, dir, Generation::One, &["serves"]);
    while unknown < 3 {
        unknown += u64::from(one.line().expect("it serves").starts_with("unknown"));
    }
    let two = start(place, dir, Generation::Two, &["serves"]);
    on_real_time(async {
        let store: Arc<dyn StatusStore> = place.open().await.unwrap();
        let nothing_left = async || (store.stats(&group()).await.unwrap().unfinished == 0).then_some(());
        until("everything is finished", nothing_left).await;
        assert_eq!(store.stats(&group()).await.unwrap().kept, 0, "nothing was refused");
        for id in &bought {
            assert_eq!(
                look(&*store, *id).await.0.status(),
                Status::Confirmed,
                "{id}: what was bought stays so"
            );
        }
        let audit = Audit::of(dir, &*store).await.unwrap();
        let count = |what: &str| said.get(what).copied().unwrap_or_default();
        eprintln!("{ended} ended, {killed} killed ({struck} in the middle), said {said:?}, {audit:?}");
        // A run in which nothing happened does not pass.
        assert!(ended > 0 && killed > 2 && ended + killed == rounds + 2, "{ended} ended, {killed} killed");
        assert!(struck > 0, "no kill struck anything");
        assert!(count("bought") > 5 * rounds && count("regretted") > 0, "{said:?}");
        assert!(audit.confirmed >= bought.len() as u64 && audit.confirmed > 5 * rounds, "{audit:?}");
        assert!(audit.cancelled > 0 && audit.of_one_generation > 10 * rounds, "{audit:?}");
    });
    assert_eq!(one.end().last().map(String::as_str), Some("ended"));
    assert_eq!(two.end().last().map(String::as_str), Some("ended"));
}

#[test]
fn a_rolling_deploy_under_load_loses_nothing_on_redis() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    roll(&Place::Redis { url: server.url(), namespace: "rolling".into() }, dir.path(), 12);
}

#[test]
fn a_rolling_deploy_under_load_loses_nothing_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    roll(&sqlite(dir.path()), dir.path(), 8);
}
