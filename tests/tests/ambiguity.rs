//! Writes whose answer is lost, late or double, one by one and in random pairs: what a caller was told is never
//! reversed, each branch has one effect of phase two, and everything comes to an end.
//!
//! On a memory store and on paused time. Every log is watched by a [`Witness`](tcc_tests::witness::Witness), every call of a participant by the
//! [`Bank`](tcc_tests::bank::Bank), which reads the log before it takes a try.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tcc_core::protocol::{Change, Claim, Entry, Group, Op, Owner, Phase, Status, TxId};
use tcc_core::store::{Append, Due, Mode, Query, Select, StatusStore};
use tcc_core::testing::{Call, Fault, FaultKind, Rule, Until};
use tcc_core::{Coordinator, TransactionError, Tx};
use tcc_tests::bank::{Error, Manner, Move, State, Transfer};
use tcc_tests::seed;
use tcc_tests::world::{GROUP, LEASE, LONG, STORE_TIMEOUT, TIMEOUT, World, on_paused_time};

/// Which write is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Begin,
    Enlist,
    Decide,
    /// Progress of phase two, after a failed attempt.
    Settle,
    /// The renewal of a lease.
    Renew,
    Finish,
    /// The claim of another coordinator, after the first fell silent.
    Claim,
}

const PLACES: [Place; 7] =
    [Place::Begin, Place::Enlist, Place::Decide, Place::Settle, Place::Renew, Place::Finish, Place::Claim];

impl Place {
    fn rule(self, fault: Fault) -> Rule {
        let write = |kind| Rule::new(fault).on(Call::Append).when_change(kind);
        match self {
            Self::Begin => write("begin"),
            Self::Enlist => write("enlist"),
            Self::Decide => write("decide"),
            Self::Settle => write("settle"),
            Self::Renew => write("claim"),
            Self::Finish => write("snapshot"),
            Self::Claim => Rule::new(fault).on(Call::Claim),
        }
    }

    /// What makes such a write happen.
    fn manner(self) -> Manner {
        match self {
            Self::Settle => Manner::Fails(9),
            Self::Renew => Manner::Slow(Duration::from_secs(25)),
            Self::Begin | Self::Enlist | Self::Decide | Self::Finish | Self::Claim => Manner::Quick,
        }
    }
}

const FAULTS: [Fault; 9] = [
    Fault::Unavailable,
    Fault::AnswerLost,
    Fault::RequestLost,
    Fault::Lingers(Until::After(Duration::from_millis(300))),
    Fault::Lingers(Until::After(LONG)),
    // Until all is over.
    Fault::Lingers(Until::Released),
    Fault::Twice,
    Fault::DelayAfter(Duration::from_millis(1500)),
    // Given up after `STORE_TIMEOUT`.
    Fault::Hangs,
];

/// What the body does after its branches, or what is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Returns,
    Fails,
    /// Until the deadline, and past it.
    Hangs,
    /// The caller hangs up in the middle.
    Dropped,
}

const ENDS: [End; 4] = [End::Returns, End::Fails, End::Hangs, End::Dropped];

/// How the body calls its two branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Sequential,
    Together,
    /// In sequence, and it goes on without an answer from the second.
    Careless,
    /// In sequence, in a transaction with a key: it is begun before its body runs.
    Keyed,
    /// Not at all, in a transaction with a key.
    Empty,
}

const SHAPES: [Shape; 5] = [Shape::Sequential, Shape::Together, Shape::Careless, Shape::Keyed, Shape::Empty];

/// How long it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Often {
    /// The first such write; of claims, some of which find nothing, the first six.
    Once,
    /// Every such write until all should be over.
    Always,
    /// As `Always`, and whoever was struck can't read either.
    Blind,
}

const OFTEN: [Often; 3] = [Often::Once, Often::Always, Often::Blind];

/// A fault at a place.
#[derive(Debug, Clone, Copy)]
struct Strike {
    place: Place,
    fault: Fault,
    often: Often,
}

#[derive(Debug, Clone)]
struct Case {
    strikes: Vec<Strike>,
    end: End,
    shape: Shape,
}

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Ok,
    Own,
    TimedOut,
    Store,
    InDoubt,
    /// It hung up.
    Nothing,
}

/// What a case came to.
#[derive(Debug)]
struct Came {
    told: Told,
    end: Option<Status>,
    struck: u64,
}

