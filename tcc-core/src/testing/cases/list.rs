//! Lists, numbers, and the smaller calls.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::TxId;
use crate::store::{Append, Cursor, Due, DueAge, Retain, Select, StoreError};
use crate::testing::suite::{BOUND, Broken, COARSE, HOUR, Promise, SOON, Suite, eventually};

const WHOLE: Promise = Promise::new(
    "a list that nothing changes meanwhile gives every log once, the most overdue first, over all its pages",
    "order by due time and then by id, and let the cursor name both of the last item: many logs may be due at once",
);
const LIMIT: Promise = Promise::new(
    "a page holds at most as many items as asked for, and has a next one if more follow",
    "stop at the limit; give no cursor only when nothing follows",
);
const NONE_IS_ONE: Promise = Promise::new(
    "a page of no items is one of one item: a page without items and without a next one would say that nothing is there",
    "take a Query::limit of 0 as 1",
);
const GOES_ON: Promise = Promise::new(
    "the next page begins behind the last item of the one before",
    "let the cursor name the last item of the page (due time and id), and list only what is greater",
);
const STABLE: Promise = Promise::new(
    "what stays as it is while the pages are read is listed exactly once, whatever comes, goes or moves beside it",
    "let the cursor hold the place of the last item (due time and id), not an offset, and not only an id to look up",
);
const AGED: Promise = Promise::new(
    "a listed log is whole, and says when it is due by the store's clock",
    "give the log as read() does, and its due time as a duration from the store's now",
);
const CURSOR: Promise = Promise::new(
    "a cursor that this store never gave is BadCursor",
    "check the cursor's form before using it, and answer StoreError::BadCursor to any other text",
);
const STATS: Promise = Promise::new(
    "stats count what is unfinished and what is kept for ever, and say how overdue the most overdue is",
    "count the indexes; a leased log is unfinished, and what is finished is neither",
);
const CHECK: Promise = Promise::new(
    "check says what is wrong with the server and how to mend it",
    "fill both `what` and `mend` of every finding, and let a working server have no errors",
);
const DUE_SOON: Promise = Promise::new(
    "due_soon comes back at the time given at the latest",
    "bound the wait by `at_most`, whatever it listens to",
);

/// Logs due at the same instant and at others, in pages smaller than the ties.
pub(crate) async fn list_is_whole_and_in_due_order(s: &Suite) -> Result<(), Broken> {
    let mut writes: Vec<Append> =
        [3, 1, 4, 1, 5, 9, 2, 6].into_iter().map(|n| s.first(Due::In(n * HOUR))).collect();
    writes.extend((0..40).map(|_| s.first(Due::In(7 * HOUR))));
    writes.push(s.first(Due::Keep));
    s.put_all(&writes).await?;
    for limit in [1, 7, 1_000] {
        let listed = s.listed(Select::Unfinished, limit).await?;
        let mut ids: Vec<TxId> = listed.items.iter().map(|item| item.id).collect();
        let hours: Vec<u64> = listed.items.iter().map(|item| nearest_hour(item.due)).collect();
        let mut wanted = vec![0, 1, 1, 2, 3, 4, 5, 6];
        wanted.extend([7; 40]);
        wanted.push(9);
        WHOLE.equal(&format!("the hours to wait, in pages of {limit}"), &hours, &wanted)?;
        ids.sort();
        ids.dedup();
        WHOLE.equal(&format!("different logs in pages of {limit}"), &ids.len(), &writes.len())?;
    }
    Ok(())
}

fn nearest_hour(due: DueAge) -> u64 {
    match due {
        DueAge::In(wait) => (wait + HOUR / 2).as_secs() / HOUR.as_secs(),
        DueAge::Overdue(_) => 0,
        DueAge::Never => u64::MAX,
    }
}

/// Also of what is kept for ever.
pub(crate) async fn list_pages_keep_to_their_limit(s: &Suite) -> Result<(), Broken> {
    let unfinished: Vec<Append> = (0..10).map(|_| s.first(Due::In(HOUR))).collect();
    let kept: Vec<Append> = (0..10).map(|_| s.first(Due::Never { retain: Retain::Forever })).collect();
    s.put_all(&unfinished).await?;
    s.put_all(&kept).await?;
    for (select, writes) in [(Select::Unfinished, &unfinished), (Select::Kept, &kept)] {
        for limit in [1, 3, 5, 10, 11, usize::MAX] {
            let page = s.page(&s.query(select, limit)).await?;
            LIMIT.holds(page.next.is_some() || page.items.len() == 10, || {
                format!("{select:?}: a first page of {} of 10 items, and no next one", page.items.len())
            })?;
            let listed = s.listed(select, limit).await?;
            let mut ids: Vec<TxId> = listed.items.iter().map(|item| item.id).collect();
            let mut wanted: Vec<TxId> = writes.iter().map(|write| write.id).collect();
            ids.sort();
            wanted.sort();
            LIMIT.equal(&format!("{select:?} in pages of {limit}"), &ids, &wanted)?;
        }
    }
    Ok(())
}

