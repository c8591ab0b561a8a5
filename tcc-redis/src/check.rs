//! What is wrong with a server, and how to mend it.

use std::collections::HashMap;

use redis::{Value, from_redis_value};
use tcc_core::store::{Finding, Readiness, StoreError};

use crate::advice::OLDEST;
use crate::connection::Connection;
use crate::error::Failure;
use crate::rights;

pub(crate) async fn check(
    connection: &Connection,
    namespace: &str,
    allow_eviction: bool,
) -> Result<Readiness, StoreError> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("INFO");
    for setting in SETTINGS {
        pipeline.cmd("CONFIG").arg("GET").arg(setting);
    }
    let mut replies = connection.ask_all(&pipeline).await.map_err(Failure::of_read)?.into_iter();
    let server = Server::read(&mut replies).map_err(Failure::of_read)?;
    let mut readiness = server.judge(allow_eviction);
    if readiness.errors.is_empty() {
        let rights = rights::try_all(connection, namespace).await.map_err(Failure::of_read)?;
        if let Some(failure) = rights.other.clone() {
            return Err(failure.of_read());
        }
        readiness.errors.extend(rights.missing(connection.user()));
        readiness.warnings.extend(rights.unverified(connection.user(), namespace));
    }
    Ok(readiness)
}

const SETTINGS: [&str; 4] = ["maxmemory-policy", "appendonly", "appendfsync", "save"];

/// What a server tells of itself; nothing where it does not.
#[derive(Debug, Default)]
struct Server {
    version: Option<String>,
    replica: Option<bool>,
    cluster: bool,
    policy: Option<String>,
    append_only: Option<bool>,
    append_fsync: Option<String>,
    /// When it saves snapshots; empty if never.
    save: Option<String>,
}

impl Server {
    fn read(replies: &mut dyn Iterator<Item = Result<Value, Failure>>) -> Result<Self, Failure> {
        let mut next = || {
            let reply = replies.next().unwrap_or_else(|| Err(Failure::unexpected("too few replies")));
            match reply {
                // Forbidden or unknown: what could be learnt from it stays open. While it loads, it is not there yet.
                Err(failure @ Failure::Answered { .. }) if failure.code() != Some("LOADING") => Ok(None),
                Err(failure) => Err(failure),
                Ok(reply) => Ok(Some(reply)),
            }
        };
        let info: String = next()?.and_then(|reply| from_redis_value(reply).ok()).unwrap_or_default();
        let info: HashMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let mut setting = |name: &str| -> Result<Option<String>, Failure> {
            let settings: Option<HashMap<String, String>> =
                next()?.and_then(|reply| from_redis_value(reply).ok());
            Ok(settings.and_then(|mut settings| settings.remove(name)))
        };
        let [policy, append_only, append_fsync, save] =
            [setting(SETTINGS[0])?, setting(SETTINGS[1])?, setting(SETTINGS[2])?, setting(SETTINGS[3])?];
        let told = |name: &str| info.get(name).map(|value| (*value).to_owned());
        Ok(Self {
            version: told("redis_version"),
            replica: info.get("role").map(|role| *role == "slave"),
            cluster: info.get("cluster_enabled") == Some(&"1"),
            policy: policy.or_else(|| told("maxmemory_policy")),
            append_only: append_only
                .map(|value| value == "yes")
                .or_else(|| info.get("aof_enabled").map(|value| *value == "1")),
            append_fsync,
            save,
        })
    }

    fn judge(&self, allow_eviction: bool) -> Readiness {
        let mut readiness = Readiness::default();
        self.judge_version(&mut readiness);
        self.judge_role(&mut readiness);
        self.judge_eviction(allow_eviction, &mut readiness);
        self.judge_persistence(&mut readiness);
        readiness
    }

