//! A status store of one's own, over the embedded database redb. Read [`StatusStore`] beside it: each method keeps the
//! promises that are written there, and `tests/suite.rs` holds it to them. **Durable**: an append is answered after a commit
//! that has brought it to the disk; all writes of one `append_all` share one commit. One process at a time has the file.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use redb::{Database, Error, ReadableTable, Table, TableDefinition as Define, WriteTransaction};
use tcc_core::protocol::{Entry, Group, Log, Op, Position, TxId};
use tcc_core::store::*;

/// Where a log ends (its number of entries, the op of the last), the index it is in, and since or until when. Keys are
/// `id group`: the same id may be in two groups.
type Head = (u32, u64, u8, u64);
const HEADS: Define<'_, &str, Head> = Define::new("heads");
/// Entries by key and number: an op, and a text as bytes, since damage may have made it no text.
const ENTRIES: Define<'_, (&str, u32), (u64, &[u8])> = Define::new("entries");
/// The name of an index, a time, a key. What is due is found at the head of its index, however much there is.
const INDEX: Define<'_, (&str, u64, &str), ()> = Define::new("index");
const DUE: u8 = 0; // of a group, by when each is due
const KEPT: u8 = 1; // of a group, kept for ever
const FINISHED: u8 = 2; // of all groups, by when each may go

fn index_name(index: u8, group: &str) -> String {
    if index == FINISHED { "finished".into() } else { format!("{index} {group}") }
}
fn id(key: &str) -> TxId {
    key[..32].parse().expect("a key begins with an id")
}
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A status store in this redb file.
pub struct RedbStore(pub Arc<Database>);

impl RedbStore {
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
            // Due times outlive the process, so it is a wall clock. If it is set back, what was due is due later.
            #[expect(clippy::disallowed_methods, reason = "the store's own clock")]
            let now = micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
            let answer = work(&mut tables, now).map_err(StoreError::unavailable)?; // An error undoes the step.
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
    heads: Table<'t, &'static str, Head>,
    entries: Table<'t, (&'static str, u32), (u64, &'static [u8])>,
    index: Table<'t, (&'static str, u64, &'static str), ()>,
    changed: bool,
}

impl<'t> Tables<'t> {
    fn open(tx: &'t WriteTransaction) -> Result<Self, Error> {
        let (heads, entries) = (tx.open_table(HEADS)?, tx.open_table(ENTRIES)?);
        Ok(Self { heads, entries, index: tx.open_table(INDEX)?, changed: false })
    }

    /// Where a log ends, unless there is none or its retention has passed.
    fn head(&self, key: &str, now: u64) -> Result<Option<Head>, Error> {
        let head = self.heads.get(key)?.map(|head| head.value());
        Ok(head.filter(|&(_, _, index, at)| index != FINISHED || at > now))
    }

    /// The conditional append. The outer error is the database's, the inner one the answer.
    fn append(&mut self, write: &Append, now: u64) -> Result<Result<(), StoreError>, Error> {
        let (id, op, key) = (write.id, write.entry.op(), format!("{} {}", write.id, write.group));
        let head = self.head(&key, now)?;
        let end = head.map_or(Position::START, |(n, op, ..)| Position { entries: n, op: Op::from_u64(op) });
        match head {
            Some(_) if end == write.after.then(op) => return Ok(Ok(())), // The same again, while it is the last.
            Some(_) if end != write.after => return Ok(Err(StoreError::Conflict { id })),
            None if end != write.after => return Ok(Err(StoreError::NotFound { id })),
            _ => {}
        }
        let (index, at) = match (write.due, head) {
            (Due::Keep, Some((_, _, index, at))) => (index, at),
            (Due::Keep, None) => (DUE, now),
            (Due::In(wait), _) => (DUE, now.saturating_add(micros(wait))),
            (Due::Never { retain: Retain::For(time) }, _) => (FINISHED, now.saturating_add(micros(time))),
            (Due::Never { retain: Retain::Forever }, _) => (KEPT, 0),
        };
        if head.is_none() || write.mode == Mode::Replace {
            self.entries.retain_in((&*key, 0)..=(&*key, u32::MAX), |_, _| false)?;
        }
        let n = end.entries + 1; // It goes on counting, whatever was replaced.
        self.entries.insert((&*key, n), (op.as_u64(), write.entry.line().as_bytes()))?;
        self.set(&key, |_| Some((n, op.as_u64(), index, at))).map(Ok)
    }

