//! What can go wrong between here and the server, and what is certain then.

use std::fmt;

use redis::{RedisError, ServerError};
use tcc_core::store::StoreError;

use crate::advice;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of a Redis server.
    #[error("this is not a Redis URL: {what}")]
    Url {
        /// What is wrong with it, and what it should be. The URL itself is not in it: it may hold a password.
        what: String,
    },
    /// A setting is not possible.
    #[error("the setting {field} is {value}: {permitted} is permitted")]
    Setting {
        /// Which.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        permitted: &'static str,
    },
    /// `rediss://` without the feature.
    #[error(
        "TLS (rediss://) needs the feature `tls` of the crate tcc-redis: turn it on, or write redis:// if the server does without"
    )]
    NoTls,
    /// There is no runtime to connect on.
    #[error(
        "there is no tokio runtime here: connect to Redis within one, as in `#[tokio::main] async fn main`"
    )]
    NoRuntime,
    /// The server does not answer, or does not let us in.
    #[error("no connection to the Redis server at {address}: {what}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What was found.
        what: String,
    },
}

/// Why a command has no reply. Its texts hold no secret.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// It was not sent.
    NotSent(String),
    /// The server answered with an error.
    Answered {
        /// The first word of it.
        code: String,
        /// All of it.
        text: String,
    },
    /// It may have been sent, and no reply came, or none that can be read.
    Lost(String),
}

/// With these the server turns a command down before it does anything.
///
/// Some of them may also be said to a command *within* a script; the script then says itself what became of it.
const TURNED_DOWN: [&str; 16] = [
    "NOSCRIPT",
    "LOADING",
    "READONLY",
    "OOM",
    "NOAUTH",
    "WRONGPASS",
    "MISCONF",
    "BUSY",
    "NOREPLICAS",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CROSSSLOT",
    // Ours: `append.lua` was refused its first writes, and has touched no log.
    "REFUSED",
];

impl Failure {
    pub(crate) fn answered(error: &ServerError) -> Self {
        let (code, details) = (error.code(), error.details());
        let text = details.map_or_else(|| code.to_owned(), |details| format!("{code} {details}"));
        Self::Answered { code: code.to_owned(), text }
    }

    /// A reply that is not what it should be: what was asked may have been done.
    pub(crate) fn unexpected(reply: &str) -> Self {
        Self::Lost(format!("the server's reply is not what it should be: {reply}"))
    }

    /// A failure of the connection.
    pub(crate) fn lost(error: &RedisError) -> Self {
        Self::Lost(format!("the connection broke: {error}"))
    }

    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Answered { code, .. } => Some(code),
            Self::NotSent(_) | Self::Lost(_) => None,
        }
    }

    /// Whether what was asked has certainly not been done, and will not be.
    fn is_certain(&self) -> bool {
        match self {
            Self::NotSent(_) => true,
            Self::Lost(_) => false,
            // Whoever may not run scripts, has run none; within one, `append.lua` says itself what was refused.
            Self::Answered { code, text } => {
                TURNED_DOWN.contains(&code.as_str()) || (code == "NOPERM" && !text.contains("script"))
            }
        }
    }

    /// Of a call that writes.
    pub(crate) fn of_write(self) -> StoreError {
        let what = self.to_string();
        if self.is_certain() {
            StoreError::Unavailable { what, source: None }
        } else {
            StoreError::Ambiguous { what, source: None }
        }
    }

    /// Of a call that only reads, or that comes before the one that writes: nothing was applied.
    pub(crate) fn of_read(self) -> StoreError {
        StoreError::Unavailable { what: self.to_string(), source: None }
    }

    /// The same, without this secret.
    pub(crate) fn without(self, secret: Option<&str>) -> Self {
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { return self };
        let clean = |text: String| if text.contains(secret) { text.replace(secret, "***") } else { text };
        match self {
            Self::NotSent(text) => Self::NotSent(clean(text)),
            Self::Answered { code, text } => Self::Answered { code: clean(code), text: clean(text) },
            Self::Lost(text) => Self::Lost(clean(text)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(text) | Self::Lost(text) => f.write_str(text),
            Self::Answered { text, .. } => {
                let text = text.strip_prefix("REFUSED ").unwrap_or(text);
                f.write_str(&advice::said(text.split(' ').next().unwrap_or_default(), text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> StoreError {
        let code = text.split(' ').next().unwrap().to_owned();
        Failure::Answered { code, text: text.to_owned() }.of_write()
    }

    #[test]
    fn only_what_is_certain_is_unavailable() {
        for text in [
            "NOSCRIPT No matching script. Please use EVAL.",
            "LOADING Redis is loading the dataset in memory",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "REFUSED READONLY You can't write against a read only replica.",
            "BUSY Redis is busy running a script.",
            "NOPERM this user has no permissions to run the 'evalsha' command",
        ] {
            assert!(matches!(answered(text), StoreError::Unavailable { .. }), "{text}");
        }
        for text in [
            "ERR Error running script (call to f_5f): @user_script:1: out of memory",
            "NOPERM The user executing the script can't run this command or subcommand script: 5f, on @user_script:1.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "SOMETHING new",
        ] {
            assert!(matches!(answered(text), StoreError::Ambiguous { .. }), "{text}");
        }
        assert!(matches!(Failure::Lost(String::new()).of_write(), StoreError::Ambiguous { .. }));
        assert!(matches!(Failure::NotSent(String::new()).of_write(), StoreError::Unavailable { .. }));
    }

    #[test]
    fn a_secret_does_not_pass() {
        let failure =
            Failure::Answered { code: "ERR".into(), text: "ERR unknown 'HELLO' '3' 'AUTH' 'hush'".into() };
        assert_eq!(
            failure.without(Some("hush")).to_string(),
            "Redis says: ERR unknown 'HELLO' '3' 'AUTH' '***'"
        );
    }
}
