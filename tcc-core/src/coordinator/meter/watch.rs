//! The group in numbers, from the store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Operation;
use crate::coordinator::shared::{Shared, chain};

/// How often the store is asked. On Redis it costs four commands: idle processes are to cost next to nothing.
const EVERY: Duration = Duration::from_secs(10);

/// Shows the group's gauges until the coordinator closes or its last handle is gone; if there is anybody to see them.
pub(in crate::coordinator) fn watch(shared: &Arc<Shared>) {
    if shared.meter.is_on() {
        shared.tasks.spawn_background(run(Arc::downgrade(shared)));
    }
}

async fn run(shared: Weak<Shared>) {
    let Some(first) = shared.upgrade() else { return };
    let (closing, meter) = (first.tasks.closing().clone(), first.meter.clone());
    drop(first);
    while let Some(shared) = shared.upgrade() {
        let stats = async { shared.store.stats(&shared.group).await };
        match shared.limited(Operation::Stats, stats).await {
            Ok(stats) => meter.group(Some(&stats)),
            Err(error) => {
                tracing::debug!(group = %shared.group, error = chain(&error), "the store did not say how many are unfinished");
                meter.group(None);
            }
        }
        drop(shared);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = closing.cancelled() => break,
        }
    }
    meter.close();
}