    /// Gives a log another head, and moves it from the index it was in to the one it belongs to.
    fn set(&mut self, key: &str, new: impl Fn(Head) -> Option<Head>) -> Result<(), Error> {
        let old = self.heads.remove(key)?.map(|old| old.value());
        let new = new(old.unwrap_or_default());
        for (is_new, head) in [(false, old), (true, new)] {
            let Some((_, _, index, at)) = head else { continue };
            let index = index_name(index, &key[33..]);
            let place = (&*index, at, key);
            let _ = if is_new { self.index.insert(place, ())? } else { self.index.remove(place)? };
        }
        match new {
            Some(head) => drop(self.heads.insert(key, head)?),
            None => self.entries.retain_in((key, 0)..=(key, u32::MAX), |_, _| false)?,
        }
        self.changed = true;
        Ok(())
    }

    /// So many of an index, from a place on and up to a time: the time and the key of each.
    fn page(&self, index: &str, from: (u64, &str), to: u64, n: usize) -> Result<Vec<(u64, String)>, Error> {
        let rows = self.index.range((index, from.0, from.1)..=(index, to, "~"))?.take(n);
        let places = rows.map(|row| row.map(|(place, _)| (place.value().1, place.value().2.to_owned())));
        Ok(places.collect::<Result<_, _>>()?)
    }

    /// A log, or what is wrong with it. That is no error of the database: one bad log holds up no other.
    fn log(&self, key: &str, now: u64) -> Result<Option<Result<Log, String>>, Error> {
        let Some((appended, last, ..)) = self.head(key, now)? else { return Ok(None) };
        let (mut entries, mut before) = (Vec::new(), None);
        for row in self.entries.range((key, 0)..=(key, u32::MAX))? {
            let (place, value) = row?;
            let ((_, n), (op, line)) = (place.value(), value.value());
            match str::from_utf8(line).ok().and_then(|line| Entry::new(Op::from_u64(op), line).ok()) {
                Some(entry) if before.replace(n).is_none_or(|before| before + 1 == n) => entries.push(entry),
                _ => return Ok(Some(Err(format!("entry {n} is no text, or the one before is missing")))),
            }
        }
        let log = Log::new(entries, appended).filter(|log| log.position().op.as_u64() == last);
        Ok(Some(log.ok_or_else(|| "its last entry is not the one that its head names".into())))
    }
}

#[async_trait]
impl StatusStore for RedbStore {
    async fn append(&self, write: &Append) -> Result<(), StoreError> {
        self.append_all(std::slice::from_ref(write)).await.pop().expect("one write has one answer")
    }
    async fn append_all(&self, writes: &[Append]) -> Vec<Result<(), StoreError>> {
        let all = writes.to_vec();
        let step = self.step(move |tables, now| all.iter().map(|write| tables.append(write, now)).collect());
        let failed = step.await; // An error is the answer to each of them: whoever gets it asks again, or reads.
        failed.unwrap_or_else(|e| writes.iter().map(|_| Err(StoreError::ambiguous(e.to_string()))).collect())
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let Claim { group, entry, lease, limit } = claim.clone();
        let step = self.step(move |tables, now| {
            let (index, mut claimed) = (index_name(DUE, group.as_str()), Claimed::default());
            let due = tables.page(&index, (0, ""), now, limit)?;
            let next = tables.page(&index, (0, ""), u64::MAX, due.len() + 1)?.into_iter().nth(due.len());
            claimed.next_due = next.map(|(at, _)| Duration::from_micros(at.saturating_sub(now)));
            let again = now.saturating_add(micros(lease));
            for (_, key) in due {
                match tables.log(&key, now)?.expect("what is due has a head") {
                    Ok(mut log) => {
                        let (n, op) = (log.position().entries + 1, entry.op().as_u64());
                        tables.entries.insert((&*key, n), (op, entry.line().as_bytes()))?;
                        tables.set(&key, |_| Some((n, op, DUE, again)))?;
                        log.push(entry.clone());
                        claimed.logs.push((id(&key), log));
                    }
                    Err(why) => {
                        tables.set(&key, |(n, op, ..)| Some((n, op, DUE, again)))?; // It keeps its entries, and gets none.
                        claimed.unreadable.push(Unreadable { id: id(&key), why });
                    }
                }
            }
            Ok(claimed)
        });
        step.await
    }

