//! Logs that can't be read: reported, and in nobody's way.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::protocol::TxId;
use crate::store::{Append, Claimed, Due, Page, Retain, Select, StoreError, Unreadable};
use crate::testing::suite::{BOUND, Broken, COARSE, HOUR, Promise, SOON, Suite, eventually};

const REPORTED: Promise = Promise::new(
    "a claim reports a due log that can't be read in Claimed::unreadable, and hands out the others as ever",
    "read each log by itself: what fails goes to `unreadable`, with what is wrong and without any payload",
);
const LEASED: Promise = Promise::new(
    "a log that can't be read is reported again after the lease: not earlier and not never",
    "set the due time of an unreadable log to the store's now plus the lease, as of one that was handed out",
);
const KEPT: Promise = Promise::new(
    "a log that can't be read keeps its entries, and gets none, until it can be read again",
    "read a log before anything is appended to it by a claim; change nothing but its due time if it can't be read",
);
const NO_HINDRANCE: Promise = Promise::new(
    "logs that can't be read hold up no other: each claim makes room for what is due behind them",
    "make unreadable logs due again later in the same claim that reports them, and say ZERO if more are due",
);
const LIMIT: Promise = Promise::new(
    "a claim hands out at most as many as it asks for, unreadable ones or not",
    "stop at the limit",
);
const LISTED: Promise = Promise::new(
    "a list reports a log that can't be read in Page::unreadable, once, and goes on behind it",
    "let the cursor name the last place that was looked at, readable or not",
);
const CORRUPT: Promise = Promise::new(
    "a read of a log that can't be read is Corrupt, of any other as ever",
    "answer StoreError::Corrupt with the id: not None, for it is there, and not an error of the whole store",
);

async fn damage(s: &Suite, id: TxId) {
    s.hooks().damage.as_ref().expect("its case needs it").damage(s.group(), id).await;
}

async fn mend(s: &Suite, id: TxId) {
    s.hooks().damage.as_ref().expect("its case needs it").mend(s.group(), id).await;
}

/// A log of two entries, due at once: its last write.
async fn two_entries(s: &Suite) -> Result<[Append; 2], Broken> {
    let first = s.begin(Due::Keep).await?;
    let second = Append { due: Due::Keep, ..s.next_write(&first) };
    s.put(&second).await?;
    Ok([first, second])
}

fn ids(claimed: &Claimed) -> BTreeSet<TxId> {
    claimed.logs.iter().map(|(id, _)| *id).collect()
}

/// Whose they are; each says what is wrong, and nothing of what was written.
fn reported(promise: &Promise, unreadable: &[Unreadable], writes: &[Append]) -> Result<Vec<TxId>, Broken> {
    for Unreadable { why, .. } in unreadable {
        promise
            .holds(!why.trim().is_empty(), || "an unreadable log without a word of what is wrong".into())?;
        let told = writes.iter().any(|write| why.contains(write.entry.line()));
        promise.holds(!told, || "the text of an entry in what is said to be wrong".into())?;
    }
    Ok(unreadable.iter().map(|bad| bad.id).collect())
}

/// Between two others, by the same claim.
pub(crate) async fn a_claim_reports_what_it_can_not_read(s: &Suite) -> Result<(), Broken> {
    let [before, bad, after] =
        [s.begin(Due::Keep).await?, s.begin(Due::Keep).await?, s.begin(Due::Keep).await?];
    damage(s, bad.id).await;
    let claimed = REPORTED.ok("claim", s.store().claim(&s.claim(HOUR, 10)).await)?;
    REPORTED.equal("what is handed out", &ids(&claimed), &BTreeSet::from([before.id, after.id]))?;
    let told = reported(&REPORTED, &claimed.unreadable, std::slice::from_ref(&bad))?;
    REPORTED.equal("what is reported", &told, &vec![bad.id])?;
    let again = REPORTED.ok("claim", s.store().claim(&s.claim(HOUR, 10)).await)?;
    REPORTED.equal("what is handed out during the lease", &ids(&again), &BTreeSet::new())?;
    REPORTED.equal("what is reported during the lease", &again.unreadable, &Vec::new())?;
    let next = again.next_due;
    let about_an_hour = next.is_some_and(|next| next <= HOUR && next > HOUR / 2);
    REPORTED.holds(about_an_hour, || format!("with all leased for an hour, the next is due in {next:?}"))
}