async fn body(tx: &Tx, case: &Case) -> Result<(), Error> {
    let manner = case.strikes[0].place.manner();
    let (one, two) = (Move { cents: 1, manner }, Move { cents: 2, manner: Manner::Quick });
    match case.shape {
        Shape::Empty => {}
        Shape::Sequential | Shape::Keyed => {
            tx.call::<Transfer>(one).await?;
            tx.call::<Transfer>(two).await?;
        }
        Shape::Together => {
            tokio::try_join!(tx.call::<Transfer>(one), tx.call::<Transfer>(two))?;
        }
        Shape::Careless => {
            tx.call::<Transfer>(one).await?;
            let lost = tx.call::<Transfer>(Move { manner: Manner::Mute, ..two }).await;
            assert!(lost.is_err());
        }
    }
    match case.end {
        End::Returns => Ok(()),
        End::Fails => Err(Error::Own),
        End::Hangs | End::Dropped => std::future::pending().await,
    }
}

async fn play(case: &Case) -> Result<Came, String> {
    let world = World::start(STORE_TIMEOUT).await;
    for strike in &case.strikes {
        let rule = strike.place.rule(strike.fault);
        let rule = match strike.often {
            Often::Once if strike.place == Place::Claim => rule.times(6),
            Often::Once => rule,
            Often::Always | Often::Blind => rule.always(),
        };
        let struck = if strike.place == Place::Claim { &world.second_faults } else { &world.first_faults };
        struck.add(rule);
        if strike.often == Often::Blind {
            struck.add(Rule::new(Fault::Unavailable).on(Call::Read).always());
        }
        if strike.place == Place::Claim {
            // The first can write nothing of phase two: it is for the second to claim it.
            for kind in ["settle", "claim", "snapshot"] {
                let silent = Rule::new(Fault::Unavailable).on(Call::Append).when_change(kind);
                world.first_faults.add(silent.always());
            }
            world.first_faults.add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
        }
    }

    let seen = std::sync::Mutex::new(None::<TxId>);
    let work = async |tx: &Tx| {
        *seen.lock().unwrap() = Some(tx.id());
        body(tx, case).await
    };
    let run = async {
        let transaction = world.first.transaction("pay");
        match case.shape {
            Shape::Sequential | Shape::Together | Shape::Careless => transaction.run(work).await,
            Shape::Keyed | Shape::Empty => transaction.key("order-1").run(work).await,
        }
    };
    let told = match case.end {
        End::Dropped => tokio::time::timeout(Duration::from_secs(5), run).await.ok(),
        End::Returns | End::Fails | End::Hangs => Some(run.await),
    };
    let told = match told {
        None => Told::Nothing,
        Some(Ok(())) => Told::Ok,
        Some(Err(error)) => match error.transaction() {
            None => Told::Own,
            Some(TransactionError::TimedOut { .. }) => Told::TimedOut,
            Some(TransactionError::Store { .. }) => Told::Store,
            Some(TransactionError::InDoubt { .. }) => Told::InDoubt,
            Some(other) => return Err(format!("the caller was told {other:?}")),
        },
    };
    let seen = *seen.lock().unwrap();
    let id = match (seen, told) {
        (Some(id), _) => id,
        // Its key could not be written: the body never ran.
        (None, Told::Store | Told::TimedOut | Told::Nothing) => {
            let id = keyed_id().await?;
            if !world.bank.branches(id).is_empty() {
                return Err("a body ran whose key was not written".into());
            }
            id
        }
        (None, told) => return Err(format!("the body never ran, and the caller was told {told:?}")),
    };

    // The store recovers, and with it everything.
    tokio::time::sleep(LONG).await;
    let struck =
        [&world.first_faults, &world.second_faults].map(|faults| faults.struck_all().values().sum::<u64>());
    world.first_faults.clear();
    world.second_faults.clear();
    world.finished().await?;
    // And whatever was still under way arrives in the end.
    world.first_faults.release().await;
    world.second_faults.release().await;
    tokio::time::sleep(LONG).await;
    world.finished().await?;

    let end = world.second.outcome(id).await.map_err(|error| error.to_string())?;
    world.violations()?;
    judge(case, told, end, &world, id)?;
    world.first.shutdown().await;
    world.second.shutdown().await;
    Ok(Came { told, end, struck: struck.iter().sum() })
}

/// The id of the transaction with the key of this test: the same in every world.
async fn keyed_id() -> Result<TxId, String> {
    let elsewhere = World::start(STORE_TIMEOUT).await;
    let id = elsewhere
        .first
        .transaction("pay")
        .key("order-1")
        .run(async |tx: &Tx| Ok::<_, Error>(tx.id()))
        .await
        .map_err(|error| error.to_string())?;
    elsewhere.violations()?;
    Ok(id)
}

