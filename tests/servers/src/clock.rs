//! A clock that a test can move, under a process that knows nothing of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The library that a process is started with; it says how it works.
const SOURCE: &str = include_str!("clock.c");

/// The time of day of every process that was [started with it](Clock::give_to): the machine's, until the test sets it. Its
/// monotonic clock stays the machine's.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
    /// In microseconds.
    ahead: Mutex<i64>,
}

impl Clock {
    /// A clock whose files are in this folder, a temporary one.
    ///
    /// # Panics
    /// If there is no C compiler, which this workspace needs for SQLite anyway.
    #[track_caller]
    pub fn new(folder: &Path) -> Self {
        let (source, library, path) = (folder.join("clock.c"), folder.join("clock.so"), folder.join("clock"));
        std::fs::write(&source, SOURCE).expect("a temporary file can be written");
        let compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .unwrap_or_else(|error| {
                panic!("`cc` does not run ({error}): install a C compiler (`apt-get install gcc libc6-dev`)")
            });
        assert!(
            compiler.status.success(),
            "the library that moves a server's clock does not compile: this needs Linux, and a C compiler with its \
             headers (`apt-get install gcc libc6-dev`):\n{}",
            String::from_utf8_lossy(&compiler.stderr)
        );
        std::fs::write(&path, 0_i64.to_ne_bytes()).expect("a temporary file can be written");
        let file = OpenOptions::new().write(true).open(&path).expect("it was written above");
        Self { library, path, file, ahead: Mutex::new(0) }
    }

    /// Lets a process go by it, one that is yet to be started.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("TCC_TEST_CLOCK", &self.path);
    }

    /// Sets it ahead: from the next look at it on.
    ///
    /// # Panics
    /// If its file has gone, or it would be millennia away.
    pub fn set_ahead(&self, by: Duration) {
        self.add(micros(by));
    }

    /// Sets it back, as [`set_ahead`](Self::set_ahead) sets it ahead.
    ///
    /// # Panics
    /// As there.
    pub fn set_back(&self, by: Duration) {
        self.add(-micros(by));
    }

    fn add(&self, micros: i64) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead += micros;
        // In place: the file is mapped by the processes.
        self.file.write_all_at(&ahead.to_ne_bytes(), 0).expect("a temporary file can be written");
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).expect("a test moves no clock by 300000 years")
}
