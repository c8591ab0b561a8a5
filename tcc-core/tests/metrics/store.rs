//! The store, seen from a coordinator: its calls, writes whose answer was lost, logs that can't be read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tcc_core::Tx;
use tcc_core::protocol::{Entry, Group, Log, Op, Position, Status, TxId};
use tcc_core::store::{
    Append, Claim, Claimed, Due, MemoryStore, Mode, Page, Query, Readiness, Stats, StatusStore, StoreError,
    Unreadable,
};
use tcc_core::testing::{Call, Fault, FaultStore, Rule};

use crate::rig::{Does, Error, Rig, Seen, Told, Transfer, WORKS, about, start};

const CALLS: &str = "tcc_store_calls_total";
const WRITES: &str = "tcc_store_writes_total";
const AMBIGUOUS: &str = "tcc_ambiguous_writes_total";

#[tokio::test(start_paused = true)]
async fn every_call_of_the_store_counts_with_its_time() {
    let rig = Rig::start().await;
    rig.store.faults().add(Rule::new(Fault::DelayAfter(Duration::from_secs(2))).when_change("decide"));
    let id = rig.pay(&[WORKS]).await.unwrap();
    rig.tcc.outcome(id).await.unwrap();
    rig.tcc.operator().list(&tcc_core::Filter::new(), None, 10).await.unwrap();
    // Long enough for the sweep.
    tokio::time::sleep(Duration::from_secs(65)).await;
    let calls =
        |operation| rig.number(CALLS, &[("group", "test"), ("operation", operation), ("answer", "ok")]);
    assert_eq!((calls("check"), calls("append"), calls("append_all")), (1.0, 2.0, 1.0));
    assert_eq!((calls("read"), calls("list"), calls("sweep")), (1.0, 1.0, 1.0));
    let faults = rig.store.faults();
    assert_eq!(calls("stats"), faults.calls(Call::Stats) as f64);
    assert_eq!(calls("claim"), faults.calls(Call::Claim) as f64);
    assert!(calls("claim") > 0.0 && calls("stats") > 0.0);
    let time = |operation| rig.times("tcc_store_call_duration_seconds", &[("operation", operation)]);
    assert!(about(&time("append"), &[0.0, 2.0]), "{:?}", time("append"));
    for operation in ["check", "append_all", "read", "list", "sweep"] {
        assert!(about(&time(operation), &[0.0]), "{operation}: {:?}", time(operation));
    }
    // The begin, the decision, and the tombstone.
    let writes = |answer| rig.number(WRITES, &[("group", "test"), ("answer", answer)]);
    assert_eq!((writes("ok"), rig.number(WRITES, &[])), (3.0, 3.0));
}

#[tokio::test(start_paused = true)]
async fn every_answer_of_the_store_is_told_apart() {
    let rig = Rig::start().await;
    let faults = rig.store.faults();
    faults.next_append(Fault::Unavailable);
    faults.next(Call::Read, Fault::Unavailable);
    faults.next(Call::AppendAll, Fault::AnswerLost);
    let id = rig.pay(&[WORKS]).await.unwrap();
    rig.tcc.outcome(id).await.unwrap_err();
    let cursor = Some(tcc_core::store::Cursor("of another store".into()));
    rig.tcc.operator().list(&tcc_core::Filter::new(), cursor, 10).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let calls = |operation, answer| rig.number(CALLS, &[("operation", operation), ("answer", answer)]);
    assert_eq!((calls("append", "unavailable"), calls("append", "ok")), (1.0, 2.0));
    assert_eq!((calls("append_all", "ok"), calls("read", "unavailable")), (2.0, 1.0));
    assert_eq!(calls("list", "bad_cursor"), 1.0);
    let writes = |answer| rig.number(WRITES, &[("answer", answer)]);
    assert_eq!((writes("unavailable"), writes("ambiguous"), writes("ok")), (1.0, 1.0, 3.0));
}