/// Whoever mends it will see it come again by itself.
pub(crate) async fn what_can_not_be_read_is_due_again_after_the_lease(s: &Suite) -> Result<(), Broken> {
    let bad = s.begin(Due::Keep).await?;
    damage(s, bad.id).await;
    let mut leased: Option<Instant> = None;
    for _ in 0..3 {
        let asked = eventually(async || {
            let asked = Instant::now();
            let claimed = LEASED.ok("claim", s.store().claim(&s.claim(SOON, 10)).await)?;
            LEASED.equal("what is handed out", &ids(&claimed), &BTreeSet::new())?;
            Ok((!claimed.unreadable.is_empty()).then_some(asked))
        })
        .await?
        .ok_or_else(|| LEASED.broken(format!("leased for {SOON:?}, and not reported within {BOUND:?}")))?;
        if let Some(before) = leased.replace(asked) {
            let lasted = before.elapsed();
            LEASED.holds(lasted + COARSE >= SOON, || {
                format!("leased for {SOON:?}, and reported again after {lasted:?}")
            })?;
        }
    }
    mend(s, bad.id).await;
    let claimed = eventually(async || {
        let claimed = LEASED.ok("claim", s.store().claim(&s.claim(HOUR, 10)).await)?;
        Ok((!claimed.logs.is_empty()).then_some(claimed))
    })
    .await?
    .ok_or_else(|| LEASED.broken(format!("once mended, it was not handed out within {BOUND:?}")))?;
    LEASED.equal("what is handed out once it is mended", &ids(&claimed), &BTreeSet::from([bad.id]))
}

/// Not by claims, lists, reads, sweeps and a replay.
pub(crate) async fn what_can_not_be_read_keeps_its_entries(s: &Suite) -> Result<(), Broken> {
    let [first, second] = two_entries(s).await?;
    damage(s, first.id).await;
    let mut rounds = 0;
    eventually(async || {
        let claimed = KEPT.ok("claim", s.store().claim(&s.claim(SOON, 10)).await)?;
        KEPT.equal("what is handed out", &ids(&claimed), &BTreeSet::new())?;
        rounds += claimed.unreadable.len();
        Ok((rounds >= 2).then_some(()))
    })
    .await?
    .ok_or_else(|| LEASED.broken(format!("it was reported {rounds} times within {BOUND:?}")))?;
    KEPT.ok("list", s.store().list(&s.query(Select::Unfinished, 10)).await)?;
    KEPT.ok("sweep", s.store().sweep(1_000).await)?;
    let stats = KEPT.ok("stats", s.store().stats(s.group()).await)?;
    KEPT.equal("unfinished logs", &stats.unfinished, &1)?;
    mend(s, first.id).await;
    let entries = [first.entry.clone(), second.entry.clone()];
    KEPT.log("the log, once it is mended", s.read(first.id).await?.as_ref(), &entries, 2)?;
    KEPT.ok("an append where it ended", s.store().append(&s.next_write(&second)).await)
}

/// Many of them, more overdue than all others, and claims of a few.
pub(crate) async fn what_can_not_be_read_holds_up_no_other(s: &Suite) -> Result<(), Broken> {
    let bad: Vec<Append> = (0..12).map(|_| s.first(Due::Keep)).collect();
    s.put_all(&bad).await?;
    for write in &bad {
        damage(s, write.id).await;
    }
    let good: Vec<Append> = (0..8).map(|_| s.first(Due::Keep)).collect();
    s.put_all(&good).await?;
    let (mut held, mut told) = (BTreeSet::new(), BTreeSet::new());
    // Each claim reports or hands out at least one, so this many are enough.
    for _ in 0..20 {
        let claimed = NO_HINDRANCE.ok("claim", s.store().claim(&s.claim(HOUR, 3)).await)?;
        LIMIT.holds(claimed.logs.len() <= 3, || format!("{} logs of a claim of 3", claimed.logs.len()))?;
        held.extend(ids(&claimed));
        told.extend(reported(&NO_HINDRANCE, &claimed.unreadable, &bad)?);
        let left = held.len() < good.len();
        NO_HINDRANCE.holds(!left || claimed.next_due.is_some_and(|next| next.is_zero()), || {
            format!("more are due already, and the next is said to be due in {:?}", claimed.next_due)
        })?;
        if !left {
            break;
        }
    }
    let wanted = |writes: &[Append]| writes.iter().map(|write| write.id).collect::<BTreeSet<_>>();
    NO_HINDRANCE.equal("what is handed out by 20 claims", &held, &wanted(&good))?;
    NO_HINDRANCE.equal("what is reported by them", &told, &wanted(&bad))?;
    let appended =
        s.store().append_all(&good.iter().map(|write| s.first(write.due)).collect::<Vec<_>>()).await;
    for answer in appended {
        NO_HINDRANCE.ok("an append beside unreadable logs", answer)?;
    }
    Ok(())
}

