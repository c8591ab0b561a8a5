//! A process that is there to be killed, or told to end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::load::Place;

/// A process of the `shopper` program, which ends with this value, and with the test's process however that ends.
pub struct Shopper {
    process: Child,
    /// What it says; closed when it has ended and all was read.
    lines: Receiver<String>,
}

/// For how long it may be silent, on a machine that is busy with other tests.
const SILENCE: Duration = Duration::from_secs(60);

impl Shopper {
    /// Starts one.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(program: &str, place: &Place, dir: &Path, name: &str, seed: u64) -> Self {
        let dir = dir.to_str().expect("a temporary folder has a plain name");
        Self::start_with(program, &[&place.to_string(), dir, name, &seed.to_string()])
    }

    /// Starts a program with these arguments, which ends when its standard input does.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start_with(program: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(arguments)
            // It ends when this does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built with this test");
        let said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let (sender, lines) = channel();
        // Read at once, whoever listens: a pipe that is full would hold the process up.
        std::thread::spawn(move || said.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    /// The next line that it says; `None` once it has ended and all was read.
    ///
    /// # Panics
    /// If it says nothing for a minute.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(SILENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the child process hangs"),
        }
    }

    /// The next line, if it has said one that was not read yet.
    pub fn said(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// SIGTERM, and all that it still says until it has ended.
    ///
    /// # Panics
    /// If it does not end by itself and well, or is silent for a minute before it does.
    pub fn end(mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("it is ours");
        let rest = std::iter::from_fn(|| self.line()).collect();
        let status = self.process.wait().expect("it is ours");
        assert!(status.success(), "it was told to end, and ended with {status}");
        rest
    }

    /// SIGKILL, and all that it had still said.
    ///
    /// # Panics
    /// If it had ended by itself: then there was nothing to kill.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().expect("it is ours");
        let rest = std::iter::from_fn(|| self.line()).collect();
        let status = self.process.wait().expect("it is ours");
        assert_eq!(status.code(), None, "it ended by itself: {status}");
        rest
    }
}

impl Drop for Shopper {
    fn drop(&mut self) {
        // An error means that there is nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
