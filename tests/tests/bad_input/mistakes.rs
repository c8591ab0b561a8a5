//! The mistakes that a new user makes, with the program of README.md in mind: what she sees.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{BranchState, Status, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::{
    Branch, BranchError, Builder, Coordinator, SettleError, Settled, StartError, TransactionError, Tried, Tx,
    participant, refuse,
};

use crate::said::{said, told};

/// What the stock does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Does {
    Work,
    RefuseConfirm,
    PanicInTry,
    FailInTry,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("apple is out of stock")]
struct OutOfStock;

struct Inventory;

#[participant("inventory")]
impl Inventory {
    #[action(confirm = ship, cancel = release)]
    async fn reserve(&self, _cx: &Branch, does: Does) -> Tried<i64, OutOfStock> {
        match does {
            Does::Work | Does::RefuseConfirm => Ok(1),
            Does::PanicInTry => panic!("index out of bounds"),
            Does::FailInTry => Err(OutOfStock.into()),
        }
    }

    async fn ship(&self, _cx: &Branch, does: Does, _quantity: i64) -> Settled {
        if does == Does::RefuseConfirm {
            return Err(SettleError::refuse("the lorry is full"));
        }
        Ok(())
    }

    async fn release(&self, _cx: &Branch, _does: Does, _quantity: Option<i64>) -> Settled {
        Ok(())
    }

    #[action(confirm = post, cancel = keep)]
    async fn pack(&self, _cx: &Branch, _does: Does) -> Tried<(), OutOfStock> {
        refuse(OutOfStock)
    }

    async fn post(&self, _cx: &Branch, _does: Does, (): ()) -> Settled {
        Ok(())
    }

