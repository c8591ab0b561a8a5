//! Clocks that jump: an hour ahead, an hour back.

use std::slice::from_ref;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::{Position, TxId};
use crate::store::{Append, Claimed, Due, DueAge, Mode, Retain, Select};
use crate::testing::suite::{BOUND, Broken, COARSE, HOUR, Promise, SOON, Suite, eventually};

const NOTHING_LOST: Promise = Promise::new(
    "a jump of the clock loses nothing unfinished and refuses no append",
    "give nothing unfinished an expiry; decide by positions, never by times, what may be appended",
);
const RETENTION: Promise = Promise::new(
    "a jump ahead cuts a retention short by no more than the jump",
    "keep an instant of the store's clock for what is finished, and compare with that alone",
);
const POSITION: Promise = Promise::new(
    "whatever the clock does, two claimers never hold the same position",
    "append the claimer's entry at every claim, whoever had the lease before and however long it is over",
);
const IN_TIME: Promise = Promise::new(
    "what is appended or leased after a jump is due when it says, by the clock as it is now",
    "take now from the same clock in every call, at every call; keep none of its readings for later",
);
const SANE: Promise = Promise::new(
    "ages that are told are wrong by no more than the jump",
    "subtract instants only when it is known which is the later one",
);

async fn ahead(s: &Suite, by: Duration) {
    s.hooks().clock_ahead.as_ref().expect("its case needs it").set_ahead(by).await;
}

async fn back(s: &Suite, by: Duration) {
    s.hooks().clock_back.as_ref().expect("its case needs it").set_back(by).await;
}

fn ids(claimed: &Claimed) -> Vec<TxId> {
    claimed.logs.iter().map(|(id, _)| *id).collect()
}

/// Logs in every state in which they are unfinished, written before a jump.
struct Unfinished {
    due: Append,
    waiting: Append,
    revived: [Append; 2],
    replaced: Append,
    leased: (Append, Append),
}

impl Unfinished {
    async fn write(s: &Suite) -> Result<Self, Broken> {
        let leased = s.begin(Due::Keep).await?;
        let claim = s.claim(HOUR / 2, 10);
        let claimed = NOTHING_LOST.ok("claim", s.store().claim(&claim).await)?;
        NOTHING_LOST.equal("what is leased", &ids(&claimed), &vec![leased.id])?;
        let by = Append { entry: claim.entry, ..s.next_write(&leased) };
        let due = s.begin(Due::Keep).await?;
        let waiting = s.begin(Due::In(2 * HOUR)).await?;
        let finished = s.begin(Due::Never { retain: Retain::For(HOUR / 2) }).await?;
        let revival = s.next_write(&finished);
        let short = s.begin(Due::Never { retain: Retain::For(HOUR / 2) }).await?;
        let replaced = Append { mode: Mode::Replace, ..s.next_write(&short) };
        s.put_all(&[revival.clone(), replaced.clone()]).await?;
        Ok(Self { due, waiting, revived: [finished, revival], replaced, leased: (leased, by) })
    }

    /// All are there, whole, counted and listed; each can be appended to, and no other way than at its end.
    async fn are_there(self, s: &Suite) -> Result<(), Broken> {
        NOTHING_LOST.ok("sweep", s.store().sweep(1_000).await)?;
        let stats = NOTHING_LOST.ok("stats", s.store().stats(s.group()).await)?;
        NOTHING_LOST.equal("unfinished logs after a jump", &stats.unfinished, &5)?;
        let listed = s.listed(Select::Unfinished, 2).await?;
        NOTHING_LOST.equal("listed logs after a jump", &listed.items.len(), &5)?;
        let (leased, claim) = self.leased;
        let [finished, revival] = self.revived;
        for (last, entries, appended) in [
            (&self.due, vec![self.due.entry.clone()], 1),
            (&self.waiting, vec![self.waiting.entry.clone()], 1),
            (&revival, vec![finished.entry, revival.entry.clone()], 2),
            (&self.replaced, vec![self.replaced.entry.clone()], 2),
            (&claim, vec![leased.entry.clone(), claim.entry.clone()], 2),
        ] {
            let log = s.read(last.id).await?;
            NOTHING_LOST.log("an unfinished log after a jump", log.as_ref(), &entries, appended)?;
            NOTHING_LOST.ok("a replay after a jump", s.store().append(last).await)?;
            let astray = s.write(last.id, Position { entries: appended, op: s.op() });
            NOTHING_LOST.conflict("an append elsewhere", &s.store().append(&astray).await, last.id)?;
            let next = s.next_write(last);
            NOTHING_LOST.ok("an append after a jump", s.store().append(&next).await)?;
            let entries: Vec<_> = entries.into_iter().chain([next.entry]).collect();
            let log = s.read(last.id).await?;
            NOTHING_LOST.log("a log that went on after a jump", log.as_ref(), &entries, appended + 1)?;
        }
        NOTHING_LOST.ok("a begin after a jump", s.store().append(&s.first(Due::Keep)).await)
    }
}

