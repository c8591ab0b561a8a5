//! Logs of every format that was ever released are read and settled for ever: `golden/README.md`.
//!
//! A file that is listed in `golden/SHA256SUMS` is never changed, whatever today's code makes of it: if a test here fails,
//! the code is wrong, not the file. `TCC_GOLDEN_BLESS=1` writes files that are **missing**, for a new format or a new
//! layout, and adds them to the list.

mod files;
mod layout;
mod participant;
mod settled;
mod unreadable;

use std::future::Future;

/// A runtime of real time: stores on servers have no other.
fn on_real_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(work)
}
