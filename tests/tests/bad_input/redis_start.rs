//! A Redis that can't be used: said when the store connects, or when the coordinator starts.

use std::net::TcpListener;
use std::time::Duration;

use tcc_core::Coordinator;
use tcc_core::store::BoxError;
use tcc_redis::RedisStore;
use tcc_test_servers::{AppendFsync, RedisServer};

use crate::fake;
use crate::said::{SECRET, said, soon};

/// Connects, and starts a coordinator, as every program begins.
async fn start(url: &str) -> Result<Coordinator, BoxError> {
    soon(async {
        let store = RedisStore::connect(url).await?;
        Ok(Coordinator::builder("shop", store).start().await?)
    })
    .await
}

async fn refused(url: &str) -> BoxError {
    start(url).await.expect_err("it starts")
}

fn durable() -> RedisServer {
    RedisServer::builder().append_only(AppendFsync::Always).start()
}

#[tokio::test]
async fn no_redis() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    said("no Redis", refused(&format!("redis://{free}")).await, &[&free.to_string(), "start"]);
    said("no such host", refused("redis://no-such-host.invalid").await, &["no-such-host.invalid", "host"]);
    // Takes connections, and says nothing.
    let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("redis://{}", mute.local_addr().unwrap());
    let store = RedisStore::builder(url).connect_timeout(Duration::from_millis(100)).connect().await;
    said("a Redis that says nothing", store.unwrap_err(), &["100ms"]);
    said("no Redis: a socket", refused("redis+unix:///no/such.sock").await, &["/no/such.sock"]);
}

#[tokio::test]
async fn a_wrong_password() {
    let server = RedisServer::builder().password(SECRET).start();
    let port = server.port();
    let wrong = [
        ("a wrong password", format!("redis://:{SECRET}-hush@127.0.0.1:{port}")),
        ("a user who is not known", format!("redis://clerk:{SECRET}@127.0.0.1:{port}")),
        ("no password", format!("redis://127.0.0.1:{port}")),
    ];
    for (case, url) in wrong {
        said(case, refused(&url).await, &["password", "URL"]);
    }
}

#[tokio::test]
async fn a_password_with_special_characters() {
    let password = format!("{SECRET}@:/?#[]% 1");
    let server = RedisServer::builder().password(&password).append_only(AppendFsync::Always).start();
    start(&server.url()).await.expect("percent-encoded, it is taken");
    for url in [
        format!("redis://:{password}@127.0.0.1:{}", server.port()),
        format!("redis://:{SECRET}/1@127.0.0.1:{}", server.port()),
        format!("redis://:{SECRET}#1@127.0.0.1:{}", server.port()),
    ] {
        said("a password that is not percent-encoded", refused(&url).await, &["percent-encoded"]);
    }
}

#[tokio::test]
async fn a_wrong_database_number() {
    let server = RedisServer::start();
    let url = format!("{}/99", server.url());
    said("a database number that is out of range", refused(&url).await, &["99", "database"]);
    said("a database that is no number", refused("redis://127.0.0.1/shop").await, &["database number"]);
}

#[tokio::test]
async fn a_wrong_url() {
    said(
        "an unknown scheme",
        refused(&format!("http://me:{SECRET}@127.0.0.1")).await,
        &["\"http\"", "redis://"],
    );
    said("no scheme", refused(&format!("me:{SECRET}@127.0.0.1:6379")).await, &["redis://host:port"]);
    said("no URL at all", refused("").await, &["redis://host:port"]);
    // With the feature, which another crate of this workspace may turn on, nobody is there.
    let tls = refused(&format!("rediss://me:{SECRET}@127.0.0.1:1")).await;
    let expected: &[&str] =
        if tls.to_string().contains("no connection") { &["start Redis"] } else { &["feature", "tls"] };
    said("TLS without the feature", tls, expected);
    let setting = |b: tcc_redis::RedisStoreBuilder| async { soon(b.connect()).await.unwrap_err() };
    let url = "redis://127.0.0.1:1";
    let shards = setting(RedisStore::builder(url).shards(0)).await;
    said("no shards", shards, &["shards is 0", "1 to 256"]);
    let namespace = setting(RedisStore::builder(url).namespace("a b")).await;
    said("a namespace with a space", namespace, &["namespace is \"a b\"", "1 to 64"]);
    let time = setting(RedisStore::builder(url).connect_timeout(Duration::ZERO)).await;
    said("no time to connect", time, &["connect_timeout is 0ns", "1 ms"]);
    let time = setting(RedisStore::builder(url).response_timeout(Duration::ZERO)).await;
    said("no time to answer", time, &["response_timeout is 0ns", "1 ms"]);
}