    async fn keep(&self, _cx: &Branch, _does: Does, _output: Option<()>) -> Settled {
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum CheckoutError {
    #[error(transparent)]
    Stock(#[from] BranchError<OutOfStock>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

fn builder() -> Builder {
    Coordinator::builder("shop", MemoryStore::new())
}

async fn start() -> Coordinator {
    builder().register(Inventory).start().await.unwrap()
}

async fn checkout(tcc: &Coordinator, does: Does) -> Result<TxId, CheckoutError> {
    let body = async |tx: &Tx| {
        tx.on::<Inventory>().reserve(does).await?;
        Ok(tx.id())
    };
    tcc.run("checkout", body).await
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_is_not_registered() {
    let tcc = builder().start().await.unwrap();
    let error = checkout(&tcc, Does::Work).await.unwrap_err();
    said(
        "a participant that is not registered",
        error,
        &["no participant", "inventory.reserve", "register it, or a client of it"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_after_the_shutdown() {
    let tcc = start().await;
    tcc.shutdown().await;
    said(
        "a run after the shutdown",
        checkout(&tcc, Does::Work).await.unwrap_err(),
        &["closed", "start another"],
    );
}

#[test]
fn a_run_outside_the_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tcc = runtime.block_on(start());
    let ran = futures_util::FutureExt::now_or_never(checkout(&tcc, Does::Work)).unwrap();
    said("a run outside the runtime", ran.unwrap_err(), &["tokio runtime", "\"checkout\""]);
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_is_registered_twice() {
    let started = builder().register(Inventory).register(Inventory).start().await;
    // Each of its actions is.
    let StartError::Several(each) = started.unwrap_err() else { panic!("one error of two actions") };
    assert_eq!(each.len(), 2);
    for error in each {
        said("a participant that is registered twice", error, &["registered twice", "once"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_with_another_request() {
    let tcc = start().await;
    let buy = async |request: u32| {
        let body = async |_: &Tx| Ok::<_, CheckoutError>(request);
        tcc.transaction("checkout").key("order-7").request(&request).run(body).await
    };
    buy(1).await.unwrap();
    said("a key with another request", buy(2).await.unwrap_err(), &["the key \"order-7\"", "another one"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_takes_longer_than_its_timeout() {
    let tcc = start().await;
    let body = async |_: &Tx| {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, CheckoutError>(())
    };
    let error = tcc.transaction("checkout").timeout(Duration::from_secs(1)).run(body).await.unwrap_err();
    said("a body that takes too long", error, &["exceeded its deadline", "cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_inside_another() {
    let tcc = start().await;
    let error = tcc.run("outer", async |_: &Tx| checkout(&tcc, Does::Work).await).await.unwrap_err();
    said("a transaction inside another", error, &["inside", "`_in`", "`independent`"]);
}

#[tokio::test(start_paused = true)]
async fn a_confirm_that_refuses() {
    let alerts = Arc::new(Mutex::new(Vec::new()));
    let seen = alerts.clone();
    let tcc = builder()
        .register(Inventory)
        .on_heuristic(move |alert| seen.lock().unwrap().push(format!("{}: {}", alert.action, alert.error)))
        .start()
        .await
        .unwrap();
    let id = checkout(&tcc, Does::RefuseConfirm).await.expect("it is decided: confirm");
    assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Heuristic));
    told(
        "a confirm that refuses, as the hook is told",
        &alerts.lock().unwrap()[0],
        &["inventory.reserve", "the lorry is full"],
    );
    let timeline = tcc.operator().timeline(id).await.unwrap().unwrap();
    let last = timeline.events.last().unwrap().what.clone();
    told(
        "a confirm that refuses, as an operator sees it",
        &last,
        &["branch 0", "refused its confirm", "the lorry is full"],
    );
    let record = timeline.record.unwrap();
    assert!(matches!(record.branches()[0].state, BranchState::Refused { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics() {
    let tcc = start().await;
    let error = checkout(&tcc, Does::PanicInTry).await.unwrap_err();
    // Not by `said`: an unknown answer repeats its cause, for those who print no causes.
    told(
        "a handler that panics",
        &error.to_string(),
        &["unknown", "inventory.reserve", "panicked: index out of bounds"],
    );
    checkout(&tcc, Does::Work).await.expect("the rest works");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_question_mark() {
    let tcc = start().await;
    let error = checkout(&tcc, Does::FailInTry).await.unwrap_err();
    told(
        "a refusal that was not said by `refuse`",
        &error.to_string(),
        &["unknown", "apple is out of stock"],
    );
    let error = tcc.run("checkout", async |tx: &Tx| {
        Ok::<_, CheckoutError>(tx.on::<Inventory>().pack(Does::Work).await?)
    });
    told("a refusal", &error.await.unwrap_err().to_string(), &["refused: apple is out of stock"]);
}

/// Two instances of a group that don't have the same participants: what one can't do is left to the other, and named.
#[tokio::test(start_paused = true)]
async fn two_coordinators_of_a_group_that_differ() {
    let store = Arc::new(MemoryStore::new());
    let start = async |full: bool, alerts: Arc<Mutex<Vec<String>>>| {
        let builder = Coordinator::builder("shop", store.clone())
            .alert_after(1)
            .on_stuck(move |alert| alerts.lock().unwrap().push(alert.error.clone()));
        if full { builder.register(Inventory) } else { builder }.start().await.unwrap()
    };
    let alerts = Arc::new(Mutex::new(Vec::new()));
    let bare = start(false, alerts.clone()).await;
    // One that is tried and decided by nobody: after its deadline the bare one has to cancel it, and can't.
    let id = leave_undecided(&store).await;
    for _ in 0..1_000 {
        if !alerts.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let said = alerts.lock().unwrap()[0].clone();
    told(
        "an instance of the group without the participant",
        &said,
        &["inventory.reserve version 1 is unknown here", "deploy an instance"],
    );
    assert_eq!(bare.outcome(id).await.unwrap(), Some(Status::Cancelling));
    let full = start(true, Arc::default()).await;
    assert_eq!(full.settled(id).await.unwrap(), Some(Status::Cancelled));
}

/// A transaction whose coordinator is gone.
async fn leave_undecided(store: &Arc<MemoryStore>) -> TxId {
    use tcc_core::protocol::{
        ActionName, Begin, BranchId, Change, Enlisted, Entry, Group, Json, Name, Op, Owner, Position,
    };
    use tcc_core::store::{Append, Due, Mode, StatusStore};
    let id = TxId::from_time(1, [1; 10]);
    let begin = Change::Begin(Begin {
        name: Name::new("checkout").unwrap(),
        begun_ms: 0,
        timeout_ms: 1,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        traceparent: None,
        branches: vec![Enlisted {
            id: BranchId::new(0),
            action: ActionName::new("inventory.reserve").unwrap(),
            version: 1,
            request: Json::of(&Does::Work).unwrap(),
            on_confirm: false,
        }],
    });
    let write = Append {
        group: Group::new("shop").unwrap(),
        id,
        after: Position::START,
        entry: Entry::new(Op::from_u64(5), begin.encode()).unwrap(),
        due: Due::In(Duration::from_millis(1)),
        mode: Mode::Extend,
    };
    store.append(&write).await.unwrap();
    id
}
