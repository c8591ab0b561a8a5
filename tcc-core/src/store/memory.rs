//! A store in this process's memory.

use std::cell::LazyCell;
use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use foldhash::HashMap;
use tokio::time::Instant;

use super::{
    Append, Claim, Claimed, Cursor, Due, DueAge, Finding, Listed, Mode, Page, Query, Readiness, Retain,
    Select, Stats, StatusStore, StoreError, Unreadable,
};
use crate::protocol::{Entry, Group, Log, Position, TxId};

/// A real store that forgets all when its process ends: for tests, and for what may be lost.
///
/// Its clock is tokio's, so tests on paused time drive it. Clones of an `Arc` of it share the logs; several
/// coordinators in one process may use it at once.
#[derive(Debug)]
pub struct MemoryStore {
    groups: Mutex<HashMap<Group, Logs>>,
    /// What the times in cursors count from.
    epoch: Instant,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { groups: Mutex::default(), epoch: Instant::now() }
    }
}

/// The logs of one group.
#[derive(Debug)]
struct Logs {
    logs: HashMap<TxId, Kept>,
    index: Index,
}

/// Which logs are when to be looked at.
#[derive(Debug)]
struct Index {
    /// The unfinished ones by when they are due.
    due: BTreeSet<(Instant, TxId)>,
    /// Those of `Retain::Forever`.
    forever: BTreeSet<TxId>,
    /// The finished ones by when they may go: in whole seconds since `epoch`, for they are many, and wait for long. Each is
    /// removed within a second of its time, and not shown after that. One that is not finished any more is left here until
    /// then.
    expiring: BTreeMap<u64, Vec<TxId>>,
    epoch: Instant,
}

#[derive(Debug)]
struct Kept {
    entries: Entries,
    /// How many were ever appended.
    appended: u32,
    due: DueAt,
    /// Whether it is to be taken for unreadable; see [`MemoryStore::damage`].
    damaged: bool,
}

/// The entries of a log. Most logs are tombstones, of one.
#[derive(Debug)]
enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

/// What is said to be wrong with a damaged log.
const DAMAGED: &str = "it was damaged by a test";

#[derive(Debug, Clone, Copy)]
enum DueAt {
    At(Instant),
    Expiring(Instant),
    Forever,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a log unreadable, as a broken disk would, until it is mended; says whether there is one. For tests of what
    /// becomes of such a log, and of those beside it.
    #[cfg(feature = "testing")]
    pub fn damage(&self, group: &Group, id: TxId) -> bool {
        self.set_damaged(group, id, true)
    }

    /// Takes the damage back; says whether there is a log.
    #[cfg(feature = "testing")]
    pub fn mend(&self, group: &Group, id: TxId) -> bool {
        self.set_damaged(group, id, false)
    }

    #[cfg(feature = "testing")]
    fn set_damaged(&self, group: &Group, id: TxId, damaged: bool) -> bool {
        self.with(group, |logs| logs.logs.get_mut(&id).map(|kept| kept.damaged = damaged).is_some())
    }

    fn with<T>(&self, group: &Group, work: impl FnOnce(&mut Logs) -> T) -> T {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        match groups.get_mut(group) {
            Some(logs) => work(logs),
            None => work(groups.entry(group.clone()).or_insert_with(|| Logs::new(self.epoch))),
        }
    }

    /// The same, as of now.
    fn now_with<T>(&self, group: &Group, work: impl FnOnce(&mut Logs, Instant) -> T) -> T {
        self.with(group, |logs| {
            let now = Instant::now();
            logs.expire(now);
            work(logs, now)
        })
    }
}

impl Kept {
    fn of(entry: Entry, due: DueAt) -> Self {
        Self { entries: Entries::One(entry), appended: 1, due, damaged: false }
    }

    fn end(&self) -> Position {
        let op = match &self.entries {
            Entries::One(entry) => entry.op(),
            Entries::Many(entries) => entries.last().map_or(Position::START.op, Entry::op),
        };
        Position { entries: self.appended, op }
    }

