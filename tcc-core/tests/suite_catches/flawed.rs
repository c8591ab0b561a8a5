//! A plain store, and the places where one defect at a time is put into it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tcc_core::protocol::{Entry, Group, Log, Op, Position, TxId};
use tcc_core::store::{
    Append, Claim, Claimed, Cursor, Due, DueAge, Listed, Mode, Page, Query, Readiness, Retain, Select, Stats,
    StatusStore, StoreError, Unreadable,
};
use tcc_core::testing::{ClockAhead, ClockBack, Damage, StoreFixture};
use tokio::time::Instant;

use crate::defect::Defect;
use crate::defect::Defect as D;

#[derive(Debug, Clone, Default)]
struct Kept {
    entries: Vec<Entry>,
    appended: u32,
    due: Option<Instant>,
    gone: Option<Instant>,
    /// When each entry was written, by the store's clock.
    written: Vec<Instant>,
    damaged: bool,
}

impl Kept {
    fn end(&self) -> Position {
        Position { entries: self.appended, op: self.entries.last().expect("a log has entries").op() }
    }

    fn log(&self) -> Log {
        Log::new(self.entries.clone(), self.appended).expect("a log has entries")
    }
}

type Logs = HashMap<(Group, TxId), Kept>;

/// A clock that can be moved: tokio's, a day ahead and some seconds more or less.
#[derive(Debug, Clone)]
struct Clock(Arc<AtomicU64>);

const DAY: u64 = 24 * 3600;

