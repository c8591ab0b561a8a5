//! A port that stays ours while nobody listens on it.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below the ports that kernels hand out to clients (Linux from 32768, others from 49152). Within those, a client that
/// reconnects to a killed server can be given the server's own port as its local one, connect to *itself*, and keep the
/// server from coming back.
const PORTS: Range<u16> = 20_000..32_000;

/// A TCP port of 127.0.0.1 on which nobody listened a moment ago, and which no other test of this user will choose.
///
/// Between a server's kill and its restart the port is free for all. What keeps it is a locked file: it lasts as long as
/// this value, and not longer than the process.
pub(crate) struct Port {
    number: u16,
    /// Locked; the kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Port {
    /// Somebody who is no test may still take it before the server does: be ready to choose again.
    pub(crate) fn choose() -> Self {
        (0..1_000)
            .find_map(|attempt| Self::lock(random(attempt)))
            .expect("1000 ports were tried on 127.0.0.1, and each was in use or could not be locked")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    fn lock(number: u16) -> Option<Self> {
        let user = rustix::process::getuid().as_raw();
        let folder = std::env::temp_dir().join(format!("tcc-test-ports-{user}"));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written to");
        // Locks are left where they are: to remove one is a race with whoever has just opened it.
        let file = folder.join(number.to_string());
        let lock = OpenOptions::new().create(true).append(true).open(file).ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _lock: lock })
    }
}

/// `RandomState` is seeded anew for each call: enough for a port, and no dependency.
fn random(attempt: u16) -> u16 {
    let width = u64::from(PORTS.end - PORTS.start);
    let step = RandomState::new().hash_one(attempt) % width;
    PORTS.start + u16::try_from(step).expect("less than the width of a range of u16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_locked_until_it_is_dropped() {
        let port = Port::choose();
        let number = port.number();
        assert!(PORTS.contains(&number));
        assert!(Port::lock(number).is_none(), "locked, though nobody listens on it");
        drop(port);
        assert!(Port::lock(number).is_some());
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_not_chosen() {
        let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(Port::lock(busy.local_addr().unwrap().port()).is_none());
    }
}
