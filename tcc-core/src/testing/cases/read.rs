//! What was written is read back, exactly and by whom it concerns.

use std::collections::BTreeMap;
use std::slice::from_ref;
use std::time::Duration;

use super::claim::NEXT;
use crate::protocol::{Group, Position};
use crate::store::{Append, Claim, Due, Retain, Select};
use crate::testing::suite::{Broken, HOUR, Promise, SOON, Suite};

const NONE: Promise = Promise::new(
    "a read where there is no log answers None",
    "answer Ok(None), not an error and not an empty log",
);
const EXACT: Promise = Promise::new(
    "a log is read back exactly as it was appended: any text but line breaks and NUL",
    "keep lines as bytes, or as text that is neither trimmed, escaped, normalised nor cut; separate entries by what \
     no line can have: a line break",
);
const KEPT: Promise = Promise::new(
    "what was acknowledged is there for every handle, also after all others were closed",
    "answer Ok only after the write is durable and can be seen by others; keep nothing in the handle alone",
);
const APART: Promise = Promise::new(
    "groups are apart: the same id may be in two of them, and no call of one sees or changes the other",
    "make the group a part of every key and of every index",
);

/// An id that nobody used.
pub(crate) async fn read_of_no_log_is_none(s: &Suite) -> Result<(), Broken> {
    let other = s.begin(Due::Keep).await?;
    NONE.equal("a log that was never begun", &s.read(s.id()).await?, &None)?;
    let elsewhere = NONE.ok("read in an unused group", s.store().read(&s.other_group(), other.id).await)?;
    NONE.equal("a log in a group that was never used", &elsewhere, &None)
}

/// Every kind of text a line may be.
pub(crate) async fn any_text_is_kept_exactly(s: &Suite) -> Result<(), Broken> {
    let controls: String =
        (1..=0x9f).filter_map(char::from_u32).filter(|c| !matches!(c, '\n' | '\r')).collect();
    let separators = "\u{1c}\u{1d}\u{1e}\u{1f}\u{2028}\u{2029}\u{feff}\u{fffd}";
    let texts = [
        "",
        " ",
        "  spaces before and after  ",
        "\t",
        "{\"v\":1,\"begin\":{\"name\":\"checkout\"}}",
        "'single' \"double\" `back` \\ \\\\ \\n \\0 \\u0000 %s {} $1 ; -- /* */ ' OR 1=1",
        "größe 東京 Ωμέγα 🦀 👩‍👩‍👧‍👦 \u{10ffff}",
        "e\u{301} is not é",
        "00000000000000ff 1 @ - : , | ~ ^",
        "null",
        "0",
        separators,
        &controls,
    ];
    let first = Append { entry: s.entry_with(texts[0]), ..s.first(Due::Keep) };
    let (id, mut entries, mut last) = (first.id, Vec::new(), first);
    for (number, text) in texts.iter().enumerate() {
        if number > 0 {
            last = Append { entry: s.entry_with(text), due: Due::Keep, ..s.next_write(&last) };
        }
        EXACT.ok(&format!("an append of {text:?}"), s.store().append(&last).await)?;
        entries.push(last.entry.clone());
        EXACT.log(
            &format!("a log that ends with {text:?}"),
            s.read(id).await?.as_ref(),
            &entries,
            number as u32 + 1,
        )?;
    }
    // A claim and a list give the same text as a read.
    let listed = s.listed(Select::Unfinished, 10).await?;
    EXACT.log(
        "the log as it is listed",
        listed.items.first().map(|item| &item.log),
        &entries,
        texts.len() as u32,
    )?;
    let claim = s.claim(HOUR, 10);
    let claimed = EXACT.ok("claim", s.store().claim(&claim).await)?;
    entries.push(claim.entry);
    EXACT.log(
        "the log as it is claimed",
        claimed.logs.first().map(|(_, log)| log),
        &entries,
        texts.len() as u32 + 1,
    )
}

/// Lines as long as a payload may be, several in one log and in one batch.
pub(crate) async fn lines_of_64_kib_are_kept(s: &Suite) -> Result<(), Broken> {
    let long = |fill: &str| s.entry_with(&fill.repeat(64 * 1024 / fill.len()));
    let first = Append { entry: long("x"), ..s.first(Due::Keep) };
    let second = Append { entry: long("🦀"), ..s.next_write(&first) };
    let third = Append { entry: long("\\\""), ..s.next_write(&second) };
    for answer in s.store().append_all(&[first.clone(), second.clone(), third.clone()]).await {
        EXACT.ok("an append of 64 KiB", answer)?;
    }
    let log = s.read(first.id).await?;
    EXACT.log("a log of 3 × 64 KiB", log.as_ref(), &[first.entry, second.entry, third.entry], 3)
}