    fn push(&mut self, entry: Entry, mode: Mode) {
        self.appended += 1;
        match (&mut self.entries, mode) {
            (entries, Mode::Replace) => *entries = Entries::One(entry),
            (Entries::Many(entries), Mode::Extend) => entries.push(entry),
            (Entries::One(first), Mode::Extend) => {
                // Begun, enlisted, decided, settled.
                let mut entries = Vec::with_capacity(4);
                entries.push(first.clone());
                entries.push(entry);
                self.entries = Entries::Many(entries);
            }
        }
    }

    fn log(&self) -> Log {
        let entries = match &self.entries {
            Entries::One(entry) => vec![entry.clone()],
            Entries::Many(entries) => entries.clone(),
        };
        Log::new(entries, self.appended).expect("a log has an entry, and no more than were appended")
    }

    /// Whether it need not be kept any more.
    fn is_over(&self, now: impl FnOnce() -> Instant) -> bool {
        matches!(self.due, DueAt::Expiring(at) if at <= now())
    }
}

impl Logs {
    fn new(epoch: Instant) -> Self {
        let index =
            Index { due: BTreeSet::new(), forever: BTreeSet::new(), expiring: BTreeMap::new(), epoch };
        Self { logs: HashMap::default(), index }
    }

    /// Removes what need not be kept any more.
    fn expire(&mut self, now: Instant) {
        let second = self.index.second(now);
        while let Some(first) = self.index.expiring.first_entry()
            && *first.key() < second
        {
            for id in first.remove() {
                if self.logs.get(&id).is_some_and(|kept| kept.is_over(|| now)) {
                    self.logs.remove(&id);
                }
            }
        }
    }

    fn append(&mut self, write: &Append) -> Result<(), StoreError> {
        // Half of all writes say nothing of time.
        let now = LazyCell::new(Instant::now);
        if write.due != Due::Keep {
            self.expire(*now);
        }
        let (id, begins) = (write.id, write.after == Position::START);
        match self.logs.entry(id) {
            MapEntry::Occupied(kept) if !kept.get().is_over(|| *now) => {
                let kept = kept.into_mut();
                let end = kept.end();
                if end == write.after.then(write.entry.op()) {
                    return Ok(());
                }
                if end != write.after {
                    return Err(StoreError::Conflict { id });
                }
                kept.push(write.entry.clone(), write.mode);
                if write.due != Due::Keep {
                    self.index.move_to(id, &mut kept.due, DueAt::of(write.due, *now));
                }
            }
            MapEntry::Occupied(_) | MapEntry::Vacant(_) if !begins => {
                return Err(StoreError::NotFound { id });
            }
            place => {
                let due = DueAt::of(write.due, *now);
                place.insert_entry(Kept::of(write.entry.clone(), due));
                self.index.insert(id, due);
            }
        }
        Ok(())
    }

    fn claim(&mut self, claim: &Claim, now: Instant) -> Claimed {
        let ids: Vec<TxId> = self
            .index
            .due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(claim.limit)
            .map(|&(_, id)| id)
            .collect();
        let mut logs = Vec::with_capacity(ids.len());
        let mut unreadable = Vec::new();
        for &id in &ids {
            let kept = self.logs.get_mut(&id).expect("what is due has a log");
            if kept.damaged {
                unreadable.push(Unreadable { id, why: DAMAGED.into() });
            } else {
                kept.push(claim.entry.clone(), Mode::Extend);
                logs.push((id, kept.log()));
            }
            self.index.move_to(id, &mut kept.due, DueAt::of(Due::In(claim.lease), now));
        }
        let next = self.index.due.iter().find(|(_, id)| !ids.contains(id));
        Claimed { logs, next_due: next.map(|(at, _)| at.saturating_duration_since(now)), unreadable }
    }

