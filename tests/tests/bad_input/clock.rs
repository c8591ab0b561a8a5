//! The clock of a coordinator's machine is set back by an hour: nothing hangs, nothing is lost, and no transaction looks
//! older than it is.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tcc_core::protocol::Group;
use tcc_core::store::StatusStore;
use tcc_test_servers::{AppendFsync, Clock, RedisServer};
use tcc_tests::load::Place;

use crate::said::soon;

const HOUR: u64 = 3_600_000;

/// A process whose wall clock is ours, by as much as its folder says. Its monotonic clock is the machine's: so it is when
/// somebody sets a clock.
struct Process {
    process: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(place: &Place, clock: &Clock) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opener"));
        command.args([&place.to_string(), "pay"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        clock.give_to(&mut command);
        let mut process = command.spawn().unwrap();
        let said = process.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || read(said, &sender));
        let it = Self { process, lines };
        assert_eq!(it.line(), "started");
        it
    }

    /// Has it do something, and says what it says.
    fn does(&mut self, what: &str) -> String {
        self.process.stdin.as_mut().unwrap().write_all(format!("{what}\n").as_bytes()).unwrap();
        self.line()
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(30)).expect("it hangs, or has ended")
    }

    /// What it is paid, and when the transaction began by what its participant is told.
    fn pays(&mut self) -> u64 {
        let said = self.does("pay");
        said.strip_prefix("paid ").unwrap_or_else(|| panic!("{said}")).parse().unwrap()
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn read(said: ChildStdout, sender: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
        }
    }
}

async fn is_set_back(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new(folder.path());
    let mut first = Process::start(&place, &clock);
    let before = first.pays();
    let timed_out = |process: &mut Process| {
        let begun = Instant::now();
        let said = process.does("hang");
        assert!(said.contains("exceeded its deadline"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(10), "its deadline of 2 s took {:?}", begun.elapsed());
    };
    timed_out(&mut first);

    clock.set_back(Duration::from_millis(HOUR));
    let after = first.pays();
    assert!(after >= before, "a transaction looks {} ms older than one before it", before - after);
    assert!(after < before + HOUR);
    timed_out(&mut first);
    // It leaves something undecided: the next, whose clock was never right, finds it when it is due.
    let said = first.does("begin");
    assert_eq!(said, "begun");
    first.kill();
    let mut second = Process::start(&place, &clock);
    assert!(second.pays() < before, "its clock was set back");
    let store = place.open().await.unwrap();
    let group = Group::new("shop").unwrap();
    soon(async {
        while store.stats(&group).await.unwrap().unfinished > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    timed_out(&mut second);

    // And ahead again: leases end early at most.
    clock.set_ahead(Duration::from_millis(2 * HOUR));
    assert!(second.pays() > before);
    timed_out(&mut second);
    second.kill();
}

#[tokio::test]
async fn of_a_coordinator_on_redis() {
    let server = RedisServer::builder().append_only(AppendFsync::Always).start();
    is_set_back(Place::Redis { url: server.url(), namespace: "tcc".into() }).await;
}

#[tokio::test]
async fn of_a_coordinator_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    is_set_back(Place::Sqlite { path: folder.path().join("tcc.db").to_str().unwrap().into() }).await;
}
