//! Real servers for tests.
//!
//! ```
//! use tcc_test_servers::{AppendFsync, RedisServer};
//!
//! let mut server = RedisServer::builder().append_only(AppendFsync::Always).start();
//! server.command(&["SET", "order", "42"]).unwrap();
//!
//! server.kill(); // SIGKILL: nothing is flushed, no client is told
//! server.restart(); // the same port, the same data
//! assert_eq!(server.command(&["GET", "order"]).unwrap(), "42");
//! ```
//!
//! - Each server is a process of its own on 127.0.0.1, on a free port and in a temporary folder. A service that happens to
//!   run on the machine is never used: whoever answers on the port must be the very process that was started.
//! - Port and data stay the same over [`restart`](RedisServer::restart). The port is chosen outside the range from which
//!   the kernel serves clients, and is locked for other tests: nobody takes it while the server is down.
//! - A server ends with the value that stands for it, and with the test's process, however that ends (a panic, SIGKILL, or
//!   a `static` that is never dropped): a watchdog outside the process kills it and removes its folder.
//! - A server's clock can be moved ([`RedisServer::set_clock_ahead`]), by a small library that is compiled with `cc`;
//!   [`Clock`] does so for any process.
//! - Nothing is skipped. A server that is not installed is a panic that says what to install.
//! - Every wait is a poll with a bound; every failure shows the server's log.
//!
//! Calls block for some ten milliseconds: a test may make them from within an async runtime.
//!
//! # Another kind of server
//!
//! It is one more module like `redis`, made of the same parts: a port (`port`), a process with its watchdog and log
//! (`process`), and a question that only the right server answers. Its name goes into xtask's table of servers too.

mod clock;
mod port;
mod process;
mod redis;

pub use clock::Clock;
pub use redis::{AppendFsync, RedisServer, RedisServerBuilder};

use std::time::{Duration, Instant};

/// Looks again and again until there is something to see, or `at_most` has passed.
fn poll<T>(at_most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if began.elapsed() > at_most {
            return None;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the pause of a bounded poll, on the test's own thread"
        )]
        std::thread::sleep(Duration::from_millis(5));
    }
}
