//! Where it is run: a Redis server of its own, or a folder; and what the server says of itself.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tcc_test_servers::{AppendFsync, RedisServer};
use tempfile::TempDir;

/// How a Redis server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// In memory alone.
    None,
    /// An append-only file, brought to the disk every second.
    EverySec,
    /// An append-only file, brought to the disk before a write is answered.
    Always,
}

impl Persistence {
    pub(crate) fn parse(word: &str) -> anyhow::Result<Self> {
        match word {
            "none" => Ok(Self::None),
            "everysec" => Ok(Self::EverySec),
            "always" => Ok(Self::Always),
            other => bail!("--aof {other}: none, everysec or always, with commas between them"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "no AOF",
            Self::EverySec => "AOF everysec",
            Self::Always => "AOF always",
        }
    }
}

/// The place of a comparison: all contenders have their turns on it.
pub(crate) enum Stage {
    Redis {
        server: Box<RedisServer>,
        persistence: Persistence,
    },
    /// For SQLite files.
    Folder {
        folder: TempDir,
        files: u32,
    },
    /// In this process's memory.
    Memory,
}

/// What the server says of itself, from its start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// Microseconds of CPU.
    pub(crate) cpu: f64,
    /// Scripts called from outside.
    pub(crate) evalsha: f64,
    /// All commands, those inside scripts included.
    pub(crate) commands: f64,
    pub(crate) bytes_in: f64,
    /// Bytes in use now.
    pub(crate) memory: f64,
}

impl Stage {
    pub(crate) fn redis(persistence: Persistence) -> Self {
        let builder = RedisServer::builder();
        let server = match persistence {
            Persistence::None => builder,
            Persistence::EverySec => builder.append_only(AppendFsync::EverySec),
            Persistence::Always => builder.append_only(AppendFsync::Always),
        };
        // A rewrite that starts in the middle of somebody's turn would be his misfortune.
        let server = Box::new(server.config("auto-aof-rewrite-percentage", "0").start());
        Self::Redis { server, persistence }
    }

    pub(crate) fn folder() -> anyhow::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("tcc-bench-").tempdir().context("no temporary folder")?;
        Ok(Self::Folder { folder, files: 0 })
    }

    /// Makes it empty for the next turn: each begins with the same.
    pub(crate) fn clear(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Redis { server, persistence } => {
                command(server, &["FLUSHALL", "SYNC"])?;
                if *persistence != Persistence::None {
                    command(server, &["BGREWRITEAOF"])?;
                    wait_for(server, "persistence", "aof_rewrite_in_progress:0")?;
                    wait_for(server, "persistence", "aof_rewrite_scheduled:0")?;
                }
            }
            Self::Folder { folder, files } => {
                // All of them are closed: what can't be removed now goes with the folder.
                for file in std::fs::read_dir(folder.path()).context("the folder can't be read")? {
                    let _ = std::fs::remove_file(file.context("the folder can't be read")?.path());
                }
                *files += 1;
            }
            Self::Memory => {}
        }
        Ok(())
    }

    pub(crate) fn url(&self) -> anyhow::Result<String> {
        match self {
            Self::Redis { server, .. } => Ok(server.url()),
            Self::Folder { .. } | Self::Memory => bail!("there is no server here"),
        }
    }

    pub(crate) fn server(&self) -> anyhow::Result<&RedisServer> {
        match self {
            Self::Redis { server, .. } => Ok(server),
            Self::Folder { .. } | Self::Memory => bail!("there is no server here"),
        }
    }

    /// A file that is not there yet.
    pub(crate) fn file(&self) -> anyhow::Result<String> {
        let Self::Folder { folder, files } = self else { bail!("there is no folder here") };
        let path = folder.path().join(format!("{files}.db"));
        Ok(path.to_str().context("the folder for temporary files has no UTF-8 name")?.to_owned())
    }

    /// What the server says of itself; nothing, if there is none.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Reading>> {
        match self {
            Self::Redis { server, .. } => reading(server).map(Some),
            Self::Folder { .. } | Self::Memory => Ok(None),
        }
    }
}

pub(crate) fn reading(server: &RedisServer) -> anyhow::Result<Reading> {
    let info = command(server, &["INFO", "all"])?;
    let find = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = |name: &str| -> anyhow::Result<f64> {
        let text = find(name).with_context(|| format!("INFO has no {name}"))?;
        text.trim_end().parse().with_context(|| format!("INFO has {name}:{text}, which is no number"))
    };
    // Not there before the first call.
    let evalsha = find("cmdstat_evalsha")
        .and_then(|line| line.strip_prefix("calls=")?.split(',').next()?.parse().ok())
        .unwrap_or(0.0);
    Ok(Reading {
        cpu: (number("used_cpu_sys")? + number("used_cpu_user")?) * 1e6,
        evalsha,
        commands: number("total_commands_processed")?,
        bytes_in: number("total_net_input_bytes")?,
        memory: number("used_memory")?,
    })
}

pub(crate) fn command(server: &RedisServer, words: &[&str]) -> anyhow::Result<String> {
    server
        .command(words)
        .with_context(|| format!("{} was not answered; the server's log:\n{}", words.join(" "), server.log()))
}

/// Until a line is in a section of INFO.
fn wait_for(server: &RedisServer, section: &str, line: &str) -> anyhow::Result<()> {
    const AT_MOST: Duration = Duration::from_secs(60);
    let since = Instant::now();
    while !command(server, &["INFO", section])?.lines().any(|said| said == line) {
        ensure!(since.elapsed() < AT_MOST, "INFO {section} did not say {line} within {AT_MOST:?}");
        pause();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the pause of a bounded poll, between two turns")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
