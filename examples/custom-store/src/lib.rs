//! A status store of one's own, over the embedded database redb. Read [`StatusStore`] beside it: each method keeps the
//! promises that are written there, and `tests/suite.rs` holds it to them.
//!
//! **Durable**: an append is answered after a commit that has brought it to the disk (redb's `Durability::Immediate`). All
//! writes of one `append_all` share one commit. One process at a time has the file.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use redb::{Database, Error, ReadableTable, Table, TableDefinition, WriteTransaction};
use tcc_core::protocol::{Entry, Group, Log, Op, Position, TxId};
use tcc_core::store::*;

/// Where a log ends (its number of entries, the op of the last), the index it is in, and since or until when.
type Head = (u32, u64, u8, u64);
/// A group and an id: the same id in two groups is two logs.
type LogKey = (&'static str, u128);
const HEADS: TableDefinition<'_, LogKey, Head> = TableDefinition::new("heads");
/// Entries by their number: an op, and a text as bytes, since damage may have made it no text.
type EntryKey = (&'static str, u128, u32);
const ENTRIES: TableDefinition<'_, EntryKey, (u64, &[u8])> = TableDefinition::new("entries");
/// All indexes in one table: the index, a time, an id and its group. What is due is found at the head of its index.
type Place = (&'static str, u64, u128, &'static str);
const INDEX: TableDefinition<'_, Place, ()> = TableDefinition::new("index");
/// How many logs are in each index, so that nobody has to count.
const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");

const DUE: u8 = 0; // by when it is due
const KEPT: u8 = 1; // kept for ever
const FINISHED: u8 = 2; // by when it may go

fn index_name(index: u8, group: &str) -> String {
    match index {
        DUE => format!("due {group}"),
        KEPT => format!("kept {group}"),
        _ => "finished".into(), // of all groups, for `sweep`
    }
}

fn number(id: TxId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The store's clock outlives the process, so it is a wall clock. If it is set back, what was due is due later.
#[expect(
    clippy::disallowed_methods,
    reason = "the store's own clock, the only one that makes instants of durations"
)]
fn now() -> u64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A status store in a redb file.
#[derive(Clone)]
pub struct RedbStore(Arc<Database>);

impl RedbStore {
    /// A store in this database.
    pub fn new(db: Arc<Database>) -> Self {
        Self(db)
    }

    /// One atomic step. redb blocks, and has one writer at a time, so each step waits on a thread that may block. A step
    /// whose future is dropped goes on: it is there as a whole or not at all. (A faster store would read elsewhere.)
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>, u64) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let db = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let begun = db.begin_write().map_err(StoreError::unavailable)?;
            let mut tables = Tables::open(&begun).map_err(StoreError::unavailable)?;
            // With the lock held, so that what is written later is not earlier. An error here undoes the step.
            let answer = work(&mut tables, now()).map_err(StoreError::unavailable)?;
            if tables.changed {
                drop(tables);
                begun.commit().map_err(StoreError::ambiguous)?; // Only here is it unclear what was kept.
            }
            Ok(answer)
        });
        done.await.unwrap_or_else(|panic| Err(StoreError::ambiguous(panic)))
    }
}

struct Tables<'t> {
    heads: Table<'t, LogKey, Head>,
    entries: Table<'t, EntryKey, (u64, &'static [u8])>,
    index: Table<'t, Place, ()>,
    counts: Table<'t, &'static str, u64>,
    changed: bool,
}

impl<'t> Tables<'t> {
    fn open(tx: &'t WriteTransaction) -> Result<Self, Error> {
        let (heads, entries) = (tx.open_table(HEADS)?, tx.open_table(ENTRIES)?);
        let (index, counts) = (tx.open_table(INDEX)?, tx.open_table(COUNTS)?);
        Ok(Self { heads, entries, index, counts, changed: false })
    }

    fn head(&self, group: &str, id: u128, now: u64) -> Result<Option<Head>, Error> {
        let head = self.heads.get((group, id))?.map(|head| head.value());
        Ok(head.filter(|&(_, _, index, at)| index != FINISHED || at > now))
    }

