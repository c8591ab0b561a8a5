//! A coordinator, a transaction or an action that is set up wrongly.

use std::sync::Arc;
use std::time::Duration;

use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, BranchError, Builder, Coordinator, Handler, Never, Registry, Service, Settled,
    StartError, TransactionError, Tried, Tx,
};

use crate::said::said;
use crate::till::{Error, Till};

fn builder() -> Builder {
    Coordinator::builder("shop", MemoryStore::new()).register(Till::default())
}

async fn refused(builder: Builder) -> StartError {
    builder.start().await.expect_err("it starts")
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero() {
    let error = refused(builder().timeout(Duration::ZERO)).await;
    said("a timeout of zero", error, &["the setting timeout is 0 s", "1 ms to 24 h"]);
    let tcc = builder().start().await.unwrap();
    let run = tcc.transaction("pay").timeout(Duration::ZERO).run(async |_: &Tx| Ok::<_, Error>(()));
    said("a transaction's timeout of zero", run.await.unwrap_err(), &["\"pay\" is 0 s", "1 ms to 24 h"]);
    let error = refused(builder().retention(Duration::from_secs(60))).await;
    said("a retention that is too short", error, &["the setting retention is 1 min", "80 s to 100 years"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_10_kib() {
    let tcc = builder().start().await.unwrap();
    let run = tcc.transaction("pay").key("k".repeat(10 << 10)).run(async |_: &Tx| Ok::<_, Error>(()));
    said("a key of 10 KiB", run.await.unwrap_err(), &["its key has 10240 bytes", "at most 512", "digest"]);
    // The rest works.
    let run = tcc.transaction("pay").key("k").run(async |_: &Tx| Ok::<_, Error>(7));
    assert_eq!(run.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cant_be_kept() {
    let group = Coordinator::builder("my shop", MemoryStore::new());
    said("a group with a space", refused(group).await, &["the group", "\"my shop\"", "a-z"]);
    said(
        "a group without a name",
        refused(Coordinator::builder("", MemoryStore::new())).await,
        &["the group", "empty"],
    );
    let tcc = builder().start().await.unwrap();
    let run = async |name: &str| tcc.run(name, async |_: &Tx| Ok::<_, Error>(())).await.unwrap_err();
    said("a transaction without a name", run("").await, &["a transaction", "empty", "1 to 64"]);
    said("a transaction with a slash", run("pay/now").await, &["a transaction", "'/'", "a-z"]);
    said("a transaction with a long name", run(&"x".repeat(65)).await, &["65 bytes", "at most 64"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large() {
    let tcc = builder().max_branches(2).start().await.unwrap();
    let pay = async |times: usize, bytes: usize| {
        let body = async |tx: &Tx| {
            for _ in 0..times {
                tx.call::<crate::till::Pay>("x".repeat(bytes)).await?;
            }
            Ok::<_, Error>(())
        };
        tcc.run("pay", body).await
    };
    said(
        "a large request",
        pay(1, 65_536).await.unwrap_err(),
        &["65538 bytes", "at most 65536", "`max_payload`"],
    );
    said("too many branches", pay(3, 1).await.unwrap_err(), &["3 branches", "at most 2", "`max_branches`"]);
    let error = refused(builder().max_log(100)).await;
    said("a log that is too small", error, &["the setting max_log is 100", "65536 to 67108864 bytes"]);
    pay(2, 1).await.expect("the rest works");
}

/// The same action in a version of which nobody here knows.
struct PayV2;

impl ActionType for PayV2 {
    const NAME: &'static str = "till.pay";
    const VERSION: u16 = 2;
    type Request = String;
    type Output = ();
    type Error = Never;
}

/// Another action under the name of one that is registered.
struct Impostor;

impl ActionType for Impostor {
    const NAME: &'static str = "till.pay";
    type Request = u64;
    type Output = ();
    type Error = Never;
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_not_the_one_registered() {
    let tcc = builder().start().await.unwrap();
    let run = tcc.run("pay", async |tx: &Tx| Ok::<_, Error>(tx.call::<PayV2>("ann".into()).await?));
    said("a version without a handler", run.await.unwrap_err(), &["till.pay version 2", "register it"]);
    let run = tcc.run("pay", async |tx: &Tx| Ok::<_, Error>(tx.call::<Impostor>(1).await?));
    let error = run.await.unwrap_err();
    assert!(matches!(error, Error::Branch(BranchError::Unknown(_))), "{error:?}");
    crate::said::told("another type of action", &error.to_string(), &["till.pay", "another action type"]);
}

/// A service whose actions have a timeout or a name that can't be.
struct Wrong<A>(std::marker::PhantomData<fn() -> A>);

struct Slow;

impl ActionType for Slow {
    const NAME: &'static str = "slow.go";
    const TIMEOUT: Option<Duration> = Some(Duration::MAX);
    type Request = ();
    type Output = ();
    type Error = Never;
}

struct Nameless;

impl ActionType for Nameless {
    const NAME: &'static str = "go";
    type Request = ();
    type Output = ();
    type Error = Never;
}

impl<A: ActionType<Request = (), Output = (), Error = Never>> Handler<A> for Wrong<A> {
    async fn r#try(&self, _: &Branch, (): ()) -> Tried<(), Never> {
        Ok(())
    }

    async fn confirm(&self, _: &Branch, (): (), (): ()) -> Settled {
        Ok(())
    }

    async fn cancel(&self, _: &Branch, (): (), _: Option<()>) -> Settled {
        Ok(())
    }
}

impl<A: ActionType<Request = (), Output = (), Error = Never>> Service for Wrong<A> {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<A, _>(self);
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_cant_be_registered() {
    let error = refused(builder().register(Wrong::<Slow>(std::marker::PhantomData))).await;
    said("an action's timeout without end", error, &["the timeout of slow.go", "1 ms to 24 h"]);
    let error = refused(builder().register(Wrong::<Nameless>(std::marker::PhantomData))).await;
    said("an action without a participant", error, &["\"go\"", "\"participant.action\""]);
    let error = refused(builder().register(Till::default())).await;
    said("an action that is registered twice", error, &["till.pay version 1 is registered twice"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_may_not() {
    let tcc = builder().start().await.unwrap();
    let operator = tcc.operator();
    let unknown = tcc_core::protocol::TxId::from_time(1, [0; 10]);
    said(
        "an unknown transaction",
        operator.retry_now(unknown).await.unwrap_err(),
        &[&unknown.to_string(), "there is no transaction"],
    );
    said("an unsigned cancel", operator.cancel(unknown, "", "why").await.unwrap_err(), &["who", "why"]);
    let cursor = Some(tcc_core::store::Cursor("nonsense".into()));
    let listed = operator.list(&tcc_core::Filter::new(), cursor, 10).await;
    said("a wrong cursor", listed.unwrap_err(), &["cursor", "first page"]);
    let answer: Result<(), TransactionError> = tcc.run("pay", async |_: &Tx| Ok(())).await;
    answer.expect("the rest works");
}
