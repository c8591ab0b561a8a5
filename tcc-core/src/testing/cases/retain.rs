//! What is kept, and for how long.

use std::slice::from_ref;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::Position;
use crate::store::{Append, Due, DueAge, Mode, Retain, Select};
use crate::testing::suite::{BOUND, Broken, COARSE, HOUR, Promise, SOON, Suite, eventually};

const UNFINISHED: Promise = Promise::new(
    "nothing unfinished ever goes: not by expiry, not by a sweep, whatever retention it once had",
    "give only finished logs an expiry, and take it away (PERSIST, NULL) when a log becomes due again",
);
const AT_LEAST: Promise = Promise::new(
    "what is finished is kept for its retention",
    "set the expiry to the store's now plus the retention; let no sweep take what has time left",
);
const GOES: Promise = Promise::new(
    "what is finished goes after its retention, by itself or by sweep(), and its id is as if never used",
    "expire the key, or delete in sweep() what is over its retention; Due::Keep leaves the expiry as it was",
);
const FOREVER: Promise = Promise::new(
    "what is kept for ever stays, is listed under Select::Kept, and is not unfinished",
    "give Retain::Forever no expiry, and an index of its own",
);
const AGAIN: Promise = Promise::new(
    "what was kept for ever can be appended to, can become due again, and can finish",
    "move a log between the indexes by what each append says of its due time",
);
const SWEEP: Promise = Promise::new(
    "sweep() removes only what is over its retention, and at most as many as it is told",
    "select by the expiry, and honour the limit",
);

/// A log with a retention behind it, a leased one, a replaced one: none goes while it is unfinished (PEERS 11, 33).
pub(crate) async fn unfinished_outlives_every_retention(s: &Suite) -> Result<(), Broken> {
    let finish = Due::Never { retain: Retain::For(SOON) };
    let plain = s.first(Due::In(HOUR));
    let overdue = s.first(Due::Keep);
    // In one batch, so that no retention passes in between.
    let revived = s.first(finish);
    let revival = s.next_write(&revived);
    let replaced = s.first(finish);
    let replacement = Append { mode: Mode::Replace, ..s.next_write(&replaced) };
    let writes = [&plain, &overdue, &revived, &revival, &replaced, &replacement].map(Clone::clone);
    s.put_all(&writes).await?;
    let control = s.begin(finish).await?;
    UNFINISHED.equal("what is due", &s.claimed(2 * HOUR, 10).await?.logs.len(), &1)?;
    gone(s, &control).await?;
    let store = s.store();
    UNFINISHED.ok("sweep", store.sweep(1_000).await)?;
    for (write, entries, appended) in [
        (&plain, vec![plain.entry.clone()], 1),
        (&revived, vec![revived.entry.clone(), revival.entry.clone()], 2),
        (&replaced, vec![replacement.entry.clone()], 2),
    ] {
        let log = s.read(write.id).await?;
        UNFINISHED.log("an unfinished log after every retention", log.as_ref(), &entries, appended)?;
    }
    UNFINISHED.holds(s.read(overdue.id).await?.is_some(), || "a leased log is gone".into())?;
    let stats = UNFINISHED.ok("stats", store.stats(s.group()).await)?;
    UNFINISHED.equal("unfinished logs", &stats.unfinished, &4)?;
    UNFINISHED.equal("listed logs", &s.listed(Select::Unfinished, 10).await?.items.len(), &4)
}

/// It is there until the time is over, sweeps or not.
pub(crate) async fn finished_is_kept_for_its_retention(s: &Suite) -> Result<(), Broken> {
    let long = s.begin(Due::Never { retain: Retain::For(HOUR) }).await?;
    let begun = Instant::now();
    let short = s.begin(Due::Never { retain: Retain::For(SOON) }).await?;
    eventually(async || {
        AT_LEAST.ok("sweep", s.store().sweep(100).await)?;
        let there = s.read(short.id).await?.is_some();
        let passed = begun.elapsed();
        AT_LEAST
            .holds(there || passed + COARSE >= SOON, || format!("a log kept for {SOON:?} was gone after {passed:?}"))?;
        Ok((passed >= SOON).then_some(()))
    })
    .await?;
    AT_LEAST.log("a log kept for an hour", s.read(long.id).await?.as_ref(), &[long.entry], 1)
}

/// However it was finished; and then its id is free.
pub(crate) async fn finished_goes_after_its_retention(s: &Suite) -> Result<(), Broken> {
    let finish = Due::Never { retain: Retain::For(SOON) };
    let at_once = s.first(finish);
    let begun = s.first(Due::Keep);
    let ended = Append { due: finish, ..s.next_write(&begun) };
    let tombstone = s.first(Due::Keep);
    let buried = Append { due: finish, mode: Mode::Replace, ..s.next_write(&tombstone) };
    let kept = s.first(finish);
    let more = Append { due: Due::Keep, ..s.next_write(&kept) };
    s.put_all(&[at_once.clone(), begun, ended.clone(), tombstone, buried.clone(), kept, more.clone()]).await?;
    for write in [&at_once, &ended, &buried, &more] {
        gone(s, write).await?;
        let late = s.next_write(write);
        GOES.not_found("an append to what is gone", &s.store().append(&late).await, write.id)?;
    }
    let again = s.write(at_once.id, Position::START);
    GOES.ok("a begin under an id that is gone", s.store().append(&again).await)?;
    GOES.log("a log under an id that was used", s.read(again.id).await?.as_ref(), from_ref(&again.entry), 1)?;
    let stats = GOES.ok("stats", s.store().stats(s.group()).await)?;
    GOES.equal("unfinished logs", &stats.unfinished, &1)
}

