//! What a store says and does while its server or the way to it fails.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::*;
use tcc_core::protocol::Position;
use tcc_core::store::{Due, StatusStore, StoreError};
use tcc_redis::RedisStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that can keep the server's answers to itself.
struct Proxy {
    port: u16,
    /// Cut the connection at the server's next answer, which is not passed on.
    cut: Arc<AtomicBool>,
    /// Pass nothing on to the client, and keep the connection.
    mute: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    /// Where new connections go.
    server: Arc<AtomicU16>,
}

impl Proxy {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, mute) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let connections = Arc::new(AtomicUsize::new(0));
        let server = Arc::new(AtomicU16::new(server));
        let goes_to = Arc::clone(&server);
        let (seen_cut, seen_mute, count) = (Arc::clone(&cut), Arc::clone(&mute), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", goes_to.load(Ordering::SeqCst))).await
                else {
                    continue;
                };
                tokio::spawn(relay(client, upstream, Arc::clone(&seen_cut), Arc::clone(&seen_mute)));
            }
        });
        Self { port, cut, mute, connections, server }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, cut: Arc<AtomicBool>, mute: Arc<AtomicBool>) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(bytes) if bytes > 0 => server.write_all(&up[..bytes]).await.unwrap(),
                _ => return,
            },
            read = server.read(&mut down) => match read {
                // The answer is here: the request has been carried out.
                Ok(bytes) if bytes > 0 => {
                    if cut.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if !mute.load(Ordering::SeqCst) {
                        client.write_all(&down[..bytes]).await.unwrap();
                    }
                }
                _ => return,
            },
        }
    }
}

