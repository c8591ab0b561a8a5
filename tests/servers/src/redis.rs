//! A Redis server.

mod client;

use std::io::{self, ErrorKind};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use self::client::Client;
use crate::clock::Clock;
use crate::poll;
use crate::port::Port;
use crate::process::{Log, ServerProcess};

/// From its start to its first answer, on a machine that is busy with other tests.
const START_WITHIN: Duration = Duration::from_secs(30);

/// When the append-only file is brought to the disk (`appendfsync`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendFsync {
    /// Before a write is answered.
    Always,
    /// Once a second, in the background.
    EverySec,
    /// Whenever the operating system likes.
    No,
}

/// A Redis server that runs for this value alone: killed when it is dropped, its folder removed.
pub struct RedisServer {
    settings: RedisServerBuilder,
    port: Port,
    /// Nothing between [`kill`](Self::kill) and [`restart`](Self::restart). Before `folder`, as it is to end before it goes.
    process: Option<ServerProcess>,
    /// If it goes by one that can be moved.
    clock: Option<Clock>,
    log: Log,
    folder: TempDir,
}

impl RedisServer {
    /// An empty server that keeps its data in memory alone.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed or does not start; the message says why.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server with settings of its own.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder {
            binary: "redis-server".into(),
            append_fsync: None,
            password: None,
            movable_clock: false,
            config: Vec::new(),
        }
    }

    /// Where clients find it: `redis://127.0.0.1:port`, the password in it if there is one. The same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        let user = match &self.settings.password {
            Some(password) => format!(":{}@", percent_encoded(password)),
            None => String::new(),
        };
        format!("redis://{user}127.0.0.1:{}", self.port())
    }

    /// Its port on 127.0.0.1. The same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Sends one command on a connection of its own and returns the reply as text: a list as one line for each item, nil as
    /// nothing. For a look from outside; not for what is being tested.
    ///
    /// # Errors
    ///
    /// What the server said in place of a reply, or why there was none within five seconds.
    pub fn command(&self, command: &[&str]) -> io::Result<String> {
        self.connect()?.call(command)
    }

    /// SIGKILL: no data is saved, no client is told. Returns when the process is gone; does nothing if it is already.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it on the same port with the same data, killed first if it still runs. Returns when it answers.
    ///
    /// # Panics
    ///
    /// If it does not start; the message says why.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        // A port that somebody else has taken meanwhile may come back to us.
        let launched = poll(START_WITHIN, || match self.launch() {
            Err(Failure::PortTaken) => None,
            launched => Some(launched),
        });
        match launched.unwrap_or(Err(Failure::PortTaken)) {
            Ok(process) => self.process = Some(process),
            Err(failure) => panic!("{}", self.explain(&failure)),
        }
    }

    /// SIGSTOP: connections stay open, and nobody is answered. Returns when the process stands still.
    ///
    /// # Panics
    ///
    /// If the server was killed.
    #[track_caller]
    pub fn pause(&self) {
        self.running().pause();
    }

    /// SIGCONT: it goes on where it was paused.
    ///
    /// # Panics
    ///
    /// If the server was killed.
    #[track_caller]
    pub fn resume(&self) {
        self.running().resume();
    }

    /// Sets its clock ahead: the time of day as it sees it, from its next command on, and over restarts.
    ///
    /// # Panics
    ///
    /// If it was not started with a [`movable_clock`](RedisServerBuilder::movable_clock).
    #[track_caller]
    pub fn set_clock_ahead(&self, by: Duration) {
        self.clock().set_ahead(by);
    }

    /// Sets its clock back, as [`set_clock_ahead`](Self::set_clock_ahead) sets it ahead.
    ///
    /// # Panics
    ///
    /// If it was not started with a [`movable_clock`](RedisServerBuilder::movable_clock).
    #[track_caller]
    pub fn set_clock_back(&self, by: Duration) {
        self.clock().set_back(by);
    }

    #[track_caller]
    fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("the Redis server was started without `movable_clock`")
    }

    /// What it has printed since its first start: put it into a test's failure message.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    #[track_caller]
    fn running(&self) -> &ServerProcess {
        self.process.as_ref().expect("the Redis server was killed and not restarted")
    }

    fn connect(&self) -> io::Result<Client> {
        Client::connect(self.port(), self.settings.password.as_deref())
    }

    fn launch(&self) -> Result<ServerProcess, Failure> {
        let printed_before = self.log.text().len();
        let mut command = Command::new(&self.settings.binary);
        command.arg("redis.conf").current_dir(self.folder.path());
        if let Some(clock) = &self.clock {
            clock.give_to(&mut command);
        }
        let process =
            ServerProcess::spawn(&mut command, &self.log, self.folder.path()).map_err(|error| match error
                .kind()
            {
                ErrorKind::NotFound => Failure::NotInstalled,
                _ => Failure::Other(error.to_string()),
            })?;

        let mut last_answer = Ok(false);
        let answered = poll(START_WITHIN, || {
            if process.has_exited() {
                return Some(false);
            }
            last_answer = self.is_answered_by(process.id());
            matches!(last_answer, Ok(true)).then_some(true)
        });
        match answered {
            Some(true) => Ok(process),
            Some(false) if self.log.text()[printed_before..].contains("Address already in use") => {
                Err(Failure::PortTaken)
            }
            Some(false) => Err(Failure::Other("it ended at once".into())),
            None => Err(Failure::Other(format!(
                "no answer within {START_WITHIN:?}; the last: {}",
                match last_answer {
                    Ok(_) => "by another process".into(),
                    Err(error) => error.to_string(),
                }
            ))),
        }
    }

    /// Whether the process that answers is the one that was started, and has loaded its data.
    fn is_answered_by(&self, process: u32) -> io::Result<bool> {
        let mut client = self.connect()?;
        client.call(&["PING"])?;
        let about = client.call(&["INFO", "server"])?;
        Ok(about.lines().any(|line| line.strip_prefix("process_id:") == Some(process.to_string().as_str())))
    }

    fn explain(&self, failure: &Failure) -> String {
        let binary = &self.settings.binary;
        let port = self.port();
        match failure {
            Failure::NotInstalled => format!(
                "`{binary}` is not on PATH, and this test needs a real Redis: run `cargo xtask test`, which installs it where \
                 it may, or install it yourself (`apt-get install redis-server` on Debian and Ubuntu; 6.2 or newer)"
            ),
            Failure::PortTaken => {
                format!("port {port} of 127.0.0.1 was taken by another process\n{}", self.log())
            }
            Failure::Other(why) => {
                format!("`{binary}` did not start on port {port}: {why}; its log:\n{}", self.log())
            }
        }
    }
}

