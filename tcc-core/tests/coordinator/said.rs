//! What users and operators are told, in words: an error names what it is about, and says how to mend it.

use std::sync::Arc;
use std::time::Duration;

use tcc_core::protocol::{BranchId, Status, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::testing::{Call, Fault, FaultStore, Rule};
use tcc_core::{Coordinator, Duplicate, Filter, OperatorError, TransactionError, Tx};

use crate::rig::{Bank, Does, Error, Move, Rig, Transfer, works};

async fn pay(rig: &Rig, moves: &[Move]) -> TxId {
    let body = async |tx: &Tx| {
        for wanted in moves {
            tx.call::<Transfer>(wanted.clone()).await?;
        }
        Ok::<_, Error>(tx.id())
    };
    rig.tcc.run("pay", body).await.unwrap()
}

fn refused() -> Move {
    Move { confirm: Does::Refuse, ..works(1) }
}

/// Two orders without an id are two orders.
#[tokio::test(start_paused = true)]
async fn an_empty_key_is_refused_before_anything_is_written() {
    let rig = Rig::start().await;
    for _ in 0..2 {
        let checkout = rig.tcc.transaction("checkout").key("").run(async |tx: &Tx| {
            tx.call::<Transfer>(works(1)).await?;
            Ok::<_, Error>(1)
        });
        let error = checkout.await.unwrap_err();
        let Error::Transaction(error @ TransactionError::EmptyKey { .. }) = error else { panic!("{error}") };
        assert!(error.to_string().starts_with("the key of transaction \"checkout\" is empty"), "{error}");
        assert_eq!(error.id(), None);
    }
    assert_eq!((rig.appends(), rig.bank.calls.lock().unwrap().len()), (0, 0));
    // One space is an id like any other.
    assert_eq!(
        rig.tcc.transaction("checkout").key(" ").run(async |_: &Tx| Ok::<_, Error>(1)).await.unwrap(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_names_its_transaction_and_its_key() {
    let rig = Rig::start().await;
    let call = async |key: &str, request: u32| {
        let checkout = rig.tcc.transaction("checkout").key(key).request(&request);
        checkout.run(async |_: &Tx| Ok::<_, Error>(request)).await
    };
    let long = format!("{}tail", "ü".repeat(64));
    for (key, said) in [("order-17\n", "order-17\n".to_owned()), (&long, "ü".repeat(64))] {
        assert_eq!(call(key, 1).await.unwrap(), 1);
        let error = call(key, 2).await.unwrap_err();
        let Error::Transaction(error) = error else { panic!("{error}") };
        let TransactionError::Duplicate { id, name, key, why, .. } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), key, *why), ("checkout", &said, Duplicate::AnotherRequest));
        let start =
            format!("transaction \"checkout\" ({id}) was begun before with the key {said:?}: its request");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operators_wish_that_is_not_permitted_says_what_is() {
    let rig = Rig::start().await;
    let operator = rig.tcc.operator();
    let said = |wish: Result<(), OperatorError>| {
        let error = wish.unwrap_err();
        assert!(matches!(error, OperatorError::Illegal { .. }), "{error}");
        error.to_string()
    };
    let branch = BranchId::new;

    let id = pay(&rig, &[Move { confirm: Does::Fail, ..works(1) }, works(2)]).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(
        said(operator.cancel(id, "ann", "no").await),
        format!("transaction {id} is confirming: only what is undecided can be cancelled")
    );
    assert_eq!(
        said(operator.resolve(id, branch(7), "ann", "paid").await),
        format!("transaction {id} has no branch 7")
    );
    assert_eq!(
        said(operator.refuse(id, branch(7), "ann", "gone").await),
        format!("transaction {id} has no branch 7")
    );
    assert_eq!(
        said(operator.resolve(id, branch(1), "ann", "paid").await),
        format!("branch 1 of transaction {id} is confirmed: only what is refused can be resolved")
    );
    assert_eq!(
        said(operator.refuse(id, branch(1), "ann", "gone").await),
        format!(
            "branch 1 of transaction {id} is confirmed: only what is decided, and not settled, can be refused"
        )
    );

    let id = pay(&rig, &[refused(), refused()]).await;
    assert_eq!(rig.settled(id).await, Some(Status::Heuristic));
    assert_eq!(
        said(operator.cancel(id, "ann", "no").await),
        format!("transaction {id} is heuristic: only what is undecided can be cancelled")
    );
    operator.resolve(id, branch(0), "ann", "paid").await.unwrap();
    assert_eq!(
        said(operator.resolve(id, branch(0), "ann", "paid").await),
        format!("branch 0 of transaction {id} is resolved: only what is refused can be resolved")
    );

    let undecided = {
        let tcc = rig.tcc.clone();
        tokio::spawn(async move {
            let body = async |tx: &Tx| {
                tx.call::<Transfer>(works(1)).await?;
                std::future::pending::<()>().await;
                Ok::<_, Error>(())
            };
            tcc.run("pay", body).await
        })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let page = operator.list(&Filter::new().status(Status::Trying), None, 1).await.unwrap();
    let id = page.items[0].id;
    assert_eq!(
        said(operator.refuse(id, branch(0), "ann", "gone").await),
        format!("transaction {id} is trying: only what is decided, and not settled, can be refused")
    );
    undecided.abort();
}

#[tokio::test(start_paused = true)]
async fn a_timeline_is_shown_a_line_for_each_entry() {
    let rig = Rig::start().await;
    let id = pay(&rig, &[works(1), refused()]).await;
    rig.settled(id).await;
    let mut timeline = rig.tcc.operator().timeline(id).await.unwrap().unwrap();
    let shown = timeline.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], format!("transaction {id} (pay) is heuristic"));
    assert!(lines[1].starts_with("   1 begin pay by "), "{shown}");
    assert_eq!(
        lines[2..],
        [
            "   2 enlist, branch 1 bank.transfer v1, branch 0 acknowledged",
            "   3 decide confirm, branch 1 acknowledged",
            "   4 settle, branch 0 confirmed, branch 1 refused its confirm: never",
        ]
    );
    // What is wrong with a log is shown instead of where it stands, and one line stays one line.
    timeline.record = Err(tcc_core::protocol::LogError::Empty);
    timeline.events[0].what = "two\nlines".into();
    let shown = timeline.to_string();
    assert_eq!(shown.lines().count(), 5, "{shown}");
    assert!(shown.starts_with(&format!("transaction {id}: ")), "{shown}");
}

/// Whoever is called for help finds in the log what the call was about; and it is written once, not at every attempt.
#[tokio::test(start_paused = true)]
async fn what_calls_for_help_is_in_the_log_at_once() {
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let rig = Rig::with(|builder| {
        // So long that nothing else is written meanwhile.
        builder
            .lease(Duration::from_secs(3600))
            .alert_after(2)
            .on_stuck(move |alert| calls.send(alert.id).unwrap())
    })
    .await;
    let id = pay(&rig, &[Move { confirm: Does::Fail, ..works(1) }, Move { confirm: Does::Fail, ..works(2) }])
        .await;
    let before = rig.appends();
    assert_eq!(called.recv().await, Some(id));
    assert_eq!(called.recv().await, Some(id));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let operator = rig.tcc.operator();
    let page = operator.list(&Filter::new().failed_attempts(2), None, 10).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.id).collect::<Vec<_>>(), [id]);
    let shown = operator.timeline(id).await.unwrap().unwrap().to_string();
    assert!(shown.contains("branch 0 failed 2 times: broken"), "{shown}");
    assert!(shown.contains("branch 1 failed 2 times: broken"), "{shown}");
    let written = rig.appends() - before;
    assert!((1..=2).contains(&written), "{written} writes for two alerts");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        rig.appends() - before,
        written,
        "later attempts write nothing before the lease is to be renewed"
    );
}

