//! When a log is due.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use crate::store::{Append, Due, DueAge, Retain, Select};
use crate::testing::suite::{Broken, HOUR, Promise, Suite};

const AT_ONCE: Promise = Promise::new(
    "Due::Keep in the first append of a log makes it due at once",
    "give a new log the store's now as its due time if the write says Keep",
);
const KEEP: Promise = Promise::new(
    "Due::Keep leaves a log as due as it was",
    "do not touch the due index for Keep, whatever the mode",
);
const IN: Promise = Promise::new(
    "Due::In makes a log due that long from now, earlier or later than it was before",
    "set the due time to the store's now plus the duration, replacing what was there",
);
const NEVER: Promise = Promise::new(
    "after Due::Never a log is no longer due, and no longer unfinished",
    "take it out of the due index in the same atomic step that appends",
);
const FAR: Promise = Promise::new(
    "a time may be zero, shorter than a tick of the store's clock, or years away",
    "compute due times with room for years (64 bits of milliseconds); round up what is shorter than a tick, and let \
     no time of zero become an error",
);

const LONGEST: Promise = Promise::new(
    "the longest time there is, Duration::MAX, is further away than ten years: it is no error, no panic, and not at once",
    "add times with saturating_add or checked_add, never with `now + wait`, and bound them by what the store can hold",
);

/// A begin that names no time is due at once.
pub(crate) async fn keep_in_a_first_append_is_at_once(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let claimed = s.claimed(HOUR, 10).await?;
    let ids: Vec<_> = claimed.logs.iter().map(|(id, _)| *id).collect();
    AT_ONCE.equal("what is due", &ids, &vec![first.id])
}

/// Neither what is due, nor what will be, nor what never is, is moved by an append that keeps.
pub(crate) async fn keep_keeps_the_due_time(s: &Suite) -> Result<(), Broken> {
    let due = s.begin(Due::In(Duration::ZERO)).await?;
    let later = s.begin(Due::In(HOUR)).await?;
    let never = s.begin(Due::Never { retain: Retain::For(HOUR) }).await?;
    for first in [&due, &later, &never] {
        s.put(&Append { due: Due::Keep, ..s.next_write(first) }).await?;
    }
    let listed = s.listed(Select::Unfinished, 10).await?;
    let ids: Vec<_> = listed.items.iter().map(|item| item.id).collect();
    KEEP.equal("what is unfinished, by when it is due", &ids, &vec![due.id, later.id])?;
    let age = listed.items[1].due;
    let about_an_hour = matches!(age, DueAge::In(wait) if wait <= HOUR && wait > HOUR / 2);
    KEEP.holds(about_an_hour, || format!("a log due in an hour is, after Keep, due {age:?}"))?;
    let claimed = s.claimed(HOUR, 10).await?;
    let ids: Vec<_> = claimed.logs.iter().map(|(id, _)| *id).collect();
    KEEP.equal("what is due", &ids, &vec![due.id])
}

/// To later and to now.
pub(crate) async fn in_moves_the_due_time(s: &Suite) -> Result<(), Broken> {
    let put_off = s.begin(Due::Keep).await?;
    let brought_on = s.begin(Due::In(HOUR)).await?;
    s.put(&Append { due: Due::In(2 * HOUR), ..s.next_write(&put_off) }).await?;
    s.put(&Append { due: Due::In(Duration::ZERO), ..s.next_write(&brought_on) }).await?;
    let claimed = s.claimed(3 * HOUR, 10).await?;
    let ids: Vec<_> = claimed.logs.iter().map(|(id, _)| *id).collect();
    IN.equal("what is due", &ids, &vec![brought_on.id])?;
    let next = claimed.next_due;
    let about_two_hours = next.is_some_and(|next| next <= 2 * HOUR && next > HOUR * 3 / 2);
    IN.holds(about_two_hours, || format!("a log put off for two hours is due next in {next:?}"))
}

/// What is finished is handed out to nobody.
pub(crate) async fn never_is_not_due(s: &Suite) -> Result<(), Broken> {
    for retain in [Retain::For(HOUR), Retain::Forever] {
        s.begin(Due::Never { retain }).await?;
        let first = s.begin(Due::Keep).await?;
        s.put(&Append { due: Due::Never { retain }, ..s.next_write(&first) }).await?;
    }
    let claimed = s.claimed(HOUR, 10).await?;
    NEVER.equal("logs handed out", &claimed.logs.len(), &0)?;
    NEVER.equal("when the next log is due", &claimed.next_due, &None)?;
    let stats = NEVER.ok("stats", s.store().stats(s.group()).await)?;
    NEVER.equal("unfinished logs", &stats.unfinished, &0)?;
    NEVER.equal("the most overdue", &stats.most_overdue, &None)?;
    let listed = s.listed(Select::Unfinished, 10).await?;
    NEVER.equal("logs listed as unfinished", &listed.items.len(), &0)
}