/// In pages of every size, of what is unfinished and of what is kept.
pub(crate) async fn a_list_reports_what_it_can_not_read(s: &Suite) -> Result<(), Broken> {
    for (select, due) in
        [(Select::Unfinished, Due::In(HOUR)), (Select::Kept, Due::Never { retain: Retain::Forever })]
    {
        let writes: Vec<Append> = (0..9).map(|_| s.first(due)).collect();
        s.put_all(&writes).await?;
        // The first, the last, and some side by side, in the order of the list.
        let order: Vec<TxId> = s.listed(select, 100).await?.items.into_iter().map(|item| item.id).collect();
        LISTED.equal("listed logs before any damage", &order.len(), &9)?;
        let bad = [order[0], order[3], order[4], order[8]];
        for id in bad {
            damage(s, id).await;
        }
        for limit in [1, 2, 4, 100] {
            let mut seen: BTreeMap<TxId, (u32, u32)> = BTreeMap::new();
            let mut query = s.query(select, limit);
            let mut pages = 0;
            loop {
                let Page { items, unreadable, next } = LISTED.ok("list", s.store().list(&query).await)?;
                items.iter().for_each(|item| seen.entry(item.id).or_default().0 += 1);
                for id in reported(&LISTED, &unreadable, &writes)? {
                    seen.entry(id).or_default().1 += 1;
                }
                pages += 1;
                LISTED.holds(pages <= 30, || "30 pages of 9 logs, and still a next one".into())?;
                match next {
                    None => break,
                    next => query.cursor = next,
                }
            }
            let wanted: BTreeMap<TxId, (u32, u32)> =
                order.iter().map(|id| (*id, if bad.contains(id) { (0, 1) } else { (1, 0) })).collect();
            LISTED.equal(
                &format!("{select:?} in pages of {limit}: how often each is (listed, reported)"),
                &seen,
                &wanted,
            )?;
        }
    }
    let stats = LISTED.ok("stats", s.store().stats(s.group()).await)?;
    LISTED.equal("(unfinished, kept) with unreadable ones", &(stats.unfinished, stats.kept), &(9, 9))
}

/// It alone, and only until it is mended.
pub(crate) async fn a_read_says_what_it_can_not_read(s: &Suite) -> Result<(), Broken> {
    let [first, second] = two_entries(s).await?;
    let other = s.begin(Due::In(HOUR)).await?;
    damage(s, first.id).await;
    let stores = [s.store(), s.open().await];
    for store in &stores {
        let answer = store.read(s.group(), first.id).await;
        let right = matches!(&answer, Err(StoreError::Corrupt { id, why })
            if *id == first.id && !why.trim().is_empty() && !why.contains(second.entry.line()));
        CORRUPT.holds(right, || {
            format!("a read of a damaged log: {answer:?} where Corrupt {{ id: {} }} was expected", first.id)
        })?;
        let log = CORRUPT.ok("a read of another log", store.read(s.group(), other.id).await)?;
        CORRUPT.log("another log", log.as_ref(), std::slice::from_ref(&other.entry), 1)?;
    }
    CORRUPT.ok("an append to another log", s.store().append(&s.next_write(&other)).await)?;
    mend(s, first.id).await;
    let log = s.read(first.id).await?;
    CORRUPT.log("the log, once it is mended", log.as_ref(), &[first.entry, second.entry], 2)
}
