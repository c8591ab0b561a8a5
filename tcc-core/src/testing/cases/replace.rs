//! Entries that take the place of all before: snapshots and tombstones.

use std::slice::from_ref;
use std::time::Duration;

use crate::protocol::Position;
use crate::store::{Append, Due, Mode};
use crate::testing::suite::{Broken, HOUR, Promise, Suite};

const ONE: Promise = Promise::new(
    "Mode::Replace leaves the new entry as the only one",
    "delete the entries before in the same atomic step that appends",
);
const COUNTS: Promise = Promise::new(
    "after Mode::Replace the position goes on counting: one more than before",
    "keep the number of entries ever appended beside the entries, and never recount it from them",
);
const REPLAY: Promise = Promise::new(
    "a replay of a Replace is Ok and changes nothing",
    "recognise a replay by the number ever appended and the last op, as for every append",
);
const REFUSED: Promise = Promise::new(
    "a Replace at another position conflicts, and the log keeps its entries",
    "make every check before the first write",
);

async fn three(s: &Suite) -> Result<[Append; 3], Broken> {
    let first = s.begin(Due::In(HOUR)).await?;
    let second = s.next_write(&first);
    let third = s.next_write(&second);
    s.put_all(&[second.clone(), third.clone()]).await?;
    Ok([first, second, third])
}

/// Three entries become one.
pub(crate) async fn replace_leaves_one_entry(s: &Suite) -> Result<(), Broken> {
    let [first, _, third] = three(s).await?;
    let snapshot = Append { mode: Mode::Replace, due: Due::Keep, ..s.next_write(&third) };
    ONE.ok("a replacement", s.store().append(&snapshot).await)?;
    ONE.log("after a replacement", s.read(first.id).await?.as_ref(), &[snapshot.entry], 4)?;
    let next = s.claimed(HOUR, 10).await?.next_due;
    let about = next.is_some_and(|next| next <= HOUR && next > HOUR / 2);
    ONE.holds(about, || format!("a log due in an hour is, after a replacement that keeps, due next in {next:?}"))
}

/// What follows a replacement names its position, and so do claims.
pub(crate) async fn replace_goes_on_counting(s: &Suite) -> Result<(), Broken> {
    let [first, _, third] = three(s).await?;
    let snapshot = Append { mode: Mode::Replace, due: Due::In(Duration::ZERO), ..s.next_write(&third) };
    s.put(&snapshot).await?;
    let recounted = s.write(first.id, Position { entries: 1, op: snapshot.entry.op() });
    COUNTS.conflict("an append at the recounted position", &s.store().append(&recounted).await, first.id)?;
    let claim = s.claim(HOUR, 10);
    let claimed = COUNTS.ok("claim", s.store().claim(&claim).await)?;
    let given = claimed.logs.first().map(|(_, log)| log);
    COUNTS.log("a claim after a replacement", given, &[snapshot.entry.clone(), claim.entry.clone()], 5)?;
    let next = s.write(first.id, Position { entries: 5, op: claim.entry.op() });
    COUNTS.ok("an append after a replacement", s.store().append(&next).await)?;
    let log = s.read(first.id).await?;
    COUNTS.log("after a replacement", log.as_ref(), &[snapshot.entry, claim.entry, next.entry.clone()], 6)?;
    let second = Append { mode: Mode::Replace, ..s.next_write(&next) };
    COUNTS.ok("a second replacement", s.store().append(&second).await)?;
    COUNTS.log("after a second replacement", s.read(first.id).await?.as_ref(), &[second.entry], 7)
}

/// A tombstone whose answer was lost is written again.
pub(crate) async fn replay_of_a_replace_is_ok(s: &Suite) -> Result<(), Broken> {
    let [first, _, third] = three(s).await?;
    let snapshot = Append { mode: Mode::Replace, ..s.next_write(&third) };
    s.put(&snapshot).await?;
    REPLAY.ok("the same replacement again", s.store().append(&snapshot).await)?;
    REPLAY.log("after a replay", s.read(first.id).await?.as_ref(), from_ref(&snapshot.entry), 4)?;
    let next = s.next_write(&snapshot);
    s.put(&next).await?;
    let late = s.store().append(&snapshot).await;
    REPLAY.conflict("the same replacement behind another entry", &late, first.id)?;
    REPLAY.log("after a late replay", s.read(first.id).await?.as_ref(), &[snapshot.entry, next.entry], 5)
}

/// The entries of a log are not lost to a writer that is behind.
pub(crate) async fn refused_replace_changes_nothing(s: &Suite) -> Result<(), Broken> {
    let [first, second, third] = three(s).await?;
    let late = Append { mode: Mode::Replace, ..s.next_write(&second) };
    REFUSED.conflict("a replacement at a former position", &s.store().append(&late).await, first.id)?;
    let start = Append { mode: Mode::Replace, ..s.write(first.id, Position::START) };
    REFUSED.conflict("a replacement where none should be", &s.store().append(&start).await, first.id)?;
    let log = s.read(first.id).await?;
    REFUSED.log("after refused replacements", log.as_ref(), &[first.entry, second.entry, third.entry], 3)
}