/// What is due, waits, is leased, was finished once.
pub(crate) async fn a_clock_set_ahead_loses_nothing_unfinished(s: &Suite) -> Result<(), Broken> {
    let unfinished = Unfinished::write(s).await?;
    ahead(s, HOUR).await;
    unfinished.are_there(s).await
}

/// The same, when its times lie in the future.
pub(crate) async fn a_clock_set_back_loses_nothing_unfinished(s: &Suite) -> Result<(), Broken> {
    let unfinished = Unfinished::write(s).await?;
    back(s, HOUR).await;
    unfinished.are_there(s).await
}

/// Three hours less one; and what is kept for ever stays.
pub(crate) async fn a_clock_set_ahead_cuts_retention_by_the_jump_alone(s: &Suite) -> Result<(), Broken> {
    let finished = s.begin(Due::Never { retain: Retain::For(3 * HOUR) }).await?;
    let begun = s.begin(Due::Keep).await?;
    let buried = Append {
        due: Due::Never { retain: Retain::For(3 * HOUR) },
        mode: Mode::Replace,
        ..s.next_write(&begun)
    };
    s.put(&buried).await?;
    let kept = s.begin(Due::Never { retain: Retain::Forever }).await?;
    ahead(s, HOUR).await;
    RETENTION.ok("sweep", s.store().sweep(1_000).await)?;
    for (write, appended) in [(&finished, 1), (&buried, 2), (&kept, 1)] {
        let log = s.read(write.id).await?;
        RETENTION.log("what has two hours left", log.as_ref(), from_ref(&write.entry), appended)?;
    }
    let again = s.write(buried.id, Position::START);
    RETENTION.conflict("a begin under its id", &s.store().append(&again).await, buried.id)?;
    let stats = RETENTION.ok("stats", s.store().stats(s.group()).await)?;
    RETENTION.equal("(unfinished, kept)", &(stats.unfinished, stats.kept), &(0, 1))
}

/// What is kept for a while does not go at once, and is not there for ever.
pub(crate) async fn a_clock_set_back_keeps_what_is_finished(s: &Suite) -> Result<(), Broken> {
    let before = s.begin(Due::Never { retain: Retain::For(HOUR) }).await?;
    back(s, HOUR).await;
    let begun = Instant::now();
    let after = s.begin(Due::Never { retain: Retain::For(SOON) }).await?;
    let passed = eventually(async || {
        IN_TIME.ok("sweep", s.store().sweep(100).await)?;
        let there = s.read(after.id).await?.is_some();
        Ok((!there).then(|| begun.elapsed()))
    })
    .await?
    .ok_or_else(|| IN_TIME.broken(format!("kept for {SOON:?} after a jump, and there after {BOUND:?}")))?;
    IN_TIME.holds(passed + COARSE >= SOON, || {
        format!("kept for {SOON:?} after a jump, and gone after {passed:?}")
    })?;
    RETENTION.log("what is kept for an hour", s.read(before.id).await?.as_ref(), &[before.entry], 1)
}

