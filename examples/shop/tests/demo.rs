//! The demo, as a user starts it.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tcc_test_servers::RedisServer;
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt, BufReader};

const SCENARIOS: [&str; 14] = [
    "bought",
    "out of stock",
    "wallet refuses",
    "coupon refuses",
    "payment unknown",
    "cancel before its try",
    "try after its cancel",
    "duplicate calls",
    "confirm fails 3 times",
    "handler panics",
    "caller hangs up",
    "killed after deciding",
    "killed while trying",
    "refund",
];

fn shop(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shop")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// The verdict of a scenario: the end of the line that begins with its title.
fn verdict<'t>(text: &'t str, scenario: &str) -> &'t str {
    let line = text.lines().find(|line| line.starts_with(scenario));
    let line = line.unwrap_or_else(|| panic!("no line begins with {scenario:?}:\n{text}"));
    line.rsplit_once("  ").unwrap().1
}

#[track_caller]
fn everything_is_as_described(args: &[&str]) {
    let output = shop(args);
    let text = text(&output);
    for scenario in SCENARIOS {
        assert_eq!(verdict(&text, scenario), "sound", "{scenario}:\n{text}");
    }
    assert!(text.contains("\n14 of 14 as described"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(output.stderr.is_empty(), "nothing is wrong, and something is said:\n{text}");
}

#[test]
fn it_needs_no_server() {
    everything_is_as_described(&[]);
}

#[test]
fn it_runs_on_a_sqlite_file() {
    let dir = tempdir().unwrap();
    let store = format!("sqlite:{}", dir.path().join("log.db").display());
    everything_is_as_described(&["demo", "--store", &store]);
}

#[test]
fn it_runs_on_redis() {
    let redis = RedisServer::start();
    everything_is_as_described(&["demo", "--store", &redis.url()]);
}

#[test]
fn in_memory_it_says_what_it_can_not_show() {
    let output = shop(&["--store", "memory:"]);
    let text = text(&output);
    for scenario in SCENARIOS {
        let expected = if scenario.starts_with("killed") { "-" } else { "sound" };
        assert_eq!(verdict(&text, scenario), expected, "{scenario}:\n{text}");
    }
    assert!(text.contains("12 of 14 as described, 2 not played"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[test]
fn one_scenario_can_be_played_by_itself() {
    let output = shop(&["demo", "refund"]);
    let text = text(&output);
    assert_eq!(verdict(&text, "refund"), "sound");
    assert!(text.contains("1 of 1 as described") && !text.contains("\nbought"), "{text}");
}

#[test]
fn what_is_broken_is_seen() {
    let output = shop(&["demo", "missing-cent", "bought"]);
    let text = text(&output);
    assert_eq!(verdict(&text, "a cent is missing"), "BROKEN", "{text}");
    assert!(text.contains("! money is not conserved: 525.00 was paid in, and 524.99 is there"), "{text}");
    assert_eq!(verdict(&text, "bought"), "sound", "{text}");
    assert!(text.contains("1 of 2 as described, 1 BROKEN."), "{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
}

#[tokio::test]
async fn a_folder_can_be_audited() {
    let dir = tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let shop_in_it = shop::Shop::open(path, tcc_core::store::MemoryStore::new()).await.unwrap();
    shop_in_it.checkout(shop::Order::new("1", "ann", "lamp", 1)).await.unwrap();
    shop_in_it.coordinator().shutdown().await;
    let output = shop(&["audit", path]);
    assert!(text(&output).contains("sound: everything adds up"), "{}", text(&output));
    assert_eq!(output.status.code(), Some(0));

    std::fs::remove_file(dir.path().join("mail.db")).unwrap();
    let output = shop(&["audit", path]);
    assert!(text(&output).contains("mail.db: name the folder of a shop"), "{}", text(&output));
    assert_eq!(output.status.code(), Some(2));
}

/// What is wrong with a command line is one line, and an exit code of 2: whatever is played then, is not begun.
#[track_caller]
fn is_refused(args: &[&str], said: &str) {
    let output = shop(args);
    let text = text(&output);
    assert!(text.starts_with("shop: ") && text.contains(said), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(!text.contains("secret"), "{args:?}: {text}");
    assert!(!text.contains("(code: ") && !text.contains("(os error"), "{args:?}: for programmers: {text}");
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
}

#[test]
fn mistakes_are_explained() {
    let help = "`shop --help` says what may be given";
    let kinds = "give sqlite:FILE, redis://HOST or memory:";
    for (args, said) in [
        (&["sell"][..], "there is no command and no scenario \"sell\""),
        (&["sell"], help),
        (&["demo", "bougth"], "there is no scenario \"bougth\"; there are: bought, out-of-stock"),
        (&["bought", "demo"], "there is no scenario \"demo\""),
        (&["--fast"], "there is no option --fast"),
        (&["-x", "bought"], "there is no option -x"),
        (&["--store"], "--store needs an address"),
        (&["--store="], "--store needs an address"),
        (&["--store", "memory:", "--store", "memory:"], "--store is given twice"),
        (&["--store", "log.db"], kinds),
        (&["--store", "postgres://ann:secret@db/shop"], kinds),
        (&["--store", "postgres://ann:secret@db/shop"], "can't be of the kind \"postgres:\""),
        (&["--store", "memory:log"], "--store memory: has no name: give nothing behind the colon"),
        (&["--store", "sqlite:"], "is a database in memory"),
        (&["--store", "sqlite::memory:"], "is a database in memory"),
        (&["--store", "sqlite:/dev/null/log.db"], "there is no folder /dev/null"),
        (&["--store", "sqlite:/no/such/log.db"], "there is no folder /no/such; make it"),
        (&["--store", "sqlite:/"], "/ is a folder, not a file"),
        (&["--store", "sqlite:/no-such.db?mode=rw"], "there is no file /no-such.db"),
        (&["--store", "sqlite:/no-such.db?cache=shared"], "the parameter \"cache=shared\""),
        (
            &["--store", "redis://ann:secret@127.0.0.1:1"],
            "no connection to the Redis server at 127.0.0.1:1: Connection refused; start",
        ),
        (&["--store", "redis://ann:secret@127.0.0.1:port"], "write redis://host:port"),
        (&["--store", "redis://ann:secret@127.0.0.1/shop"], "Invalid database number"),
        (&["audit"], "audit needs one folder, and nothing else"),
        (&["audit", "a", "b"], "audit needs one folder, and nothing else"),
        (&["audit", "a", "--store", "memory:"], "audit needs one folder, and nothing else"),
        (&["audit", "/no/such"], "there is no /no/such/orders.db: name the folder of a shop"),
    ] {
        is_refused(args, said);
    }
    let help = shop(&["--help"]);
    assert!(text(&help).contains("killed-decided") && help.status.success());
}

#[test]
fn a_store_that_cant_be_used_is_said_once() {
    let evicts = RedisServer::builder().config("maxmemory-policy", "allkeys-lru").start();
    is_refused(&["--store", &evicts.url()], "`maxmemory-policy allkeys-lru`");
    let locked = RedisServer::builder().password("secret").start();
    is_refused(&["--store", &format!("redis://:wrong-secret@127.0.0.1:{}", locked.port())], "WRONGPASS");
    let dir = tempdir().unwrap();
    let file = dir.path().join("log.db");
    std::fs::write(&file, "a shopping list: apples, pears, and no database at all ".repeat(20)).unwrap();
    is_refused(&["--store", &format!("sqlite:{}", file.display())], "is not a SQLite database");
    let readonly = dir.path().join("readonly.db");
    assert!(shop(&["bought", "--store", &format!("sqlite:{}", readonly.display())]).status.success());
    is_refused(&["--store", &format!("sqlite:{}?mode=ro", readonly.display())], "open it without mode=ro");
}

#[tokio::test]
async fn a_child_ends_with_its_parent() {
    let dir = tempdir().unwrap();
    let store = format!("sqlite:{}", dir.path().join("log.db").display());
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_shop"))
        .args(["until-killed", "killed-decided", "group"])
        .arg(dir.path())
        .args(["--store", &store])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).await.unwrap();
    assert_eq!(said, "ready\n");
    // What the kernel does when the parent dies.
    drop(child.stdin.take());
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
    assert_eq!(ended.expect("it is still there").unwrap().code(), Some(3));
}