    fn judge_version(&self, readiness: &mut Readiness) {
        let (major, minor) = OLDEST;
        let Some(version) = &self.version else {
            readiness.warnings.push(unverified("its version", "let this user run INFO"));
            return;
        };
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(a), Some(b)) if (a, b) >= OLDEST => {}
            (Some(_), Some(_)) => readiness.errors.push(finding(
                format!("the Redis server has version {version}"),
                format!("use {major}.{minor} or newer"),
            )),
            _ => readiness
                .warnings
                .push(unverified("its version", &format!("see that it is {major}.{minor} or newer"))),
        }
    }

    fn judge_role(&self, readiness: &mut Readiness) {
        match self.replica {
            Some(false) => {}
            Some(true) => readiness.errors.push(finding(
                "the Redis server is a replica: it takes no writes of its own, and lags behind",
                "connect to the primary",
            )),
            None => readiness.warnings.push(unverified("that it is no replica", "let this user run INFO")),
        }
        if self.cluster {
            readiness.warnings.push(finding(
                "the Redis server runs in cluster mode, and one connection reaches one node",
                "use a server outside a cluster, or a cluster of a single shard",
            ));
        }
    }

    fn judge_eviction(&self, allow_eviction: bool, readiness: &mut Readiness) {
        const MEND: &str = "set `maxmemory-policy noeviction`";
        match self.policy.as_deref() {
            Some("noeviction") => {}
            Some(policy) => {
                let found = finding(
                    format!(
                        "the Redis server may evict keys (`maxmemory-policy {policy}`): once its memory is full, \
                         unfinished transactions are lost without a trace"
                    ),
                    format!(
                        "{MEND}, or, if its memory is certain to suffice, build the store with allow_eviction(true)"
                    ),
                );
                if allow_eviction { readiness.warnings.push(found) } else { readiness.errors.push(found) }
            }
            None => {
                readiness.warnings.push(unverified("that it evicts no keys", &format!("see to it: {MEND}")))
            }
        }
    }

    fn judge_persistence(&self, readiness: &mut Readiness) {
        const ALWAYS: &str = "set `appendonly yes` and `appendfsync always`";
        let warnings = &mut readiness.warnings;
        match (self.append_only, self.append_fsync.as_deref(), self.save.as_deref()) {
            (Some(true), Some("always"), _) => {}
            (Some(true), Some("everysec"), _) => warnings.push(finding(
                "the Redis server writes to its disk once a second (`appendfsync everysec`): a crash of its \
                 machine loses the last second of decisions that were reported, or two if its disk is slow",
                "set `appendfsync always` if that matters more than speed",
            )),
            (Some(true), Some(fsync), _) => warnings.push(finding(
                format!(
                    "the Redis server leaves it to the operating system when data reaches the disk \
                     (`appendfsync {fsync}`): if the machine crashes, some thirty seconds of decisions that were \
                     reported are lost"
                ),
                "set `appendfsync always`, or `everysec`",
            )),
            (Some(true), None, _) => {
                warnings.push(unverified("how soon it writes to its disk", "see to it: set `appendfsync always`"));
            }
            (Some(false), _, Some("")) => warnings.push(finding(
                "THE REDIS SERVER KEEPS NOTHING ON DISK: when it restarts, every unfinished transaction is lost, and what \
                 its branches hold stays held",
                ALWAYS,
            )),
            (Some(false), _, Some(_)) => warnings.push(finding(
                "the Redis server keeps snapshots only: if it crashes, all transactions since the last one are lost, and \
                 what their branches hold stays held",
                ALWAYS,
            )),
            (Some(false), _, None) => warnings.push(finding(
                "the Redis server keeps no append-only file: if it crashes, transactions are lost, and what their branches \
                 hold stays held",
                ALWAYS,
            )),
            (None, ..) => warnings.push(unverified("that it keeps its data on disk", &format!("see to it: {ALWAYS}"))),
        }
    }
}

fn finding(what: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { what: what.into(), mend: mend.into() }
}

/// The server does not say.
fn unverified(what: &str, mend: &str) -> Finding {
    finding(format!("unverified, as the Redis server does not let us ask: {what}"), mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Server {
        Server {
            version: Some("7.0.15".into()),
            replica: Some(false),
            cluster: false,
            policy: Some("noeviction".into()),
            append_only: Some(true),
            append_fsync: Some("always".into()),
            save: Some(String::new()),
        }
    }

    #[test]
    fn nothing_is_wrong_with_a_good_server() {
        assert_eq!(good().judge(false), Readiness::default());
    }

    #[test]
    fn an_old_server_is_an_error() {
        for (version, errors, warnings) in
            [("6.0.16", 1, 0), ("6.2.0", 0, 0), ("5.0", 1, 0), ("10.1.2", 0, 0), ("unstable", 0, 1)]
        {
            let readiness = Server { version: Some(version.into()), ..good() }.judge(false);
            assert_eq!((readiness.errors.len(), readiness.warnings.len()), (errors, warnings), "{version}");
        }
    }

    #[test]
    fn what_is_not_told_is_unverified() {
        let readiness = Server::default().judge(false);
        assert!(readiness.errors.is_empty());
        assert_eq!(readiness.warnings.len(), 4);
        assert!(readiness.warnings.iter().all(|warning| warning.what.starts_with("unverified")));
    }
}