    /// The conditional append. The outer error is the database's, the inner one the answer.
    fn append(&mut self, write: &Append, now: u64) -> Result<Result<(), StoreError>, Error> {
        let (group, id, op) = (write.group.as_str(), number(write.id), write.entry.op());
        let head = self.head(group, id, now)?;
        let end = head.map_or(Position::START, |(n, op, ..)| Position { entries: n, op: Op::from_u64(op) });
        if head.is_some() && end == write.after.then(op) {
            return Ok(Ok(())); // The same entry again, while it is the last.
        } else if head.is_none() && write.after != end {
            return Ok(Err(StoreError::NotFound { id: write.id }));
        } else if write.after != end {
            return Ok(Err(StoreError::Conflict { id: write.id }));
        }
        if head.is_none() || write.mode == Mode::Replace {
            self.entries.retain_in((group, id, 0)..=(group, id, u32::MAX), |_, _| false)?;
        }
        let (index, at) = match (write.due, head) {
            (Due::Keep, Some((_, _, index, at))) => (index, at),
            (Due::Keep, None) => (DUE, now),
            (Due::In(wait), _) => (DUE, now.saturating_add(micros(wait))),
            (Due::Never { retain: Retain::For(time) }, _) => (FINISHED, now.saturating_add(micros(time))),
            (Due::Never { retain: Retain::Forever }, _) => (KEPT, 0),
        };
        let n = end.entries + 1; // It goes on counting, whatever was replaced.
        self.entries.insert((group, id, n), (op.as_u64(), write.entry.line().as_bytes()))?;
        self.set(group, id, Some((n, op.as_u64(), index, at))).map(Ok)
    }

    /// Gives a log another head, and moves it from the index it was in to the one it belongs to.
    fn set(&mut self, group: &str, id: u128, head: Option<Head>) -> Result<(), Error> {
        let old = self.heads.remove((group, id))?.map(|old| old.value());
        for (is_new, found) in [(false, old), (true, head)] {
            let Some((_, _, index, at)) = found else { continue };
            let name = index_name(index, group);
            let count = self.counts.get(&*name)?.map_or(0, |count| count.value());
            self.counts.insert(&*name, if is_new { count + 1 } else { count - 1 })?;
            let place = (&*name, at, id, group);
            if is_new {
                self.index.insert(place, ())?
            } else {
                self.index.remove(place)?
            };
        }
        if let Some(head) = head {
            self.heads.insert((group, id), head)?;
        }
        self.changed = true;
        Ok(())
    }

    /// So many of an index, from a place on and up to a time: the time, the id and the group of each.
    fn page(
        &self,
        index: &str,
        from: (u64, u128),
        to: u64,
        n: usize,
    ) -> Result<Vec<(u64, u128, String)>, Error> {
        let rows = self.index.range((index, from.0, from.1, "")..=(index, to, u128::MAX, "\u{10ffff}"))?;
        let places = rows.take(n).map(|row| {
            let (place, _) = row?;
            let (_, at, id, group) = place.value();
            Ok((at, id, group.to_owned()))
        });
        places.collect()
    }

    /// A log, or what is wrong with it. No error of the database: one bad log holds up no other.
    fn log(&self, group: &str, id: u128, (appended, last, ..): Head) -> Result<Result<Log, String>, Error> {
        let (mut entries, mut before) = (Vec::new(), None);
        for row in self.entries.range((group, id, 0)..=(group, id, u32::MAX))? {
            let (key, value) = row?;
            let ((.., n), (op, line)) = (key.value(), value.value());
            let entry =
                std::str::from_utf8(line).ok().and_then(|line| Entry::new(Op::from_u64(op), line).ok());
            match entry.filter(|_| before.replace(n).is_none_or(|before| before + 1 == n)) {
                Some(entry) => entries.push(entry),
                None => return Ok(Err(format!("entry {n} is no line of text, or one before it is missing"))),
            }
        }
        let log = Log::new(entries, appended).filter(|log| log.position().op.as_u64() == last);
        Ok(log.ok_or_else(|| "its last entry is not the one that its head names".into()))
    }
}