/// What must hold in the end.
fn judge(case: &Case, told: Told, end: Option<Status>, world: &World, id: TxId) -> Result<(), String> {
    let branches = world.bank.branches(id);
    let permitted: &[Option<Status>] = match told {
        Told::Ok => &[Some(Status::Confirmed)],
        Told::InDoubt => &[Some(Status::Confirmed), Some(Status::Cancelled)],
        // Never confirmed. `None`: nothing was ever written.
        Told::Own | Told::TimedOut | Told::Store | Told::Nothing => &[Some(Status::Cancelled), None],
    };
    if !permitted.contains(&end) {
        return Err(format!("the caller was told {told:?}, and in the end it is {end:?}"));
    }
    if end.is_none() && !branches.is_empty() {
        return Err(format!("there is no log, but {branches:?}"));
    }
    for (key, row) in &branches {
        let whole = match row.state {
            Some(State::Confirmed) => row.effects == [Phase::Try, Phase::Confirm],
            // Without the try's effect there was nothing to cancel, and no effect.
            Some(State::Cancelled) => row.effects == [Phase::Try, Phase::Cancel] || row.effects.is_empty(),
            Some(State::Tried) | None => false,
        };
        if !whole {
            return Err(format!("branch {key} is {row:?}"));
        }
    }
    let confirmed = branches.iter().filter(|(_, row)| row.state == Some(State::Confirmed)).count();
    let right = match end {
        Some(Status::Confirmed) => match case.shape {
            Shape::Empty => confirmed == 0,
            Shape::Careless => confirmed == 1,
            Shape::Sequential | Shape::Together | Shape::Keyed => confirmed == 2,
        },
        _ => confirmed == 0,
    };
    if !right {
        return Err(format!("it is {end:?}, and {confirmed} branches are confirmed: {branches:?}"));
    }
    Ok(())
}

/// A coordinator that is held up, or cut off, for longer than it may be: what it writes afterwards changes nothing.
mod zombies {
    use super::*;