async fn gone(s: &Suite, write: &Append) -> Result<(), Broken> {
    eventually(async || {
        GOES.ok("sweep", s.store().sweep(100).await)?;
        Ok(s.read(write.id).await?.is_none().then_some(()))
    })
    .await?
    .ok_or_else(|| GOES.broken(format!("a log kept for {SOON:?} is still there after {BOUND:?}")))
}

/// No time and no sweep takes it.
pub(crate) async fn kept_for_ever_stays_and_is_listed(s: &Suite) -> Result<(), Broken> {
    let kept = s.begin(Due::Never { retain: Retain::Forever }).await?;
    let begun = s.first(Due::Never { retain: Retain::For(SOON) });
    let later = Append { due: Due::Never { retain: Retain::Forever }, ..s.next_write(&begun) };
    s.put_all(&[begun.clone(), later.clone()]).await?;
    let control = s.begin(Due::Never { retain: Retain::For(SOON) }).await?;
    gone(s, &control).await?;
    FOREVER.ok("sweep", s.store().sweep(1_000).await)?;
    FOREVER.log("a log kept for ever", s.read(kept.id).await?.as_ref(), &[kept.entry], 1)?;
    let log = s.read(later.id).await?;
    FOREVER.log("a log that was first kept for a while", log.as_ref(), &[begun.entry, later.entry], 2)?;
    let listed = s.listed(Select::Kept, 10).await?;
    let mut ids: Vec<_> = listed.items.iter().map(|item| item.id).collect();
    ids.sort();
    let mut wanted = vec![kept.id, later.id];
    wanted.sort();
    FOREVER.equal("what is listed as kept", &ids, &wanted)?;
    FOREVER.holds(listed.items.iter().all(|item| item.due == DueAge::Never), || {
        format!("what is kept for ever is listed as due: {:?}", listed.items[0].due)
    })?;
    let stats = FOREVER.ok("stats", s.store().stats(s.group()).await)?;
    FOREVER.equal("(unfinished, kept)", &(stats.unfinished, stats.kept), &(0, 2))
}

/// An operator resolves it: it is worked on, and ends as any other.
pub(crate) async fn kept_for_ever_can_be_worked_on_again(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Never { retain: Retain::Forever }).await?;
    let noted = Append { due: Due::Keep, ..s.next_write(&first) };
    AGAIN.ok("an append that keeps", s.store().append(&noted).await)?;
    AGAIN.equal("logs listed as kept", &s.listed(Select::Kept, 10).await?.items.len(), &1)?;
    let due = Append { due: Due::In(Duration::ZERO), ..s.next_write(&noted) };
    AGAIN.ok("an append that makes it due", s.store().append(&due).await)?;
    AGAIN.equal("logs listed as kept once it is due", &s.listed(Select::Kept, 10).await?.items.len(), &0)?;
    let claim = s.claim(HOUR, 10);
    let claimed = AGAIN.ok("claim", s.store().claim(&claim).await)?;
    let ids: Vec<_> = claimed.logs.iter().map(|(id, _)| *id).collect();
    AGAIN.equal("what is due", &ids, &vec![first.id])?;
    let end = Append {
        due: Due::Never { retain: Retain::For(SOON) },
        mode: Mode::Replace,
        ..s.write(first.id, claimed.logs[0].1.position())
    };
    AGAIN.ok("an append that finishes it", s.store().append(&end).await)?;
    gone(s, &end).await?;
    let stats = AGAIN.ok("stats", s.store().stats(s.group()).await)?;
    AGAIN.equal("(unfinished, kept)", &(stats.unfinished, stats.kept), &(0, 0))
}

/// What has time left, what is unfinished and what is kept for ever.
pub(crate) async fn sweep_spares_what_must_stay(s: &Suite) -> Result<(), Broken> {
    let dues =
        [Due::Keep, Due::In(HOUR), Due::Never { retain: Retain::For(HOUR) }, Due::Never { retain: Retain::Forever }];
    let mut stay = Vec::new();
    for due in dues {
        stay.push(s.begin(due).await?);
    }
    let over: Vec<Append> =
        (0..5).map(|_| s.first(Due::Never { retain: Retain::For(Duration::from_millis(1)) })).collect();
    s.put_all(&over).await?;
    eventually(async || {
        for limit in [0, 2] {
            let swept = SWEEP.ok("sweep", s.store().sweep(limit).await)?;
            SWEEP.holds(swept <= limit, || format!("a sweep of {limit} removed {swept}"))?;
        }
        let mut left = 0;
        for write in &over {
            left += usize::from(s.read(write.id).await?.is_some());
        }
        Ok((left == 0).then_some(()))
    })
    .await?
    .ok_or_else(|| GOES.broken(format!("logs kept for a millisecond are still there after {BOUND:?}")))?;
    for write in stay {
        let log = s.read(write.id).await?;
        SWEEP.log("what must stay after a sweep", log.as_ref(), &[write.entry], 1)?;
    }
    Ok(())
}