    async fn read(&self, group: &Group, id: TxId) -> Result<Option<Log>, StoreError> {
        let key = format!("{id} {group}");
        let read = self.step(move |tables, now| tables.log(&key, now)).await?;
        read.transpose().map_err(|why| StoreError::Corrupt { id, why })
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let Query { group, select, cursor, limit } = query.clone();
        let index = index_name(if select == Select::Kept { KEPT } else { DUE }, group.as_str());
        // A cursor is the place at which the next page begins: nothing that comes or goes before it moves it.
        let text = cursor.map_or(format!("{index}-0-"), |Cursor(text)| text);
        let place = text.strip_prefix(&format!("{index}-")).and_then(|place| place.split_once('-'));
        let place = place.and_then(|(at, key)| Some((at.parse().ok()?, key.to_owned())));
        let (at, key) = place.ok_or(StoreError::BadCursor)?;
        let step = self.step(move |tables, now| {
            let (mut page, limit) = (Page::default(), limit.max(1));
            let mut found = tables.page(&index, (at, &key), u64::MAX, limit.saturating_add(1))?;
            let next = (found.len() > limit).then(|| found.pop()).flatten();
            page.next = next.map(|(at, key)| Cursor(format!("{index}-{at}-{key}")));
            for (at, key) in found {
                let due = match select {
                    Select::Kept => DueAge::Never,
                    Select::Unfinished if at > now => DueAge::In(Duration::from_micros(at - now)),
                    Select::Unfinished => DueAge::Overdue(Duration::from_micros(now - at)),
                };
                match tables.log(&key, now)?.expect("what is in an index has a head") {
                    Ok(log) => page.items.push(Listed { id: id(&key), log, due }),
                    Err(why) => page.unreadable.push(Unreadable { id: id(&key), why }),
                }
            }
            Ok(page)
        });
        step.await
    }

    async fn stats(&self, group: &Group) -> Result<Stats, StoreError> {
        let [due, kept] = [DUE, KEPT].map(|index| index_name(index, group.as_str()));
        let step = self.step(move |tables, now| {
            // From the indexes, not by loading logs. A store for a million of them keeps the counts as well.
            let count = |of| tables.page(of, (0, ""), u64::MAX, usize::MAX).map(|all| all.len() as u64);
            let first = tables.page(&due, (0, ""), now, 1)?.pop();
            let most_overdue = first.map(|(at, _)| Duration::from_micros(now - at));
            Ok(Stats { unfinished: count(&due)?, kept: count(&kept)?, most_overdue })
        });
        step.await
    }

    async fn check(&self) -> Result<Readiness, StoreError> {
        self.step(|_, _| Ok(Readiness::default())).await // It has no settings that could be wrong.
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let step = self.step(move |tables, now| {
            let gone = tables.page("finished", (0, ""), now, limit)?;
            gone.iter().try_for_each(|(_, key)| tables.set(key, |_| None)).map(|()| gone.len())
        });
        step.await
    }
}
