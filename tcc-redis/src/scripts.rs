//! What runs inside the server.

use std::sync::LazyLock;

use redis::Cmd;

use crate::connection::Connection;
use crate::error::Failure;

/// A script, and the name under which the server keeps it.
pub(crate) struct Script {
    source: &'static str,
    sha1: String,
}

pub(crate) static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/append.lua")));
pub(crate) static PAGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/page.lua")));
pub(crate) static FORGET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/forget.lua")));
pub(crate) static PARK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/park.lua")));

/// Sent by its source, once, by the check.
pub(crate) const RIGHTS: &str = include_str!("lua/rights.lua");

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, sha1: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Runs it. `arguments` adds the number of keys, the keys and the arguments: `words` of them, about `bytes` long.
    ///
    /// The server forgets its scripts when it is restarted or told to. Then the source itself is sent, which also brings
    /// the script back; nothing was done before that, so nothing is done twice.
    pub(crate) async fn run(
        &self,
        connection: &Connection,
        words: usize,
        bytes: usize,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<redis::Value, Failure> {
        let mut command = Cmd::with_capacity(words + 2, bytes + 48);
        command.arg("EVALSHA").arg(&self.sha1);
        arguments(&mut command);
        match connection.ask(&command).await {
            Err(failure) if failure.code() == Some("NOSCRIPT") => {
                let mut command = Cmd::with_capacity(words + 2, bytes + self.source.len() + 8);
                command.arg("EVAL").arg(self.source);
                arguments(&mut command);
                connection.ask(&command).await
            }
            answer => answer,
        }
    }
}

/// Brings the scripts to a server, so that the first calls find them there.
pub(crate) fn loading() -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    for script in [&APPEND, &PAGE, &PARK, &FORGET] {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.source);
    }
    pipeline
}
