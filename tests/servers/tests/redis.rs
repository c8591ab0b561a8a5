//! What tests rely on when they use a [`RedisServer`].

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tcc_test_servers::{AppendFsync, RedisServer};

#[test]
fn answers_as_soon_as_it_is_started() {
    let server = RedisServer::start();
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG", "{}", server.log());
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    assert!(server.log().contains("Redis version="));
}

#[test]
fn each_is_a_server_of_its_own() {
    let servers = [RedisServer::start(), RedisServer::start(), RedisServer::start()];
    servers[0].command(&["SET", "key", "value"]).unwrap();
    assert_eq!(servers[1].command(&["EXISTS", "key"]).unwrap(), "0");
    assert_eq!(servers[2].command(&["EXISTS", "key"]).unwrap(), "0");
}

#[test]
fn keeps_port_and_append_only_file_over_kills() {
    let mut server = RedisServer::builder().append_only(AppendFsync::Always).start();
    let port = server.port();
    for round in 1..=3 {
        assert_eq!(server.command(&["RPUSH", "log", "entry"]).unwrap(), round.to_string());
        server.kill();
        server.command(&["PING"]).expect_err("nobody listens any more");
        server.restart();
        assert_eq!(server.port(), port);
        assert_eq!(server.command(&["LLEN", "log"]).unwrap(), round.to_string(), "{}", server.log());
    }
}

#[test]
fn waits_for_its_port_to_come_back() {
    let mut server = RedisServer::start();
    server.kill();
    let stranger = TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    // A look at who answers costs the stranger one connection; it lives through a few starts of ours.
    std::thread::spawn(move || (0..20).for_each(|_| drop(stranger.accept().unwrap())));
    server.restart();
    assert!(server.log().contains("Address already in use"), "{}", server.log());
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
}

#[test]
fn forgets_without_an_append_only_file() {
    let mut server = RedisServer::start();
    server.command(&["SET", "key", "value"]).unwrap();
    server.restart();
    assert_eq!(server.command(&["EXISTS", "key"]).unwrap(), "0");
}

#[test]
fn takes_settings_as_in_redis_conf() {
    let server = RedisServer::builder()
        .append_only(AppendFsync::EverySec)
        .config("maxmemory-policy", "allkeys-lru")
        .config("save", "3600 1")
        .start();
    let setting = |name| server.command(&["CONFIG", "GET", name]).unwrap();
    assert_eq!(setting("appendfsync"), "appendfsync\neverysec");
    assert_eq!(setting("maxmemory-policy"), "maxmemory-policy\nallkeys-lru");
    assert_eq!(setting("save"), "save\n3600 1");
}

#[test]
fn asks_for_the_password() {
    let password = r#"p@ss "word"/\ü"#;
    let mut server = RedisServer::builder().password(password).start();
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
    server.restart();
    assert_eq!(
        server.command(&["CONFIG", "GET", "requirepass"]).unwrap(),
        format!("requirepass\n{password}")
    );
    assert_eq!(server.url(), format!("redis://:p%40ss%20%22word%22%2F%5C%C3%BC@127.0.0.1:{}", server.port()));
}

#[test]
fn answers_nobody_while_it_is_paused() {
    let server = RedisServer::start();
    server.pause();
    TcpStream::connect(("127.0.0.1", server.port())).expect("the kernel accepts for it");
    std::thread::scope(|scope| {
        let (sent, answer) = std::sync::mpsc::channel();
        let server = &server;
        scope.spawn(move || sent.send(server.command(&["PING"])));
        answer.recv_timeout(Duration::from_millis(200)).expect_err("no answer while paused");
        server.resume();
        assert_eq!(answer.recv().unwrap().unwrap(), "PONG");
    });
    assert_eq!(server.command(&["PING"]).unwrap(), "PONG");
}

#[test]
fn can_be_killed_while_it_is_paused() {
    let mut server = RedisServer::start();
    server.pause();
    server.kill();
    server.kill();
    server.restart();
    server.pause();
    drop(server);
}

#[test]
#[should_panic(expected = "run `cargo xtask test`, which installs it")]
fn says_what_to_install() {
    let _ = RedisServer::builder().binary("redis-server-that-is-nowhere").start();
}

#[test]
#[should_panic(expected = "Bad directive or wrong number of arguments")]
fn shows_the_log_of_a_server_that_does_not_start() {
    let _ = RedisServer::builder().config("no-such-setting", "1").start();
}

/// This very test is the other process, too: run by itself with [`VICTIM`] set, it starts a server and waits to be killed.
#[test]
fn ends_with_a_process_that_is_killed() {
    const VICTIM: &str = "TCC_TEST_SERVERS_VICTIM";
    if std::env::var_os(VICTIM).is_some() {
        let server = RedisServer::start();
        let setting = |name| server.command(&["CONFIG", "GET", name]).unwrap();
        let folder = setting("dir");
        writeln!(std::io::stdout(), "\nserver {} {}", server.port(), folder.lines().last().unwrap()).unwrap();
        std::io::stdin().read_line(&mut String::new()).unwrap();
        unreachable!("it is killed first");
    }

    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ends_with_a_process_that_is_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.find_map(|line| line.strip_prefix("server ").map(String::from)).unwrap();
    let (port, folder) = told.split_once(' ').unwrap();
    let address = format!("127.0.0.1:{port}");
    assert!(TcpStream::connect(&address).is_ok() && Path::new(folder).exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    let gone = || TcpStream::connect(&address).is_err() && !Path::new(folder).exists();
    let killed = Instant::now();
    while !gone() {
        assert!(killed.elapsed() < Duration::from_secs(10), "{address} or {folder} is still there");
        std::thread::yield_now();
    }
}

#[test]
fn its_clock_can_be_moved() {
    const HOUR: Duration = Duration::from_secs(3600);
    let mut server = RedisServer::builder().append_only(AppendFsync::Always).movable_clock().start();
    let time = |server: &RedisServer| -> i64 {
        server.command(&["TIME"]).unwrap().lines().next().unwrap().parse().unwrap()
    };
    let began = time(&server);
    server.command(&["SET", "soon", "gone", "EX", "1800"]).unwrap();
    server.command(&["SET", "later", "here", "EX", "5400"]).unwrap();
    server.set_clock_ahead(HOUR);
    assert!((3600..3660).contains(&(time(&server) - began)), "{began}, then {}", time(&server));
    assert_eq!(server.command(&["GET", "soon"]).unwrap(), "");
    assert_eq!(server.command(&["GET", "later"]).unwrap(), "here");
    server.set_clock_back(2 * HOUR);
    assert!((-3600..-3540).contains(&(time(&server) - began)), "{began}, then {}", time(&server));
    server.kill();
    server.restart();
    assert!((-3600..-3540).contains(&(time(&server) - began)), "restarted: {began}, then {}", time(&server));
}
