//! Everything at once, by chance: a store with faults, participants that fail before and after their effect, instances of
//! two generations that come and go, callers that hang up, operators. In the end all is settled, and every branch had the
//! effects of its transaction's outcome, each once.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tcc_core::protocol::{BranchKey, Phase, Status, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{FaultStore, Faults, Rates};
use tcc_core::{
    ActionType, Backoff, Branch, Coordinator, Filter, Handler, Registry, Service, SettleError, Settled,
    TransactionError, Tried, TryFailure, Tx, refuse,
};

use crate::rig::{Error, settled};

/// Known to every instance.
struct Hold;
impl ActionType for Hold {
    const NAME: &'static str = "ledger.hold";
    type Request = ();
    type Output = ();
    type Error = String;
}

/// Known to those of the second generation.
struct Wrap;
impl ActionType for Wrap {
    const NAME: &'static str = "gift.wrap";
    type Request = ();
    type Output = ();
    type Error = String;
}

/// What the fence knows of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Tried,
    Confirmed,
    Cancelled,
    Refused(Phase),
}

enum Said {
    Done,
    Refused,
    TooLate,
}

/// The participants' data behind their fence, for all instances.
struct World {
    random: Mutex<fastrand::Rng>,
    rows: Mutex<HashMap<BranchKey, Row>>,
    effects: Mutex<HashMap<BranchKey, Vec<Phase>>>,
    /// What must never be asked.
    wrong: Mutex<Vec<String>>,
    /// Whether participants fail.
    stormy: AtomicBool,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            rows: Mutex::default(),
            effects: Mutex::default(),
            wrong: Mutex::default(),
            stormy: AtomicBool::new(true),
        })
    }

    /// Once in so many times.
    fn once_in(&self, times: u32) -> bool {
        self.random.lock().unwrap().u32(..times) == 0
    }

    fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.random.lock().unwrap().u64(..=most))
    }

    fn below(&self, most: usize) -> usize {
        self.random.lock().unwrap().usize(..most)
    }

    async fn asked(&self, cx: &Branch) -> Result<Said, std::io::Error> {
        let stormy = self.stormy.load(Ordering::SeqCst);
        tokio::time::sleep(self.millis(50)).await;
        if stormy && self.once_in(8) {
            return Err(std::io::Error::other("before its effect"));
        }
        let said = self.fenced(cx, stormy && self.once_in(if cx.phase() == Phase::Try { 12 } else { 60 }));
        if stormy && self.once_in(30) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.millis(50)).await;
        assert!(!stormy || !self.once_in(30), "a panic after its effect");
        if stormy && self.once_in(8) {
            return Err(std::io::Error::other("after its effect"));
        }
        Ok(said)
    }

    /// The fence's table; `refuses` is what the body would do.
    fn fenced(&self, cx: &Branch, refuses: bool) -> Said {
        use Phase::{Cancel, Confirm, Try};
        let (key, phase) = (cx.key(), cx.phase());
        let mut rows = self.rows.lock().unwrap();
        let (next, said) = match (phase, rows.get(&key).copied()) {
            (Try, None) => (Some(Row::Tried), Said::Done),
            (Try, Some(Row::Tried | Row::Confirmed)) => (None, Said::Done),
            (Try, Some(Row::Refused(Try))) => (None, Said::Refused),
            (Try, Some(_)) => (None, Said::TooLate),
            (Confirm, Some(Row::Tried)) => (Some(Row::Confirmed), Said::Done),
            (Cancel, Some(Row::Tried)) => (Some(Row::Cancelled), Said::Done),
            (Confirm, Some(Row::Confirmed)) | (Cancel, Some(Row::Cancelled)) => (None, Said::Done),
            (Confirm | Cancel, Some(Row::Refused(Confirm | Cancel))) => (None, Said::Refused),
            (Cancel, None | Some(Row::Refused(Try))) => {
                rows.insert(key, Row::Cancelled);
                return Said::Done;
            }
            (Confirm, row) | (Cancel, row @ Some(Row::Confirmed)) => {
                self.wrong.lock().unwrap().push(format!("{phase} of {key}, which is {row:?}"));
                (None, Said::Refused)
            }
        };
        match next {
            Some(_) if refuses => {
                rows.insert(key, Row::Refused(phase));
                Said::Refused
            }
            Some(row) => {
                rows.insert(key, row);
                self.effects.lock().unwrap().entry(key).or_default().push(phase);
                said
            }
            None => said,
        }
    }

    fn effects_of(&self, tx: TxId) -> Vec<(u16, Vec<Phase>)> {
        let effects = self.effects.lock().unwrap();
        let of_tx = effects.iter().filter(|(key, _)| key.tx == tx);
        of_tx.map(|(key, phases)| (key.branch.number(), phases.clone())).collect()
    }
}