/// The lease ends an hour early: another gets the log, and the first holder can write no more.
pub(crate) async fn a_lease_that_a_jump_ended_gives_no_position_twice(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let (mine, theirs) = (s.claim(HOUR / 2, 10), s.claim(HOUR / 2, 10));
    let claimed = POSITION.ok("claim", s.store().claim(&mine).await)?;
    POSITION.equal("what is claimed", &ids(&claimed), &vec![first.id])?;
    ahead(s, HOUR).await;
    let other = s.open().await;
    let claimed = POSITION.ok("claim", other.claim(&theirs).await)?;
    POSITION.equal("what is claimed after the jump", &ids(&claimed), &vec![first.id])?;
    let entries = [first.entry.clone(), mine.entry.clone(), theirs.entry.clone()];
    POSITION.log("the log as it is claimed", claimed.logs.first().map(|(_, log)| log), &entries, 3)?;
    let late = s.write(first.id, Position { entries: 2, op: mine.entry.op() });
    POSITION.conflict("an append of the first holder", &s.store().append(&late).await, first.id)?;
    let next = s.write(first.id, Position { entries: 3, op: theirs.entry.op() });
    POSITION.ok("an append of the second", s.store().append(&next).await)
}

/// Who holds it goes on, whatever its lease is worth; who claims it next is the only one again.
pub(crate) async fn a_clock_set_back_gives_no_position_twice(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let mine = s.claim(HOUR / 2, 10);
    let claimed = POSITION.ok("claim", s.store().claim(&mine).await)?;
    POSITION.equal("what is claimed", &ids(&claimed), &vec![first.id])?;
    back(s, HOUR).await;
    let renewal = Append {
        due: Due::In(Duration::ZERO),
        ..s.write(first.id, Position { entries: 2, op: mine.entry.op() })
    };
    POSITION.ok("an append of the holder", s.store().append(&renewal).await)?;
    let (theirs, claimed) = eventually(async || {
        let theirs = s.claim(HOUR, 10);
        let claimed = POSITION.ok("claim", s.store().claim(&theirs).await)?;
        Ok((!claimed.logs.is_empty()).then_some((theirs, claimed)))
    })
    .await?
    .ok_or_else(|| {
        IN_TIME.broken(format!("due at once after a jump, and not handed out within {BOUND:?}"))
    })?;
    let entries = [first.entry, mine.entry, renewal.entry.clone(), theirs.entry];
    POSITION.log("the log as it is claimed", claimed.logs.first().map(|(_, log)| log), &entries, 4)?;
    POSITION.conflict("the holder's append again", &s.store().append(&renewal).await, first.id)?;
    let late = s.next_write(&renewal);
    POSITION.conflict("the holder's next append", &s.store().append(&late).await, first.id)?;
    let claimed = POSITION.ok("claim", s.open().await.claim(&s.claim(HOUR, 10)).await)?;
    POSITION.equal("what another gets during the new lease", &ids(&claimed), &Vec::new())
}

/// Soon means soon: by a due time and by a lease.
async fn due_in_time(s: &Suite) -> Result<(), Broken> {
    let later = s.begin(Due::In(HOUR)).await?;
    let begun = Instant::now();
    let soon = s.begin(Due::In(SOON)).await?;
    let mut asked = begun;
    for lease in [SOON, HOUR] {
        let (at, claimed) = eventually(async || {
            let at = Instant::now();
            let claimed = s.claimed(lease, 10).await?;
            Ok((!claimed.logs.is_empty()).then_some((at, claimed)))
        })
        .await?
        .ok_or_else(|| IN_TIME.broken(format!("due in {SOON:?}, and not handed out within {BOUND:?}")))?;
        let waited = asked.elapsed();
        IN_TIME.equal("what is handed out", &ids(&claimed), &vec![soon.id])?;
        IN_TIME
            .holds(waited + COARSE >= SOON, || format!("due in {SOON:?}, and handed out after {waited:?}"))?;
        let next = claimed.next_due;
        IN_TIME.holds(next.is_some_and(|next| next <= HOUR && next > HOUR / 2), || {
            format!("what is due in an hour is due next in {next:?}")
        })?;
        asked = at;
    }
    let listed = s.listed(Select::Unfinished, 10).await?;
    let due = listed.items.iter().find(|item| item.id == later.id).map(|item| item.due);
    let about_an_hour = matches!(due, Some(DueAge::In(wait)) if wait <= HOUR && wait > HOUR / 2);
    IN_TIME.holds(about_an_hour, || format!("what is due in an hour is listed as {due:?}"))
}

