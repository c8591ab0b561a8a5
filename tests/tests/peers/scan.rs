//! What is looked through to find what is due: not what is finished, not what is leased, and not other people's keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tcc_core::protocol::{
    ActionName, Begin, BranchId, Change, Claim as Claiming, Enlisted, Entry, Json, Name, Op, Owner, Position,
    Status, TxId,
};
use tcc_core::store::{Append, Claim, Due, MemoryStore, Mode, Retain, StatusStore};
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;
use tcc_test_servers::RedisServer;

use crate::rig::*;

/// Without end: longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

fn id(number: u64) -> TxId {
    TxId::from_time(number, [7; 10])
}

/// What a dead coordinator left: a transaction of one branch, undecided.
fn left(number: u64, due: Due) -> Append {
    let branch = Enlisted {
        id: BranchId::new(0),
        action: ActionName::new("account.freeze").unwrap(),
        version: 1,
        request: Json::of(&cents(1)).unwrap(),
        on_confirm: false,
    };
    let begin = Change::Begin(Begin {
        name: Name::new("pay").unwrap(),
        begun_ms: 4_000_000_000_000,
        timeout_ms: 1,
        by: Owner::from_u64(1),
        key: None,
        run: None,
        traceparent: None,
        branches: vec![branch],
    });
    let entry = Entry::new(Op::from_u64(number + 1), begin.encode()).unwrap();
    Append { group: group(), id: id(number), after: Position::START, entry, due, mode: Mode::Extend }
}

async fn put(store: &dyn StatusStore, writes: &[Append]) {
    for batch in writes.chunks(100) {
        assert!(store.append_all(batch).await.iter().all(Result::is_ok));
    }
}

fn claim(lease: Duration) -> Claim {
    let by = Change::Claim(Claiming { by: Owner::from_u64(2) });
    Claim {
        group: group(),
        entry: Entry::new(Op::from_u64(u64::MAX), by.encode()).unwrap(),
        lease,
        limit: 100,
    }
}

/// A thousand that another coordinator holds, all of them begun before the one that is due.
async fn due_work_is_done_behind_leased(store: Arc<dyn StatusStore>) {
    const LEASED: u64 = 1_000;
    put(&*store, &(0..LEASED).map(|number| left(number, Due::Keep)).collect::<Vec<_>>()).await;
    let mut held = 0;
    while held < LEASED as usize {
        let claimed = store.claim(&claim(HOUR)).await.unwrap().logs.len();
        assert!(claimed > 0, "{held} of {LEASED} are leased, and no more are handed out");
        held += claimed;
    }
    assert_eq!(store.claim(&claim(HOUR)).await.unwrap().logs.len(), 0, "what is leased is handed out again");
    put(&*store, &[left(LEASED, Due::Keep)]).await;
    let account = Account::new().await;
    let tcc = coordinator(store.clone()).register(account).start().await.unwrap();
    until("what is due is cancelled", async || {
        tcc.outcome(id(LEASED)).await.unwrap() == Some(Status::Cancelled)
    })
    .await;
    for number in [0, LEASED / 2, LEASED - 1] {
        let log = store.read(&group(), id(number)).await.unwrap().unwrap();
        assert_eq!(log.entries().len(), 2, "what is leased was touched");
    }
    assert_eq!(tcc.operator().stats().await.unwrap().unfinished, LEASED);
}

#[tokio::test]
async fn peers_07_due_work_is_done_however_much_is_leased_in_memory() {
    due_work_is_done_behind_leased(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn peers_07_due_work_is_done_however_much_is_leased_on_redis() {
    let server = RedisServer::start();
    due_work_is_done_behind_leased(Arc::new(RedisStore::connect(server.url()).await.unwrap())).await;
}

#[tokio::test]
async fn peers_07_due_work_is_done_however_much_is_leased_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    due_work_is_done_behind_leased(Arc::new(SqliteStore::open(path.to_str().unwrap()).await.unwrap())).await;
}

/// How often each command was called since the server started, also within scripts.
fn commands(server: &RedisServer) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), counts.split(',').next()?.parse().ok()?))
    };
    ask(server, &["INFO", "commandstats"]).lines().filter_map(line).collect()
}

/// Keys that are none of ours.
fn other_peoples(server: &RedisServer, keys: u64) {
    const FILL: &str = "for i = 1, ARGV[1] do redis.call('SET', 'other:' .. i, i) end";
    ask(server, &["EVAL", FILL, "0", &keys.to_string()]);
}

/// What a claim of twenty that are due calls on a server that holds so much else.
async fn cost_of_a_claim(finished: u64, others: u64) -> BTreeMap<String, u64> {
    let server = RedisServer::start();
    let store = RedisStore::connect(server.url()).await.unwrap();
    put(&store, &(0..20).map(|number| left(number, Due::Keep)).collect::<Vec<_>>()).await;
    // Through every step of their life, so that whatever finishing leaves behind is there: all of them were due.
    let begun: Vec<_> = (100..100 + finished).map(|number| left(number, Due::Keep)).collect();
    let done = |begun: &Append| Append {
        after: Position::START.then(begun.entry.op()),
        due: Due::Never { retain: Retain::For(HOUR) },
        mode: Mode::Replace,
        entry: Entry::new(Op::from_u64(9), "{}").unwrap(),
        ..begun.clone()
    };
    put(&store, &begun).await;
    put(&store, &begun.iter().map(done).collect::<Vec<_>>()).await;
    other_peoples(&server, others);
    assert!(ask(&server, &["DBSIZE"]).parse::<u64>().unwrap() > finished + others);
    let before = commands(&server);
    assert_eq!(store.claim(&claim(HOUR)).await.unwrap().logs.len(), 20);
    let mut cost = commands(&server);
    cost.retain(|name, calls| {
        *calls -= before.get(name).copied().unwrap_or_default();
        *calls > 0 && name != "info"
    });
    cost
}

#[tokio::test]
async fn peers_27_a_claim_costs_the_same_whatever_else_the_server_holds() {
    let bare = cost_of_a_claim(0, 0).await;
    let full = cost_of_a_claim(10_000, 10_000).await;
    assert_eq!(full, bare);
    assert!(bare["get"] <= 20 && bare["evalsha"] <= 3, "{bare:?}");
}

/// A coordinator from its start to the end of what a dead one left, and then idle, on a full server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_27_recovery_looks_through_no_keyspace() {
    let server = RedisServer::start();
    let store = RedisStore::connect(server.url()).await.unwrap();
    put(&store, &(0..20).map(|number| left(number, Due::Keep)).collect::<Vec<_>>()).await;
    other_peoples(&server, 10_000);
    let account = Account::new().await;
    let tcc = coordinator(store).register(account).start().await.unwrap();
    until("all is recovered", async || ask(&server, &["ZCARD", &due()]) == "0").await;
    for number in 0..20 {
        assert_eq!(tcc.outcome(id(number)).await.unwrap(), Some(Status::Cancelled));
    }
    tcc.operator().stats().await.unwrap();
    let called = commands(&server);
    for whole in ["keys", "scan", "sscan", "hscan", "zscan", "smembers", "randomkey", "sort"] {
        assert_eq!(called.get(whole), None, "{whole}");
    }
    assert!(called.contains_key("evalsha"), "{called:?}");
}