#[tokio::test]
async fn a_redis_that_evicts() {
    let server = RedisServer::builder().config("maxmemory-policy", "allkeys-lru").start();
    said("allkeys-lru", refused(&server.url()).await, &["allkeys-lru", "set `maxmemory-policy noeviction`"]);
}

#[tokio::test]
async fn a_redis_that_is_too_old() {
    let old = fake::redis(|words| (words[0] == "INFO").then(|| fake::info("6.0.16", "master"))).await;
    said("Redis 6.0", refused(&old).await, &["6.0.16", "use 6.2 or newer"]);
    // The last one that does not know HELLO.
    let older = fake::redis(|words| match words[0].as_str() {
        "HELLO" => Some("-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n".into()),
        "INFO" => Some(fake::info("5.0.14", "master")),
        _ => None,
    })
    .await;
    said("Redis 5", refused(&older).await, &["too old", "use 6.2 or newer"]);
}

#[tokio::test]
async fn a_redis_that_is_a_replica() {
    let primary = durable();
    let replica = RedisServer::builder()
        .append_only(AppendFsync::Always)
        .config("replicaof", format!("127.0.0.1 {}", primary.port()))
        .start();
    said("a replica", refused(&replica.url()).await, &["replica", "connect to the primary"]);
}

#[tokio::test]
async fn a_redis_that_loads() {
    let url = fake::redis(|words| match words[0].as_str() {
        "HELLO" | "CLIENT" | "INFO" | "CONFIG" => None,
        _ => Some("-LOADING Redis is loading the dataset in memory\r\n".into()),
    })
    .await;
    said("a Redis that loads its data", refused(&url).await, &["LOADING", "once"]);
}

#[tokio::test]
async fn what_is_no_redis() {
    said("a web server", refused(&fake::http().await).await, &["no Redis server", "host and port"]);
}

#[tokio::test]
async fn a_node_of_a_cluster() {
    let url = fake::redis(|words| {
        let moved = || "-MOVED 3999 10.0.0.7:6381\r\n".to_owned();
        matches!(words[0].as_str(), "EVAL" | "EVALSHA" | "GET" | "SET" | "ZCARD" | "ZRANGE").then(moved)
    })
    .await;
    said("a node of a cluster", refused(&url).await, &["MOVED", "cluster of one shard"]);
    let node = RedisServer::builder().config("cluster-enabled", "yes").start();
    said("a cluster without slots", refused(&node.url()).await, &["CLUSTERDOWN", "cluster"]);
}

#[tokio::test]
async fn a_redis_that_is_full() {
    let server = RedisServer::builder().append_only(AppendFsync::Always).config("maxmemory", "1").start();
    said("no memory left", refused(&server.url()).await, &["OOM", "maxmemory"]);
}

#[tokio::test]
async fn a_user_without_the_rights() {
    let server = durable();
    let clerk = |rights: &[&str]| {
        let words = [&["ACL", "SETUSER", "clerk", "reset", "on", ">hush"], rights].concat();
        server.command(&words).unwrap();
        format!("redis://clerk:{SECRET}@127.0.0.1:{}", server.port())
    };
    let all = ["~{tcc:*", "+@all"];
    start(&clerk(&all)).await.expect("all that is needed");
    for right in [
        "zadd", "append", "set", "getrange", "zscore", "pexpire", "persist", "evalsha", "eval", "get",
        "zcard",
    ] {
        let url = clerk(&[&all[..], &[&format!("-{right}")]].concat());
        let case = format!("a user who may not {right}");
        said(&case, refused(&url).await, &[&right.to_uppercase(), &format!("ACL SETUSER clerk +{right}")]);
    }
    let url = clerk(&[&all[..], &["-zadd", "-zrem"]].concat());
    said("a user without two rights", refused(&url).await, &["ZADD, ZREM", "ACL SETUSER clerk +zadd +zrem"]);
    let url = clerk(&["~other:*", "+@all"]);
    said("a user who may use no keys of ours", refused(&url).await, &["key", "ACL SETUSER"]);
}

#[tokio::test]
async fn a_group_that_is_kept_in_more_shards() {
    let server = durable();
    let store = RedisStore::builder(server.url()).shards(3).connect().await.unwrap();
    let first = Coordinator::builder("shop", store).start().await.unwrap();
    // Its first look for what is due fixes the number.
    let fixed = || server.command(&["GET", "{tcc:shop}:shards"]).unwrap() == "3";
    soon(async {
        while !fixed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    first.shutdown().await;
    said("another number of shards", refused(&server.url()).await, &["3 shard", "shards(3)"]);
}