/// The same handle, which has seen the clock before.
pub(crate) async fn after_a_jump_ahead_all_is_due_in_time(s: &Suite) -> Result<(), Broken> {
    let before = s.begin(Due::Keep).await?;
    IN_TIME.equal("what is claimed", &ids(&s.claimed(10 * HOUR, 10).await?), &vec![before.id])?;
    ahead(s, HOUR).await;
    due_in_time(s).await
}

/// The same handle, which has seen the clock before.
pub(crate) async fn after_a_jump_back_all_is_due_in_time(s: &Suite) -> Result<(), Broken> {
    let before = s.begin(Due::Keep).await?;
    IN_TIME.equal("what is claimed", &ids(&s.claimed(10 * HOUR, 10).await?), &vec![before.id])?;
    back(s, HOUR).await;
    due_in_time(s).await
}

/// What is told of logs that were written before a jump: (due at once, due in two hours).
async fn told_of(s: &Suite, due: &Append, waiting: &Append) -> Result<[DueAge; 2], Broken> {
    let listed = s.listed(Select::Unfinished, 10).await?;
    let of = |write: &Append| {
        let item = listed.items.iter().find(|item| item.id == write.id);
        item.map(|item| item.due).ok_or_else(|| NOTHING_LOST.broken("a log is not listed after a jump"))
    };
    Ok([of(due)?, of(waiting)?])
}

/// An hour longer overdue, an hour less to wait.
pub(crate) async fn a_jump_ahead_leaves_ages_sane(s: &Suite) -> Result<(), Broken> {
    let due = s.begin(Due::Keep).await?;
    let waiting = s.begin(Due::In(2 * HOUR)).await?;
    ahead(s, HOUR).await;
    let [due, waiting] = told_of(s, &due, &waiting).await?;
    let right = matches!(due, DueAge::Overdue(age) if age < HOUR + BOUND);
    SANE.holds(right, || format!("due at once, an hour before: {due:?}"))?;
    let right = matches!(waiting, DueAge::In(wait) if wait <= 2 * HOUR && wait > HOUR - BOUND);
    SANE.holds(right, || format!("due in two hours, an hour before: {waiting:?}"))?;
    let most = SANE.ok("stats", s.store().stats(s.group()).await)?.most_overdue;
    SANE.holds(most.is_some_and(|most| most < HOUR + BOUND), || format!("the most overdue: {most:?}"))
}

/// Not a negative age, nor one of half a million years.
pub(crate) async fn a_jump_back_leaves_ages_sane(s: &Suite) -> Result<(), Broken> {
    let due = s.begin(Due::Keep).await?;
    let waiting = s.begin(Due::In(2 * HOUR)).await?;
    back(s, HOUR).await;
    let [age, wait] = told_of(s, &due, &waiting).await?;
    let right = match age {
        DueAge::Overdue(age) => age < BOUND,
        DueAge::In(wait) => wait <= HOUR + BOUND,
        DueAge::Never => false,
    };
    SANE.holds(right, || format!("due at once, before a jump of an hour back: {age:?}"))?;
    let right = matches!(wait, DueAge::In(wait) if wait <= 3 * HOUR + BOUND && wait > 2 * HOUR - BOUND);
    SANE.holds(right, || format!("due in two hours, before a jump of an hour back: {wait:?}"))?;
    let most = SANE.ok("stats", s.store().stats(s.group()).await)?.most_overdue;
    SANE.holds(most.is_none_or(|most| most < BOUND), || format!("the most overdue: {most:?}"))?;
    let next = SANE.ok("claim", s.store().claim(&s.claim(HOUR, 0)).await)?.next_due;
    SANE.holds(next.is_some_and(|next| next <= HOUR + BOUND), || format!("the next is due in {next:?}"))
}
