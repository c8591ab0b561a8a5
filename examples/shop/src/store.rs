//! Where the transactions' log is kept.

use std::sync::Arc;

use tcc_core::StartError;
use tcc_core::store::{MemoryStore, StatusStore};
use tcc_redis::RedisStore;
use tcc_sqlx::sqlite::SqliteStore;

use crate::command::Mistake;

/// A store to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Memory,
    /// With its `sqlite:`.
    Sqlite(String),
    /// A URL; it may have a password.
    Redis(String),
}

impl Address {
    pub(crate) fn parse(address: &str) -> Result<Self, Mistake> {
        let scheme = address.split_once(':').map(|(scheme, _)| scheme);
        match scheme {
            Some("memory") if address == "memory:" => Ok(Self::Memory),
            Some("memory") => {
                Err(Mistake("--store memory: has no name: give nothing behind the colon".into()))
            }
            Some("sqlite") => Ok(Self::Sqlite(address.to_owned())),
            Some("redis" | "rediss" | "valkey" | "valkeys") => Ok(Self::Redis(address.to_owned())),
            // No more of it than that: a password may follow.
            Some(scheme) => Err(Mistake(format!(
                "--store can't be of the kind \"{scheme}:\": give sqlite:FILE, redis://HOST or memory:"
            ))),
            None if address.is_empty() => Err(Mistake("--store needs an address".into())),
            None => {
                Err(Mistake("--store begins with its kind: give sqlite:FILE, redis://HOST or memory:".into()))
            }
        }
    }

    /// Opens it, if it will do.
    pub(crate) async fn open(
        &self,
    ) -> Result<Arc<dyn StatusStore>, Box<dyn std::error::Error + Send + Sync>> {
        let store: Arc<dyn StatusStore> = match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            Self::Sqlite(file) => Arc::new(SqliteStore::open(file).await?),
            Self::Redis(url) => Arc::new(RedisStore::connect(url).await?),
        };
        // Every coordinator asks it at its start; here it is said once for all of them.
        let errors = store.check().await?.errors;
        if errors.is_empty() { Ok(store) } else { Err(StartError::NotReady(errors).into()) }
    }

    /// Whether the log outlives this process.
    pub(crate) fn is_shared(&self) -> bool {
        *self != Self::Memory
    }

    /// As it is handed to a child process.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Memory => "memory:",
            Self::Sqlite(address) | Self::Redis(address) => address,
        }
    }

    /// What kind it is, for people; nothing secret.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Memory => "in this process's memory".into(),
            Self::Sqlite(address) => format!("in {address}"),
            Self::Redis(url) => {
                let server = url.rsplit_once('@').or(url.split_once("//")).map_or("", |(_, server)| server);
                let server = server.split(['/', '?']).next().unwrap_or_default();
                format!("in Redis at {server}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = |url: &str| Address::parse(url).unwrap().describe();
        assert_eq!(shown("redis://ann:secret@host:1/2?protocol=resp3"), "in Redis at host:1");
        assert_eq!(shown("redis://127.0.0.1"), "in Redis at 127.0.0.1");
    }
}
