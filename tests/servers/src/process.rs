//! A server's process: killed and paused for real, its output kept, and no longer alive than the test.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Runs until it is killed or dropped.
pub(crate) struct ServerProcess {
    server: Child,
    watchdog: Child,
}

impl ServerProcess {
    /// Starts `command`; what it prints is appended to `log`. `folder` is removed should the test's process die first.
    pub(crate) fn spawn(command: &mut Command, log: &Log, folder: &Path) -> io::Result<Self> {
        let mut server = command.stdin(Stdio::null()).stdout(log.open()?).stderr(log.open()?).spawn()?;
        match watchdog(server.id(), folder) {
            Ok(watchdog) => Ok(Self { server, watchdog }),
            Err(error) => {
                server.kill()?;
                server.wait()?;
                Err(error)
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// Only looks: the process id stays taken until [`kill`](Self::kill), so that the watchdog cannot hit somebody else.
    pub(crate) fn has_exited(&self) -> bool {
        let state = waitid(
            WaitId::Pid(self.pid()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        );
        state.expect("a child can be waited for").is_some()
    }

    /// SIGKILL. Returns when the process is gone.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// SIGSTOP. Returns when the process stands still.
    pub(crate) fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).expect("a child can be sent a signal");
        waitid(
            WaitId::Pid(self.pid()),
            WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        )
        .expect("a child can be waited for");
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).expect("a child can be sent a signal");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.server)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The server is waited for last: until then its process id is not given to another, whom the watchdog might kill.
        // An error means that there is nothing left to end.
        let _ = self.server.kill();
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.server.wait();
    }
}

/// What the server has printed, over all its starts.
pub(crate) struct Log {
    file: PathBuf,
}

impl Log {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Nothing, if nothing was printed yet.
    pub(crate) fn text(&self) -> String {
        std::fs::read(&self.file).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.file)
    }
}

/// Ends the server when the test's process ends without having done so.
///
/// It waits on a pipe of which the test's process holds the only other end, so no end of that process escapes it. (The
/// kernel's "parent death signal" would not do: it is sent when the *thread* that started the server ends, and each test has
/// a thread of its own.) The terminal's Ctrl-C reaches it too, and must not end it before it has tidied up.
fn watchdog(server: u32, folder: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", r#"trap "" INT TERM HUP; read -r _; kill -9 "$1"; rm -rf "$2""#, "watchdog"])
        .arg(server.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
