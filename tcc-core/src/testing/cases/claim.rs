//! Claims and leases.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::{Position, TxId};
use crate::store::{Append, Claimed, Due, DueAge, Select};
use crate::testing::suite::{BOUND, Broken, COARSE, HOUR, Promise, SOON, Suite, eventually};

const BEFORE: Promise = Promise::new(
    "a claim hands out nothing before it is due by the store's clock",
    "take only what has a due time of at most the store's now, read once per claim",
);
const ORDER: Promise = Promise::new(
    "a claim hands out the most overdue first",
    "take from the due index in its order, and keep that order",
);
const LIMIT: Promise = Promise::new(
    "a claim hands out at most as many as it asks for, and leaves the rest untouched",
    "stop at the limit; append and lease only what is handed out",
);
const ENTRY: Promise = Promise::new(
    "a claim appends the claimer's entry to each log it hands out, and gives the whole log with that entry last",
    "append `claim.entry` in the same atomic step that leases, and read the log after it",
);
const MOVES: Promise = Promise::new(
    "a claim moves the position: whoever wrote before can no longer append",
    "count the claimer's entry as every other, and compare both halves of the position afterwards",
);
const EXCLUSIVE: Promise = Promise::new(
    "two claims never get the same log while a lease lasts",
    "find, append and set the new due time in one atomic step (one script, one transaction that locks)",
);
const EXPIRES: Promise = Promise::new(
    "after its lease a log is due again, not earlier and not never",
    "set the due time to the store's now plus the lease, to the millisecond",
);
const RENEWS: Promise = Promise::new(
    "an append of Due::In by the holder makes the lease last that much longer from now",
    "treat the due time of a leased log as every other: Due::In replaces it",
);
const FAIR: Promise = Promise::new(
    "what is due is claimed, however much is leased",
    "a lease moves a log back in the due index; never scan a page of leased logs and give up",
);
pub(super) const NEXT: Promise = Promise::new(
    "a claim says when the next log is due beside those it hands out: None if there is none, ZERO if more are due \
     already, else how long",
    "look at the first log of the due index that was not just claimed; leased ones of other claims count",
);
const ONCE: Promise = Promise::new(
    "claims one after the other get every due log exactly once",
    "lease what is handed out before the claim answers",
);

fn ids(claimed: &Claimed) -> Vec<TxId> {
    claimed.logs.iter().map(|(id, _)| *id).collect()
}

/// Not now, but when its time has come.
pub(crate) async fn claim_takes_nothing_before_it_is_due(s: &Suite) -> Result<(), Broken> {
    let begun = Instant::now();
    let soon = s.begin(Due::In(SOON)).await?;
    s.begin(Due::In(HOUR)).await?;
    let claimed = eventually(async || {
        let claimed = s.claimed(HOUR, 10).await?;
        Ok((!claimed.logs.is_empty()).then_some(claimed))
    })
    .await?
    .ok_or_else(|| BEFORE.broken(format!("what was due in {SOON:?} was not handed out within {BOUND:?}")))?;
    let waited = begun.elapsed();
    BEFORE.equal("what was handed out", &ids(&claimed), &vec![soon.id])?;
    BEFORE.holds(waited + COARSE >= SOON, || {
        format!("what was due in {SOON:?} was handed out after {waited:?}")
    })
}

/// Neither in the order of ids nor in that of their beginning.
pub(crate) async fn claim_takes_the_most_overdue_first(s: &Suite) -> Result<(), Broken> {
    let mut logs = Vec::new();
    for _ in 0..8 {
        logs.push(s.begin(Due::In(HOUR)).await?);
    }
    logs.sort_by_key(|first| first.id);
    let mut wanted = Vec::new();
    for place in [5, 2, 7, 0, 3, 6, 1, 4] {
        // Each is due a little after the one before, by the store's own clock.
        eventually(async || {
            let listed = s.listed(Select::Unfinished, 10).await?;
            let overdue =
                |item: &crate::store::Listed| matches!(item.due, DueAge::Overdue(age) if age > COARSE);
            let ready =
                wanted.iter().all(|id| listed.items.iter().any(|item| item.id == *id && overdue(item)));
            Ok(ready.then_some(()))
        })
        .await?
        .ok_or_else(|| ORDER.broken("what is due is not listed as overdue"))?;
        s.put(&Append { due: Due::In(Duration::ZERO), ..s.next_write(&logs[place]) }).await?;
        wanted.push(logs[place].id);
    }
    let first = s.claimed(HOUR, 3).await?;
    ORDER.equal("the first three of eight", &ids(&first), &wanted[..3].to_vec())?;
    let rest = s.claimed(HOUR, 10).await?;
    ORDER.equal("the other five", &ids(&rest), &wanted[3..].to_vec())
}