/// One that calls at once is not in its caller's way.
#[tokio::test(start_paused = true)]
async fn what_calls_for_help_at_its_first_attempt_is_in_the_log_soon() {
    let rig = Rig::with(|builder| builder.lease(Duration::from_secs(3600)).alert_after(1)).await;
    let id = pay(&rig, &[Move { confirm: Does::Fail, ..works(1) }]).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let page = rig.tcc.operator().list(&Filter::new().failed_attempts(1), None, 10).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.id).collect::<Vec<_>>(), [id]);
}

/// The caller waits for its branches, not for that.
#[tokio::test(start_paused = true)]
async fn a_caller_does_not_wait_until_a_call_for_help_is_in_the_log() {
    let store = FaultStore::new(MemoryStore::new());
    store
        .faults()
        .add(Rule::new(Fault::DelayBefore(Duration::from_secs(5))).on(Call::Append).when_change("settle"));
    let builder = Coordinator::builder("test", store).register(Arc::new(Bank::default())).alert_after(1);
    let tcc = builder.lease(Duration::from_secs(3600)).start().await.unwrap();
    let begun = tokio::time::Instant::now();
    let pay = async |tx: &Tx| {
        tx.call::<Transfer>(Move { confirm: Does::Fail, ..works(1) }).await?;
        tx.call::<Transfer>(Move { confirm: Does::WorkFor(Duration::from_secs(1)), ..works(2) }).await?;
        Ok::<_, Error>(tx.id())
    };
    let id = tcc.run("pay", pay).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let page = tcc.operator().list(&Filter::new().failed_attempts(1), None, 10).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.id).collect::<Vec<_>>(), [id]);
}

#[test]
fn what_the_store_lost_is_to_be_looked_for_in_the_fences() {
    let lost = TransactionError::Lost { id: TxId::from_time(1, [0; 10]), expected: 2, found: 0 }.to_string();
    assert!(lost.contains("`compare` of each participant's fence") && lost.contains("`orphans`"), "{lost}");
}
