//! Recovery: what is due is claimed, whoever left it, and brought to its end.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::meter::{Operation, WhyUnreadable};
use super::pace::{HOLD, Place};
use super::participants::Waiting;
use super::settle::Settling;
use super::shared::{Shared, chain};
use super::write::Written;
use crate::protocol::{
    Cause, Change, Decide, Decision, Log, LogError, MalformedEntry, Plan, Record, TxId, fold,
};
use crate::store::{Append, Claim, Claimed, Due, Mode, Retain, StoreError};

/// How many are claimed by one call.
const BATCH: usize = 64;
/// For how long a transaction takes up room.
const SLOT: Duration = Duration::from_secs(1);
/// At the latest, a log that can't be read is looked at again after this: somebody may have put it right by hand.
const UNREADABLE: Duration = Duration::from_secs(60 * 60);
/// When a log of a newer format, put back for a newer instance, is looked at again.
const NEWER: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(600) };

/// For how long, at most, the others go first: they know as well when it is due, and need the time of one claim. What this
/// instance may well settle is due meanwhile.
const COURTESY: Duration = Duration::from_secs(2);

/// Claims and settles what is due, until the coordinator closes or its last handle is gone.
pub(super) async fn run(shared: Weak<Shared>) {
    let Some(first) = shared.upgrade() else { return };
    let slots = Arc::new(Semaphore::new(first.config.recover_at_once.min(Semaphore::MAX_PERMITS)));
    let closing = first.tasks.closing().clone();
    drop(first);
    let mut failures = 0;
    while !closing.is_cancelled() {
        let Some(shared) = shared.upgrade() else { return };
        let lease = shared.config.lease;
        let wait = match claim(&shared, &slots).await {
            Ok(next_due) => {
                failures = 0;
                next_due.unwrap_or(lease).min(lease)
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(group = %shared.group, error = chain(&error), "nothing could be claimed; trying again");
                Backoff::STORE.delay(failures)
            }
        };
        if wait.is_zero() {
            // More is due: as soon as there is room for it.
            let room = async {
                drop(slots.acquire().await);
                shared.pace.room_for(BATCH).await;
            };
            tokio::select! {
                () = room => {}
                () = closing.cancelled() => {}
            }
            continue;
        }
        // Who does not know what it has put back lets the others go first when it is due again.
        let known_to_others = shared.unknown.within(2 * lease + lease.max(shared.config.backoff.cap));
        let grace = if known_to_others { (lease / 8).min(COURTESY) } else { Duration::ZERO };
        let due = async {
            wait_for_due(&shared, wait).await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = due => {}
            () = shared.look_again.notified() => {}
            () = closing.cancelled() => {}
        }
    }
}

/// Waits until something may be due, at most for the time given, whatever the store does.
async fn wait_for_due(shared: &Shared, wait: Duration) {
    let until = Instant::now() + wait;
    let due = AssertUnwindSafe(async { shared.store.due_soon(&shared.group, wait).await }).catch_unwind();
    if let Ok(Err(_)) = tokio::time::timeout_at(until, due).await {
        tracing::error!(group = %shared.group, "the store panicked in `due_soon`");
        tokio::time::sleep_until(until).await;
    }
}

/// Claims what is due and there is room for, and says when to look again.
async fn claim(shared: &Arc<Shared>, slots: &Arc<Semaphore>) -> Result<Option<Duration>, StoreError> {
    let limit = slots.available_permits().min(shared.pace.free()).min(BATCH);
    if limit == 0 {
        return Ok(Some(Duration::ZERO));
    }
    // A shutdown waits until what is claimed here has been put into tasks.
    let _claiming = shared.tasks.token();
    if shared.tasks.closing().is_cancelled() {
        return Ok(None);
    }
    let since = Instant::now();
    let claim = Claim {
        group: shared.group.clone(),
        entry: shared.entry(&Change::Claim(crate::protocol::Claim { by: shared.owner })),
        lease: shared.config.lease,
        limit,
    };
    let Claimed { logs, next_due, unreadable } =
        shared.limited(Operation::Claim, async { shared.store.claim(&claim).await }).await?;
    for log in unreadable {
        shared.meter.unreadable(WhyUnreadable::Store);
        if shared.unreadable.first(log.id) == Some(true) {
            tracing::error!(tx = %log.id, why = log.why, "a log can't be read: nothing is done with this transaction until that is put right");
        }
    }
    for (id, log) in logs {
        let Ok(slot) = slots.clone().try_acquire_owned() else { break };
        let place = shared.pace.take();
        let shared = shared.clone();
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            in_hand(place, Some(slot), resume(&shared, id, &log, since)).await;
        });
    }
    Ok(next_due)
}

/// Runs the work to its end, which has its place and its slot only for as long as work takes that waits for nobody. Then it
/// waits for a participant, and needs no room for that: others are not to wait for it.
async fn in_hand(place: Place, slot: Option<OwnedSemaphorePermit>, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    if tokio::time::timeout(HOLD, &mut work).await.is_ok() {
        return;
    }
    drop(place);
    if slot.is_some() && tokio::time::timeout(SLOT - HOLD, &mut work).await.is_ok() {
        return;
    }
    drop(slot);
    work.await;
}