    /// Longer than the zombie is held, so that it believes in its write until the end.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn log(world: &World, id: TxId) -> String {
        let log = world.logs.read(&Group::new(GROUP).unwrap(), id).await.unwrap().expect("there is a log");
        format!("{log:?}")
    }

    /// Begins a transaction at the first coordinator, in whose writes of a kind `held` is then set; says its id once that
    /// write is under way.
    async fn begin(
        world: &World,
        kind: &'static str,
        held: Duration,
        manner: Manner,
    ) -> (TxId, tokio::task::JoinHandle<Result<(), Error>>) {
        // Alone: what it has left it does not claim itself.
        world.first_faults.add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
        world.first_faults.add(Rule::new(Fault::DelayBefore(held)).on(Call::Append).when_change(kind));
        let (tcc, seen) = (world.first.clone(), Arc::new(std::sync::Mutex::new(None)));
        let sees = seen.clone();
        let run = tokio::spawn(async move {
            tcc.run("pay", async |tx: &Tx| {
                *sees.lock().unwrap() = Some(tx.id());
                tx.call::<Transfer>(Move { cents: 1, manner }).await?;
                tx.call::<Transfer>(Move { cents: 2, manner: Manner::Quick }).await?;
                Ok(())
            })
            .await
        });
        while world.first_faults.struck(FaultKind::DelayBefore) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let id = seen.lock().unwrap().expect("it has written");
        (id, run)
    }

    /// Lets the second one bring the transaction to its end, and then the zombie's write arrive.
    async fn outlived(world: &World, id: TxId, held: Duration, expected: Status) {
        let began = tokio::time::Instant::now();
        assert_eq!(world.second.settled(id).await.unwrap(), Some(expected));
        world.finished().await.unwrap();
        assert!(began.elapsed() < held, "the zombie's write came before the end");
        let (before, effects) = (log(world, id).await, world.bank.branches(id));
        tokio::time::sleep(held + LONG).await;
        assert_eq!(log(world, id).await, before, "the zombie changed the log");
        assert_eq!(
            world.bank.branches(id).into_iter().map(|(_, row)| row.effects).collect::<Vec<_>>(),
            effects.into_iter().map(|(_, row)| row.effects).collect::<Vec<_>>(),
            "the zombie had an effect"
        );
        assert_eq!(world.unfinished().await, 0);
        assert_eq!(world.violations(), Ok(()));
    }

    /// The zombie decides to confirm, and its decision arrives after another has cancelled.
    #[test]
    fn a_decision_held_past_the_deadline_changes_nothing() {
        on_paused_time(async {
            let world = World::start(PATIENCE).await;
            let held = Duration::from_secs(55);
            let (id, run) = begin(&world, "decide", held, Manner::Quick).await;
            outlived(&world, id, held, Status::Cancelled).await;
            let told = run.await.unwrap().unwrap_err();
            assert!(matches!(told.transaction(), Some(TransactionError::TimedOut { .. })), "{told:?}");
        });
    }

    /// Its enlist arrives after another has cancelled: the second try is never called.
    #[test]
    fn an_enlist_held_past_the_deadline_changes_nothing() {
        on_paused_time(async {
            let world = World::start(PATIENCE).await;
            let held = Duration::from_secs(55);
            let (id, run) = begin(&world, "enlist", held, Manner::Quick).await;
            outlived(&world, id, held, Status::Cancelled).await;
            assert!(run.await.unwrap().is_err());
            assert_eq!(world.bank.branches(id).len(), 1, "a try was called whose entry is not in the log");
        });
    }

    /// Another cancels, and a third uses the key again and confirms: that is not what the zombie had decided.
    #[test]
    fn a_decision_held_until_its_key_was_used_again_is_not_taken_for_the_other() {
        on_paused_time(async {
            let world = World::start(PATIENCE).await;
            world.first_faults.add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
            let held = Fault::DelayBefore(Duration::from_secs(55));
            world.first_faults.add(Rule::new(held).on(Call::Append).when_change("decide"));
            let order = async |tcc: Coordinator, receipt: &'static str| {
                let transaction = tcc.transaction("pay").key("order-1").reuse_after_cancel();
                let work = async |tx: &Tx| {
                    tx.call::<Transfer>(Move { cents: 1, manner: Manner::Quick }).await?;
                    Ok::<_, Error>(receipt.to_owned())
                };
                transaction.run(work).await
            };
            let zombie = tokio::spawn(order(world.first.clone(), "the first"));
            tokio::time::sleep(TIMEOUT + LEASE).await;
            assert_eq!(world.logs.stats(&Group::new(GROUP).unwrap()).await.unwrap().unfinished, 0);
            // (The bank's fence knows the branch as cancelled: a try of the same branch is too late there.)
            let body = async |_: &Tx| Ok::<_, Error>("the second".to_owned());
            let again = world.second.transaction("pay").key("order-1").reuse_after_cancel().run(body).await;
            assert_eq!(again.unwrap(), "the second");
            let told = zombie.await.unwrap().unwrap_err();
            assert!(matches!(told.transaction(), Some(TransactionError::TimedOut { .. })), "{told:?}");
        });
    }

    /// Its lease runs out while its progress is held: another confirms.
    #[test]
    fn progress_held_past_the_lease_changes_nothing() {
        on_paused_time(async {
            let world = World::start(PATIENCE).await;
            let held = Duration::from_secs(50);
            let (id, run) = begin(&world, "settle", held, Manner::Fails(7)).await;
            outlived(&world, id, held, Status::Confirmed).await;
            run.await.unwrap().unwrap();
        });
    }

    /// So does the renewal of its lease.
    #[test]
    fn a_renewal_held_past_the_lease_changes_nothing() {
        on_paused_time(async {
            let world = World::start(PATIENCE).await;
            let held = Duration::from_secs(50);
            // The renewal writes that the second branch is confirmed.
            let (id, run) = begin(&world, "settle", held, Manner::Slow(Duration::from_secs(8))).await;
            outlived(&world, id, held, Status::Confirmed).await;
            run.await.unwrap().unwrap();
        });
    }

    /// Another claims what it is settling, by whatever chance; it finds out at its next write, and writes no more.
    #[test]
    fn who_was_claimed_from_writes_nothing_more() {
        on_paused_time(async {
            let world = World::start(PATIENCE).await;
            world.first_faults.add(Rule::new(Fault::Unavailable).on(Call::Claim).always());
            let (tcc, manner) = (world.first.clone(), Manner::Slow(Duration::from_secs(8)));
            let run = tokio::spawn(async move {
                tcc.run("pay", async |tx: &Tx| {
                    tx.call::<Transfer>(Move { cents: 1, manner }).await?;
                    Ok::<_, Error>(tx.id())
                })
                .await
            });
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (group, change) =
                (Group::new(GROUP).unwrap(), Change::Claim(Claim { by: Owner::from_u64(1) }));
            let page = Query { group: group.clone(), select: Select::Unfinished, cursor: None, limit: 1 };
            let listed = world.logs.list(&page).await.unwrap().items.remove(0);
            let claim = Append {
                group,
                id: listed.id,
                after: listed.log.position(),
                entry: Entry::new(Op::from_u64(1), change.encode()).unwrap(),
                due: Due::In(3 * LEASE),
                mode: Mode::Extend,
            };
            world.logs.append(&claim).await.unwrap();

            let claimed = log(&world, listed.id).await;
            tokio::time::sleep(2 * LEASE).await;
            assert_eq!(log(&world, listed.id).await, claimed, "it wrote what was no longer its own");
            world.finished().await.unwrap();
            assert_eq!(
                world.second.outcome(run.await.unwrap().unwrap()).await.unwrap(),
                Some(Status::Confirmed)
            );
            assert_eq!(world.violations(), Ok(()));
        });
    }

    /// Its tombstone arrives after another has settled and finished: nothing happens twice.
    #[test]
    fn a_tombstone_held_past_the_lease_changes_nothing() {
        on_paused_time(async {
            let world = World::start(PATIENCE).await;
            let held = Duration::from_secs(50);
            let (id, run) = begin(&world, "snapshot", held, Manner::Quick).await;
            outlived(&world, id, held, Status::Confirmed).await;
            run.await.unwrap().unwrap();
        });
    }
}

