//! What is logged: the words of the design, and never a payload.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{Entry, Group, Log, Op, Position, TxId};
use tcc_core::store::{
    Append, Claim, Claimed, Due, MemoryStore, Mode, Page, Query, Readiness, Stats, StatusStore, StoreError,
    Unreadable,
};
use tcc_core::{
    Branch, BranchError, Coordinator, SettleError, Settled, TransactionError, Tried, Tx, participant, refuse,
};

const SECRET: &str = "card-4111-1111";

#[derive(Serialize, Deserialize)]
struct Card {
    number: String,
    refused: bool,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the card is refused")]
struct Refused;

struct Till;

#[participant("till")]
impl Till {
    #[action(confirm = take, cancel = release)]
    async fn hold(&self, _cx: &Branch, request: Card) -> Tried<String, Refused> {
        if request.refused {
            return refuse(Refused);
        }
        Ok(request.number)
    }

    async fn take(&self, _cx: &Branch, _request: Card, _output: String) -> Settled {
        Err(SettleError::refuse("the bank is closed"))
    }

    async fn release(&self, _cx: &Branch, _request: Card, _output: Option<String>) -> Settled {
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Refused>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn payloads_are_never_logged() {
    let text = Text::default();
    let writer = text.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let tcc = Coordinator::builder("till", MemoryStore::new()).register(Till).start().await.unwrap();
    for refused in [false, true] {
        let pay = async |tx: &Tx| {
            tx.on::<Till>().hold(Card { number: SECRET.into(), refused }).await?;
            Ok::<_, Error>(tx.id())
        };
        let paid = tcc
            .transaction("pay")
            .key(refused)
            .request(&SECRET)
            .run(async |tx: &Tx| pay(tx).await.map(|_| SECRET.to_owned()))
            .await;
        assert_eq!(paid.is_err(), refused);
    }
    tcc.shutdown().await;
    let text = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
    for word in ["transaction", "branch", "till.hold", "phase=try", "phase=confirm", "heuristic", "refused"] {
        assert!(text.contains(word), "{word:?} is not in the log:\n{text}");
    }
    assert!(!text.contains(SECRET), "a payload is in the log:\n{text}");
}

/// A store in which a log can't be read, and is due again at each lease.
#[derive(Default)]
struct Damaged {
    inner: MemoryStore,
    claims: Arc<Mutex<u32>>,
}

#[async_trait::async_trait]
impl StatusStore for Damaged {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        self.inner.append(write).await
    }
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        *self.claims.lock().unwrap() += 1;
        let mut claimed = self.inner.claim(claim).await?;
        let why = "it is due, and there is no log of it".to_owned();
        claimed.unreadable.push(Unreadable { id: TxId::from_time(7, [7; 10]), why });
        claimed.next_due = Some(claim.lease);
        Ok(claimed)
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
        Ok(Readiness::default())
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_read_is_said_once() {
    let text = Text::default();
    let writer = text.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let store = Damaged::default();
    let claims = store.claims.clone();
    let tcc = Coordinator::builder("till", store).register(Till).start().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    tcc.shutdown().await;
    assert!(*claims.lock().unwrap() > 300, "it was met again and again");
    let text = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("there is no log of it").count(), 1, "{text}");
}

/// Two transactions that call an action which nobody knows any more: the log names it once, then every ten minutes.
#[tokio::test(start_paused = true)]
async fn an_unknown_action_is_named_once_and_not_at_each_attempt() {
    let store = Arc::new(MemoryStore::new());
    let group = Group::new("till").unwrap();
    let lines = [
        r#"{"v":1,"begin":{"name":"pay","begun_ms":1,"timeout_ms":1,"by":"0000000000000001","branches":[{"id":0,"action":"gone.by","version":3,"request":1}]}}"#,
        r#"{"v":1,"decide":{"decision":"confirm","outputs":[{"id":0,"output":1}]}}"#,
    ];
    for number in 1..=2 {
        let mut after = Position::START;
        for (line, op) in lines.into_iter().zip(1..) {
            let (id, due) = (TxId::from_time(number, [7; 10]), Due::In(std::time::Duration::ZERO));
            let entry = Entry::new(Op::from_u64(op), line).unwrap();
            let append = Append { group: group.clone(), id, after, entry, due, mode: Mode::Extend };
            store.append(&append).await.unwrap();
            after = after.then(Op::from_u64(op));
        }
    }
    let text = Text::default();
    let writer = text.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let tcc = Coordinator::builder("till", store).register(Till).start().await.unwrap();
    let warned = || {
        let text = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
        let warnings = text.lines().filter(|line| line.contains("WARN"));
        warnings.map(str::to_owned).collect::<Vec<String>>()
    };
    // The memory store warns of itself at the start.
    let about_it = || warned().into_iter().filter(|line| line.contains("gone.by")).collect::<Vec<_>>();
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    assert_eq!(about_it().len(), 1, "{:#?}", warned());
    assert!(about_it()[0].contains("action=gone.by version=3 transactions=1 times=1"), "{:#?}", about_it());
    tokio::time::sleep(std::time::Duration::from_secs(3300)).await;
    assert!((5..=6).contains(&about_it().len()), "{:#?}", about_it());
    assert!(about_it()[1].contains("version=3 transactions=2 times="), "{:#?}", about_it());
    let unknown = tcc.operator().unknown_actions();
    assert!(unknown[0].times > 100, "it was met again and again: {unknown:?}");
    assert!(unknown[0].since.as_secs() >= 3500 && unknown[0].last.as_secs() <= 60, "{unknown:?}");
    tcc.shutdown().await;
}