/// Takes over the transactions that waited for a participant that works again, unless somebody else has.
pub(super) fn wake(shared: &Arc<Shared>, waiting: Vec<Waiting>) {
    if waiting.is_empty() {
        return;
    }
    let woken = shared.clone();
    shared.tasks.spawn(async move {
        tracing::info!(
            transactions = waiting.len(),
            "a participant works again: what waits for it is settled now"
        );
        let woken = &woken;
        futures_util::stream::iter(waiting)
            .for_each_concurrent(BATCH, |waiting| async move {
                let place = woken.pace.place().await;
                in_hand(place, None, take_over(woken, waiting)).await;
            })
            .await;
    });
}

async fn take_over(shared: &Arc<Shared>, Waiting { id, position }: Waiting) {
    if shared.tasks.closing().is_cancelled() {
        return;
    }
    let Ok(Some(mut log)) = shared.read(id).await else { return };
    if log.position() != position {
        return;
    }
    let since = Instant::now();
    let append = Append {
        group: shared.group.clone(),
        id,
        after: position,
        entry: shared.entry(&Change::Claim(crate::protocol::Claim { by: shared.owner })),
        due: Due::In(shared.config.lease),
        mode: Mode::Extend,
    };
    if shared.gather.append(&append).await.is_ok() {
        log.push(append.entry);
        resume(shared, id, &log, since).await;
    }
}

/// Brings a claimed transaction to its end.
async fn resume(shared: &Arc<Shared>, id: TxId, log: &Log, since: Instant) {
    let record = match fold(log) {
        Ok(record) => record,
        Err(error) => return put_back(shared, id, log, &error).await,
    };
    shared.meter.recovered(record.name(), record.status());
    tracing::info!(tx = %id, name = %record.name(), status = %record.status(), "recovering a transaction");
    match record.plan() {
        Plan::Decide(decision) => abandon(shared, id, record, log, decision, since).await,
        Plan::Settle(_) | Plan::Finish => {
            Settling::new(shared, id, record, (log.position(), log.entries().len()), since).run().await;
        }
        // Not the protocol's doing: it was due though nothing is left to be done.
        Plan::Keep => append(shared, id, log, Due::Never { retain: Retain::Forever }).await,
        // Not the protocol's doing either: a claimed log shows its claim.
        Plan::Await => append(shared, id, log, Due::In(shared.config.lease)).await,
    }
}

/// Liveness 2: whoever began it is gone or too late.
async fn abandon(
    shared: &Arc<Shared>,
    id: TxId,
    mut record: Record,
    log: &Log,
    decision: Decision,
    since: Instant,
) {
    let cause = (decision == Decision::Cancel).then_some(Cause::Abandoned);
    let change =
        Change::Decide(Decide { decision, branches: Vec::new(), outputs: Vec::new(), cause, value: None });
    let append = Append {
        group: shared.group.clone(),
        id,
        after: log.position(),
        entry: shared.entry(&change),
        due: Due::In(shared.config.lease),
        mode: Mode::Extend,
    };
    let decided = Instant::now();
    match shared.write(&append, since + shared.config.lease).await {
        Ok(Written::Applied) => {
            record.apply(&change).expect("what the plan says may be decided");
            shared.meter.decided_by_another(&record);
            let end = (append.after.then(append.entry.op()), log.entries().len() + 1);
            Settling::new(shared, id, record, end, decided).run().await;
        }
        Ok(Written::Overtaken | Written::Superseded(_) | Written::Taken(_)) | Err(_) => {
            shared.meter.lease_lost();
            tracing::info!(tx = %id, "the lease was lost; the transaction is left to its new holder");
        }
    }
}

async fn put_back(shared: &Arc<Shared>, id: TxId, log: &Log, error: &LogError) {
    // Each time it is claimed and put back its log grows by two entries, so it is looked at less and less often.
    let (LogError::Malformed { entry, .. } | LogError::Illegal { entry, .. }) = error else { return };
    let times = log.position().entries.saturating_sub(*entry) / 2;
    let newer = matches!(error, LogError::Malformed { source: MalformedEntry::Version { .. }, .. });
    shared.meter.unreadable(match error {
        LogError::Illegal { .. } => WhyUnreadable::Illegal,
        _ if newer => WhyUnreadable::NewerFormat,
        _ => WhyUnreadable::Malformed,
    });
    let due = if newer {
        shared.unknown.met_newer_format();
        tracing::warn!(tx = %id, error = chain(error), "put back for a newer instance");
        NEWER.delay(times + 1)
    } else {
        tracing::error!(tx = %id, error = chain(error), "a log can't be read: nothing is done with this transaction until that is put right");
        let lease = shared.config.lease;
        Backoff { base: lease, cap: lease.max(UNREADABLE) }.ceiling(times + 1)
    };
    append(shared, id, log, Due::In(due)).await;
}

/// Appends a claim that only says when it is due again.
async fn append(shared: &Arc<Shared>, id: TxId, log: &Log, due: Due) {
    let entry = shared.entry(&Change::Claim(crate::protocol::Claim { by: shared.owner }));
    let append =
        Append { group: shared.group.clone(), id, after: log.position(), entry, due, mode: Mode::Extend };
    if let Err(error) = shared.gather.append(&append).await {
        tracing::debug!(tx = %id, %error, "could not be put back; it is due again after the lease");
    }
}