struct Shop {
    generation: u8,
    world: Arc<World>,
}

impl<A: ActionType<Request = (), Output = (), Error = String>> Handler<A> for Shop {
    async fn r#try(&self, cx: &Branch, (): ()) -> Tried<(), String> {
        match self.world.asked(cx).await? {
            Said::Done => Ok(()),
            Said::Refused => refuse("no".into()),
            Said::TooLate => Err(TryFailure::TooLate),
        }
    }
    async fn confirm(&self, cx: &Branch, (): (), (): ()) -> Settled {
        settle(self.world.asked(cx).await?)
    }
    async fn cancel(&self, cx: &Branch, (): (), _: Option<()>) -> Settled {
        settle(self.world.asked(cx).await?)
    }
}

fn settle(said: Said) -> Settled {
    match said {
        Said::Done => Ok(()),
        Said::Refused | Said::TooLate => Err(SettleError::refuse("never")),
    }
}

impl Service for Shop {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Hold, _>(self.clone());
        if self.generation == 2 {
            registry.add::<Wrap, _>(self);
        }
    }
}

/// An instance, and the faults of its way to the store.
async fn start(world: &Arc<World>, store: &Arc<MemoryStore>, generation: u8) -> (Coordinator, Faults) {
    for _ in 0..100 {
        let seed = world.random.lock().unwrap().u64(..);
        let faulty = FaultStore::random(store.clone(), seed, Rates::STORMY);
        let faults = faulty.faults();
        let started = Coordinator::builder("test", faulty)
            .register(Shop { generation, world: world.clone() })
            .backoff(Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(3) })
            .lease(Duration::from_secs(2))
            .call_timeout(Duration::from_secs(1))
            .store_timeout(Duration::from_secs(1))
            .timeout(Duration::from_secs(5))
            .retention(Duration::from_secs(30 * 24 * 3600))
            .alert_after(4)
            .start()
            .await;
        if let Ok(tcc) = started {
            return (tcc, faults);
        }
    }
    panic!("it does not start a hundred times");
}

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Confirmed,
    NotConfirmed,
    Nothing,
}

/// One transaction: which of its branches were acknowledged to its body, and what its caller was told.
type Ran = (TxId, HashSet<u16>, Told);

async fn run(world: Arc<World>, tcc: Coordinator, knows_all: bool) -> Option<Ran> {
    let seen = Mutex::new((None, HashSet::new()));
    let body = async |tx: &Tx| {
        seen.lock().unwrap().0 = Some(tx.id());
        for number in 0..=world.below(3) as u16 {
            let answer = if knows_all && world.once_in(2) {
                tx.call::<Wrap>(()).await
            } else {
                tx.call::<Hold>(()).await
            };
            match answer {
                Ok(()) => drop(seen.lock().unwrap().1.insert(number)),
                // A body may survive that.
                Err(_) if world.once_in(2) => {}
                Err(error) => return Err(Error::from(error)),
            }
        }
        if world.once_in(6) { Err(Error::Own) } else { Ok(()) }
    };
    let patience = if world.once_in(8) { world.millis(400) } else { Duration::from_secs(600) };
    let told = match tokio::time::timeout(patience, tcc.run("pay", body)).await {
        Ok(Ok(())) => Told::Confirmed,
        Ok(Err(Error::Own | Error::Branch(_))) => Told::NotConfirmed,
        Ok(Err(Error::Transaction(TransactionError::InDoubt { .. }))) | Err(_) => Told::Nothing,
        Ok(Err(Error::Transaction(_))) => Told::NotConfirmed,
    };
    let (id, acknowledged) = seen.into_inner().unwrap();
    id.map(|id| (id, acknowledged, told))
}

