//! The conditional append: both halves of the position, and the replay.

use std::time::Duration;

use crate::protocol::{Op, Position};
use crate::store::{Append, Due, Mode, Retain};
use crate::testing::suite::{Broken, HOUR, Promise, SOON, Suite};

const START: Promise = Promise::new(
    "an append after Position::START begins a log if there is none, and conflicts if there is one",
    "insert the log only if its key is absent, atomically; if it is there, answer Conflict (or Ok to a replay)",
);
const MOVES: Promise = Promise::new(
    "an append moves the position: one more entry, the op of that entry",
    "count every entry ever appended, and keep the op of the last one",
);
const OP: Promise = Promise::new(
    "an append compares the op of the position, not only the number: a store that lost an entry must not accept what \
     was to follow it",
    "compare `after.op` with the op of the last entry, in the same atomic step that appends",
);
const NUMBER: Promise = Promise::new(
    "an append compares the number of the position, not only the op",
    "compare `after.entries` with the number of entries ever appended, in the same atomic step that appends",
);
const NOT_FOUND: Promise = Promise::new(
    "an append that expects a log where there is none is NotFound, and begins none",
    "create a log only for Position::START; answer NotFound if it is absent and `after` is another position",
);
const REFUSED: Promise = Promise::new(
    "an append that is refused changes nothing: no entry, no due time",
    "make every check before the first write",
);
const REPLAY: Promise = Promise::new(
    "the same entry again, while it is the last one, is Ok and changes nothing: not the log, not when it is due",
    "if the log ends at `after.then(entry.op())`, answer Ok before comparing the position, and write nothing",
);
const NO_REPLAY: Promise = Promise::new(
    "a repeat is a replay only while the log ends with it and at its number; else it conflicts",
    "compare the *last* op and the number `after.entries + 1`, not whether the log has the op somewhere",
);
const ORDER: Promise = Promise::new(
    "a log gives its entries in the order in which they were appended",
    "number the entries, and sort by it",
);

/// After `START`, where there is none, a log begins.
pub(crate) async fn first_append_begins_a_log(s: &Suite) -> Result<(), Broken> {
    let first = s.first(Due::Keep);
    START.ok("the first append", s.store().append(&first).await)?;
    let log = s.read(first.id).await?;
    START.log("after the first append", log.as_ref(), &[first.entry], 1)
}

/// Each append is followed at the position that it made.
pub(crate) async fn append_moves_the_position(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let second = s.next_write(&first);
    let third = s.next_write(&second);
    MOVES.ok("the second append", s.store().append(&second).await)?;
    MOVES.ok("the third append", s.store().append(&third).await)?;
    let log = s.read(first.id).await?;
    MOVES.log("after three appends", log.as_ref(), &[first.entry, second.entry, third.entry], 3)
}

/// The right number and another op: what lost an entry and went on must not be followed.
pub(crate) async fn append_compares_the_op(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let second = s.next_write(&first);
    s.put(&second).await?;
    for op in [s.op(), first.entry.op(), Position::START.op, Op::from_u64(u64::MAX)] {
        let write = s.write(first.id, Position { entries: 2, op });
        OP.conflict("the right number, another op", &s.store().append(&write).await, first.id)?;
    }
    let log = s.read(first.id).await?;
    OP.log("after appends that name another op", log.as_ref(), &[first.entry, second.entry], 2)
}

/// The right op and a smaller number.
pub(crate) async fn append_compares_the_number(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let second = s.next_write(&first);
    s.put(&second).await?;
    for entries in [0, 1] {
        let write = s.write(first.id, Position { entries, op: second.entry.op() });
        NUMBER.conflict("the right op, a smaller number", &s.store().append(&write).await, first.id)?;
    }
    let log = s.read(first.id).await?;
    NUMBER.log("after appends that name a smaller number", log.as_ref(), &[first.entry, second.entry], 2)
}

/// The right op and a greater number, up to the greatest there is.
pub(crate) async fn append_beyond_the_end_conflicts(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    for entries in [2, 3, 1_000, u32::MAX] {
        let write = s.write(first.id, Position { entries, op: first.entry.op() });
        NUMBER.conflict("the right op, a greater number", &s.store().append(&write).await, first.id)?;
    }
    let log = s.read(first.id).await?;
    NUMBER.log("after appends that name a greater number", log.as_ref(), &[first.entry], 1)
}

/// A transaction begins once: the id of one that exists is not begun again.
pub(crate) async fn start_conflicts_with_a_log(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let again = s.write(first.id, Position::START);
    START.conflict("a second begin, by another op", &s.store().append(&again).await, first.id)?;
    let second = s.next_write(&first);
    s.put(&second).await?;
    START.conflict("a second begin of a longer log", &s.store().append(&again).await, first.id)?;
    let log = s.read(first.id).await?;
    START.log("after a second begin", log.as_ref(), &[first.entry, second.entry], 2)
}

/// Where no log is, only `START` makes one.
pub(crate) async fn append_without_a_log_is_not_found(s: &Suite) -> Result<(), Broken> {
    for mode in [Mode::Extend, Mode::Replace] {
        let write = Append { mode, ..s.write(s.id(), Position { entries: 1, op: s.op() }) };
        NOT_FOUND.not_found("an append to no log", &s.store().append(&write).await, write.id)?;
        NOT_FOUND.equal("the log it made", &s.read(write.id).await?, &None)?;
        NOT_FOUND.not_found("the same once more", &s.store().append(&write).await, write.id)?;
    }
    let stats = NOT_FOUND.ok("stats", s.store().stats(s.group()).await)?;
    NOT_FOUND.equal("unfinished logs", &stats.unfinished, &0)
}