    fn page(&self, query: &Query, now: Instant, epoch: Instant) -> Result<Page, StoreError> {
        let last = query.cursor.as_ref().map(|cursor| Place::parse(&cursor.0, epoch)).transpose()?;
        let limit = query.limit.max(1);
        let wanted = limit.saturating_add(1);
        let places: Vec<Place> = match query.select {
            Select::Unfinished => {
                let from = last.map_or(Unbounded, |place| Excluded((place.at, place.id)));
                self.index
                    .due
                    .range((from, Unbounded))
                    .take(wanted)
                    .map(|&(at, id)| Place { at, id })
                    .collect()
            }
            Select::Kept => {
                let from = last.map_or(Unbounded, |place| Excluded(place.id));
                self.index
                    .forever
                    .range((from, Unbounded))
                    .take(wanted)
                    .map(|&id| Place { at: epoch, id })
                    .collect()
            }
        };
        let mut page =
            Page { next: (places.len() > limit).then(|| places[limit - 1].write(epoch)), ..Page::default() };
        for Place { id, .. } in places.into_iter().take(limit) {
            let kept = &self.logs[&id];
            if kept.damaged {
                page.unreadable.push(Unreadable { id, why: DAMAGED.into() });
                continue;
            }
            let due = match kept.due {
                DueAt::At(at) if at > now => DueAge::In(at - now),
                DueAt::At(at) => DueAge::Overdue(now - at),
                DueAt::Expiring(_) | DueAt::Forever => DueAge::Never,
            };
            page.items.push(Listed { id, log: kept.log(), due });
        }
        Ok(page)
    }
}

impl Index {
    fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_secs()
    }

    fn insert(&mut self, id: TxId, due: DueAt) {
        match due {
            DueAt::At(at) => _ = self.due.insert((at, id)),
            DueAt::Expiring(at) => self.expiring.entry(self.second(at)).or_default().push(id),
            DueAt::Forever => _ = self.forever.insert(id),
        }
    }

    fn move_to(&mut self, id: TxId, due: &mut DueAt, to: DueAt) {
        match std::mem::replace(due, to) {
            DueAt::At(at) => _ = self.due.remove(&(at, id)),
            DueAt::Expiring(_) => {}
            DueAt::Forever => _ = self.forever.remove(&id),
        }
        self.insert(id, to);
    }
}

impl DueAt {
    /// `Due::Keep` is that of a log that had no due time before.
    fn of(due: Due, now: Instant) -> Self {
        match due {
            Due::Keep => Self::At(now),
            Due::In(wait) => Self::At(later(now, wait)),
            Due::Never { retain: Retain::For(time) } => Self::Expiring(later(now, time)),
            Due::Never { retain: Retain::Forever } => Self::Forever,
        }
    }
}

/// A time from now; a century, if it is further than an `Instant` reaches.
fn later(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(wait).unwrap_or_else(|| now + CENTURY)
}

/// Where a page ended: when the last log was due, and whose it was.
#[derive(Clone, Copy)]
struct Place {
    at: Instant,
    id: TxId,
}

impl Place {
    fn write(self, epoch: Instant) -> Cursor {
        Cursor(format!("{}-{}", self.at.saturating_duration_since(epoch).as_nanos(), self.id))
    }

    fn parse(cursor: &str, epoch: Instant) -> Result<Self, StoreError> {
        cursor
            .split_once('-')
            .and_then(|(nanos, id)| {
                let at = epoch.checked_add(Duration::from_nanos(nanos.parse().ok()?))?;
                Some(Self { at, id: id.parse().ok()? })
            })
            .ok_or(StoreError::BadCursor)
    }
}