/// How a [`RedisServer`] is to be.
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `start`"]
pub struct RedisServerBuilder {
    binary: String,
    append_fsync: Option<AppendFsync>,
    password: Option<String>,
    movable_clock: bool,
    config: Vec<(String, String)>,
}

impl RedisServerBuilder {
    /// Another program in place of `redis-server`: a path, or a name to be found on PATH.
    pub fn binary(mut self, binary: impl Into<String>) -> Self {
        self.binary = binary.into();
        self
    }

    /// Keeps an append-only file, so that data outlives a kill.
    pub fn append_only(mut self, fsync: AppendFsync) -> Self {
        self.append_fsync = Some(fsync);
        self
    }

    /// Asks clients for a password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Lets the test set its clock: [`RedisServer::set_clock_ahead`], [`RedisServer::set_clock_back`]. On Linux, with a
    /// C compiler.
    pub fn movable_clock(mut self) -> Self {
        self.movable_clock = true;
        self
    }

    /// One more line of `redis.conf`, after all others; a value with spaces is quoted as it would be there.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((name.into(), value.into()));
        self
    }

    /// Starts it. Returns when it answers.
    ///
    /// # Panics
    ///
    /// If the binary is not installed or the server does not start; the message says why.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> RedisServer {
        let folder =
            tempfile::Builder::new().prefix("tcc-redis-").tempdir().expect("a temporary folder can be made");
        let log = Log::new(folder.path().join("redis.log"));
        let clock = self.movable_clock.then(|| Clock::new(folder.path()));
        let mut server =
            RedisServer { settings: self, port: Port::choose(), process: None, clock, log, folder };
        for _ in 0..10 {
            let config = server.settings.file(server.port());
            std::fs::write(server.folder.path().join("redis.conf"), config)
                .expect("a temporary file can be written");
            match server.launch() {
                Ok(process) => {
                    server.process = Some(process);
                    return server;
                }
                Err(Failure::PortTaken) => server.port = Port::choose(),
                Err(failure) => panic!("{}", server.explain(&failure)),
            }
        }
        panic!("{}", server.explain(&Failure::PortTaken));
    }

    fn file(&self, port: u16) -> String {
        let mut lines = vec![format!("bind 127.0.0.1\nport {port}\ndaemonize no\nlogfile \"\"\nsave \"\"")];
        if let Some(fsync) = self.append_fsync {
            let fsync = match fsync {
                AppendFsync::Always => "always",
                AppendFsync::EverySec => "everysec",
                AppendFsync::No => "no",
            };
            lines.push(format!("appendonly yes\nappendfsync {fsync}"));
        }
        if let Some(password) = &self.password {
            lines.push(format!("requirepass {}", quoted(password)));
        }
        lines.extend(self.config.iter().map(|(name, value)| format!("{name} {value}")));
        lines.join("\n") + "\n"
    }
}

/// Why a start failed.
enum Failure {
    NotInstalled,
    PortTaken,
    Other(String),
}

/// As a string of `redis.conf`, every byte of it spelt out: no character is special then.
fn quoted(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{bytes}\"")
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