/// What is not handed out is not leased either.
pub(crate) async fn claim_keeps_to_its_limit(s: &Suite) -> Result<(), Broken> {
    for _ in 0..5 {
        s.begin(Due::Keep).await?;
    }
    LIMIT.equal("logs of a claim of 2", &s.claimed(HOUR, 2).await?.logs.len(), &2)?;
    LIMIT.equal("logs of a claim of 1", &s.claimed(HOUR, 1).await?.logs.len(), &1)?;
    LIMIT.equal("logs of a claim of 10, when 2 are left", &s.claimed(HOUR, 10).await?.logs.len(), &2)?;
    LIMIT.equal("logs of a claim when none is left", &s.claimed(HOUR, 10).await?.logs.len(), &0)?;
    let listed = s.listed(Select::Unfinished, 10).await?;
    let entries: Vec<_> = listed.items.iter().map(|item| item.log.entries().len()).collect();
    LIMIT.equal("the entries of each log after it was claimed once", &entries, &vec![2; 5])
}

/// A question without a claim: is something due, and when?
pub(crate) async fn a_claim_of_none_tells_when_the_next_is_due(s: &Suite) -> Result<(), Broken> {
    let nothing = s.claimed(HOUR, 0).await?;
    LIMIT.equal("a claim of none, with none there", &(nothing.logs.len(), nothing.next_due), &(0, None))?;
    s.begin(Due::In(2 * HOUR)).await?;
    let later = s.claimed(HOUR, 0).await?;
    let about = later.next_due.is_some_and(|next| next <= 2 * HOUR && next > HOUR);
    LIMIT.holds(about, || format!("what is due in two hours is due next in {:?}", later.next_due))?;
    let due = s.begin(Due::Keep).await?;
    for _ in 0..2 {
        let claimed = s.claimed(HOUR, 0).await?;
        LIMIT.equal("logs of a claim of none", &claimed.logs.len(), &0)?;
        LIMIT.equal("the next when one is due", &claimed.next_due, &Some(Duration::ZERO))?;
    }
    LIMIT.equal("what is due after claims of none", &ids(&s.claimed(HOUR, 10).await?), &vec![due.id])
}

/// The entry is in the log that is handed out, and in the one that is read.
pub(crate) async fn claim_appends_its_entry(s: &Suite) -> Result<(), Broken> {
    let [one, two] = [s.begin(Due::Keep).await?, s.begin(Due::Keep).await?];
    let second = Append { due: Due::Keep, ..s.next_write(&one) };
    s.put(&second).await?;
    let claim = s.claim(HOUR, 10);
    let claimed = ENTRY.ok("claim", s.store().claim(&claim).await)?;
    for (first, before) in [(&one, vec![one.entry.clone(), second.entry]), (&two, vec![two.entry.clone()])] {
        let given = claimed.logs.iter().find(|(id, _)| *id == first.id).map(|(_, log)| log);
        let entries: Vec<_> = before.into_iter().chain([claim.entry.clone()]).collect();
        let appended = entries.len() as u32;
        ENTRY.log("a log as it was handed out", given, &entries, appended)?;
        ENTRY.log("the same log as it is read", s.read(first.id).await?.as_ref(), &entries, appended)?;
    }
    Ok(())
}

/// The writer from before the claim conflicts; the claimer goes on.
pub(crate) async fn claim_moves_the_position(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let before = s.next_write(&first);
    let claim = s.claim(HOUR, 10);
    MOVES.ok("claim", s.store().claim(&claim).await)?;
    MOVES.conflict(
        "an append at the position before the claim",
        &s.store().append(&before).await,
        first.id,
    )?;
    MOVES.conflict("a replay of the entry before the claim", &s.store().append(&first).await, first.id)?;
    let after = s.write(first.id, Position { entries: 2, op: claim.entry.op() });
    MOVES.ok("the claimer's append", s.store().append(&after).await)?;
    let log = s.read(first.id).await?;
    MOVES.log("after the claimer's append", log.as_ref(), &[first.entry, claim.entry, after.entry], 3)
}