impl Clock {
    fn now(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Where the logs are: what a fixture holds and its handles share.
pub(crate) struct Flawed {
    defect: Defect,
    logs: Arc<Mutex<Logs>>,
    epoch: Instant,
    clock: Clock,
}

/// A handle on it.
pub(crate) struct Handle {
    defect: Defect,
    logs: Arc<Mutex<Logs>>,
    /// What the times in cursors count from.
    epoch: Instant,
    clock: Clock,
    /// The ops that were written through this handle.
    ops: Mutex<HashSet<Op>>,
}

impl Flawed {
    pub(crate) fn with(defect: Defect) -> Self {
        let clock = Clock(Arc::new(AtomicU64::new(DAY)));
        Self { defect, logs: Arc::default(), epoch: Instant::now(), clock }
    }

    fn set_damaged(&self, group: &Group, id: TxId, damaged: bool) {
        // What a defect threw away can't be mended.
        if let Some(kept) = self.logs.lock().unwrap().get_mut(&(group.clone(), id)) {
            kept.damaged = damaged;
        }
    }
}

#[async_trait]
impl Damage for Flawed {
    async fn damage(&self, group: &Group, id: TxId) {
        self.set_damaged(group, id, true);
    }

    async fn mend(&self, group: &Group, id: TxId) {
        self.set_damaged(group, id, false);
    }
}

#[async_trait]
impl ClockAhead for Flawed {
    async fn set_ahead(&self, by: Duration) {
        self.clock.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

#[async_trait]
impl ClockBack for Flawed {
    async fn set_back(&self, by: Duration) {
        self.clock.0.fetch_sub(by.as_secs(), Ordering::Relaxed);
    }
}

#[async_trait]
impl StoreFixture for Flawed {
    type Store = Handle;

    const MANY: usize = 250;

    async fn start() -> Self {
        Self::with(Defect::None)
    }

    async fn open(&self) -> Handle {
        let logs = match self.defect {
            D::LogsAreKeptInTheHandle => Arc::default(),
            D::DueTimesAreKeptInTheHandle => {
                let mut logs = self.logs.lock().unwrap().clone();
                logs.values_mut().for_each(|kept| kept.due = None);
                Arc::new(Mutex::new(logs))
            }
            _ => Arc::clone(&self.logs),
        };
        let (defect, epoch, clock) = (self.defect, self.epoch, self.clock.clone());
        Handle { defect, logs, epoch, clock, ops: Mutex::default() }
    }
}

impl Handle {
    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn with<T>(&self, work: impl FnOnce(&mut Logs) -> T) -> T {
        work(&mut self.logs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn key(&self, group: &Group, id: TxId) -> (Group, TxId) {
        let group = if self.is(D::GroupsShareTheirLogs) { Group::new("all").unwrap() } else { group.clone() };
        (group, id)
    }

    fn entry(&self, entry: &Entry) -> Entry {
        let line = entry.line();
        let line = match self.defect {
            D::TextIsTrimmed => line.trim().to_owned(),
            D::TextIsNormalised => line.replace("e\u{301}", "é"),
            D::TextIsCut => line.chars().take(10_000).collect(),
            D::TextLosesControls => line.replace(|c: char| c.is_control(), ""),
            _ => return entry.clone(),
        };
        Entry::new(entry.op(), line).unwrap()
    }

    /// Whether a write is a replay (`None`), and where it is refused.
    fn check(&self, logs: &Logs, write: &Append) -> Result<Option<()>, StoreError> {
        let id = write.id;
        let Some(kept) = logs.get(&self.key(&write.group, id)) else {
            return match self.defect {
                _ if write.after == Position::START => Ok(Some(())),
                D::NotFoundBeginsALog => Ok(Some(())),
                D::NotFoundIsCalledConflict => Err(StoreError::Conflict { id }),
                _ => Err(StoreError::NotFound { id }),
            };
        };
        let (end, op) = (kept.end(), write.entry.op());
        let replay = match self.defect {
            D::ReplayConflicts | D::ReplayAppendsAgain => false,
            D::ReplayOfAReplaceConflicts if write.mode == Mode::Replace => false,
            D::ReplayOfAProgressedLogIsOk => kept.entries.iter().any(|entry| entry.op() == op),
            D::ReplayAtAnyNumberIsOk => end.op == op,
            D::ReplayIsKnownToItsHandleAlone => {
                end == write.after.then(op) && self.ops.lock().unwrap().contains(&op)
            }
            _ => end == write.after.then(op),
        };
        if replay {
            return Ok(None);
        }
        let fits = match self.defect {
            D::PositionNotCompared => true,
            D::OnlyTheNumberCompared => end.entries == write.after.entries,
            D::OnlyTheOpCompared => end.op == write.after.op,
            D::StartTakesAnExistingLog => end == write.after || write.after == Position::START,
            D::ReplaceIsNotCompared => end == write.after || write.mode == Mode::Replace,
            D::ReplayAppendsAgain => end == write.after || end == write.after.then(op),
            D::ForeverIsFinal => end == write.after && (kept.due.is_some() || kept.gone.is_some()),
            _ => end == write.after,
        };
        if fits { Ok(Some(())) } else { Err(StoreError::Conflict { id }) }
    }

    fn apply(&self, logs: &mut Logs, write: &Append) -> Result<(), StoreError> {
        let now = match self.defect {
            D::TimesAreTakenFromAnotherClock => Instant::now() + Duration::from_secs(DAY),
            _ => self.clock.now(),
        };
        let key = self.key(&write.group, write.id);
        let new = !logs.contains_key(&key);
        let kept = logs.entry(key).or_default();
        self.ops.lock().unwrap().insert(write.entry.op());
        match write.mode {
            Mode::Replace if !self.is(D::ReplaceExtends) => kept.entries = vec![self.entry(&write.entry)],
            Mode::Replace | Mode::Extend => kept.entries.push(self.entry(&write.entry)),
        }
        if !(self.is(D::EntriesAreNotCounted) && kept.appended == 2) {
            kept.appended += 1;
        }
        if self.is(D::EntriesAreNotCounted) && kept.entries.len() > kept.appended as usize {
            kept.entries.remove(0);
        }
        kept.written.push(now);
        if self.is(D::EntriesAreOrderedByTime) && kept.written.len() == kept.entries.len() {
            let mut timed: Vec<_> = kept.written.iter().copied().zip(kept.entries.drain(..)).collect();
            timed.sort_by_key(|(at, _)| *at);
            (kept.written, kept.entries) = timed.into_iter().unzip();
        }
        if self.is(D::EntriesAreSorted) {
            kept.entries.sort_by(|a, b| a.line().cmp(b.line()));
        }
        if write.mode == Mode::Replace && self.is(D::ReplaceCountsAnew) {
            kept.appended = 1;
        }
        self.schedule(kept, write.due, now, new);
        if self.is(D::FirstEntryIsLost) && new {
            logs.remove(&self.key(&write.group, write.id));
        }
        Ok(())
    }

    fn after(&self, now: Instant, wait: Duration) -> Instant {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * DAY);
        match self.defect {
            D::TimesAreAddedUnchecked => now + wait,
            D::TimesWrapAround => now.checked_add(wait).unwrap_or(now),
            _ => now.checked_add(wait).unwrap_or(now + CENTURY),
        }
    }

    fn schedule(&self, kept: &mut Kept, due: Due, now: Instant, new: bool) {
        match due {
            Due::Keep if new && !self.is(D::KeepOfANewLogIsNever) => kept.due = Some(now),
            Due::Keep if self.is(D::KeepMakesDueAtOnce) => kept.due = Some(now),
            Due::Keep if self.is(D::KeepDropsTheRetention) => kept.gone = None,
            Due::Keep => {}
            Due::In(_) if self.is(D::RenewalIsIgnored) && kept.due.is_some_and(|at| at > now) => {}
            Due::In(wait) => {
                let at = self.after(now, wait);
                kept.due =
                    Some(if self.is(D::InNeverBringsForward) { kept.due.unwrap_or(at).max(at) } else { at });
                if !self.is(D::UnfinishedExpires) {
                    kept.gone = None;
                }
            }
            Due::Never { retain } => {
                if !self.is(D::NeverStaysDue) {
                    kept.due = None;
                }
                kept.gone = match retain {
                    Retain::For(time) if self.is(D::RetentionIsTooShort) => Some(self.after(now, time / 2)),
                    Retain::For(time) if self.is(D::RetentionIsHalfAnHourAtMost) => {
                        Some(now + time.min(Duration::from_secs(1800)))
                    }
                    Retain::For(time) => Some(self.after(now, time)),
                    Retain::Forever if self.is(D::ForeverEnds) => Some(now + Duration::from_millis(50)),
                    Retain::Forever => None,
                };
            }
        }
    }

    fn put(&self, logs: &mut Logs, write: &Append) -> Result<(), StoreError> {
        if self.is(D::NoTimeIsAnError)
            && let Due::Never { retain: Retain::For(time) } | Due::In(time) = write.due
            && time.as_millis() == 0
        {
            return Err(StoreError::Invalid { what: "invalid expire time".into() });
        }
        let checked = self.check(logs, write);
        if checked.is_err() && self.is(D::ConflictMovesTheDueTime) || self.is(D::ReplayMovesTheDueTime) {
            let key = self.key(&write.group, write.id);
            if let Some(kept) = logs.get_mut(&key) {
                self.schedule(kept, write.due, self.clock.now(), false);
            }
        }
        match checked? {
            None => Ok(()),
            Some(()) => self.apply(logs, write),
        }
    }

    /// The logs of a group that have a due time, in order.
    fn unfinished(&self, logs: &Logs, group: &Group) -> Vec<(Instant, TxId)> {
        let (group, _) = self.key(group, TxId::from_bytes([0; 16]));
        let of_group = logs.iter().filter(|((of, _), _)| *of == group);
        let mut due: Vec<_> = of_group.filter_map(|((_, id), kept)| Some((kept.due?, *id))).collect();
        due.sort();
        due
    }

    fn kept_for_ever(&self, logs: &Logs, group: &Group) -> Vec<TxId> {
        let of_group =
            logs.iter().filter(|((of, _), kept)| of == group && kept.due.is_none() && kept.gone.is_none());
        let mut ids: Vec<_> = of_group.map(|((_, id), _)| *id).collect();
        ids.sort();
        if self.is(D::ForeverIsNotListed) {
            ids.clear();
        }
        ids
    }

    fn choose(&self, logs: &Logs, claim: &Claim, now: Instant) -> Vec<TxId> {
        let mut due = self.unfinished(logs, &claim.group);
        if matches!(self.defect, D::ClaimIsOutOfOrder | D::ClaimScansPastTheLeased) {
            due.sort_by_key(|(_, id)| *id);
        }
        if self.is(D::ClaimScansPastTheLeased) {
            due.truncate(claim.limit.max(10));
        }
        let horizon = if self.is(D::ClaimTakesWhatIsNotDue) { now + Duration::from_millis(200) } else { now };
        let limit = match self.defect {
            D::ClaimExceedsItsLimit => claim.limit + 1,
            D::ClaimOfNoneTakesOne => claim.limit.max(1),
            _ => claim.limit,
        };
        if self.is(D::ClaimIsRepeatedByItsEntry) {
            let mine = |id: &TxId| logs[&self.key(&claim.group, *id)].end().op == claim.entry.op();
            let again: Vec<TxId> = due.iter().map(|(_, id)| *id).filter(mine).collect();
            if !again.is_empty() {
                return again;
            }
        }
        due.into_iter().filter(|(at, _)| *at <= horizon).take(limit).map(|(_, id)| id).collect()
    }

    fn lease(&self, logs: &mut Logs, claim: &Claim, ids: &[TxId], now: Instant) -> Claimed {
        let mut claimed = Claimed::default();
        let again = match self.defect {
            D::ClaimIgnoresTheLease => now,
            D::LeaseIsTooShort => self.after(now, claim.lease / 2),
            D::LeaseNeverEnds => now + Duration::from_secs(1_000_000_000),
            _ => self.after(now, claim.lease),
        };
        if self.is(D::ClaimLeasesBeyondItsLimit) {
            let due = self.unfinished(logs, &claim.group);
            for (_, id) in due.into_iter().filter(|(at, _)| *at <= now) {
                logs.get_mut(&self.key(&claim.group, id)).unwrap().due = Some(again);
            }
        }
        for &id in ids {
            let key = self.key(&claim.group, id);
            let kept = logs.get_mut(&key).expect("it is due");
            if kept.damaged {
                self.lease_unreadable(kept, claim, again);
                if self.is(D::UnreadableIsThrownAway) {
                    logs.remove(&key);
                }
                if !self.is(D::UnreadableIsPassedOver) {
                    claimed.unreadable.push(Unreadable { id, why: "it is damaged".into() });
                }
                continue;
            }
            let long = self.is(D::LongOverdueIsClaimedWithoutAnEntry)
                && kept.due.is_some_and(|at| at + Duration::from_secs(600) < now);
            let mine = self.is(D::ClaimIsRepeatedByItsEntry) && kept.end().op == claim.entry.op();
            if !(self.is(D::ClaimForgetsToAppend) || long || mine) {
                kept.entries.push(claim.entry.clone());
                kept.written.push(now);
                kept.appended += 1;
            }
            claimed.logs.push((id, kept.log()));
            if self.is(D::ClaimAppendsInItsAnswerOnly) {
                kept.entries.pop();
                kept.appended -= 1;
            }
            if !self.is(D::ClaimIsNotExclusive) {
                kept.due = Some(again);
            }
        }
        let mut rest = self.unfinished(logs, &claim.group);
        rest.retain(|(_, id)| !ids.contains(id));
        claimed.next_due = match self.defect {
            D::NextDueIsForgotten => None,
            D::NextDueIsTheLease => Some(claim.lease),
            _ => rest.first().map(|(at, _)| at.saturating_duration_since(now)),
        };
        claimed
    }

    /// What becomes of a log that a claim could not read.
    fn lease_unreadable(&self, kept: &mut Kept, claim: &Claim, again: Instant) {
        match self.defect {
            D::UnreadableStaysDue => {}
            D::UnreadableNeverComesAgain => kept.due = Some(again + Duration::from_secs(1_000_000_000)),
            D::UnreadableGetsTheClaim => {
                kept.entries.push(claim.entry.clone());
                kept.appended += 1;
                kept.due = Some(again);
            }
            _ => kept.due = Some(again),
        }
    }

    fn page(&self, logs: &Logs, query: &Query) -> Result<Page, StoreError> {
        let now = self.clock.now();
        // All places of the list: (due, id), the due time being one and the same in that of what is kept.
        let mut places: Vec<(Option<Instant>, TxId)> = match query.select {
            Select::Unfinished => {
                self.unfinished(logs, &query.group).into_iter().map(|(at, id)| (Some(at), id)).collect()
            }
            Select::Kept => self.kept_for_ever(logs, &query.group).into_iter().map(|id| (None, id)).collect(),
        };
        if self.is(D::ListIsInOrderOfIds) {
            places.sort_by_key(|(_, id)| *id);
        }
        let from = match &query.cursor {
            None => 0,
            Some(cursor) => match self.place(&places, &cursor.0, query.select) {
                Some(from) => from,
                None if self.is(D::ListTakesAnyCursor) => 0,
                None => return Err(StoreError::BadCursor),
            },
        };
        let limit = match self.defect {
            D::ListExceedsItsLimit => query.limit.max(1).saturating_add(1),
            D::ListOfNoneIsEmpty => query.limit,
            _ => query.limit.max(1),
        };
        let to = from.saturating_add(limit).min(places.len());
        let (mut items, mut unreadable, mut bytes) = (Vec::new(), Vec::new(), 0);
        for &(at, id) in &places[from..to] {
            let kept = &logs[&self.key(&query.group, id)];
            if kept.damaged {
                unreadable.push(Unreadable { id, why: "it is damaged".into() });
                continue;
            }
            bytes += kept.entries.iter().map(|entry| entry.line().len()).sum::<usize>();
            if self.is(D::ListLosesWhatIsTooLong) && bytes > 1 << 20 {
                continue;
            }
            let due = match at {
                _ if self.is(D::ListedAgesAreLost) => DueAge::In(Duration::ZERO),
                None => DueAge::Never,
                Some(at) if at <= now && self.is(D::OverdueIsCountedTwice) => DueAge::Overdue((now - at) * 2),
                Some(at) if at > now => DueAge::In(at - now),
                Some(at) => DueAge::Overdue(now - at),
            };
            items.push(Listed { id, log: kept.log(), due });
        }
        let ends =
            self.is(D::ListEndsAfterAPage) || self.is(D::UnreadableEndsTheList) && !unreadable.is_empty();
        if self.is(D::UnreadableIsNotListed) {
            unreadable.clear();
        }
        let more = to < places.len() && to > from && !ends;
        let next = more.then(|| {
            let to = if self.is(D::ListSkipsOneAtPageEnds) { to + 1 } else { to };
            let (at, id) = places[to - 1];
            let nanos = at.map_or(0, |at| (at - self.epoch).as_nanos());
            Cursor(format!("{nanos}_{id}_{to}"))
        });
        Ok(Page { items, unreadable, next })
    }

    /// Where a page begins, by the cursor of the one before.
    fn place(&self, places: &[(Option<Instant>, TxId)], cursor: &str, select: Select) -> Option<usize> {
        let mut parts = cursor.split('_');
        let nanos: u64 = parts.next()?.parse().ok()?;
        let id: TxId = parts.next()?.parse().ok()?;
        let offset: usize = parts.next()?.parse().ok()?;
        let at = (select == Select::Unfinished).then(|| self.epoch + Duration::from_nanos(nanos));
        Some(match self.defect {
            D::ListGoesByOffset => offset.min(places.len()),
            D::ListLooksUpItsLastItem => {
                places.iter().position(|(_, of)| *of == id).map_or(places.len(), |at| at + 1)
            }
            D::ListLosesTies if at.is_some() => places.partition_point(|(of, _)| *of <= at),
            D::ListRepeatsItsLastItem => places.partition_point(|place| *place < (at, id)),
            D::ListIsInOrderOfIds => places.partition_point(|(_, of)| *of <= id),
            _ => places.partition_point(|place| *place <= (at, id)),
        })
    }
}

#[async_trait]
impl StatusStore for Handle {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        match self.defect {
            D::AppendReadsThenWrites => {
                let checked = self.with(|logs| self.check(logs, write))?;
                tokio::task::yield_now().await;
                self.with(|logs| checked.map_or(Ok(()), |()| self.apply(logs, write)))
            }
            D::AppendIsTwoWrites => {
                let key = self.key(&write.group, write.id);
                if self.with(|logs| self.check(logs, write))?.is_none() {
                    return Ok(());
                }
                if write.after != Position::START {
                    self.with(|logs| logs.get_mut(&key).expect("it was checked").appended += 1);
                    tokio::task::yield_now().await;
                    self.with(|logs| logs.get_mut(&key).expect("it was checked").appended -= 1);
                }
                self.with(|logs| self.apply(logs, write))
            }
            _ => self.with(|logs| self.put(logs, write)),
        }
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let unavailable =
            || Err(StoreError::Unavailable { what: "the batch was rolled back".into(), source: None });
        let mut answers = Vec::new();
        match self.defect {
            D::BatchStopsAtTheFirstError => {
                for write in writes {
                    answers.push(self.append(write).await);
                    if answers.last().is_some_and(Result::is_err) {
                        break;
                    }
                }
            }
            D::BatchGivesOneAnswerForAll => {
                let mut failed = false;
                for write in writes {
                    failed |= self.append(write).await.is_err();
                }
                answers.extend(writes.iter().map(|_| if failed { unavailable() } else { Ok(()) }));
            }
            D::BatchIsAllOrNothing => self.with(|logs| {
                let before = logs.clone();
                answers.extend(writes.iter().map(|write| self.put(logs, write)));
                if answers.iter().any(Result::is_err) {
                    *logs = before;
                }
            }),
            D::BatchIsAppliedBackwards => {
                for write in writes.iter().rev() {
                    answers.insert(0, self.append(write).await);
                }
            }
            D::BatchIsCutOff => {
                for write in writes.iter().take(128) {
                    answers.push(self.append(write).await);
                }
            }
            D::BatchForgetsWhenDropped => {
                let hostage = std::mem::take(&mut *self.logs.lock().unwrap());
                tokio::task::yield_now().await;
                *self.logs.lock().unwrap() = hostage;
                for write in writes {
                    answers.push(self.append(write).await);
                }
            }
            _ => {
                for write in writes {
                    answers.push(self.append(write).await);
                }
            }
        }
        answers
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let now = self.clock.now();
        let ids = self.with(|logs| self.choose(logs, claim, now));
        if self.is(D::UnreadableFailsTheClaim) {
            let bad = |id: &TxId| self.with(|logs| logs[&self.key(&claim.group, *id)].damaged);
            if let Some(id) = ids.iter().copied().find(bad) {
                return Err(StoreError::Corrupt { id, why: "it is damaged".into() });
            }
        }
        if self.is(D::ClaimReadsThenWrites) {
            tokio::task::yield_now().await;
        }
        if self.is(D::ClaimIsTwoWrites) {
            let keys: Vec<_> = ids.iter().map(|id| self.key(&claim.group, *id)).collect();
            self.with(|logs| keys.iter().for_each(|key| logs.get_mut(key).expect("it is due").due = None));
            tokio::task::yield_now().await;
        }
        Ok(self.with(|logs| self.lease(logs, claim, &ids, now)))
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        let kept = self.with(|logs| logs.get(&self.key(group, id)).cloned());
        if kept.as_ref().is_some_and(|kept| kept.damaged) {
            return match self.defect {
                D::UnreadableIsNotFound => Ok(None),
                _ => Err(StoreError::Corrupt { id, why: "it is damaged".into() }),
            };
        }
        let log = kept.as_ref().map(Kept::log);
        if log.is_none() && self.is(D::NothingToReadIsAnError) {
            return Err(StoreError::NotFound { id });
        }
        Ok(log)
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.with(|logs| self.page(logs, query))
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        let now = self.clock.now();
        Ok(self.with(|logs| {
            let mut due = self.unfinished(logs, group);
            let most_overdue = match due.first() {
                Some((at, _)) if *at <= now => Some(now - *at),
                Some(_) if self.is(D::StatsCallTheWaitingOverdue) => Some(Duration::ZERO),
                // A difference of two unsigned numbers, the other way round.
                Some((at, _)) if self.is(D::AgesAreUnsigned) && *at < now + Duration::from_secs(3601) => {
                    Some(Duration::from_micros(u64::MAX) - (*at - now))
                }
                _ => None,
            };
            if self.is(D::StatsForgetTheLeased) {
                due.retain(|(_, id)| logs[&self.key(group, *id)].entries.len() < 2);
            }
            Stats {
                unfinished: due.len() as u64,
                kept: self.kept_for_ever(logs, group).len() as u64,
                most_overdue,
            }
        }))
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        let silent = tcc_core::store::Finding { what: "something is wrong".into(), mend: String::new() };
        let warnings = if self.is(D::CheckFindsFaultWithoutAWord) { vec![silent] } else { Vec::new() };
        Ok(Readiness { errors: Vec::new(), warnings })
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let limit = if self.is(D::SweepExceedsItsLimit) { usize::MAX } else { limit };
        Ok(self.with(|logs| {
            let over = |kept: &Kept| match kept.gone {
                Some(_) if self.is(D::SweepTakesWhatHasTimeLeft) => true,
                Some(_) if self.is(D::FinishedGoesWhenFromTheFuture) && kept.written[0] > now => true,
                Some(at) => at <= now && !self.is(D::FinishedNeverGoes),
                None if self.is(D::UnfinishedGoesWhenLongOverdue) => {
                    kept.due.is_some_and(|at| at + Duration::from_secs(600) < now)
                }
                None => self.is(D::UnfinishedGoesWhenFromTheFuture) && kept.written[0] > now,
            };
            let keys: Vec<_> =
                logs.iter().filter(|(_, kept)| over(kept)).map(|(key, _)| key.clone()).collect();
            keys.iter().take(limit).filter(|key| logs.remove(key).is_some()).count()
        }))
    }

    async fn due_soon(&self, _group: &Group, at_most: Duration) {
        if self.is(D::DueSoonWaitsForEver) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(at_most).await;
    }
}
