//! A Redis that goes wrong while all is running: what is asked meanwhile is told why; nothing is lost, and all goes on by
//! itself once it is mended.

use std::sync::Arc;

use tcc_core::Coordinator;
use tcc_core::protocol::Phase;
use tcc_redis::RedisStore;
use tcc_test_servers::{AppendFsync, RedisServer};

use crate::said::{SECRET, said};
use crate::till::{Till, builder, confirmed, pay, until};

/// A shop on a server that keeps all.
struct Shop {
    server: RedisServer,
    till: Arc<Till>,
    tcc: Coordinator,
}

impl Shop {
    async fn open() -> Self {
        let server = RedisServer::builder().append_only(AppendFsync::Always).start();
        let till = Arc::new(Till::default());
        let store = RedisStore::connect(server.url()).await.unwrap();
        let tcc = builder(store, &till).start().await.unwrap();
        Self { server, till, tcc }
    }

    #[track_caller]
    fn ask(&self, command: &[&str]) {
        self.server.command(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }

    /// Breaks the server while ann's payment is decided and not settled, and mends it.
    async fn survives(&self, case: &str, words: &[&str], breaks: &[&[&str]], mends: &[&[&str]]) {
        self.till.close("ann");
        let ann = pay(&self.tcc, "ann").await.unwrap();
        breaks.iter().for_each(|command| self.ask(command));
        // Until it is noticed: a connection that was up may still be for a moment.
        let error = loop {
            if let Err(error) = pay(&self.tcc, "bob").await {
                break error;
            }
        };
        said(case, error, words);
        mends.iter().for_each(|command| self.ask(command));
        // At once, and without being told.
        until(async || pay(&self.tcc, "cleo").await.is_ok()).await;
        self.till.open();
        confirmed(&self.tcc, ann).await;
        assert_eq!(self.till.served("ann"), [Phase::Try, Phase::Confirm]);
        // What began in between is cancelled, or was never tried: nothing is left.
        until(async || self.tcc.operator().stats().await.unwrap().unfinished == 0).await;
        assert_eq!(self.till.served("cleo").last(), Some(&Phase::Confirm));
    }
}

#[tokio::test]
async fn its_memory_is_full() {
    let (full, free) = (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]);
    Shop::open()
        .await
        .survives(
            "no memory left, while running",
            &["OOM", "raise its `maxmemory`", "nothing is confirmed"],
            &[&full],
            &[&free],
        )
        .await;
}

#[tokio::test]
async fn it_becomes_a_replica() {
    // Of nobody: a real primary's data would take the place of its own.
    let (replica, primary) = (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]);
    Shop::open()
        .await
        .survives(
            "a replica, while running",
            &["READONLY", "connect to the primary"],
            &[&replica],
            &[&primary],
        )
        .await;
}

#[tokio::test]
async fn a_right_is_taken_away() {
    let (taken, given) =
        (["ACL", "SETUSER", "default", "-append"], ["ACL", "SETUSER", "default", "+append", "+@all"]);
    let shop = Shop::open().await;
    // A begin needs no `append`: so the try is called, and the decision can't be written.
    shop.survives("a right is taken away", &["can't run this command", "ACL SETUSER"], &[&taken], &[&given])
        .await;
    let (taken, given) =
        (["ACL", "SETUSER", "default", "-evalsha", "-eval"], ["ACL", "SETUSER", "default", "+@all"]);
    shop.survives("no right to run scripts", &["evalsha", "ACL SETUSER"], &[&taken], &[&given]).await;
    let (taken, given) = (["ACL", "SETUSER", "default", "resetkeys"], ["ACL", "SETUSER", "default", "~*"]);
    shop.survives("no right to its keys", &["key", "ACL SETUSER with ~{namespace:*"], &[&taken], &[&given])
        .await;
}

#[tokio::test]
async fn the_password_is_changed() {
    let shop = Shop::open().await;
    shop.till.close("ann");
    let ann = pay(&shop.tcc, "ann").await.unwrap();
    let address = format!("127.0.0.1:{}", shop.server.port());
    shop.ask(&["CONFIG", "SET", "requirepass", SECRET]);
    // Whoever was let in stays; a new connection is not let in.
    authenticated(&address, "CLIENT KILL TYPE normal SKIPME yes");
    let error = loop {
        match pay(&shop.tcc, "bob").await {
            // The first may have been under way when its connection broke.
            Err(error) if format!("{error:?}").contains("NOAUTH") => break error,
            _ => {}
        }
    };
    said("the password is changed, while running", error, &["NOAUTH", "password", "URL"]);
    authenticated(&address, "CONFIG SET requirepass \"\"");
    until(async || pay(&shop.tcc, "cleo").await.is_ok()).await;
    shop.till.open();
    confirmed(&shop.tcc, ann).await;
}

/// Runs a command as one who knows the password.
fn authenticated(address: &str, command: &str) {
    use std::io::{BufRead, BufReader, Write};
    let mut server = std::net::TcpStream::connect(address).unwrap();
    write!(server, "AUTH {SECRET}\r\n{command}\r\nQUIT\r\n").unwrap();
    let answers: Vec<String> = BufReader::new(server).lines().map_while(Result::ok).collect();
    assert!(answers.iter().all(|answer| !answer.starts_with('-')), "{answers:?}");
}