/// No time at all, a microsecond, and ten years of waiting, leasing and keeping.
pub(crate) async fn near_and_far_times_are_taken(s: &Suite) -> Result<(), Broken> {
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(1)] {
        let ended = s.first(Due::Never { retain: Retain::For(time) });
        FAR.ok("an append that is kept for next to no time", s.store().append(&ended).await)?;
        let begun = s.begin(Due::In(HOUR)).await?;
        let due = Append { due: Due::In(time), ..s.next_write(&begun) };
        FAR.ok("an append that is due in next to no time", s.store().append(&due).await)?;
        let end = Append { due: Due::Never { retain: Retain::For(time) }, ..s.next_write(&due) };
        FAR.ok("an append that ends a log for next to no time", s.store().append(&end).await)?;
    }
    let years = HOUR * 24 * 3_653;
    let waiting = s.first(Due::In(years));
    FAR.ok("an append that is due in ten years", s.store().append(&waiting).await)?;
    let finished = s.first(Due::Never { retain: Retain::For(years) });
    FAR.ok("an append that is kept for ten years", s.store().append(&finished).await)?;
    FAR.log("a log kept for ten years", s.read(finished.id).await?.as_ref(), &[finished.entry], 1)?;
    let leased = s.begin(Due::Keep).await?;
    let claimed = FAR.ok("a claim for ten years", s.store().claim(&s.claim(years, 10)).await)?;
    let ids: Vec<_> = claimed.logs.iter().map(|(id, _)| *id).collect();
    FAR.equal("what is due", &ids, &vec![leased.id])?;
    let next = claimed.next_due;
    let about = next.is_some_and(|next| next <= years && next > years - HOUR);
    FAR.holds(about, || format!("what is due in ten years is due next in {next:?}"))
}

/// Whoever sums up times without looking overflows.
pub(crate) async fn the_longest_times_are_taken(s: &Suite) -> Result<(), Broken> {
    let told = AssertUnwindSafe(longest(s)).catch_unwind().await;
    told.unwrap_or_else(|_| Err(LONGEST.broken("the store panicked; the message is above")))
}

async fn longest(s: &Suite) -> Result<(), Broken> {
    let far = |what: &str, wait: Option<Duration>| {
        let right = wait.is_some_and(|wait| wait > 10 * 365 * 24 * HOUR);
        LONGEST.holds(right, || format!("{what}: {wait:?} where more than ten years was expected"))
    };
    let due = Due::In(Duration::MAX);
    let waiting = s.first(due);
    LONGEST.ok("an append that is due in Duration::MAX", s.store().append(&waiting).await)?;
    let put_off = s.begin(Due::Keep).await?;
    let putting_off = Append { due, ..s.next_write(&put_off) };
    LONGEST.ok("an append that puts off by Duration::MAX", s.store().append(&putting_off).await)?;
    let retain = Due::Never { retain: Retain::For(Duration::MAX) };
    let finished = s.first(retain);
    LONGEST.ok("an append that is kept for Duration::MAX", s.store().append(&finished).await)?;

    let listed = s.listed(Select::Unfinished, 10).await?;
    LONGEST.equal("logs listed", &listed.items.len(), &2)?;
    for item in &listed.items {
        let wait = if let DueAge::In(wait) = item.due { Some(wait) } else { None };
        far("a log due in Duration::MAX is listed as due in", wait)?;
    }
    far("the next is due in", s.claimed(HOUR, 10).await?.next_due)?;
    LONGEST.ok("sweep", s.store().sweep(1_000).await)?;
    let kept = s.read(finished.id).await?;
    LONGEST.log("a log kept for Duration::MAX", kept.as_ref(), &[finished.entry], 1)?;

    let leased = s.begin(Due::Keep).await?;
    let claim = s.claim(Duration::MAX, 10);
    let claimed = LONGEST.ok("a claim for Duration::MAX", s.store().claim(&claim).await)?;
    let ids: Vec<_> = claimed.logs.iter().map(|(id, _)| *id).collect();
    LONGEST.equal("what is due", &ids, &vec![leased.id])?;
    let again = s.claimed(HOUR, 10).await?;
    LONGEST.equal("what is due beside a lease of Duration::MAX", &again.logs.len(), &0)?;
    far("the next is due in", again.next_due)
}
