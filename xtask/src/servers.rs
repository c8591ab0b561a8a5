//! The servers that the tests start: whether they are here and new enough, and how to get them.

use std::fmt;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use crate::Outcome;

struct Server {
    /// To be found on PATH; prints its version when asked `--version`.
    binary: &'static str,
    minimum: Version,
    /// Its package in Debian and Ubuntu.
    package: &'static str,
}

/// One line for each; `tests/servers` has the module that starts it.
const SERVERS: &[Server] =
    &[Server { binary: "redis-server", minimum: Version(6, 2), package: "redis-server" }];

/// Makes sure that every server is here, installing it if need be and if possible.
pub(crate) fn ensure() -> Outcome {
    if lacking().is_empty() {
        return Ok(());
    }
    for (server, why) in lacking() {
        eprintln!("xtask: the tests need {} {} or newer: {why}", server.binary, server.minimum);
    }
    let hindrance = install(&packages(&lacking())).err();
    let lacking = lacking();
    if lacking.is_empty() {
        return Ok(());
    }

    let mut message = "servers that the tests need are not here:\n".to_owned();
    for (server, why) in &lacking {
        message += &format!("  {} {} or newer: {why}\n", server.binary, server.minimum);
    }
    let hindrance =
        hindrance.unwrap_or_else(|| "the package was installed, but is not what is needed".into());
    message += &format!("They could not be installed for you: {hindrance}.\n");
    message += &format!(
        "Install them, then run this again. On Debian or Ubuntu: apt-get update && apt-get install {}",
        packages(&lacking).join(" ")
    );
    Err(message)
}

/// A line for each server, for the help.
pub(crate) fn listed() -> String {
    let lines = SERVERS.iter().map(|Server { binary, minimum, package }| {
        format!("  {binary} {minimum} or newer (package {package})\n")
    });
    lines.collect::<String>().trim_end().into()
}

fn lacking() -> Vec<(&'static Server, String)> {
    SERVERS.iter().filter_map(|server| Some((server, server.shortcoming()?))).collect()
}

fn packages(lacking: &[(&Server, String)]) -> Vec<&'static str> {
    lacking.iter().map(|(server, _)| server.package).collect()
}

impl Server {
    /// What is wrong with the one on this machine, if anything.
    fn shortcoming(&self) -> Option<String> {
        let output = match Command::new(self.binary).arg("--version").output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Some("it is not on PATH".into()),
            Err(error) => return Some(format!("it does not run: {error}")),
        };
        match Version::find(&output) {
            Some(version) if version >= self.minimum => None,
            Some(version) => Some(format!("here is {version}")),
            None => Some(format!("`{} --version` names no version: {:?}", self.binary, output.trim())),
        }
    }
}

/// Leaves alone what Debian does with the package, such as starting a service: the tests start servers of their own.
fn install(packages: &[&str]) -> Outcome {
    let apt_get = Apt::find()?;
    eprintln!("xtask: installing {}", packages.join(" "));
    // An outdated list may still do, so the installation decides.
    if let Err(why) = apt_get.run(&["update"]) {
        eprintln!("xtask: {why}");
    }
    apt_get.run(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// The right to use apt-get without being asked anything.
struct Apt {
    command: Vec<&'static str>,
}

impl Apt {
    fn find() -> Result<Self, String> {
        if !succeeds("apt-get", &["--version"]) {
            return Err("there is no apt-get on this machine".into());
        }
        let apt_get = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"];
        let sudo = ["sudo", "--non-interactive"];
        if is_root() {
            Ok(Self { command: apt_get.to_vec() })
        } else if succeeds("sudo", &["--non-interactive", "true"]) {
            Ok(Self { command: [&sudo[..], &apt_get[..]].concat() })
        } else {
            Err("this user is not root, and there is no sudo without a password".into())
        }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let (program, before) = self.command.split_first().expect("a command has a program");
        let status = Command::new(program).args(before).args(arguments).stdin(Stdio::null()).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`apt-get {}` failed ({status})", arguments.join(" "))),
            Err(error) => Err(format!("`apt-get {}` does not run: {error}", arguments.join(" "))),
        }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let command = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    command.is_ok_and(|output| output.status.success())
}

/// Major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// The first one in what a server says of itself: digits, a dot, digits.
    fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
            let mut parts = word.split('.').map(str::parse);
            Some(Self(parts.next()?.ok()?, parts.next()?.ok()?))
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_servers_say() {
        let said = [
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0",
                Version(7, 0),
            ),
            ("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)", Version(15, 8)),
            (
                "mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                Version(10, 11),
            ),
        ];
        for (text, version) in said {
            assert_eq!(Version::find(text), Some(version), "{text}");
        }
        assert_eq!(Version::find("no version 7 at all."), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(Version(6, 2) < Version(6, 10) && Version(6, 10) < Version(10, 0));
    }

    #[test]
    fn what_is_not_installed_is_lacking() {
        let server = Server { binary: "a-server-that-is-nowhere", minimum: Version(1, 0), package: "none" };
        assert_eq!(server.shortcoming().as_deref(), Some("it is not on PATH"));
    }
}
