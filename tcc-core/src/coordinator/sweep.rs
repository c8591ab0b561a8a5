//! The removal of expired logs, from stores that don't do so themselves.

use std::sync::Weak;
use std::time::Duration;

use super::meter::Operation;
use super::shared::{Shared, chain};

/// How often it is looked for something to remove.
const EVERY: Duration = Duration::from_secs(60);
/// Between two calls, while there is more: others want to use the store, too.
const PAUSE: Duration = Duration::from_millis(10);
/// How many logs are removed by one call.
const AT_ONCE: usize = 1000;

/// Removes expired logs, until the coordinator closes or its last handle is gone.
pub(super) async fn run(shared: Weak<Shared>) {
    let Some(closing) = shared.upgrade().map(|shared| shared.tasks.closing().clone()) else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = closing.cancelled() => return,
        }
        // As long as there is more, so that no backlog stays for good.
        loop {
            let Some(shared) = shared.upgrade() else { return };
            match shared.limited(Operation::Sweep, async { shared.store.sweep(AT_ONCE).await }).await {
                Ok(removed) if removed >= AT_ONCE && !closing.is_cancelled() => {
                    tokio::time::sleep(PAUSE).await
                }
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "expired logs could not be removed; trying again later"
                    );
                    break;
                }
            }
        }
    }
}
