//! A process that is there to be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

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
        let mut process = Command::new(program)
            .arg(place.to_string())
            .arg(dir)
            .arg(name)
            .arg(seed.to_string())
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