/// By the same handle and by another.
pub(crate) async fn a_lease_excludes_every_other_claim(s: &Suite) -> Result<(), Broken> {
    let other = s.open().await;
    s.begin(Due::Keep).await?;
    EXCLUSIVE.equal("logs of the first claim", &s.claimed(HOUR, 10).await?.logs.len(), &1)?;
    EXCLUSIVE.equal("logs of a second claim", &s.claimed(HOUR, 10).await?.logs.len(), &0)?;
    let theirs = EXCLUSIVE.ok("claim", other.claim(&s.claim(HOUR, 10)).await)?;
    EXCLUSIVE.equal("logs of a claim by another handle", &theirs.logs.len(), &0)
}

/// A claimer whose answer was lost may send the very same claim once more: what it got is leased until the lease ends.
pub(crate) async fn the_same_claim_again_gets_nothing_twice(s: &Suite) -> Result<(), Broken> {
    let [one, two] = [s.begin(Due::Keep).await?, s.begin(Due::Keep).await?];
    let claim = s.claim(HOUR, 1);
    let mut held = Vec::new();
    for _ in 0..4 {
        let claimed = EXCLUSIVE.ok("the same claim", s.store().claim(&claim).await)?;
        held.extend(ids(&claimed));
    }
    held.sort();
    let mut wanted = vec![one.id, two.id];
    wanted.sort();
    EXCLUSIVE.equal("what four claims with one entry got", &held, &wanted)?;
    for first in [one, two] {
        let log = s.read(first.id).await?;
        EXCLUSIVE.log("a log of theirs", log.as_ref(), &[first.entry, claim.entry.clone()], 2)?;
    }
    Ok(())
}

/// Eight claimers on two handles at once: every log has one holder.
pub(crate) async fn many_claimers_share_nothing(s: &Suite) -> Result<(), Broken> {
    let firsts: Vec<Append> = (0..64).map(|_| s.first(Due::Keep)).collect();
    s.put_all(&firsts).await?;
    let handles = [s.store(), s.open().await];
    let claimers: Vec<_> = (0..8)
        .map(|number| {
            let store = handles[number % 2].clone();
            let claims: Vec<_> = (0..16).map(|_| s.claim(HOUR, 5)).collect();
            tokio::spawn(async move {
                let mut held = Vec::new();
                for claim in claims {
                    let claimed = store.claim(&claim).await?;
                    held.extend(claimed.logs.into_iter().map(|(id, log)| (id, log, claim.entry.clone())));
                    tokio::task::yield_now().await;
                }
                Ok(held)
            })
        })
        .collect();
    let mut held = Vec::new();
    for claimer in claimers {
        let answer = claimer.await.map_err(|error| EXCLUSIVE.broken(format!("a claim panicked: {error}")))?;
        held.extend(EXCLUSIVE.ok("one of many claims at once", answer)?);
    }
    EXCLUSIVE.equal("logs handed out to eight claimers", &held.len(), &64)?;
    let different: HashSet<TxId> = held.iter().map(|(id, _, _)| *id).collect();
    EXCLUSIVE.equal("different logs among them", &different.len(), &64)?;
    for (id, log, entry) in held {
        EXCLUSIVE.equal("the op at the end of a claimed log", &log.position().op, &entry.op())?;
        EXCLUSIVE.equal("a claimed log as it is read", &s.read(id).await?, &Some(log))?;
    }
    Ok(())
}

/// The next holder gets the entries of all before.
pub(crate) async fn an_expired_lease_is_handed_out_again(s: &Suite) -> Result<(), Broken> {
    let first = s.begin(Due::Keep).await?;
    let mut entries = vec![first.entry.clone()];
    let mut leased = None;
    for lease in [SOON, SOON, HOUR] {
        let (asked, entry, claimed) = eventually(async || {
            let (asked, claim) = (Instant::now(), s.claim(lease, 10));
            let claimed = EXPIRES.ok("claim", s.store().claim(&claim).await)?;
            Ok((!claimed.logs.is_empty()).then_some((asked, claim.entry, claimed)))
        })
        .await?
        .ok_or_else(|| {
            EXPIRES.broken(format!("a log leased for {SOON:?} was not due again within {BOUND:?}"))
        })?;
        if let Some(before) = leased.replace(asked) {
            let lasted = before.elapsed();
            EXPIRES.holds(lasted + COARSE >= SOON, || {
                format!("a log leased for {SOON:?} was handed out again {lasted:?} after it was asked for")
            })?;
        }
        entries.push(entry);
        let given = claimed.logs.iter().find(|(id, _)| *id == first.id).map(|(_, log)| log);
        EXPIRES.log("the log as it was handed out", given, &entries, entries.len() as u32)?;
    }
    EXPIRES.equal("logs handed out during the last lease", &s.claimed(HOUR, 10).await?.logs.len(), &0)
}

