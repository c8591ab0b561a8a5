//! Many at once, and futures that are dropped.

use crate::protocol::Position;
use crate::store::{Append, Due};
use crate::testing::poll::dropped_after;
use crate::testing::suite::{BOUND, Broken, HOUR, Promise, SOON, Suite, eventually};

const ONE_WINS: Promise = Promise::new(
    "of many appends at one position exactly one is applied, and all others conflict",
    "compare and append in one atomic step (one script, a conditional update whose affected rows are counted)",
);
const EITHER: Promise = Promise::new(
    "a claim and an append that race each other: either the append comes first and is in the claimed log, or it \
     conflicts",
    "let claim and append exclude each other on the log",
);
const DROPPED: Promise = Promise::new(
    "an append whose future is dropped is applied whole or not at all, and the store stays usable",
    "put all of it into one atomic request; let a dropped future leave no lock, no half-read connection and no open \
     transaction behind",
);
const DROPPED_CLAIM: Promise = Promise::new(
    "a claim whose future is dropped has leased or not; what it leased is due again after the lease",
    "put all of it into one atomic request; leave no lock and no open transaction behind",
);

/// Sixteen tasks on two handles, twelve positions.
pub(crate) async fn one_append_wins_each_position(s: &Suite) -> Result<(), Broken> {
    let handles = [s.store(), s.open().await];
    let first = s.begin(Due::In(HOUR)).await?;
    let (mut end, mut entries) = (Position::START.then(first.entry.op()), vec![first.entry.clone()]);
    for _ in 0..12 {
        let writers: Vec<_> = (0..16)
            .map(|number| {
                let store = handles[number % 2].clone();
                let write = s.write(first.id, end);
                tokio::spawn(async move { (store.append(&write).await, write) })
            })
            .collect();
        let mut winners = Vec::new();
        for writer in writers {
            let joined = writer.await;
            let (answer, write) =
                joined.map_err(|error| ONE_WINS.broken(format!("an append panicked: {error}")))?;
            match answer {
                Ok(()) => winners.push(write),
                lost => ONE_WINS.conflict("an append that lost", &lost, first.id)?,
            }
        }
        ONE_WINS.equal("winners of one position among 16", &winners.len(), &1)?;
        end = end.then(winners[0].entry.op());
        entries.push(winners[0].entry.clone());
    }
    ONE_WINS.log("after all", s.read(first.id).await?.as_ref(), &entries, entries.len() as u32)
}

/// Deciding and timing out race through one conditional append.
pub(crate) async fn claim_and_append_exclude_each_other(s: &Suite) -> Result<(), Broken> {
    let other = s.open().await;
    for round in 0..20 {
        let first = s.begin(Due::Keep).await?;
        let write = Append { due: Due::Keep, ..s.next_write(&first) };
        let claim = s.claim(HOUR, 10);
        let (store, other) = (s.store(), other.clone());
        let appending = {
            let write = write.clone();
            tokio::spawn(async move { store.append(&write).await })
        };
        let claiming = {
            let claim = claim.clone();
            tokio::spawn(async move { other.claim(&claim).await })
        };
        let (appended, claimed) = if round % 2 == 0 {
            let appended = appending.await;
            (appended, claiming.await)
        } else {
            let claimed = claiming.await;
            (appending.await, claimed)
        };
        let appended = appended.map_err(|error| EITHER.broken(format!("the append panicked: {error}")))?;
        let claimed = claimed.map_err(|error| EITHER.broken(format!("the claim panicked: {error}")))?;
        let claimed = EITHER.ok("the claim", claimed)?;
        let entries = match appended {
            Ok(()) => vec![first.entry.clone(), write.entry, claim.entry],
            lost => {
                EITHER.conflict("the append that lost", &lost, first.id)?;
                vec![first.entry.clone(), claim.entry]
            }
        };
        let log = claimed.logs.iter().find(|(id, _)| *id == first.id).map(|(_, log)| log);
        EITHER.log("the claimed log", log, &entries, entries.len() as u32)?;
        EITHER.log("the log in the end", s.read(first.id).await?.as_ref(), &entries, entries.len() as u32)?;
    }
    Ok(())
}

/// Dropped unpolled, after the first poll, after more; then asked again, for it may still be on its way.
pub(crate) async fn a_dropped_append_is_whole_or_absent(s: &Suite) -> Result<(), Broken> {
    for polls in 0..8 {
        let first = s.begin(Due::In(HOUR)).await?;
        let write = s.next_write(&first);
        let store = s.store();
        let answer = dropped_after(polls, store.append(&write)).await;
        if let Some(answer) = answer {
            DROPPED.ok("an append that was not dropped", answer)?;
        }
        let seen = s.read(first.id).await?;
        let entries = [first.entry.clone(), write.entry.clone()];
        let absent = DROPPED.log("", seen.as_ref(), &entries[..1], 1).is_ok();
        if !absent {
            DROPPED.log("the log of a dropped append", seen.as_ref(), &entries, 2)?;
        }
        DROPPED.ok("the same append again", s.store().append(&write).await)?;
        DROPPED.log("after the same append again", s.read(first.id).await?.as_ref(), &entries, 2)?;
        let next = s.next_write(&write);
        DROPPED.ok("an append after it", s.store().append(&next).await)?;
    }
    Ok(())
}

/// Each write of a dropped batch by itself.
pub(crate) async fn a_dropped_batch_is_whole_or_absent_in_each(s: &Suite) -> Result<(), Broken> {
    for polls in 0..8 {
        let mut writes = Vec::new();
        for _ in 0..5 {
            let begun = s.begin(Due::In(HOUR)).await?;
            writes.extend([s.next_write(&begun), s.first(Due::In(HOUR))]);
        }
        let store = s.store();
        drop(dropped_after(polls, store.append_all(&writes)).await);
        let again = s.store().append_all(&writes).await;
        DROPPED.equal("the number of answers", &again.len(), &writes.len())?;
        for (write, answer) in writes.iter().zip(again) {
            DROPPED.ok("the same batch again", answer)?;
            let log = s.read(write.id).await?;
            let end = write.after.then(write.entry.op());
            DROPPED.equal(
                "the end of a log of a dropped batch",
                &log.map(|log| log.position()),
                &Some(end),
            )?;
        }
    }
    Ok(())
}

/// Nobody holds what it may have leased.
pub(crate) async fn a_dropped_claim_leases_or_leaves(s: &Suite) -> Result<(), Broken> {
    for polls in 0..6 {
        let first = s.begin(Due::Keep).await?;
        let (store, lost) = (s.store(), s.claim(SOON, 10));
        drop(dropped_after(polls, store.claim(&lost)).await);
        let (entry, log) = eventually(async || {
            let claim = s.claim(HOUR, 10);
            let claimed = DROPPED_CLAIM.ok("claim", s.store().claim(&claim).await)?;
            Ok(claimed.logs.into_iter().find(|(id, _)| *id == first.id).map(|(_, log)| (claim.entry, log)))
        })
        .await?
        .ok_or_else(|| DROPPED_CLAIM.broken(format!("what it leased was not due again within {BOUND:?}")))?;
        let with = [first.entry.clone(), lost.entry, entry.clone()];
        let without = [first.entry, entry];
        if DROPPED_CLAIM.log("", Some(&log), &with, 3).is_err() {
            DROPPED_CLAIM.log("the log of a dropped claim", Some(&log), &without, 2)?;
        }
    }
    Ok(())
}