async fn storm(seed: u64) {
    let (world, store) = (World::new(seed), Arc::new(MemoryStore::new()));
    let mut instances = Vec::new();
    for generation in [2, 2, 1] {
        let (tcc, faults) = start(&world, &store, generation).await;
        instances.push((tcc, faults, generation));
    }
    let mut runs = tokio::task::JoinSet::new();
    // Which an operator has touched: what is refused in a participant's stead may have its effect or not.
    let mut touched = HashSet::new();
    for _ in 0..120 {
        tokio::time::sleep(world.millis(400)).await;
        let which = world.below(instances.len());
        let (tcc, _, generation) = &instances[which];
        runs.spawn(run(world.clone(), tcc.clone(), *generation == 2));
        match world.below(12) {
            0 => {
                let (tcc, faults, generation) = instances.swap_remove(which);
                drop(faults);
                tokio::spawn(async move { tcc.shutdown().await });
                let (tcc, faults) = start(&world, &store, generation).await;
                instances.push((tcc, faults, generation));
            }
            1 => drop(tcc.operator().retry_all_now(&Filter::new()).await),
            2 => {
                let page = tcc.operator().list(&Filter::new().failed_attempts(2), None, 5).await;
                for item in page.map(|page| page.items).unwrap_or_default() {
                    let branch = item.record.branches()[world.below(item.record.branches().len())].id;
                    touched.insert(item.id);
                    let _ = tcc.operator().refuse(item.id, branch, "ada", "by chance").await;
                }
            }
            3 => {
                let page = tcc.operator().list(&Filter::new().status(Status::Trying), None, 2).await;
                for item in page.map(|page| page.items).unwrap_or_default() {
                    let _ = tcc.operator().cancel(item.id, "ada", "by chance").await;
                }
            }
            _ => {}
        }
    }
    let mut ran = Vec::new();
    while let Some(run) = runs.join_next().await {
        ran.extend(run.unwrap());
    }
    world.stormy.store(false, Ordering::SeqCst);
    instances.iter().for_each(|(_, faults, _)| faults.clear());
    let (mut confirmed, mut cancelled) = (0, 0);
    for (id, acknowledged, told) in ran {
        let asked = instances.iter().find(|(_, _, generation)| *generation == 2).unwrap();
        let status = settled(&asked.0, id).await;
        let effects = world.effects_of(id);
        let say = || format!("seed {seed}: {id} is {status:?}, told {told:?}, {acknowledged:?}: {effects:?}");
        for (_, phases) in &effects {
            let once = [&[Phase::Try][..], &[Phase::Try, Phase::Confirm], &[Phase::Try, Phase::Cancel]];
            assert!(once.contains(&&phases[..]), "{}", say());
        }
        match status {
            // It never had a branch.
            None => {
                assert!(effects.is_empty() && told != Told::Confirmed || acknowledged.is_empty(), "{}", say())
            }
            Some(Status::Confirmed) => {
                confirmed += 1;
                assert!(told != Told::NotConfirmed, "{}", say());
                for (number, phases) in &effects {
                    let wanted = if acknowledged.contains(number) { Phase::Confirm } else { Phase::Cancel };
                    assert_eq!(phases.get(1), Some(&wanted), "{}", say());
                }
            }
            Some(Status::Cancelled) => {
                cancelled += 1;
                assert!(told != Told::Confirmed, "{}", say());
                assert!(effects.iter().all(|(_, phases)| phases[1..] == [Phase::Cancel]), "{}", say());
            }
            Some(Status::Heuristic) => {
                let refused = world.rows.lock().unwrap().iter().any(|(key, row)| {
                    key.tx == id && matches!(row, Row::Refused(Phase::Confirm | Phase::Cancel))
                });
                assert!(refused || touched.contains(&id), "{}", say());
            }
            Some(Status::Trying | Status::Confirming | Status::Cancelling) => panic!("{}", say()),
        }
    }
    let wrong = world.wrong.lock().unwrap().clone();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    assert!(confirmed > 10 && cancelled > 10, "seed {seed}: the weather was too bad to tell anything");
    for (tcc, ..) in instances {
        tcc.shutdown().await;
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads of the failure wants to repeat it")]
fn tell(seed: u64) {
    eprintln!("it was the storm of seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn in_any_storm_all_is_settled_and_has_its_effect_once() {
    for seed in 0..12 {
        if let Err(panic) = AssertUnwindSafe(storm(seed)).catch_unwind().await {
            tell(seed);
            std::panic::resume_unwind(panic);
        }
    }
}
