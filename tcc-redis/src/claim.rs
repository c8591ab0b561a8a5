//! Handing out what is due.
//!
//! A script may touch only the keys it was told, and which logs are due is not known before the index was read. So a claim
//! is three steps: the head of the index; those logs; and then an append to each, through the same script as every other
//! write, on the condition that the log still ends where it was read *and* is still due. The first half excludes all who
//! write to it meanwhile; the second, those who claimed it between the first step and the second. A log is so read, whole and
//! to its last byte, before anything is written to it. When nothing is due, which is nearly always, the first step is all.

use std::time::Duration;

use tcc_core::store::{Append, Claim, Claimed, Due, Mode, StoreError, Unreadable};

use crate::batch::{self, Condition};
use crate::connection::Connection;
use crate::error::Failure;
use crate::index::{self, Found, Index, Item, Stranger};
use crate::keys::GroupKeys;

/// How many logs one claim hands out at most.
const MAX_CLAIM: usize = 128;
/// How often a claim begins anew when others were faster with all it had found.
const ROUNDS: usize = 4;

pub(crate) async fn claim(
    connection: &Connection,
    keys: &GroupKeys,
    claim: &Claim,
) -> Result<Claimed, StoreError> {
    let mut round = 1;
    loop {
        let (claimed, lost) = claim_once(connection, keys, claim).await?;
        let nothing = claimed.logs.is_empty() && claimed.unreadable.is_empty();
        if !(nothing && lost) || round == ROUNDS {
            return Ok(claimed);
        }
        round += 1;
    }
}

/// What was claimed, and whether something was due that others were faster with.
async fn claim_once(
    connection: &Connection,
    keys: &GroupKeys,
    claim: &Claim,
) -> Result<(Claimed, bool), StoreError> {
    let limit = claim.limit.min(MAX_CLAIM);
    let page = index::page(connection, keys, Index::Due, None, limit + 1).await.map_err(Failure::of_read)?;
    let due = page.items.iter().take(limit).take_while(|item| item.is_due()).count();
    let found = index::logs(connection, keys, &page.items[..due]).await.map_err(Failure::of_read)?;
    let (due, later) = page.items.split_at(found.len());

    let mut claimed = Claimed::default();
    let (mut parked, strangers): (Vec<_>, Vec<_>) = page.strangers.into_iter().partition(Stranger::is_due);
    if !parked.is_empty() {
        tracing::warn!(group = %claim.group, members = parked.len(), "the due index holds what is no transaction's id");
    }
    // Behind them there may be more than was looked at.
    let more = (!parked.is_empty()).then_some(Duration::ZERO);
    let mut logs = Vec::with_capacity(found.len());
    for (item, found) in due.iter().zip(found) {
        let why = match found {
            Found::Log(log) => {
                logs.push((item, log));
                continue;
            }
            Found::Nothing => "it is due, and there is no log of it".to_owned(),
            Found::Garbage(why) => why,
        };
        parked.push(Stranger::from(item));
        claimed.unreadable.push(Unreadable { id: item.place.id, why });
    }
    index::park(connection, keys, claim.lease, &parked).await?;

    let writes: Vec<Append> = logs
        .iter()
        .map(|(item, log)| Append {
            group: claim.group.clone(),
            id: item.place.id,
            after: log.position(),
            entry: claim.entry.clone(),
            due: Due::In(claim.lease),
            mode: Mode::Extend,
        })
        .collect();
    let answers =
        batch::append(connection, keys, &writes.iter().collect::<Vec<_>>(), Condition::PositionAndDue).await;
    let mut failure = None;
    let mut lost = false;
    for ((item, mut log), answer) in logs.into_iter().zip(answers) {
        match answer {
            Ok(()) => {
                log.push(claim.entry.clone());
                claimed.logs.push((item.place.id, log));
            }
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => lost = true,
            Err(StoreError::Corrupt { id, why }) => claimed.unreadable.push(Unreadable { id, why }),
            Err(error) => failure = Some(error),
        }
    }
    // What was handed out is handed out, even if a later call for another shard has failed.
    if let Some(failure) = failure.filter(|_| claimed.logs.is_empty()) {
        return Err(failure);
    }
    // What others were faster with may be due again after their lease: look again by then.
    let others = lost.then_some(claim.lease);
    let waits = later.first().map(Item::wait).into_iter().chain(strangers.first().map(Stranger::wait));
    claimed.next_due = waits.chain(others).chain(more).min();
    Ok((claimed, lost))
}