/// A conflict leaves the log, and when it is due, as they were.
pub(crate) async fn refused_append_changes_nothing(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::In(HOUR)).await?;
    let wrong = Append { due: Due::In(Duration::ZERO), ..s.write(first.id, Position::START) };
    REFUSED.conflict("an append at another position", &s.store().append(&wrong).await, first.id)?;
    let never = Append { due: Due::Never { retain: Retain::For(SOON) }, ..wrong };
    REFUSED.conflict("an append at another position", &s.store().append(&never).await, first.id)?;
    let claimed = s.claimed(SOON, 10).await?;
    REFUSED.equal("logs due after a refused append", &claimed.logs.len(), &0)?;
    let stats = REFUSED.ok("stats", s.store().stats(s.group()).await)?;
    REFUSED.equal("unfinished logs after a refused append", &stats.unfinished, &1)?;
    let log = s.read(first.id).await?;
    REFUSED.log("after a refused append", log.as_ref(), &[first.entry], 1)
}

/// A write whose answer was lost is asked again: it must be there once.
pub(crate) async fn replay_is_ok_and_changes_nothing(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let second = s.next_write(&first);
    s.put(&second).await?;
    REPLAY.ok("the same write again", s.store().append(&second).await)?;
    REPLAY.ok("the same write a third time", s.store().append(&second).await)?;
    let at_once = Append { due: Due::In(Duration::ZERO), ..second.clone() };
    REPLAY.ok("the same entry with another due time", s.store().append(&at_once).await)?;
    let log = s.read(first.id).await?;
    REPLAY.log("after a replay", log.as_ref(), &[first.entry, second.entry.clone()], 2)?;
    let claimed = s.claimed(SOON, 10).await?;
    REPLAY.equal("logs that a replay made due", &claimed.logs.len(), &0)?;
    REPLAY.ok("an append after a replay", s.store().append(&s.next_write(&second)).await)
}

/// The begin is replayed as any other write.
pub(crate) async fn replay_of_the_first_entry_is_ok(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::In(HOUR)).await?;
    REPLAY.ok("the first append again", s.store().append(&first).await)?;
    let log = s.read(first.id).await?;
    REPLAY.log("after a replay of the first append", log.as_ref(), &[first.entry], 1)
}

/// Once another entry has followed, a repeat must not be taken for done: it says nothing of what came after.
pub(crate) async fn replay_behind_another_entry_conflicts(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let second = s.next_write(&first);
    let third = s.next_write(&second);
    s.put(&second).await?;
    s.put(&third).await?;
    NO_REPLAY.conflict("a repeat behind another entry", &s.store().append(&second).await, first.id)?;
    NO_REPLAY.conflict("a repeat of the first entry", &s.store().append(&first).await, first.id)?;
    let log = s.read(first.id).await?;
    NO_REPLAY.log("after repeats", log.as_ref(), &[first.entry, second.entry, third.entry], 3)
}

/// The op of the last entry at another number is another write.
pub(crate) async fn replay_at_another_number_conflicts(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let second = s.next_write(&first);
    let third = s.next_write(&second);
    s.put(&second).await?;
    s.put(&third).await?;
    for after in [first.after, second.after, Position { entries: 7, op: second.entry.op() }] {
        let write = Append { after, ..third.clone() };
        NO_REPLAY.conflict("the last entry at another number", &s.store().append(&write).await, first.id)?;
    }
    Ok(())
}

/// Who asks again may be another process, or the same one after it lost its connection.
pub(crate) async fn replay_by_another_handle_is_ok(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::In(HOUR)).await?;
    let second = s.next_write(&first);
    let ended = s.first(Due::Never { retain: Retain::For(HOUR) });
    s.put_all(&[second.clone(), ended.clone()]).await?;
    let other = s.open().await;
    REPLAY.ok("a replay by another handle", other.append(&second).await)?;
    REPLAY.ok("a replay of what is finished, by another handle", other.append(&ended).await)?;
    s.reopen().await;
    REPLAY.ok("a replay after the store was reopened", s.store().append(&second).await)?;
    REPLAY.log("after replays", s.read(first.id).await?.as_ref(), &[first.entry, second.entry], 2)?;
    REPLAY.log("a finished log", s.read(ended.id).await?.as_ref(), &[ended.entry], 1)
}

/// A log of as many entries as a transaction may have branches, read and claimed.
pub(crate) async fn sixty_four_entries_keep_their_order(s: &Suite) -> Result<(), Broken> {
    let mut last = s.begin(Due::Keep).await?;
    let id = last.id;
    let mut entries = vec![last.entry.clone()];
    for _ in 1..64 {
        last = s.next_write(&last);
        s.put(&last).await?;
        entries.push(last.entry.clone());
    }
    ORDER.log("after 64 appends", s.read(id).await?.as_ref(), &entries, 64)?;
    s.put(&Append { due: Due::In(Duration::ZERO), mode: Mode::Extend, ..s.next_write(&last) }).await?;
    let claimed = s.claimed(HOUR, 10).await?;
    let given = claimed.logs.first().map(|(_, log)| &log.entries()[..64.min(log.entries().len())]);
    ORDER.equal("the first 64 entries of the log as it is claimed", &given, &Some(&entries[..]))
}
