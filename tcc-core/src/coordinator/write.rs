//! One write, until its fate is certain: the rules for answers that were lost (DESIGN.md §3).

use std::sync::Arc;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::meter::Fate;
use super::shared::Shared;
use crate::protocol::{Doubt, Log, Op, Position, Record, judge};
use crate::store::{Append, StoreError};

/// The fate of a write.
pub(super) enum Written {
    /// It is the last entry of the log.
    Applied,
    /// It is in the log, and another write followed it: whoever wrote that has the transaction now.
    Overtaken,
    /// It is not in the log and never will be: the transaction was decided or claimed without it.
    Superseded(Box<Record>),
    /// It was to begin a transaction, and another log has its id.
    Taken(Box<Record>),
}

/// Why the fate of a write is not known, or is worse.
pub(super) enum WriteError {
    /// Certainly not applied, and never will be: no attempt of it was ambiguous.
    NotApplied(Arc<StoreError>),
    /// Nobody can tell yet.
    InDoubt(Arc<StoreError>),
    /// The store has lost acknowledged entries.
    Lost { expected: u32, found: u32 },
}

impl Shared {
    /// Appends, and repeats and reads until the fate of the write is certain, or until then.
    ///
    /// At least one attempt is made. Ambiguity belongs to the op: once one attempt of it was ambiguous, no later
    /// *unavailable* makes it certain again.
    pub(super) async fn write(&self, append: &Append, until: Instant) -> Result<Written, WriteError> {
        match self.gather.append(append).await {
            Ok(()) => Ok(Written::Applied),
            // In a box: what is seldom needed would else make every write large.
            Err(error) => Box::pin(self.write_again(append, until, error)).await,
        }
    }

    /// Goes on after a first attempt that failed.
    async fn write_again(
        &self,
        append: &Append,
        until: Instant,
        error: StoreError,
    ) -> Result<Written, WriteError> {
        let mut doubtful = false;
        let fate = self.write_until_certain(append, until, error, &mut doubtful).await;
        if doubtful {
            self.meter.ambiguity_ended(match &fate {
                Ok(Written::Applied | Written::Overtaken) => Fate::Applied,
                Ok(Written::Superseded(_) | Written::Taken(_)) => Fate::Superseded,
                Err(WriteError::InDoubt(_) | WriteError::NotApplied(_)) => Fate::InDoubt,
                Err(WriteError::Lost { .. }) => Fate::Lost,
            });
        }
        fate
    }

    async fn write_until_certain(
        &self,
        append: &Append,
        until: Instant,
        mut error: StoreError,
        doubtful: &mut bool,
    ) -> Result<Written, WriteError> {
        let mut failures = 0;
        loop {
            match &error {
                StoreError::Ambiguous { .. } => *doubtful = true,
                StoreError::Corrupt { .. } | StoreError::Invalid { .. } | StoreError::BadCursor
                    if !*doubtful =>
                {
                    return Err(WriteError::NotApplied(Arc::new(error)));
                }
                _ => {}
            }
            // A plain refusal to be reached says nothing of the log; all other answers ask for a look at it.
            let plain = matches!(error, StoreError::Unavailable { .. }) && !*doubtful;
            if !plain && let Some(certain) = self.look(append, *doubtful).await {
                return certain;
            }
            failures += 1;
            let next = Instant::now() + Backoff::STORE.delay(failures);
            if next >= until {
                let error = Arc::new(error);
                return Err(if plain { WriteError::NotApplied(error) } else { WriteError::InDoubt(error) });
            }
            tracing::debug!(id = %append.id, %error, doubtful, "a write is repeated");
            tokio::time::sleep_until(next).await;
            error = match self.gather.append(append).await {
                Ok(()) => return Ok(Written::Applied),
                Err(error) => error,
            };
        }
    }

    /// Reads the log, and says what it proves about the write; `None` if nothing.
    async fn look(&self, append: &Append, doubtful: bool) -> Option<Result<Written, WriteError>> {
        let log = self.read_log(append).await?;
        let op = append.entry.op();
        match judge(op, append.after, log.as_ref()) {
            Ok(Doubt::Applied(_)) => Some(Ok(applied(log.as_ref(), op))),
            Ok(Doubt::Decided(record) | Doubt::Claimed(record)) => Some(Ok(Written::Superseded(record))),
            Ok(Doubt::Taken(record)) => Some(Ok(Written::Taken(record))),
            // It may still be on its way; no log is no answer (safety 6).
            Ok(Doubt::Open) => None,
            Ok(Doubt::NoLog) if doubtful || append.after == Position::START => None,
            Ok(Doubt::NoLog) => Some(Err(self.lost(append, 0))),
            Ok(Doubt::Lost(found)) => Some(Err(self.lost(append, found.entries))),
            Err(error) => {
                tracing::error!(id = %append.id, error = %super::shared::chain(&error), "a log can't be read");
                None
            }
        }
    }

    /// What the store says now; `None` if it does not answer.
    async fn read_log(&self, append: &Append) -> Option<Option<Log>> {
        match self.read(append.id).await {
            Ok(log) => Some(log),
            Err(error) => {
                tracing::debug!(id = %append.id, %error, "a log can't be read now");
                None
            }
        }
    }

    fn lost(&self, append: &Append, found: u32) -> WriteError {
        let expected = append.after.entries;
        self.meter.lost_entries();
        tracing::error!(id = %append.id, expected, found, "the store has lost acknowledged entries");
        WriteError::Lost { expected, found }
    }
}

fn applied(log: Option<&Log>, op: Op) -> Written {
    if log.is_some_and(|log| log.position().op == op) { Written::Applied } else { Written::Overtaken }
}