/// Whoever follows the pages comes to their end, whatever size was asked for.
pub(crate) async fn a_page_of_none_is_a_page_of_one(s: &Suite) -> Result<(), Broken> {
    for (select, due) in
        [(Select::Unfinished, Due::In(HOUR)), (Select::Kept, Due::Never { retain: Retain::Forever })]
    {
        let writes: Vec<Append> = (0..3).map(|_| s.first(due)).collect();
        s.put_all(&writes).await?;
        // What is wrong with a page of one is not wrong because none were asked for.
        let mut query = s.query(select, 1);
        let mut seen = Vec::new();
        while let Some(item) = s.page(&query).await.map(|page| {
            query.cursor = page.next;
            page.items.into_iter().next()
        })? {
            GOES_ON.holds(!seen.contains(&item.id), || {
                format!("{select:?} in pages of 1: page {} lists a log of an earlier page", seen.len() + 1)
            })?;
            seen.push(item.id);
            if query.cursor.is_none() {
                break;
            }
        }
        let mut query = s.query(select, 0);
        let mut ids = Vec::new();
        for number in 1..=3 {
            let page = NONE_IS_ONE.ok("list", s.store().list(&query).await)?;
            NONE_IS_ONE.equal(&format!("items of page {number} of none"), &page.items.len(), &1)?;
            NONE_IS_ONE.equal(
                &format!("whether page {number} of 3 has a next"),
                &page.next.is_some(),
                &(number < 3),
            )?;
            ids.extend(page.items.into_iter().map(|item| item.id));
            query.cursor = page.next;
        }
        let mut wanted: Vec<TxId> = writes.iter().map(|write| write.id).collect();
        ids.sort();
        wanted.sort();
        NONE_IS_ONE.equal("what three pages of none list", &ids, &wanted)?;
    }
    Ok(())
}

/// The last item of a page goes, another moves, new ones come before and behind.
pub(crate) async fn list_survives_changes_between_pages(s: &Suite) -> Result<(), Broken> {
    for select in [Select::Unfinished, Select::Kept] {
        let due = |n: u32| match select {
            Select::Unfinished => Due::In(HOUR + n * Duration::from_secs(60)),
            Select::Kept => Due::Never { retain: Retain::Forever },
        };
        let firsts: HashMap<TxId, Append> =
            (0..60).map(|n| s.first(due(n))).map(|first| (first.id, first)).collect();
        s.put_all(&firsts.values().cloned().collect::<Vec<_>>()).await?;
        let mut seen: HashMap<TxId, u32> = HashMap::new();
        let mut touched = Vec::new();
        let mut query = s.query(select, 7);
        for round in 0.. {
            let page = s.page(&query).await?;
            for item in &page.items {
                *seen.entry(item.id).or_default() += 1;
            }
            let Some(next) = page.next else { break };
            STABLE.holds(round < 200, || "200 pages of 60 logs, and still a next one".into())?;
            query.cursor = Some(next);
            // The last of the page is finished, and one that has not been seen; the first is put off.
            let last = page.items.last().map(|item| item.id);
            let unseen = firsts.keys().copied().find(|id| !seen.contains_key(id) && !touched.contains(id));
            for id in
                [last, unseen].into_iter().flatten().filter(|id| !touched.contains(id)).collect::<Vec<_>>()
            {
                let Some(first) = firsts.get(&id) else { continue };
                s.put(&Append { due: Due::Never { retain: Retain::For(HOUR) }, ..s.next_write(first) })
                    .await?;
                touched.push(id);
            }
            if let Some(first) = page.items.first().and_then(|item| firsts.get(&item.id))
                && !touched.contains(&first.id)
                && select == Select::Unfinished
            {
                s.put(&Append { due: Due::In(2 * HOUR), ..s.next_write(first) }).await?;
                touched.push(first.id);
            }
            if round < 3 {
                s.put_all(&[s.first(due(0)), s.first(due(100))]).await?;
            }
        }
        for id in firsts.keys().filter(|id| !touched.contains(id)) {
            let times = seen.get(id).copied().unwrap_or_default();
            STABLE.holds(times == 1, || {
                format!(
                    "{select:?}: a log that stayed as it was, was listed {times} times while others changed"
                )
            })?;
        }
    }
    Ok(())
}

/// The whole log, waiting or overdue.
pub(crate) async fn listed_logs_are_whole_and_aged(s: &Suite) -> Result<(), Broken> {
    let waiting = s.begin(Due::In(HOUR)).await?;
    let more = Append { due: Due::Keep, ..s.next_write(&waiting) };
    s.put(&more).await?;
    let overdue = s.begin(Due::Keep).await?;
    let begun = Instant::now();
    let age = eventually(async || {
        let listed = s.listed(Select::Unfinished, 10).await?;
        let item = listed.items.iter().find(|item| item.id == overdue.id);
        Ok(match item.map(|item| item.due) {
            Some(DueAge::Overdue(age)) if age >= SOON => Some(age),
            _ => None,
        })
    })
    .await?
    .ok_or_else(|| {
        AGED.broken(format!("a log due at once is not listed as overdue for {SOON:?} within {BOUND:?}"))
    })?;
    let passed = begun.elapsed();
    AGED.holds(age <= passed + SOON && passed <= age + SOON, || {
        format!("a log due since {passed:?} is listed as overdue for {age:?}")
    })?;
    let listed = s.listed(Select::Unfinished, 10).await?;
    AGED.equal("listed logs", &listed.items.len(), &2)?;
    AGED.log("a listed log", Some(&listed.items[0].log), &[overdue.entry], 1)?;
    AGED.log("a listed log of two entries", Some(&listed.items[1].log), &[waiting.entry, more.entry], 2)?;
    let due = listed.items[1].due;
    let about_an_hour = matches!(due, DueAge::In(wait) if wait <= HOUR && wait > HOUR / 2);
    AGED.holds(about_an_hour, || format!("a log due in an hour is listed as {due:?}"))
}

