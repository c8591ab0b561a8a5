//! Whether the user may do all that the store does: tried, as no server before 7.0 can be asked.

use redis::{Cmd, Value, from_redis_value};
use tcc_core::store::Finding;

use crate::advice::{self, Lacks};
use crate::connection::Connection;
use crate::error::Failure;
use crate::scripts;

/// What was found to be missing.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    /// Commands that may not be run, as the server writes them.
    missing: Vec<String>,
    /// Whether the keys of the check may not be used. Those of a group may be all the same.
    keys_unverified: bool,
    /// What else the server said first.
    pub(crate) other: Option<Failure>,
}

/// Runs every command once, on keys of nobody's.
///
/// # Errors
/// If the server does not answer.
pub(crate) async fn try_all(connection: &Connection, namespace: &str) -> Result<Rights, Failure> {
    let [text, index] = ["text", "index"].map(|name| format!("{{{namespace}:check}}:{name}"));
    let mut rights = Rights::default();
    // By its name, and by its source: both are needed, whenever the server has forgotten its scripts.
    let named = connection.ask(Cmd::new().arg("EVALSHA").arg("0".repeat(40)).arg(1).arg(&text)).await;
    match named {
        Err(failure) if failure.code() != Some("NOSCRIPT") => rights.note("EVALSHA", failure)?,
        _ => {}
    }
    let tried =
        connection.ask(Cmd::new().arg("EVAL").arg(scripts::RIGHTS).arg(2).arg(&text).arg(&index)).await;
    let refused: Vec<(String, String)> = match tried {
        Ok(Value::Array(refused)) => refused
            .chunks_exact(2)
            .map(|pair| Ok((from_redis_value(pair[0].clone())?, from_redis_value(pair[1].clone())?)))
            .collect::<Result<_, redis::ParsingError>>()
            .map_err(|_| Failure::unexpected("no list of rights"))?,
        Ok(_) => return Err(Failure::unexpected("no list of rights")),
        Err(failure) => {
            rights.note("EVAL", failure)?;
            Vec::new()
        }
    };
    for (command, text) in refused {
        let code = text.split(' ').next().unwrap_or_default().to_owned();
        rights.note(&command, Failure::Answered { code, text })?;
    }
    Ok(rights)
}

impl Rights {
    fn note(&mut self, command: &str, failure: Failure) -> Result<(), Failure> {
        let Failure::Answered { code, text } = &failure else { return Err(failure) };
        match advice::lacks(code, text) {
            Some(Lacks::Keys) => self.keys_unverified = true,
            Some(Lacks::Command) => self.missing.push(command.to_owned()),
            None => drop(self.other.get_or_insert(failure)),
        }
        Ok(())
    }

    /// What is missing, for a user of this name.
    pub(crate) fn missing(&self, user: &str) -> Option<Finding> {
        let grants: String =
            self.missing.iter().map(|command| format!(" +{}", command.to_lowercase())).collect();
        (!self.missing.is_empty()).then(|| Finding {
            what: format!(
                "the Redis user {user} may not run {}, which the store needs",
                self.missing.join(", ")
            ),
            mend: format!("let it: ACL SETUSER {user}{grants}"),
        })
    }

    /// What could not be looked at.
    pub(crate) fn unverified(&self, user: &str, namespace: &str) -> Option<Finding> {
        self.keys_unverified.then(|| Finding {
            what: format!("unverified, as the Redis user {user} may not use all keys of the namespace {namespace}: that it may use those of this group"),
            mend: format!("see to it: ACL SETUSER {user} ~{{{namespace}:*"),
        })
    }
}
