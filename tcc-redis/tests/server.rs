//! Which servers a store takes, how it gets in, and what it never tells.

mod common;

use std::time::{Duration, Instant};

use common::*;
use tcc_core::protocol::Position;
use tcc_core::store::{Due, Finding, Readiness, StatusStore, StoreError};
use tcc_redis::{ConnectError, RedisStore};
use tcc_test_servers::{AppendFsync, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SECRET: &str = "h@sh:/?#[] hush";

async fn readiness(server: &RedisServer) -> Readiness {
    store(server).await.check().await.unwrap()
}

fn says(findings: &[Finding], what: &str, mend: &str) -> bool {
    findings.iter().any(|finding| finding.what.contains(what) && finding.mend.contains(mend))
}

#[tokio::test]
async fn nothing_is_wrong_with_a_server_that_keeps_all() {
    assert_eq!(readiness(&durable()).await, Readiness::default());
}

#[tokio::test]
async fn peers_12_a_server_that_evicts_is_refused() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        // Whether a limit is set now or not: it may be later.
        for limit in ["0", "100mb"] {
            let server = RedisServer::builder()
                .append_only(AppendFsync::Always)
                .config("maxmemory-policy", policy)
                .config("maxmemory", limit)
                .start();
            let found = readiness(&server).await;
            assert!(says(&found.errors, policy, "noeviction"), "{found:?}");
            let allowed = RedisStore::builder(server.url()).allow_eviction(true).connect().await.unwrap();
            let found = allowed.check().await.unwrap();
            assert!(found.errors.is_empty() && says(&found.warnings, policy, "noeviction"), "{found:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_forgets_is_said_to() {
    let found = readiness(&RedisServer::start()).await;
    assert!(found.errors.is_empty() && found.warnings.len() == 1, "{found:?}");
    assert!(says(&found.warnings, "KEEPS NOTHING", "appendonly yes"), "{found:?}");

    let found = readiness(&RedisServer::builder().config("save", "60 1").start()).await;
    assert!(says(&found.warnings, "snapshots only", "appendonly yes"), "{found:?}");
    let found = readiness(&RedisServer::builder().append_only(AppendFsync::EverySec).start()).await;
    assert!(says(&found.warnings, "everysec", "always"), "{found:?}");
    let found = readiness(&RedisServer::builder().append_only(AppendFsync::No).start()).await;
    assert!(says(&found.warnings, "appendfsync no", "always"), "{found:?}");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let primary = durable();
    let replica = RedisServer::builder()
        .append_only(AppendFsync::Always)
        .config("replicaof", format!("127.0.0.1 {}", primary.port()))
        .start();
    let store = store(&replica).await;
    let found = store.check().await.unwrap();
    assert!(says(&found.errors, "replica", "primary"), "{found:?}");
    let answer = store.append(&append(1, Position::START, 1, Due::Keep)).await;
    assert!(
        matches!(&answer, Err(StoreError::Unavailable { what, .. }) if what.contains("READONLY")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_takes_nothing_and_says_so() {
    let (primary, other) = (durable(), durable());
    let store = store(&primary).await;
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();
    ask(&primary, &["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    let answer = store.append(&append(2, Position::START, 1, Due::Keep)).await;
    assert!(matches!(&answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    ask(&primary, &["REPLICAOF", "NO", "ONE"]);
    store.append(&append(2, Position::START, 1, Due::Keep)).await.unwrap();
}

#[tokio::test]
async fn what_may_not_be_asked_is_unverified() {
    let server = durable();
    ask(&server, &["ACL", "SETUSER", "clerk", "on", ">hush", "~*", "+@all", "-config"]);
    let store = RedisStore::connect(format!("redis://clerk:hush@127.0.0.1:{}", server.port())).await.unwrap();
    // INFO still tells of the policy and of the append-only file, not of how soon it is written.
    let found = store.check().await.unwrap();
    assert!(found.errors.is_empty() && found.warnings.len() == 1, "{found:?}");
    assert!(says(&found.warnings, "unverified", "appendfsync always"), "{found:?}");
    ask(&server, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(says(&store.check().await.unwrap().errors, "allkeys-lru", "noeviction"));

    ask(&server, &["ACL", "SETUSER", "clerk", "-info"]);
    let found = store.check().await.unwrap();
    assert!(found.errors.is_empty(), "{found:?}");
    assert!(says(&found.warnings, "unverified", "maxmemory-policy noeviction"), "{found:?}");
    assert!(found.warnings.iter().all(|warning| warning.what.contains("unverified")), "{found:?}");
}

#[tokio::test]
async fn what_a_user_may_not_run_is_named_and_keys_are_unverified() {
    let server = durable();
    ask(&server, &["ACL", "SETUSER", "clerk", "on", ">hush", "~{tcc:shop*", "+@all"]);
    let store = RedisStore::connect(format!("redis://clerk:hush@127.0.0.1:{}", server.port())).await.unwrap();
    // It may use the keys of its group, and none of the check's: nothing is wrong with that.
    let found = store.check().await.unwrap();
    assert!(found.errors.is_empty() && found.warnings.len() == 1, "{found:?}");
    assert!(says(&found.warnings, "unverified", "ACL SETUSER clerk ~{tcc:*"), "{found:?}");
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();

    ask(&server, &["ACL", "SETUSER", "clerk", "~*", "-persist", "-append", "-mset"]);
    let found = store.check().await.unwrap();
    assert!(
        says(&found.errors, "may not run MSET, PERSIST, APPEND", "SETUSER clerk +mset +persist +append"),
        "{found:?}"
    );
    // It lives for a millisecond.
    let gone = async {
        while !ask(&server, &["KEYS", "*check*"]).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the check leaves something behind");
}

#[tokio::test]
async fn a_password_lets_in_and_is_never_told() {
    let server = RedisServer::builder().password(SECRET).append_only(AppendFsync::Always).start();
    let builder = RedisStore::builder(server.url());
    let mut told = vec![format!("{builder:?}")];
    let store = builder.connect().await.unwrap();
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();
    told.push(format!("{store:?}"));
    assert!(told[1].contains(&server.port().to_string()), "{}", told[1]);

    let wrong = format!("redis://:h%40sh%20wrong@127.0.0.1:{}", server.port());
    let refused = RedisStore::connect(wrong).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Unreachable { .. }));
    told.extend([format!("{refused}"), format!("{refused:?}")]);

    let port = server.port();
    let url = server.url();
    drop(server);
    let answer = store.append(&append(1, at(1, 1), 2, Due::Keep)).await.unwrap_err();
    told.extend([format!("{answer}"), format!("{answer:?}")]);
    let answer = store.append(&append(1, at(1, 1), 2, Due::Keep)).await.unwrap_err();
    told.extend([format!("{answer}"), format!("{answer:?}")]);
    let gone = RedisStore::connect(url).await.unwrap_err();
    assert!(gone.to_string().contains(&port.to_string()), "{gone}");
    told.extend([format!("{gone}"), format!("{gone:?}")]);
    for text in told {
        assert!(!text.contains("h@sh") && !text.contains("h%40sh") && !text.contains("hush"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_repeats_the_password_is_not_repeated() {
    // What Redis says to a command it does not know: with the beginning of its arguments.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 4096];
            while matches!(client.read(&mut request).await, Ok(bytes) if bytes > 0) {
                let reply = "-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'me' 'hush-hush' \r\n";
                if client.write_all(reply.repeat(8).as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    let error = RedisStore::connect(format!("redis://me:hush-hush@127.0.0.1:{port}")).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn a_wrong_url_is_explained() {
    let cases = [
        ("127.0.0.1:6379", "no scheme"),
        ("http://user:hush@127.0.0.1", "\"http\" is not known"),
        ("hush://127.0.0.1", "not known"),
        ("redis://", "redis://host:port"),
        ("redis://me:hush@127.0.0.1:hush/0", "redis://host:port"),
        ("redis://me:hush@127.0.0.1/hush", "Invalid database number"),
        ("redis://me:hush@127.0.0.1/?protocol=hush", "Invalid protocol"),
    ];
    for (url, help) in cases {
        let error = RedisStore::connect(url).await.unwrap_err();
        assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error:?}");
        let text = format!("{error} {error:?}");
        assert!(error.to_string().contains(help), "{url}: {error}");
        assert!(!text.contains("hush") || url.starts_with("hush"), "{url}: {text}");
    }
    #[cfg(not(feature = "tls"))]
    {
        let error = RedisStore::connect("rediss://me:hush@127.0.0.1").await.unwrap_err();
        assert!(error.to_string().contains("the feature `tls` of the crate tcc-redis"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_setting_is_explained() {
    for namespace in ["", "a b", "{tcc}", "a}b", &"x".repeat(65)] {
        let error = RedisStore::builder(shared().url()).namespace(namespace).connect().await.unwrap_err();
        assert!(matches!(&error, ConnectError::Setting { field: "namespace", .. }), "{error}");
    }
    for shards in [0, 257] {
        let error = RedisStore::builder(shared().url()).shards(shards).connect().await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Setting { field: "shards", permitted, .. } if permitted.contains("256")),
            "{error}"
        );
    }
    let error =
        RedisStore::builder(shared().url()).response_timeout(Duration::ZERO).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Setting { .. }), "{error}");
}

#[tokio::test]
async fn a_user_and_a_database_of_the_url_are_used() {
    let server = RedisServer::start();
    ask(&server, &["ACL", "SETUSER", "clerk", "on", ">hush", "~*", "+@all"]);
    let url = format!("redis://clerk:hush@127.0.0.1:{}/3", server.port());
    let store = RedisStore::connect(url).await.unwrap();
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();
    assert!(ask(&server, &["INFO", "keyspace"]).contains("db3:keys=3"));
    assert!(ask(&server, &["CLIENT", "LIST"]).contains("user=clerk"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    // Takes connections, and says nothing.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let begun = Instant::now();
    let error =
        RedisStore::builder(url).connect_timeout(Duration::from_millis(100)).connect().await.unwrap_err();
    assert!(matches!(&error, ConnectError::Unreachable { what, .. } if what.contains("100ms")), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}