#[async_trait]
impl StatusStore for MemoryStore {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        self.with(&write.group, |logs| logs.append(write))
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let append = |write: &Append| self.with(&write.group, |logs| logs.append(write));
        writes.iter().map(append).collect()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        Ok(self.now_with(&claim.group, |logs, now| logs.claim(claim, now)))
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.now_with(group, |logs, now| match logs.logs.get(&id).filter(|kept| !kept.is_over(|| now)) {
            Some(kept) if kept.damaged => Err(StoreError::Corrupt { id, why: DAMAGED.into() }),
            kept => Ok(kept.map(Kept::log)),
        })
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.now_with(&query.group, |logs, now| logs.page(query, now, self.epoch))
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        Ok(self.now_with(group, |Logs { index, .. }, now| Stats {
            unfinished: index.due.len() as u64,
            kept: index.forever.len() as u64,
            most_overdue: index.due.first().filter(|(at, _)| *at <= now).map(|(at, _)| now - *at),
        }))
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        let lost = Finding {
            what: "the memory store forgets all unfinished transactions when its process ends".into(),
            mend: "use it for tests; in production use Redis, SQLite or another durable store".into(),
        };
        Ok(Readiness { errors: Vec::new(), warnings: vec![lost] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Op;

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_every_clock_is_taken() {
        let store = MemoryStore::new();
        for (number, due) in (0..).zip([
            Due::In(Duration::MAX),
            Due::Never { retain: Retain::For(Duration::MAX) },
            Due::Never { retain: Retain::Forever },
        ]) {
            let write = Append {
                group: Group::new("shop").unwrap(),
                id: TxId::from_time(number, [0; 10]),
                after: Position::START,
                entry: Entry::new(Op::from_u64(1), "x").unwrap(),
                due,
                mode: Mode::Extend,
            };
            store.append(&write).await.unwrap();
            assert!(store.read(&write.group, write.id).await.unwrap().is_some());
        }
    }

    fn write(number: u64, after: Position, due: Due) -> Append {
        Append {
            group: Group::new("shop").unwrap(),
            id: TxId::from_time(number, [0; 10]),
            after,
            entry: Entry::new(Op::from_u64(number + u64::from(after.entries)), "x").unwrap(),
            due,
            mode: Mode::Extend,
        }
    }

    /// To the moment, though it is removed with all others of its second.
    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_not_shown_and_soon_removed() {
        let store = MemoryStore::new();
        let finish = Due::Never { retain: Retain::For(Duration::from_millis(1_500)) };
        let (over, used_again) = (write(1, Position::START, finish), write(2, Position::START, finish));
        for write in [&over, &used_again] {
            store.append(write).await.unwrap();
        }
        let group = &over.group;
        let kept = || store.groups.lock().unwrap()[group].logs.len();
        tokio::time::advance(Duration::from_millis(1_499)).await;
        assert!(store.read(group, over.id).await.unwrap().is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(store.read(group, over.id).await.unwrap(), None);
        assert_eq!(kept(), 2);
        let next = write(1, over.after.then(over.entry.op()), Due::Keep);
        assert!(matches!(store.append(&next).await, Err(StoreError::NotFound { .. })));
        // As if it had never been.
        let again = Append { due: Due::In(Duration::from_secs(3600)), ..write(2, Position::START, finish) };
        store.append(&again).await.unwrap();
        assert_eq!(store.read(group, again.id).await.unwrap().unwrap().position().entries, 1);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(store.stats(group).await.unwrap().unfinished, 1);
        assert_eq!(kept(), 1, "what is used again stays");
    }

    /// A log that was finished and is not any more stays beyond what it was once kept for.
    #[tokio::test(start_paused = true)]
    async fn what_is_revived_outlives_its_retention() {
        let store = MemoryStore::new();
        let second = Duration::from_secs(1);
        let first = write(1, Position::START, Due::Never { retain: Retain::For(second) });
        store.append(&first).await.unwrap();
        let end = first.after.then(first.entry.op());
        store.append(&write(1, end, Due::Never { retain: Retain::For(5 * second) })).await.unwrap();
        for _ in 0..4 {
            tokio::time::advance(second).await;
            assert!(store.read(&first.group, first.id).await.unwrap().is_some());
        }
        tokio::time::advance(2 * second).await;
        assert!(store.read(&first.group, first.id).await.unwrap().is_none());
        assert_eq!(store.groups.lock().unwrap()[&first.group].logs.len(), 0);
    }
}