/// Whatever text a user may send.
pub(crate) async fn rubbish_is_no_cursor(s: &Suite) -> Result<(), Broken> {
    s.begin(Due::In(HOUR)).await?;
    s.begin(Due::Never { retain: Retain::Forever }).await?;
    let long = "9".repeat(5_000);
    for text in
        ["", "rubbish", "-", ":", "0", "-1", "' OR 1=1 --", "größe", "\0", "99999999999999999999-zz", &long]
    {
        for select in [Select::Unfinished, Select::Kept] {
            let mut query = s.query(select, 10);
            query.cursor = Some(Cursor(text.to_owned()));
            let answer = s.store().list(&query).await;
            CURSOR.holds(matches!(answer, Err(StoreError::BadCursor)), || {
                let shown: String = text.chars().take(30).collect();
                format!(
                    "the cursor {shown:?} of a list of {select:?}: {:?}",
                    answer.map(|page| page.items.len())
                )
            })?;
        }
    }
    Ok(())
}

/// Each of them, as it comes and goes.
pub(crate) async fn stats_count(s: &Suite) -> Result<(), Broken> {
    let stats = async || STATS.ok("stats", s.store().stats(s.group()).await);
    let empty = stats().await?;
    STATS.equal("(unfinished, kept) of an empty group", &(empty.unfinished, empty.kept), &(0, 0))?;
    STATS.equal("the most overdue of an empty group", &empty.most_overdue, &None)?;
    s.begin(Due::In(HOUR)).await?;
    STATS.equal("the most overdue when none is due", &stats().await?.most_overdue, &None)?;
    let begun = Instant::now();
    let due = s.begin(Due::Keep).await?;
    s.begin(Due::Never { retain: Retain::For(HOUR) }).await?;
    s.begin(Due::Never { retain: Retain::Forever }).await?;
    let some = eventually(async || {
        let stats = stats().await?;
        Ok(stats.most_overdue.is_some_and(|age| age >= SOON).then_some(stats))
    })
    .await?
    .ok_or_else(|| STATS.broken(format!("a log due at once is not overdue for {SOON:?} within {BOUND:?}")))?;
    let passed = begun.elapsed();
    STATS.equal("(unfinished, kept)", &(some.unfinished, some.kept), &(2, 1))?;
    STATS.holds(some.most_overdue.is_some_and(|age| age <= passed + COARSE), || {
        format!("the most overdue has been due for {:?}, after {passed:?}", some.most_overdue)
    })?;
    s.claimed(HOUR, 10).await?;
    let leased = stats().await?;
    STATS.equal("(unfinished, kept) with one leased", &(leased.unfinished, leased.kept), &(2, 1))?;
    STATS.equal("the most overdue when all that was due is leased", &leased.most_overdue, &None)?;
    let position = s.read(due.id).await?.map(|log| log.position());
    let position = position.ok_or_else(|| STATS.broken("a leased log is gone"))?;
    s.put(&Append { due: Due::Never { retain: Retain::Forever }, ..s.write(due.id, position) }).await?;
    let ended = stats().await?;
    STATS.equal("(unfinished, kept) in the end", &(ended.unfinished, ended.kept), &(1, 2))
}

/// On a server that passes this suite there is nothing to refuse.
pub(crate) async fn check_says_how_to_mend(s: &Suite) -> Result<(), Broken> {
    let readiness = CHECK.ok("check", s.store().check().await)?;
    CHECK.holds(readiness.errors.is_empty(), || format!("errors: {:?}", readiness.errors))?;
    for finding in &readiness.warnings {
        let said = !finding.what.trim().is_empty() && !finding.mend.trim().is_empty();
        CHECK.holds(said, || format!("a warning that does not say what and how: {finding:?}"))?;
    }
    Ok(())
}

/// With nothing due, and with something due.
pub(crate) async fn due_soon_comes_back(s: &Suite) -> Result<(), Broken> {
    for round in ["with nothing due", "with something due"] {
        let waited =
            tokio::time::timeout(BOUND, s.store().due_soon(s.group(), Duration::from_millis(30))).await;
        DUE_SOON.holds(waited.is_ok(), || format!("{round}: still waiting after {BOUND:?}"))?;
        s.begin(Due::Keep).await?;
    }
    Ok(())
}
