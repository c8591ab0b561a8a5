//! A store in this process's memory.

use std::collections::BTreeSet;
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
use crate::protocol::{Group, Log, Position, TxId};

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
#[derive(Debug, Default)]
struct Logs {
    logs: HashMap<TxId, Kept>,
    /// The unfinished ones by when they are due.
    due: BTreeSet<(Instant, TxId)>,
    /// Those of `Retain::Forever`.
    forever: BTreeSet<TxId>,
    /// The finished ones by when they may go.
    expiring: BTreeSet<(Instant, TxId)>,
}

#[derive(Debug)]
struct Kept {
    log: Log,
    due: DueAt,
    /// Whether it is to be taken for unreadable; see [`MemoryStore::damage`].
    damaged: bool,
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
        self.with(group, |logs, _| logs.logs.get_mut(&id).map(|kept| kept.damaged = damaged).is_some())
    }

    fn with<T>(&self, group: &Group, work: impl FnOnce(&mut Logs, Instant) -> T) -> T {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if !groups.contains_key(group) {
            groups.insert(group.clone(), Logs::default());
        }
        let now = Instant::now();
        let logs = groups.get_mut(group).expect("it was inserted above");
        logs.expire(now);
        work(logs, now)
    }
}

impl Logs {
    fn expire(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.expiring.first()
            && at <= now
        {
            self.expiring.pop_first();
            self.logs.remove(&id);
        }
    }

    fn append(&mut self, write: &Append, now: Instant) -> Result<(), StoreError> {
        let id = write.id;
        match self.logs.get_mut(&id) {
            None if write.after == Position::START => {
                let log = Log::new(vec![write.entry.clone()], 1).expect("one entry of one");
                self.logs.insert(id, Kept { log, due: DueAt::Forever, damaged: false });
                self.schedule(id, write.due, now, Some(now));
                Ok(())
            }
            None => Err(StoreError::NotFound { id }),
            Some(kept) => {
                let end = kept.log.position();
                if end == write.after.then(write.entry.op()) {
                    return Ok(());
                }
                if end != write.after {
                    return Err(StoreError::Conflict { id });
                }
                match write.mode {
                    Mode::Extend => kept.log.push(write.entry.clone()),
                    Mode::Replace => {
                        kept.log =
                            Log::new(vec![write.entry.clone()], end.entries + 1).expect("one entry of more");
                    }
                }
                self.schedule(id, write.due, now, None);
                Ok(())
            }
        }
    }

    /// Sets when a log is due next. `keep` is what `Due::Keep` means for a log that had no due time before.
    fn schedule(&mut self, id: TxId, due: Due, now: Instant, keep: Option<Instant>) {
        let kept = self.logs.get_mut(&id).expect("its log exists");
        let next = match (due, keep) {
            (Due::Keep, None) => return,
            (Due::Keep, Some(at)) => DueAt::At(at),
            (Due::In(wait), _) => DueAt::At(later(now, wait)),
            (Due::Never { retain: Retain::For(time) }, _) => DueAt::Expiring(later(now, time)),
            (Due::Never { retain: Retain::Forever }, _) => DueAt::Forever,
        };
        match std::mem::replace(&mut kept.due, next) {
            DueAt::At(at) => self.due.remove(&(at, id)),
            DueAt::Expiring(at) => self.expiring.remove(&(at, id)),
            DueAt::Forever => self.forever.remove(&id),
        };
        match next {
            DueAt::At(at) => self.due.insert((at, id)),
            DueAt::Expiring(at) => self.expiring.insert((at, id)),
            DueAt::Forever => self.forever.insert(id),
        };
    }

    fn claim(&mut self, claim: &Claim, now: Instant) -> Claimed {
        let ids: Vec<TxId> =
            self.due.iter().take_while(|(at, _)| *at <= now).take(claim.limit).map(|&(_, id)| id).collect();
        let mut logs = Vec::with_capacity(ids.len());
        let mut unreadable = Vec::new();
        for &id in &ids {
            let kept = self.logs.get_mut(&id).expect("what is due has a log");
            if kept.damaged {
                unreadable.push(Unreadable { id, why: DAMAGED.into() });
            } else {
                kept.log.push(claim.entry.clone());
                logs.push((id, kept.log.clone()));
            }
            self.schedule(id, Due::In(claim.lease), now, None);
        }
        let next = self.due.iter().find(|(_, id)| !ids.contains(id));
        Claimed { logs, next_due: next.map(|(at, _)| at.saturating_duration_since(now)), unreadable }
    }

    fn page(&self, query: &Query, now: Instant, epoch: Instant) -> Result<Page, StoreError> {
        let last = query.cursor.as_ref().map(|cursor| Place::parse(&cursor.0, epoch)).transpose()?;
        let limit = query.limit.max(1);
        let wanted = limit.saturating_add(1);
        let places: Vec<Place> = match query.select {
            Select::Unfinished => {
                let from = last.map_or(Unbounded, |place| Excluded((place.at, place.id)));
                self.due.range((from, Unbounded)).take(wanted).map(|&(at, id)| Place { at, id }).collect()
            }
            Select::Kept => {
                let from = last.map_or(Unbounded, |place| Excluded(place.id));
                self.forever
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
            page.items.push(Listed { id, log: kept.log.clone(), due });
        }
        Ok(page)
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
        self.with(&write.group, |logs, now| logs.append(write, now))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        Ok(self.with(&claim.group, |logs, now| logs.claim(claim, now)))
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        self.with(group, |logs, _| match logs.logs.get(&id) {
            Some(kept) if kept.damaged => Err(StoreError::Corrupt { id, why: DAMAGED.into() }),
            kept => Ok(kept.map(|kept| kept.log.clone())),
        })
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.with(&query.group, |logs, now| logs.page(query, now, self.epoch))
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        Ok(self.with(group, |logs, now| Stats {
            unfinished: logs.due.len() as u64,
            kept: logs.forever.len() as u64,
            most_overdue: logs.due.first().filter(|(at, _)| *at <= now).map(|(at, _)| now - *at),
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
    use crate::protocol::{Entry, Op};

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
}
