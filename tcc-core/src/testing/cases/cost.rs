//! What calls cost, with very many logs in the store.

use std::fmt;

use crate::store::{Append, Due, Select};
use crate::testing::suite::{Broken, HOUR, Promise, Suite};

const BOUNDED: Promise = Promise::new(
    "a page of a list, stats and a claim cost what they bring, not what the store holds",
    "keep an index by due time and read it from its head; keep counts, or let the index tell them; let a cursor be a \
     place in the index, not a number of items to skip",
);
const FILLED: Promise = Promise::new(
    "very many logs can be begun",
    "answer each append; let the fixture's fill() write what append_all would",
);

/// How many logs the same calls are measured with at first.
const FEW: usize = 1_000;
/// How much dearer each call may become from [`FEW`] to very many: by the depth of a tree and by what no longer fits
/// into a cache, but not by the thousandfold.
const FACTOR: u64 = 10;
/// How many logs a page or a claim is of.
const PAGE: usize = 100;
/// Of how many turns the least counts: a turn may be interrupted by what else the machine does.
const TURNS: usize = 5;

/// The least that each kind of call has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Costs {
    list: u64,
    stats: u64,
    claim: u64,
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "list {}, stats {}, claim {}", self.list, self.stats, self.claim)
    }
}

async fn costs(s: &Suite, unfinished: usize) -> Result<Costs, Broken> {
    let meter = s.hooks().metered.as_ref().expect("its case needs it");
    let mut least = Costs { list: u64::MAX, stats: u64::MAX, claim: u64::MAX };
    let mut query = s.query(Select::Unfinished, PAGE);
    for _ in 0..TURNS {
        let before = meter.work().await;
        let page = s.page(&query).await?;
        let listed = meter.work().await;
        let stats = BOUNDED.ok("stats", s.store().stats(s.group()).await)?;
        let counted = meter.work().await;
        let claimed = s.claimed(HOUR, PAGE).await?;
        let done = meter.work().await;
        // Each turn has done what it was asked for: nothing is cheap because it is not done.
        FILLED.equal("logs of a page", &page.items.len(), &PAGE)?;
        FILLED.equal("unfinished logs", &stats.unfinished, &(unfinished as u64))?;
        FILLED.equal("claimed logs", &claimed.logs.len(), &PAGE)?;
        query.cursor = page.next;
        least.list = least.list.min(listed - before);
        least.stats = least.stats.min(counted - listed);
        least.claim = least.claim.min(done - counted);
    }
    Ok(least)
}

async fn fill(s: &Suite, count: usize) -> Result<(), Broken> {
    let meter = s.hooks().metered.as_ref().expect("its case needs it");
    let mut left = count;
    while left > 0 {
        let some = left.min(200_000);
        // Half are due, half wait: neither may be gone through to find the other.
        let begins: Vec<Append> =
            (0..some).map(|n| s.first(if n % 2 == 0 { Due::Keep } else { Due::In(HOUR) })).collect();
        if !meter.fill(&begins).await {
            s.put_all_in(&begins, 1_000).await?;
        }
        left -= some;
    }
    Ok(())
}

/// A thousand, then a million: half of them due.
pub(crate) async fn very_many_unfinished_cost_no_more_than_a_thousand(s: &Suite) -> Result<(), Broken> {
    let very_many = s.hooks().metered.as_ref().expect("its case needs it").very_many();
    assert!(very_many >= 10 * FEW, "very_many() is {very_many}: at least {} show what grows", 10 * FEW);
    fill(s, FEW).await?;
    let few = costs(s, FEW).await?;
    BOUNDED.holds(few.claim > 0, || {
        "a claim has cost nothing: what does the fixture's work() measure?".into()
    })?;
    fill(s, very_many - FEW).await?;
    let many = costs(s, very_many).await?;
    // A call that costs next to nothing may cost, with very many, as much as a claim of few: its cost is all noise.
    let allowed = |few_of_it: u64| FACTOR * few_of_it + few.claim;
    let within = many.list <= allowed(few.list)
        && many.stats <= allowed(few.stats)
        && many.claim <= allowed(few.claim);
    BOUNDED.holds(within, || format!("with {FEW} unfinished logs: {few}; with {very_many}: {many}"))
}
