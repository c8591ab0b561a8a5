//! What the tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use tcc_core::protocol::{Entry, Group, Log, Op, Position, TxId};
use tcc_core::store::{Append, Claim, Due, Mode, Retain};
use tcc_redis::RedisStore;
use tcc_test_servers::{AppendFsync, RedisServer};

/// A server that the tests of a binary share. It ends with their process.
pub(crate) fn shared() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(RedisServer::start)
}

/// A server that keeps all it has answered.
pub(crate) fn durable() -> RedisServer {
    RedisServer::builder().append_only(AppendFsync::Always).start()
}

/// A namespace that no other test has.
pub(crate) fn namespace() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn store(server: &RedisServer) -> RedisStore {
    RedisStore::connect(server.url()).await.expect("the server runs")
}

/// A store on the shared server, and the beginning of its keys: `{ns:shop:0}:`.
pub(crate) async fn store_of_its_own() -> (RedisStore, String) {
    let namespace = namespace();
    let store =
        RedisStore::builder(shared().url()).namespace(&namespace).connect().await.expect("the server runs");
    (store, format!("{{{namespace}:shop:0}}:"))
}

pub(crate) fn shop() -> Group {
    static SHOP: LazyLock<Group> = LazyLock::new(|| Group::new("shop").expect("a good name"));
    SHOP.clone()
}

/// The transaction of a number.
pub(crate) fn tx(number: u64) -> TxId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TxId::from_bytes(bytes)
}

pub(crate) fn op(number: u64) -> Op {
    Op::from_u64(number)
}

pub(crate) fn entry(number: u64) -> Entry {
    Entry::new(op(number), format!("{{\"entry\":{number}}}")).expect("one line")
}

pub(crate) fn at(entries: u32, last: u64) -> Position {
    Position { entries, op: op(last) }
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const IN_A_MINUTE: Due = Due::In(MINUTE);
pub(crate) const FOR_A_MINUTE: Due = Due::Never { retain: Retain::For(MINUTE) };
pub(crate) const FOR_EVER: Due = Due::Never { retain: Retain::Forever };

/// An append of entry `number` to transaction `id`.
pub(crate) fn append(id: u64, after: Position, number: u64, due: Due) -> Append {
    Append { group: shop(), id: tx(id), after, entry: entry(number), due, mode: Mode::Extend }
}

pub(crate) fn replace(id: u64, after: Position, number: u64, due: Due) -> Append {
    Append { mode: Mode::Replace, ..append(id, after, number, due) }
}

pub(crate) fn claim(limit: usize) -> Claim {
    Claim { group: shop(), entry: entry(0xc1a1), lease: MINUTE, limit }
}

/// The ops of a log's entries.
pub(crate) fn ops(log: &Log) -> Vec<u64> {
    log.entries().iter().map(|entry| entry.op().as_u64()).collect()
}

/// What the server answers to a command from outside.
#[track_caller]
pub(crate) fn ask(server: &RedisServer, command: &[&str]) -> String {
    server.command(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// How often the server has run a command.
#[track_caller]
pub(crate) fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = ask(server, &["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    stats.lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next()?.parse().ok()).unwrap_or(0)
}