/// More of them than one answer may carry: what does not fit comes with the next page or claim.
pub(crate) async fn long_logs_are_listed_and_claimed_whole(s: &Suite) -> Result<(), Broken> {
    let text = "x".repeat(64 * 1024);
    let mut writes = BTreeMap::new();
    for _ in 0..120 {
        let write = Append { entry: s.entry_with(&text), ..s.first(Due::Keep) };
        writes.insert(write.id, write);
    }
    s.put_all(&writes.values().cloned().collect::<Vec<_>>()).await?;
    let listed = s.listed(Select::Unfinished, 1_000).await?;
    EXACT.equal("listed logs of 64 KiB", &listed.items.len(), &writes.len())?;
    for item in listed.items {
        let write = writes.get(&item.id).ok_or_else(|| EXACT.broken("a log that nobody wrote"))?;
        EXACT.log(
            "one of 120 logs of 64 KiB, as it is listed",
            Some(&item.log),
            from_ref(&write.entry),
            1,
        )?;
    }
    while !writes.is_empty() {
        let claim = s.claim(HOUR, 1_000);
        let claimed = EXACT.ok("claim", s.store().claim(&claim).await)?;
        EXACT.holds(!claimed.logs.is_empty(), || {
            format!("a claim hands out nothing, and {} logs of 64 KiB are due", writes.len())
        })?;
        for (id, log) in claimed.logs {
            let write = writes.remove(&id).ok_or_else(|| EXACT.broken("a log that was handed out before"))?;
            let entries = [write.entry, claim.entry.clone()];
            EXACT.log("one of 120 logs of 64 KiB, as it is claimed", Some(&log), &entries, 2)?;
        }
        let more = claimed.next_due.is_some_and(|next| next.is_zero());
        EXACT.equal("whether more are due", &more, &!writes.is_empty())?;
    }
    Ok(())
}

/// Logs, due times and what is finished outlive the handle.
pub(crate) async fn reopen_keeps_all(s: &Suite) -> Result<(), Broken> {
    let due = s.begin(Due::Keep).await?;
    let later = s.begin(Due::In(HOUR)).await?;
    let more = s.next_write(&later);
    s.put(&more).await?;
    let finished = s.begin(Due::Never { retain: Retain::For(HOUR) }).await?;
    let kept = s.begin(Due::Never { retain: Retain::Forever }).await?;
    s.reopen().await;
    for (write, entries) in [
        (&due, vec![due.entry.clone()]),
        (&later, vec![later.entry.clone(), more.entry.clone()]),
        (&finished, vec![finished.entry.clone()]),
        (&kept, vec![kept.entry.clone()]),
    ] {
        let appended = entries.len() as u32;
        KEPT.log("a log after the store was reopened", s.read(write.id).await?.as_ref(), &entries, appended)?;
    }
    let stats = KEPT.ok("stats", s.store().stats(s.group()).await)?;
    KEPT.equal("unfinished logs after the store was reopened", &stats.unfinished, &2)?;
    KEPT.equal("logs kept for ever after the store was reopened", &stats.kept, &1)?;
    let claimed = s.claimed(HOUR, 10).await?;
    let ids: Vec<_> = claimed.logs.iter().map(|(id, _)| *id).collect();
    KEPT.equal("what is due after the store was reopened", &ids, &vec![due.id])?;
    KEPT.ok("an append after the store was reopened", s.store().append(&s.next_write(&more)).await)?;

    let second = s.open().await;
    let written = s.begin(Due::Keep).await?;
    let log = KEPT.ok("read", second.read(s.group(), written.id).await)?;
    KEPT.log("what another handle has written", log.as_ref(), from_ref(&written.entry), 1)
}

/// One id in two groups is two transactions.
pub(crate) async fn groups_are_apart(s: &Suite) -> Result<(), Broken> {
    // While one group is empty: what is told wrongly now has nothing to do with groups.
    let alone = Append { group: s.other_group(), ..s.first(Due::Keep) };
    s.put(&alone).await?;
    let claim = Claim { group: s.other_group(), ..s.claim(2 * HOUR, 10) };
    let claimed = NEXT.ok("claim", s.store().claim(&claim).await)?;
    NEXT.equal("the next beside the only one", &claimed.next_due, &None)?;

    let here = s.begin(Due::Keep).await?;
    let there = Append { group: s.other_group(), ..s.write(here.id, Position::START) };
    let there = Append { due: Due::In(Duration::ZERO), ..there };
    APART.ok("a begin of the same id in another group", s.store().append(&there).await)?;
    let read = async |group: &Group| APART.ok("read", s.store().read(group, here.id).await);
    APART.log("the log of the first group", read(s.group()).await?.as_ref(), from_ref(&here.entry), 1)?;
    APART.log("the log of the other group", read(&there.group).await?.as_ref(), from_ref(&there.entry), 1)?;

    let stats = APART.ok("stats", s.store().stats(s.group()).await)?;
    APART.equal("unfinished logs of the first group", &stats.unfinished, &1)?;
    let listed = s.listed(Select::Unfinished, 10).await?;
    APART.equal("listed logs of the first group", &listed.items.len(), &1)?;

    let claimed = s.claimed(HOUR, 10).await?;
    APART.equal("claimed logs of the first group", &claimed.logs.len(), &1)?;
    APART.equal("when the first group is due next", &claimed.next_due, &None)?;
    let untouched = read(&there.group).await?;
    APART.log("the other group after a claim", untouched.as_ref(), from_ref(&there.entry), 1)?;
    let claim = Claim { group: there.group.clone(), ..s.claim(SOON, 10) };
    let claimed = APART.ok("a claim of the other group", s.store().claim(&claim).await)?;
    APART.equal("claimed logs of the other group", &claimed.logs.len(), &1)
}
