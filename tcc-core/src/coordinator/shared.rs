//! What all parts of a coordinator share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::call::answer_within;
use super::config::Config;
use super::finish::Message;
use super::gather::Gather;
use super::meter::{Meter, Operation};
use super::once::Once;
use super::pace::Pace;
use super::participants::Participants;
use super::random;
use super::tasks::Tasks;
use super::unknown::Unknown;
use crate::participant::Registry;
use crate::protocol::{BranchId, Change, Entry, Group, Log, Owner, TxId};
use crate::store::{StatusStore, StoreError};

pub(super) struct Shared {
    pub(super) group: Group,
    pub(super) store: Arc<dyn StatusStore>,
    pub(super) registry: Registry,
    pub(super) participants: Participants,
    pub(super) config: Config,
    /// Which actions are called that are not registered here.
    pub(super) unknown: Unknown,
    /// Which branches were called for help about.
    pub(super) alerted: Once<(TxId, BranchId)>,
    /// Which logs were said to be unreadable.
    pub(super) unreadable: Once<TxId>,
    /// The identity of this start of this coordinator.
    pub(super) owner: Owner,
    pub(super) tasks: Tasks,
    /// What recovery and callers have in hand.
    pub(super) pace: Arc<Pace>,
    pub(super) gather: Arc<Gather>,
    /// Transactions that are settled and may shrink to tombstones.
    pub(super) finished: mpsc::UnboundedSender<Message>,
    /// Something may be due sooner than the recovery believes.
    pub(super) look_again: Notify,
    pub(super) meter: Arc<Meter>,
}

impl Shared {
    /// An entry of a fresh op.
    pub(super) fn entry(&self, change: &Change) -> Entry {
        change.entry(random::op())
    }

    /// Reads a log, within the store's time limit.
    pub(super) async fn read(&self, id: TxId) -> Result<Option<Log>, StoreError> {
        self.limited(Operation::Read, async { self.store.read(&self.group, id).await }).await
    }

    /// A call that changes nothing, or whose change is noticed otherwise: within the store's time limit, panics caught.
    pub(super) async fn limited<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let limit: Duration = self.config.store_timeout;
        let measured = self.meter.store_call(operation);
        let answer = answer_within(call, limit).await.unwrap_or_else(|none| Err(none.of_store(limit)));
        measured.answered(&answer);
        answer
    }
}

/// An error and its sources in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their source in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
