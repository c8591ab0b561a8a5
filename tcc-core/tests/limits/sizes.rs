//! What a transaction may hold: payloads, branches, names, keys, timeouts.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{Group, MAX_NAME, Name, Status, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, BranchError, Builder, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};

/// Says what it is told, and how much.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Say {
    pub(crate) text: String,
    /// How many bytes its answer has as JSON, at least 2.
    pub(crate) answer: usize,
    pub(crate) confirm_takes: Duration,
}

/// A request with so many bytes of text, whose answer has so many bytes.
pub(crate) fn said(text: usize, answer: usize) -> Say {
    Say { text: "x".repeat(text), answer, confirm_takes: Duration::ZERO }
}

/// A request of exactly so many bytes as JSON.
fn request_of(bytes: usize) -> Say {
    let bare = serde_json::to_string(&said(0, 0)).unwrap().len();
    said(bytes - bare, 0)
}

pub(crate) struct Echo;

static CONFIRMS: LazyLock<Mutex<HashMap<TxId, usize>>> = LazyLock::new(Mutex::default);

impl Echo {
    pub(crate) fn confirms(id: TxId) -> usize {
        CONFIRMS.lock().unwrap().get(&id).copied().unwrap_or(0)
    }
}

impl ActionType for Say {
    const NAME: &'static str = "echo.say";
    type Request = Self;
    type Output = String;
    type Error = Never;
}

impl Handler<Say> for Echo {
    async fn r#try(&self, _: &Branch, request: Say) -> Tried<String, Never> {
        Ok("y".repeat(request.answer.saturating_sub(2)))
    }

    async fn confirm(&self, cx: &Branch, request: Say, _: String) -> Settled {
        *CONFIRMS.lock().unwrap().entry(cx.tx()).or_default() += 1;
        tokio::time::sleep(request.confirm_takes).await;
        Ok(())
    }

    async fn cancel(&self, _: &Branch, _: Say, _: Option<String>) -> Settled {
        Ok(())
    }
}