fn play_all(cases: impl IntoIterator<Item = Case>) -> Vec<(Case, Came)> {
    let (mut played, mut failed) = (Vec::new(), Vec::new());
    for case in cases {
        match on_paused_time(play(&case)) {
            Ok(came) => played.push((case, came)),
            Err(why) => failed.push(format!("{case:?}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
    played
}

/// How often callers were told what.
fn tally(played: &[(Case, Came)]) -> BTreeMap<(Told, Option<String>), u32> {
    let mut tally = BTreeMap::new();
    for (_, came) in played {
        *tally.entry((came.told, came.end.map(|end| end.to_string()))).or_default() += 1;
    }
    eprintln!("{} cases: {tally:?}", played.len());
    tally
}

#[test]
fn every_write_meets_every_fault() {
    let cases = PLACES.into_iter().flat_map(|place| {
        FAULTS.into_iter().flat_map(move |fault| {
            ENDS.into_iter().flat_map(move |end| {
                SHAPES.into_iter().flat_map(move |shape| {
                    OFTEN.map(|often| Case { strikes: vec![Strike { place, fault, often }], end, shape })
                })
            })
        })
    });
    let played = play_all(cases);
    let tally = tally(&played);

    // What strikes once fails nobody: the write is repeated until it is certain.
    for (case, came) in &played {
        let strike = case.strikes[0];
        let expected = match case.end {
            End::Returns => Told::Ok,
            End::Fails => Told::Own,
            End::Hangs => Told::TimedOut,
            End::Dropped => Told::Nothing,
        };
        assert!(strike.often != Often::Once || came.told == expected, "{case:?}: {came:?}");
    }
    // It was no shadow boxing: every place met every fault, and callers heard everything that can be heard.
    let met: BTreeSet<_> = played
        .iter()
        .filter(|(_, came)| came.struck > 0)
        .map(|(case, _)| (case.strikes[0].place, format!("{:?}", case.strikes[0].fault)))
        .collect();
    assert_eq!(met.len(), PLACES.len() * FAULTS.len(), "{met:?}");
    let confirmed = || Some(Status::Confirmed.to_string());
    let cancelled = || Some(Status::Cancelled.to_string());
    for (told, end) in [
        (Told::Ok, confirmed()),
        (Told::Own, cancelled()),
        (Told::TimedOut, cancelled()),
        (Told::Store, cancelled()),
        (Told::Store, None),
        (Told::InDoubt, confirmed()),
        (Told::InDoubt, cancelled()),
        (Told::Nothing, cancelled()),
    ] {
        assert!(tally.contains_key(&(told, end.clone())), "nobody was told {told:?} of what was {end:?}");
    }
}

#[test]
fn two_faults_by_chance() {
    let seed = seed::of_this_run();
    let cases = (0..600).map(|round| {
        let mut random = seed::round(seed, round);
        let mut strike = || Strike {
            place: PLACES[random.usize(..PLACES.len())],
            fault: FAULTS[random.usize(..FAULTS.len())],
            often: OFTEN[random.usize(..OFTEN.len())],
        };
        let strikes = vec![strike(), strike()];
        Case { strikes, end: ENDS[random.usize(..ENDS.len())], shape: SHAPES[random.usize(..SHAPES.len())] }
    });
    let played = play_all(cases);
    let tally = tally(&played);
    assert!(tally.len() >= 6, "too little happened");
}