#[async_trait]
impl StatusStore for RedbStore {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        self.append_all(std::slice::from_ref(write)).await.pop().expect("one write has one answer")
    }

    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let many = writes.to_vec();
        match self.step(move |tables, now| many.iter().map(|write| tables.append(write, now)).collect()).await
        {
            Ok(answers) => answers,
            Err(StoreError::Ambiguous { what, .. }) => {
                writes.iter().map(|_| Err(StoreError::ambiguous(&*what))).collect()
            }
            Err(other) => writes.iter().map(|_| Err(StoreError::unavailable(other.to_string()))).collect(),
        }
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let Claim { group, entry, lease, limit } = claim.clone();
        let step = self.step(move |tables, now| {
            let (index, mut claimed) = (index_name(DUE, group.as_str()), Claimed::default());
            let due = tables.page(&index, (0, 0), now, limit)?;
            let behind = tables.page(&index, (0, 0), u64::MAX, due.len() + 1)?;
            claimed.next_due =
                behind.get(due.len()).map(|next| Duration::from_micros(next.0.saturating_sub(now)));
            for (_, number, _) in due {
                let id = TxId::from_bytes(number.to_be_bytes());
                let Some(head) = tables.head(group.as_str(), number, now)? else { continue };
                match tables.log(group.as_str(), number, head)? {
                    Ok(mut log) => {
                        let (group, after, entry) = (group.clone(), log.position(), entry.clone());
                        log.push(entry.clone());
                        let write =
                            Append { group, id, after, entry, due: Due::In(lease), mode: Mode::Extend };
                        tables.append(&write, now)?.expect("it ends where it was read");
                        claimed.logs.push((id, log));
                    }
                    Err(why) => {
                        let again = (head.0, head.1, DUE, now.saturating_add(micros(lease)));
                        tables.set(group.as_str(), number, Some(again))?;
                        claimed.unreadable.push(Unreadable { id, why });
                    }
                }
            }
            Ok(claimed)
        });
        step.await
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        let group = group.clone();
        let step = self.step(move |tables, now| {
            let head = tables.head(group.as_str(), number(id), now)?;
            head.map(|head| tables.log(group.as_str(), number(id), head)).transpose()
        });
        step.await?.transpose().map_err(|why| StoreError::Corrupt { id, why })
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let Query { group, select, cursor, limit } = query.clone();
        // A cursor is the place behind the last item: nothing that comes and goes before it moves it.
        let from = cursor.map_or(Some((0, 0)), |Cursor(text)| {
            let (at, id) = text.strip_prefix(&format!("{select:?}-"))?.split_once('-')?;
            Some((at.parse().ok()?, id.parse::<u128>().ok()?))
        });
        let from = from.ok_or(StoreError::BadCursor)?;
        let index = index_name(if select == Select::Kept { KEPT } else { DUE }, group.as_str());
        let step = self.step(move |tables, now| {
            let (mut page, limit) = (Page::default(), limit.max(1));
            for (nth, (at, number, _)) in
                tables.page(&index, from, u64::MAX, limit.saturating_add(1))?.into_iter().enumerate()
            {
                if nth == limit {
                    page.next = Some(Cursor(format!("{select:?}-{at}-{number}"))); // The next page begins with it.
                    break;
                }
                let id = TxId::from_bytes(number.to_be_bytes());
                let Some(head) = tables.head(group.as_str(), number, now)? else { continue };
                let due = match select {
                    Select::Kept => DueAge::Never,
                    Select::Unfinished if at > now => DueAge::In(Duration::from_micros(at - now)),
                    Select::Unfinished => DueAge::Overdue(Duration::from_micros(now - at)),
                };
                match tables.log(group.as_str(), number, head)? {
                    Ok(log) => page.items.push(Listed { id, log, due }),
                    Err(why) => page.unreadable.push(Unreadable { id, why }),
                }
            }
            Ok(page)
        });
        step.await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        let [due, kept] = [DUE, KEPT].map(|index| index_name(index, group.as_str()));
        let step = self.step(move |tables, now| {
            let count =
                |index: &str| tables.counts.get(index).map(|count| count.map_or(0, |count| count.value()));
            let first = tables.page(&due, (0, 0), now, 1)?;
            let most_overdue = first.first().map(|(at, ..)| Duration::from_micros(now - at));
            Ok(Stats { unfinished: count(&due)?, kept: count(&kept)?, most_overdue })
        });
        step.await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        self.step(|_, _| Ok(Readiness::default())).await // It can be written to: nothing else can be wrong with it.
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let step = self.step(move |tables, now| {
            let gone = tables.page("finished", (0, 0), now, limit)?;
            for (_, id, group) in &gone {
                tables.entries.retain_in((&**group, *id, 0)..=(&**group, *id, u32::MAX), |_, _| false)?;
                tables.set(group, *id, None)?;
            }
            Ok(gone.len())
        });
        step.await
    }
}