/// Calls until it succeeds: a store finds its way back by itself. The calls between may only fail in the given way.
async fn until_it_works(store: &RedisStore, write: &tcc_core::store::Append) {
    let begun = Instant::now();
    loop {
        match store.append(write).await {
            Ok(()) => return,
            Err(StoreError::Unavailable { .. } | StoreError::Ambiguous { .. }) => {
                assert!(begun.elapsed() < Duration::from_secs(20), "it does not come back");
                tokio::task::yield_now().await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_02_a_killed_server_comes_back() {
    let mut server = durable();
    let store = store(&server).await;
    for round in 0..3 {
        let first = append(round, Position::START, 1, Due::Keep);
        store.append(&first).await.unwrap();
        server.kill();
        // The break may be seen by the call itself; from then on nothing is sent.
        let _ = store.append(&append(round, at(1, 1), 2, Due::Keep)).await;
        for _ in 0..50 {
            let begun = Instant::now();
            let answer = store.append(&append(round, at(1, 1), 2, Due::Keep)).await;
            assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
            let read = store.read(&shop(), tx(round)).await;
            assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
            assert!(begun.elapsed() < Duration::from_secs(2), "it fails slowly");
        }
        server.restart();
        until_it_works(&store, &append(round, at(1, 1), 2, Due::Keep)).await;
        assert_eq!(ops(&store.read(&shop(), tx(round)).await.unwrap().unwrap()), [1, 2]);
    }
}

#[tokio::test]
async fn a_break_while_nothing_is_asked_loses_no_call() {
    let mut server = durable();
    let store = store(&server).await;
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();
    for number in 1..5 {
        // When this returns, the connection is broken, and the server is there again.
        server.restart();
        // The runtime, which has this thread alone, takes note of it.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        store.append(&append(1, at(number, number.into()), u64::from(number) + 1, Due::Keep)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_not_stormed() {
    let mut server = durable();
    let proxy = Proxy::before(server.port()).await;
    let store = RedisStore::connect(proxy.url()).await.unwrap();
    server.kill();
    for number in 0..2000 {
        assert!(store.append(&append(number, Position::START, 1, Due::Keep)).await.is_err());
    }
    let attempts = proxy.connections.load(Ordering::SeqCst);
    assert!(attempts < 100, "{attempts} attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_new_primary_is_found() {
    let (old, new) = (durable(), durable());
    let proxy = Proxy::before(old.port()).await;
    let store = RedisStore::connect(proxy.url()).await.unwrap();
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();
    ask(&old, &["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    // The old one lives on, and so does the connection to it; its name stands for the new one from now on.
    proxy.server.store(new.port(), Ordering::SeqCst);
    until_it_works(&store, &append(2, Position::START, 1, Due::Keep)).await;
    assert_eq!(ask(&new, &["EXISTS", &format!("{{tcc:shop:0}}:{}", tx(2))]), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_make_one_connection() {
    let server = tcc_test_servers::RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let store = RedisStore::connect(proxy.url()).await.unwrap();
    store.append(&append(0, Position::START, 1, Due::Keep)).await.unwrap();
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 1);
    proxy.cut.store(true, Ordering::SeqCst);
    let _ = store.append(&append(0, at(1, 1), 2, Due::Keep)).await;
    let callers: Vec<_> = (1..100)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.append(&append(number, Position::START, 1, Due::Keep)).await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_ambiguous() {
    let server = tcc_test_servers::RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let store = RedisStore::connect(proxy.url()).await.unwrap();
    store.append(&append(0, Position::START, 1, Due::Keep)).await.unwrap();

    let write = append(1, Position::START, 1, Due::Keep);
    proxy.cut.store(true, Ordering::SeqCst);
    let answer = store.append(&write).await;
    assert!(matches!(answer, Err(StoreError::Ambiguous { .. })), "{answer:?}");
    // It was applied; asked again, it is a repeat.
    assert_eq!(ops(&store.read(&shop(), tx(1)).await.unwrap().unwrap()), [1]);
    store.append(&write).await.unwrap();

    proxy.cut.store(true, Ordering::SeqCst);
    let answers = store
        .append_all(&[append(1, at(1, 1), 2, Due::Keep), append(2, Position::START, 1, Due::Keep)])
        .await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Ambiguous { .. }))), "{answers:?}");

    // Who only reads, has changed nothing.
    assert!(store.read(&shop(), tx(1)).await.unwrap().is_some());
    proxy.cut.store(true, Ordering::SeqCst);
    let read = store.read(&shop(), tx(1)).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    assert_eq!(ops(&store.read(&shop(), tx(1)).await.unwrap().unwrap()), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_in_time_is_ambiguous_and_the_connection_is_replaced() {
    let server = tcc_test_servers::RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let limit = Duration::from_millis(200);
    let store = RedisStore::builder(proxy.url()).response_timeout(limit).connect().await.unwrap();
    store.append(&append(0, Position::START, 1, Due::Keep)).await.unwrap();
    proxy.mute.store(true, Ordering::SeqCst);
    let write = append(1, Position::START, 1, Due::Keep);
    let answer = store.append(&write).await;
    assert!(matches!(answer, Err(StoreError::Ambiguous { .. })), "{answer:?}");
    proxy.mute.store(false, Ordering::SeqCst);
    store.append(&write).await.unwrap();
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_waited_for_no_longer_than_was_said() {
    let server = tcc_test_servers::RedisServer::start();
    let limit = Duration::from_millis(200);
    let store = RedisStore::builder(server.url())
        .response_timeout(limit)
        .connect_timeout(limit)
        .connect()
        .await
        .unwrap();
    let write = append(1, Position::START, 1, Due::Keep);
    store.append(&append(0, Position::START, 1, Due::Keep)).await.unwrap();
    server.pause();
    let begun = Instant::now();
    let answer = store.append(&write).await;
    assert!(matches!(answer, Err(StoreError::Ambiguous { .. })), "{answer:?}");
    // The kernel still takes connections for it; it does not answer them.
    let answer = store.append(&write).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    server.resume();
    until_it_works(&store, &write).await;
    assert_eq!(ops(&store.read(&shop(), tx(1)).await.unwrap().unwrap()), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_server_is_killed_under_load() {
    let mut server = durable();
    let store = store(&server).await;
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8u64)
        .map(|caller| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                // Each extends one log; what is ambiguous is asked again, as it stands.
                let mut end = Position::START;
                while !done.load(Ordering::SeqCst) {
                    let op = u64::from(end.entries) + 1;
                    let write = append(caller, end, op, Due::Keep);
                    until_it_works(&store, &write).await;
                    end = at(end.entries + 1, op);
                }
                end
            })
        })
        .collect();
    let mut written = 0;
    for _ in 0..3 {
        // Some writes go by between the kills.
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "no writes go by");
            let size: usize =
                ask(&server, &["STRLEN", &format!("{{tcc:shop:0}}:{}", tx(0))]).parse().unwrap();
            if size > written + 1000 {
                written = size;
                break;
            }
            tokio::task::yield_now().await;
        }
        server.restart();
    }
    done.store(true, Ordering::SeqCst);
    for (caller, task) in (0..).zip(callers) {
        let end = task.await.unwrap();
        let log = store.read(&shop(), tx(caller)).await.unwrap().unwrap();
        assert_eq!(log.position(), end);
        assert_eq!(ops(&log), (1..=u64::from(end.entries)).collect::<Vec<_>>());
    }
}

#[test]
fn a_store_outlives_the_runtime_it_was_made_on() {
    let server = tcc_test_servers::RedisServer::start();
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = runtime();
    let store = first.block_on(store(&server));
    first.block_on(store.append(&append(1, Position::START, 1, Due::Keep))).unwrap();
    drop(first);
    let second = runtime();
    second.block_on(until_it_works(&store, &append(1, at(1, 1), 2, Due::Keep)));
}