/// The holder renews: nobody else gets it when the first lease would have ended.
pub(crate) async fn a_renewed_lease_lasts_longer(s: &Suite) -> Result<(), Broken> {
    let renewed = s.begin(Due::Keep).await?;
    let claim = s.claim(SOON, 10);
    RENEWS.ok("claim", s.store().claim(&claim).await)?;
    let renewal =
        Append { due: Due::In(HOUR), ..s.write(renewed.id, Position { entries: 2, op: claim.entry.op() }) };
    // A slow store's lease may have ended by now; as long as nobody claimed it, it is renewed all the same.
    RENEWS.ok("the holder's append", s.store().append(&renewal).await)?;
    let control = s.begin(Due::In(SOON)).await?;
    let claimed = eventually(async || {
        let claimed = s.claimed(HOUR, 10).await?;
        Ok((!claimed.logs.is_empty()).then_some(claimed))
    })
    .await?
    .ok_or_else(|| EXPIRES.broken(format!("a log due in {SOON:?} was not due within {BOUND:?}")))?;
    RENEWS.equal("what is due when the first lease would have ended", &ids(&claimed), &vec![control.id])
}

/// Very many leased logs before one that is due (PEERS 7).
pub(crate) async fn leased_logs_hold_up_nothing_due(s: &Suite) -> Result<(), Broken> {
    let leased: Vec<Append> = (0..s.many()).map(|_| s.first(Due::Keep)).collect();
    s.put_all(&leased).await?;
    let mut held = 0;
    while held < leased.len() {
        let claimed = s.claimed(HOUR, 100).await?.logs.len();
        FAIR.holds(claimed > 0, || format!("a claim gets none, and {} are due", leased.len() - held))?;
        held += claimed;
    }
    let due = s.begin(Due::Keep).await?;
    let claimed = s.claimed(HOUR, 1).await?;
    FAIR.equal(&format!("what is due behind {held} leased"), &ids(&claimed), &vec![due.id])
}

/// None, at once, in a while; leased ones count.
pub(crate) async fn next_due_is_told(s: &Suite) -> Result<(), Broken> {
    let about = |what: &str, found: Option<Duration>, wanted: Duration| {
        let right = found.is_some_and(|found| found <= wanted && found > wanted - HOUR / 2);
        NEXT.holds(right, || format!("{what}: {found:?} where about {wanted:?} was expected"))
    };
    NEXT.equal("the next in an empty group", &s.claimed(HOUR, 10).await?.next_due, &None)?;
    s.begin(Due::Keep).await?;
    NEXT.equal("the next beside the only one", &s.claimed(5 * HOUR, 10).await?.next_due, &None)?;
    about("the next when one is leased", s.claimed(HOUR, 10).await?.next_due, 5 * HOUR)?;
    s.begin(Due::In(3 * HOUR)).await?;
    about("the next of two", s.claimed(HOUR, 10).await?.next_due, 3 * HOUR)?;
    s.begin(Due::Keep).await?;
    s.begin(Due::Keep).await?;
    NEXT.equal("the next when more are due", &s.claimed(4 * HOUR, 1).await?.next_due, &Some(Duration::ZERO))?;
    about("the next beside one just claimed", s.claimed(HOUR, 1).await?.next_due, 3 * HOUR)?;
    about("the next after a short lease", s.claimed(HOUR, 1).await?.next_due, HOUR)
}

/// Very many due at once, claimed a page at a time.
pub(crate) async fn many_logs_are_claimed_in_pages(s: &Suite) -> Result<(), Broken> {
    let firsts: Vec<Append> = (0..s.many()).map(|_| s.first(Due::Keep)).collect();
    s.put_all(&firsts).await?;
    let mut left: HashSet<TxId> = firsts.iter().map(|first| first.id).collect();
    while !left.is_empty() {
        let claimed = s.claimed(HOUR, 100).await?;
        let wanted = left.len().min(100);
        ONCE.equal("logs of a claim of 100", &claimed.logs.len(), &wanted)?;
        for id in ids(&claimed) {
            ONCE.holds(left.remove(&id), || format!("log {id} was handed out a second time"))?;
        }
        let more = claimed.next_due == Some(Duration::ZERO);
        NEXT.equal("whether more are due already", &more, &!left.is_empty())?;
    }
    ONCE.equal("logs of a claim after all", &s.claimed(HOUR, 100).await?.logs.len(), &0)
}
