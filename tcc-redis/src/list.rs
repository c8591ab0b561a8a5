//! Listing, and counting.

use redis::{Value, from_redis_value};
use tcc_core::store::{Cursor, DueAge, Listed, Page, Query, Select, Stats, StoreError, Unreadable};

use crate::connection::Connection;
use crate::error::Failure;
use crate::index::{self, Found, Index, Item, Place};
use crate::keys::GroupKeys;

/// How many transactions one page holds at most.
const MAX_PAGE: usize = 256;

pub(crate) async fn list(
    connection: &Connection,
    keys: &GroupKeys,
    query: &Query,
) -> Result<Page, StoreError> {
    let after = query.cursor.as_ref().map(|cursor| read_cursor(cursor, query.select)).transpose()?;
    let limit = query.limit.clamp(1, MAX_PAGE);
    let of = match query.select {
        Select::Unfinished => Index::Due,
        Select::Kept => Index::Kept,
    };
    let head = index::page(connection, keys, of, after, limit + 1).await.map_err(Failure::of_read)?;
    let wanted = head.items.len().min(limit);
    let found = index::logs(connection, keys, &head.items[..wanted]).await.map_err(Failure::of_read)?;

    let mut page = Page::default();
    let shown = found.len();
    for (item, found) in head.items.iter().zip(found) {
        let id = item.place.id;
        match found {
            Found::Log(log) => page.items.push(Listed { id, log, due: due(item, query.select) }),
            Found::Nothing => {
                page.unreadable.push(Unreadable { id, why: "there is no log of it".to_owned() })
            }
            Found::Garbage(why) => page.unreadable.push(Unreadable { id, why }),
        }
    }
    // Strangers have taken places of the page: there may be more behind them.
    let more = shown < head.items.len() || !head.strangers.is_empty();
    page.next = if more {
        head.items[..shown].last().map(|item| write_cursor(item.place, query.select))
    } else {
        None
    };
    Ok(page)
}

fn due(item: &Item, select: Select) -> DueAge {
    match select {
        Select::Kept => DueAge::Never,
        Select::Unfinished if item.is_due() => DueAge::Overdue(item.overdue()),
        Select::Unfinished => DueAge::In(item.wait()),
    }
}

fn letter(select: Select) -> &'static str {
    match select {
        Select::Unfinished => "u",
        Select::Kept => "k",
    }
}

fn write_cursor(place: Place, select: Select) -> Cursor {
    Cursor(format!("{}-{}-{}", letter(select), place.score, place.id))
}

fn read_cursor(cursor: &Cursor, select: Select) -> Result<Place, StoreError> {
    let read = || {
        let (score, id) = cursor.0.strip_prefix(letter(select))?.strip_prefix('-')?.split_once('-')?;
        let score = score.parse().ok().filter(|score| *score < 1 << 53)?;
        Some(Place { score, id: id.parse().ok()? })
    };
    read().ok_or(StoreError::BadCursor)
}

pub(crate) async fn stats(connection: &Connection, keys: &GroupKeys) -> Result<Stats, StoreError> {
    let mut pipeline = redis::pipe();
    for shard in keys.shards() {
        pipeline.cmd("ZCARD").arg(&shard.due);
        pipeline.cmd("ZCARD").arg(&shard.kept);
        pipeline.cmd("ZRANGE").arg(&shard.due).arg(0).arg(0).arg("WITHSCORES");
    }
    pipeline.cmd("TIME");
    let read = |replies: Vec<Result<Value, Failure>>| {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or_else(|| Err(Failure::unexpected("too few replies")));
        let mut stats = Stats::default();
        let mut first: Option<f64> = None;
        for _ in keys.shards() {
            stats.unfinished += number(next()?)?;
            stats.kept += number(next()?)?;
            let head: Vec<(Vec<u8>, f64)> =
                from_redis_value(next()?).map_err(|_| Failure::unexpected("no head of an index"))?;
            first = head.first().map(|(_, score)| *score).into_iter().chain(first).min_by(f64::total_cmp);
        }
        let (seconds, micros): (u64, u64) =
            from_redis_value(next()?).map_err(|_| Failure::unexpected("no time"))?;
        let now = seconds * 1_000_000 + micros;
        stats.most_overdue = first
            .filter(|first| *first <= now as f64)
            .map(|first| std::time::Duration::from_micros(now.saturating_sub(first as u64)));
        Ok(stats)
    };
    connection.ask_all(&pipeline).await.and_then(read).map_err(Failure::of_read)
}

fn number(reply: Value) -> Result<u64, Failure> {
    from_redis_value(reply).map_err(|_| Failure::unexpected("no number"))
}