impl Service for Echo {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Say, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

impl Error {
    fn transaction(self) -> TransactionError {
        match self {
            Self::Transaction(error) | Self::Branch(BranchError::Transaction(error)) => error,
            Self::Branch(other) => panic!("{other}"),
        }
    }
}

async fn start(set: impl FnOnce(Builder) -> Builder) -> Coordinator {
    set(Coordinator::builder("test", MemoryStore::new()).register(Echo)).start().await.unwrap()
}

/// Calls one branch for each request, one after the other.
async fn pay(tcc: &Coordinator, requests: &[Say]) -> Result<TxId, TransactionError> {
    let body = async |tx: &Tx| {
        for request in requests {
            tx.call::<Say>(request.clone()).await?;
        }
        Ok::<_, Error>(tx.id())
    };
    tcc.run("pay", body).await.map_err(Error::transaction)
}

#[track_caller]
fn limit<T: std::fmt::Debug>(
    answer: Result<T, TransactionError>,
    what: &str,
    value: u64,
    max: u64,
    setting: Option<&str>,
) {
    let error = answer.unwrap_err();
    let TransactionError::Limit { what: w, value: v, max: m, setting: s, unit, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((*w, *v, *m, *s), (what, value, max, setting), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!(": {what} has {value} {unit}: at most {max} are permitted; ")), "{text}");
    assert!(
        setting
            .is_none_or(|setting| text.ends_with(&format!("raise `{setting}` of the coordinator's builder")))
    );
}

#[tokio::test(start_paused = true)]
async fn a_payload_may_have_64_kib_or_what_is_set() {
    const KIB_64: usize = 64 << 10;
    for (set, max) in [(None, KIB_64), (Some(200), 200), (Some(1 << 20), 1 << 20)] {
        let tcc = start(|b| match set {
            Some(max) => b.max_payload(max).max_log(4 << 20),
            None => b,
        })
        .await;
        pay(&tcc, &[request_of(max)]).await.unwrap();
        let (value, most) = (max as u64 + 1, max as u64);
        limit(pay(&tcc, &[request_of(max + 1)]).await, "a request", value, most, Some("max_payload"));
        pay(&tcc, &[said(0, max)]).await.unwrap();
        limit(pay(&tcc, &[said(0, max + 1)]).await, "an output", value, most, Some("max_payload"));

        let keyed = async |value: usize| {
            let body = async |_: &Tx| Ok::<_, Error>("v".repeat(value - 2));
            tcc.transaction("keyed").key(value).run(body).await.map_err(Error::transaction)
        };
        assert_eq!(keyed(max).await.unwrap().len(), max - 2);
        limit(keyed(max + 1).await, "the value of its body", value, most, Some("max_payload"));
    }
}

#[tokio::test(start_paused = true)]
async fn all_payloads_may_have_one_mib_or_what_is_set() {
    for (set, max) in [(None, 1 << 20), (Some(100_000), 100_000)] {
        let tcc = start(|b| match set {
            Some(max) => b.max_log(max),
            None => b,
        })
        .await;
        // Requests of 50 000 bytes with answers of two; the last one is what is left, and then one more.
        let some = 50_000;
        let whole = max / (some + 2);
        let rest = max - whole * (some + 2);
        let requests = |last: usize| {
            let mut requests = vec![request_of(some); whole];
            requests.push(request_of(last));
            requests
        };
        let fits = requests(rest - 2);
        let id = pay(&tcc, &fits).await.unwrap();
        assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
        let (value, most) = (max as u64 + 1, max as u64);
        limit(pay(&tcc, &requests(rest - 1)).await, "all its payloads", value, most, Some("max_log"));
        limit(pay(&tcc, &requests(rest + 1)).await, "all its payloads", value, most, Some("max_log"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_may_have_64_branches_or_what_is_set() {
    for (set, max) in [(None, 64), (Some(1), 1), (Some(1024), 1024)] {
        let tcc = start(|b| match set {
            Some(max) => b.max_branches(max),
            None => b,
        })
        .await;
        let id = pay(&tcc, &vec![said(0, 0); max]).await.unwrap();
        assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
        assert_eq!(Echo::confirms(id), max);
        let more = pay(&tcc, &vec![said(0, 0); max + 1]).await;
        limit(more, "it", max as u64 + 1, max as u64, Some("max_branches"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_go_on_after_what_was_too_large() {
    let tcc = start(|b| b.max_branches(2)).await;
    let body = async |tx: &Tx| {
        let refused = tx.call::<Say>(request_of(65_537)).await;
        assert!(matches!(refused, Err(BranchError::Transaction(TransactionError::Limit { .. }))));
        // What was not enlisted takes no place.
        tx.call::<Say>(said(0, 0)).await?;
        tx.call::<Say>(said(0, 0)).await?;
        assert!(tx.call::<Say>(said(0, 0)).await.is_err());
        Ok::<_, Error>(tx.id())
    };
    let id = tcc.run("pay", body).await.unwrap();
    assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
    assert_eq!(Echo::confirms(id), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_has_1_to_64_plain_characters() {
    let tcc = start(|b| b).await;
    let run =
        async |name: &str| tcc.run(name, async |_: &Tx| Ok::<_, Error>(())).await.map_err(Error::transaction);
    for good in ["a", "Check_out-2", &"x".repeat(MAX_NAME)] {
        run(good).await.unwrap();
        Group::new(good.to_owned()).unwrap();
    }
    let long = "x".repeat(MAX_NAME + 1);
    for (bad, why) in [
        ("", "a name is empty: give it 1 to 64 characters"),
        (&*long, "the name beginning with \"xxxxxxxxxxxxxxxx\" has 65 bytes: at most 64 are allowed"),
        ("a b", "the name \"a b\" has the character ' ': allowed are a-z, A-Z, 0-9, '_' and '-'"),
        ("größe", "the name \"größe\" has the character 'ö': allowed are a-z, A-Z, 0-9, '_' and '-'"),
        ("a\nb", "the name \"a\\nb\" has the character '\\n': allowed are a-z, A-Z, 0-9, '_' and '-'"),
    ] {
        assert_eq!(
            run(bad).await.unwrap_err().to_string(),
            format!("a transaction can't be called that: {why}")
        );
        let started = Coordinator::builder(bad, MemoryStore::new()).start().await;
        assert_eq!(started.unwrap_err().to_string(), format!("the group can't be called that: {why}"));
        assert!(Name::new(bad.to_owned()).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_has_1_to_512_bytes() {
    let tcc = start(|b| b).await;
    let run = async |bytes: usize| {
        let body = async |_: &Tx| Ok::<_, Error>(bytes);
        tcc.transaction("pay").key("k".repeat(bytes)).run(body).await.map_err(Error::transaction)
    };
    assert!(matches!(run(0).await, Err(TransactionError::EmptyKey { .. })));
    for good in [1, 512] {
        assert_eq!(run(good).await.unwrap(), good);
    }
    for bad in [513, 10 << 10] {
        limit(run(bad).await, "its key", bad as u64, 512, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_from_1_ms_to_24_h() {
    let day = Duration::from_secs(86_400);
    let tcc = start(|b| b).await;
    let run = async |timeout| {
        let transaction = tcc.transaction("pay").timeout(timeout);
        transaction.run(async |_: &Tx| Ok::<_, Error>(())).await.map_err(Error::transaction)
    };
    for good in [Duration::from_millis(1), day] {
        run(good).await.unwrap();
    }
    for (bad, shown) in [
        (Duration::ZERO, "0 s"),
        (Duration::from_micros(999), "999 µs"),
        (day + Duration::from_secs(1), "86401 s"),
        (Duration::MAX, "18446744073709551615 s"),
    ] {
        assert_eq!(
            run(bad).await.unwrap_err().to_string(),
            format!("the timeout of transaction \"pay\" is {shown}: 1 ms to 24 h is permitted")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_key_a_timeout_is_shorter_than_the_key_is_kept() {
    let hour = Duration::from_secs(3_600);
    let replay = Duration::from_secs(80);
    let tcc = start(|b| b.key_retention(hour)).await;
    let run = async |timeout: Duration| {
        let transaction = tcc.transaction("pay").timeout(timeout).key(timeout.as_nanos());
        transaction.run(async |_: &Tx| Ok::<_, Error>(())).await.map_err(Error::transaction)
    };
    run(hour - replay).await.unwrap();
    let error = run(hour - replay + Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "transaction \"pay\" has a key and a timeout of 3520001 ms: at most 3520 s is permitted, as the key_retention \
         is 1 h; make that longer, or the timeout shorter"
    );
    // A key that is kept for less than any write may linger is refused at the start; this is the shortest.
    let tcc = start(|b| b.key_retention(replay)).await;
    let error = tcc.transaction("pay").key(1).run(async |_: &Tx| Ok::<_, Error>(())).await.unwrap_err();
    assert!(matches!(error, Error::Transaction(TransactionError::KeyTimeout { .. })), "{error}");
}