/// A call that hangs is given up after the store's time limit: its answer is lost.
#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_ambiguous() {
    let rig = Rig::start().await;
    rig.store.faults().next(Call::Read, Fault::Hangs);
    rig.tcc.outcome(TxId::from_time(1, [1; 10])).await.unwrap_err();
    assert_eq!(rig.number(CALLS, &[("operation", "read"), ("answer", "ambiguous")]), 1.0);
    let times = rig.times("tcc_store_call_duration_seconds", &[("operation", "read")]);
    assert!(about(&times, &[10.0]), "{times:?}");
    // And one that its caller gives up.
    rig.store.faults().next(Call::Read, Fault::Hangs);
    let asked = rig.tcc.outcome(TxId::from_time(1, [1; 10]));
    tokio::time::timeout(Duration::from_secs(1), asked).await.unwrap_err();
    assert_eq!(rig.number(CALLS, &[("operation", "read"), ("answer", "dropped")]), 1.0);
    // A whole batch, of one tombstone.
    rig.store.faults().next(Call::AppendAll, Fault::Hangs);
    rig.pay(&[WORKS]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(rig.number(CALLS, &[("operation", "append_all"), ("answer", "ambiguous")]), 1.0);
    assert_eq!(rig.number(WRITES, &[("answer", "ambiguous")]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_counts_by_what_was_found_out() {
    let rig = Rig::start().await;
    let fate = |fate: &str| rig.number(AMBIGUOUS, &[("group", "test"), ("fate", fate)]);
    assert!(rig.seen.series().iter().any(|(name, _)| name == AMBIGUOUS), "it begins at 0");
    rig.pay(&[WORKS]).await.unwrap();
    assert_eq!(rig.number(AMBIGUOUS, &[]), 0.0);

    rig.store.faults().add(Rule::new(Fault::AnswerLost).on(Call::Append).when_change("decide"));
    rig.pay(&[WORKS]).await.unwrap();
    assert_eq!((fate("applied"), rig.number(AMBIGUOUS, &[])), (1.0, 1.0));

    // An operator is quicker than a decision that was lost on its way.
    rig.store.faults().add(
        Rule::new(Fault::RequestLost)
            .on(Call::Append)
            .when(|entry| entry.line().contains(r#""decision":"confirm""#)),
    );
    rig.store.faults().add(Rule::new(Fault::DelayBefore(Duration::from_secs(1))).on(Call::Read));
    let id = std::sync::Mutex::new(None);
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(WORKS).await?;
        *id.lock().unwrap() = Some(tx.id());
        Ok::<(), Error>(())
    };
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let id = id.lock().unwrap().unwrap();
        rig.tcc.operator().cancel(id, "ada", "by phone").await.unwrap();
    };
    let (paid, ()) = tokio::join!(rig.tcc.run("pay", body), cancel);
    paid.unwrap_err();
    assert_eq!((fate("superseded"), rig.number(AMBIGUOUS, &[])), (1.0, 2.0));

    // After a lost answer the store is down until the deadline.
    rig.store.faults().add(Rule::new(Fault::RequestLost).when_change("decide").always());
    rig.store.faults().add(Rule::new(Fault::Unavailable).on(Call::Read).always());
    rig.pay(&[WORKS]).await.unwrap_err();
    assert_eq!(fate("in_doubt"), 1.0);
    assert_eq!((fate("lost"), rig.number("tcc_store_losses_total", &[])), (0.0, 0.0));
}

/// The store goes back to before the enlist.
struct Forgetful {
    inner: MemoryStore,
}

#[async_trait]
impl StatusStore for Forgetful {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        if write.entry.line().contains(r#""enlist""#) {
            return Ok(());
        }
        self.inner.append(write).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let unreadable = Unreadable { id: TxId::from_time(1, [1; 10]), why: "garbage".into() };
        let claimed = self.inner.claim(claim).await?;
        Ok(Claimed { unreadable: vec![unreadable], ..claimed })
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.inner.read(group, id).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        self.inner.stats(group).await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        self.inner.check().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_what_it_acknowledged_is_counted() {
    let (store, seen) = (Arc::new(Forgetful { inner: MemoryStore::new() }), Seen::install());
    let tcc = start(&store, &Arc::default(), |builder| builder).await;
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(WORKS).await?;
        tx.call::<Transfer>(WORKS).await?;
        Ok::<(), Error>(())
    };
    tcc.run("pay", body).await.unwrap_err();
    assert_eq!(seen.number("tcc_store_losses_total", &[("group", "test")]), 1.0);
    // Each claim tells of one log that the store can't read.
    let claims = seen.number(CALLS, &[("operation", "claim")]);
    assert!(claims > 0.0);
    assert_eq!(seen.number("tcc_unreadable_logs_total", &[("group", "test"), ("why", "store")]), claims);
    assert_eq!(seen.number("tcc_unreadable_logs_total", &[]), claims);
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_is_found_after_a_lost_answer_is_the_fate_of_the_write() {
    let (store, seen) = (Arc::new(FaultStore::new(Forgetful { inner: MemoryStore::new() })), Seen::install());
    let tcc = start(&store, &Arc::default(), |builder| builder).await;
    store.faults().add(Rule::new(Fault::AnswerLost).when_change("decide"));
    let body = async |tx: &Tx| {
        tx.call::<Transfer>(WORKS).await?;
        tx.call::<Transfer>(WORKS).await?;
        Ok::<(), Error>(())
    };
    tcc.run("pay", body).await.unwrap_err();
    assert_eq!(seen.number(AMBIGUOUS, &[("fate", "lost")]), 1.0);
    assert_eq!(seen.number("tcc_store_losses_total", &[]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_counts_by_what_is_wrong() {
    for (line, why) in [
        (r#"{"v":2,"begin":{}}"#, "newer_format"),
        (r#"{"v":1,"begin":{}}"#, "malformed"),
        (r#"{"v":1,"decide":{"decision":"cancel"}}"#, "illegal"),
    ] {
        let (store, seen) = (Arc::new(FaultStore::new(MemoryStore::new())), Seen::install());
        let append = Append {
            group: Group::new("test").unwrap(),
            id: TxId::from_time(1, [1; 10]),
            after: Position::START,
            entry: Entry::new(Op::from_u64(5), line).unwrap(),
            due: Due::In(Duration::ZERO),
            mode: Mode::Extend,
        };
        store.append(&append).await.unwrap();
        let _tcc = start(&store, &Arc::default(), |builder| builder).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let unreadable = seen.number("tcc_unreadable_logs_total", &[("group", "test"), ("why", why)]);
        assert_eq!((unreadable, seen.number("tcc_unreadable_logs_total", &[])), (1.0, 1.0), "{why}");
        assert_eq!(seen.number("tcc_transactions_recovered_total", &[]), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_is_counted() {
    let rig = Rig::with(|builder| builder.lease(Duration::from_secs(2))).await;
    let paying = rig.pay(&[Told { confirm: Does::Slowly, ..WORKS }]);
    // It is claimed once more while the confirm is under way, and before the lease is renewed.
    let claiming = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let id = rig.bank.calls.lock().unwrap()[0].0;
        assert!(rig.tcc.operator().retry_now(id).await.unwrap());
        id
    };
    let (paid, id) = tokio::join!(paying, claiming);
    paid.unwrap();
    assert_eq!(rig.tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.number("tcc_leases_lost_total", &[("group", "test")]), 1.0);
}

/// Two calls of the store hang; what comes then waits for its turn, and goes when a place has stalled for too long.
#[tokio::test(start_paused = true)]
async fn writes_that_wait_are_shown() {
    let rig = Rig::start().await;
    for call in [Call::Append, Call::AppendAll] {
        rig.store.faults().add(Rule::new(Fault::DelayBefore(Duration::from_secs(1))).on(call).times(1));
    }
    let waiting = || rig.number("tcc_writes_waiting", &[("group", "test")]);
    // The first goes by itself, the next two as one call, and for the others there is no place.
    let mut paying = Vec::new();
    for callers in [1, 2, 3] {
        for _ in 0..callers {
            let tcc = rig.tcc.clone();
            paying.push(tokio::spawn(async move {
                tcc.run("pay", async |tx: &Tx| tx.call::<Transfer>(WORKS).await.map_err(Error::from)).await
            }));
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(waiting(), 3.0);
    assert!(futures_util::future::join_all(paying).await.into_iter().all(|paid| paid.unwrap().is_ok()));
    assert_eq!(waiting(), 0.0);
}
