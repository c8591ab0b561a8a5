//! What helps against an error of the server or of the way to it.

use redis::{ErrorKind, RedisConnectionInfo, RedisError, ServerError};

/// The oldest server that will do. What is used of it is older, but the tests run on no older one, and its makers keep none
/// up.
pub(crate) const OLDEST: (u32, u32) = (6, 2);

/// Which right a user lacks.
pub(crate) enum Lacks {
    Command,
    Keys,
}

/// Whether an answer says that a right is lacking. Within a script, no server before 7.2 gives it a code of its own.
pub(crate) fn lacks(code: &str, text: &str) -> Option<Lacks> {
    let lacks = code == "NOPERM" || text.contains("The user executing the script can't");
    lacks.then(|| if text.contains(" key") { Lacks::Keys } else { Lacks::Command })
}

/// What helps against an error that the server answered with, by its first word and all of it.
fn against(code: &str, text: &str) -> Option<&'static str> {
    match lacks(code, text) {
        Some(Lacks::Keys) => {
            return Some("let this user use the keys of the namespace: ACL SETUSER with ~{namespace:*");
        }
        // The server does not say which of them it was; the check at the next start will.
        Some(Lacks::Command) if code != "NOPERM" => {
            return Some(
                "let this user run all that scripts run here: ACL SETUSER with +time +getrange +exists +set +mset +append \
                 +persist +pexpire +zadd +zrem +zscore +zcount +zrange",
            );
        }
        Some(Lacks::Command) => return Some("let this user run it: ACL SETUSER with + and its name"),
        None => {}
    }
    Some(match code {
        "NOAUTH" => {
            "it wants a password: write it into the URL, as redis://:password@host or redis://user:password@host"
        }
        "WRONGPASS" => {
            "correct user and password in the URL; special characters in them are percent-encoded, an @ as %40"
        }
        "OOM" => "its memory is full: raise its `maxmemory`, or remove what else is in it",
        "READONLY" | "MASTERDOWN" => "it is a replica: connect to the primary",
        "LOADING" => "it has just started: try again once it has loaded its data",
        "MISCONF" => "it can't write to its disk: its own log says why",
        "BUSY" => "somebody's script holds it up: end that with SCRIPT KILL",
        "NOREPLICAS" => "fewer replicas follow it than its `min-replicas-to-write` asks for: start them",
        "MOVED" | "ASK" | "CROSSSLOT" | "TRYAGAIN" => {
            "it is one node of a cluster, and others have some of the keys: use a server outside a cluster, or a cluster of \
             one shard"
        }
        "CLUSTERDOWN" => {
            "it is a node of a cluster that is not whole: mend the cluster, or use a server outside one"
        }
        _ => return None,
    })
}

/// Why there is no connection, and what helps.
pub(crate) fn on_connecting(error: &RedisError, settings: &RedisConnectionInfo) -> String {
    let too_old = || format!("it is too old: use {}.{} or newer", OLDEST.0, OLDEST.1);
    let no_redis = || "what answers there is no Redis server: correct host and port of the URL".to_owned();
    match error.kind() {
        ErrorKind::RESP3NotSupported => too_old(),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => no_redis(),
        ErrorKind::Io => on_way(error),
        _ if error.to_string().starts_with("Redis server refused to switch database") => format!(
            "it has no database {}: correct the number at the end of the URL, or raise its `databases`",
            settings.db()
        ),
        _ => match ServerError::try_from(error.clone()) {
            Ok(answer)
                if answer
                    .details()
                    .is_some_and(|text| text.contains("unknown command") && text.contains("HELLO")) =>
            {
                too_old()
            }
            Ok(answer) => {
                let text = answer.details().map_or_else(String::new, |details| format!(" {details}"));
                said(answer.code(), &format!("{}{text}", answer.code()))
            }
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        },
    }
}

/// What the server said, and what helps.
pub(crate) fn said(code: &str, text: &str) -> String {
    // The rest of it is about the protocol.
    let text = if code == "NOAUTH" { code } else { text.trim_end_matches('.') };
    match against(code, text) {
        Some(advice) => format!("Redis says: {text}; {advice}"),
        None => format!("Redis says: {text}"),
    }
}

fn on_way(error: &RedisError) -> String {
    let text = error.to_string();
    // Its number helps nobody.
    let text = text.split(" (os error").next().unwrap_or_default();
    if text.starts_with("failed to lookup address") {
        return format!("its host is not found ({text}): correct it in the URL");
    }
    format!("{text}; start Redis there, or correct the address in the URL")
}
