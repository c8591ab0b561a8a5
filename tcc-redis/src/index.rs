//! Pages of an index, and the logs they point to.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Cmd, Value, from_redis_value, from_redis_value_ref};
use tcc_core::protocol::{Log, TxId};
use tcc_core::store::StoreError;

use crate::connection::Connection;
use crate::error::Failure;
use crate::keys::{GroupKeys, ShardKeys};
use crate::{scripts, text};

/// How many logs are read in one call, and after how many bytes no more are read: a reply is to stay bounded however long
/// the logs have grown.
const LOGS_AT_ONCE: usize = 32;
const ENOUGH_BYTES: usize = 4 << 20;

/// Which index of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    Due,
    Kept,
}

/// A place in an index: behind it are those of a higher score, and of the same score with a higher id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// In microseconds of the server's clock, in the due index.
    pub(crate) score: u64,
    pub(crate) id: TxId,
}

/// One of an index.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) shard: usize,
    /// When it is due seen from the server's now, in microseconds; negative if it is overdue.
    pub(crate) due_in: i64,
}

impl Item {
    pub(crate) fn is_due(&self) -> bool {
        self.due_in <= 0
    }

    /// How long until it is due; nothing if it is.
    pub(crate) fn wait(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.due_in).unwrap_or(0))
    }

    /// For how long it has been due.
    pub(crate) fn overdue(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.due_in.saturating_neg()).unwrap_or(0))
    }
}

/// A member of an index, whatever it is.
#[derive(Debug, Clone)]
pub(crate) struct Stranger {
    shard: usize,
    member: Vec<u8>,
    /// As the server wrote it.
    score: String,
    due_in: i64,
}

impl Stranger {
    pub(crate) fn is_due(&self) -> bool {
        self.due_in <= 0
    }

    pub(crate) fn wait(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.due_in).unwrap_or(0))
    }
}

impl From<&Item> for Stranger {
    fn from(item: &Item) -> Self {
        let Item { place: Place { score, id }, shard, due_in } = *item;
        Self { shard, member: id.to_string().into_bytes(), score: score.to_string(), due_in }
    }
}

/// A page of an index over all shards of a group, in its order.
#[derive(Debug)]
pub(crate) struct IndexPage {
    pub(crate) items: Vec<Item>,
    /// Members that are no transaction's, or have no time.
    pub(crate) strangers: Vec<Stranger>,
}

pub(crate) async fn page(
    connection: &Connection,
    keys: &GroupKeys,
    index: Index,
    after: Option<Place>,
    count: usize,
) -> Result<IndexPage, Failure> {
    let shards = keys.shards().iter().map(|shard| {
        let key = match index {
            Index::Due => &shard.due,
            Index::Kept => &shard.kept,
        };
        page_of_shard(connection, key, after, count)
    });
    let mut whole = IndexPage { items: Vec::new(), strangers: Vec::new() };
    for (shard, (now, members)) in try_join_all(shards).await?.into_iter().enumerate() {
        for (member, score) in members {
            let number: f64 = score.parse().map_err(|_| Failure::unexpected("a score that is no number"))?;
            let due_in = (number as i64).saturating_sub(now);
            match id(&member).filter(|_| (0.0..9e15).contains(&number)) {
                Some(id) => {
                    whole.items.push(Item { place: Place { score: number as u64, id }, shard, due_in })
                }
                None => whole.strangers.push(Stranger { shard, member, score, due_in }),
            }
        }
    }
    if keys.shards().len() > 1 {
        whole.items.sort_by_key(|item| item.place);
    }
    whole.items.truncate(count);
    Ok(whole)
}

/// Whose member it is: an id as we write it, and no other form of one.
fn id(member: &[u8]) -> Option<TxId> {
    let digits = member.len() == 32 && member.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    std::str::from_utf8(member).ok().filter(|_| digits)?.parse().ok()
}

/// The server's time in microseconds, and members with their scores.
type ShardPage = (i64, Vec<(Vec<u8>, String)>);

async fn page_of_shard(
    connection: &Connection,
    key: &str,
    after: Option<Place>,
    count: usize,
) -> Result<ShardPage, Failure> {
    let reply = scripts::PAGE
        .run(connection, 5, key.len() + 96, |command| {
            command.arg(1).arg(key).arg(count);
            if let Some(Place { score, id }) = after {
                command.arg(score).arg(id.to_string());
            }
        })
        .await?;
    let (seconds, micros, members): (i64, i64, Vec<Value>) =
        from_redis_value(reply).map_err(|_| Failure::unexpected("no page of an index"))?;
    let mut page = Vec::with_capacity(members.len() / 2);
    for pair in members.chunks_exact(2) {
        let member =
            from_redis_value_ref(&pair[0]).map_err(|_| Failure::unexpected("no member of an index"))?;
        let score =
            from_redis_value_ref(&pair[1]).map_err(|_| Failure::unexpected("no score of an index"))?;
        page.push((member, score));
    }
    Ok((seconds * 1_000_000 + micros, page))
}

/// What is kept under the key of a log.
#[derive(Debug)]
pub(crate) enum Found {
    Log(Log),
    Nothing,
    /// Something that is no log: what is wrong with it.
    Garbage(String),
}

/// Reads the logs of these items, in their order. Fewer than were asked for if they are very long; never none.
pub(crate) async fn logs(
    connection: &Connection,
    keys: &GroupKeys,
    items: &[Item],
) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::with_capacity(items.len());
    let mut bytes = 0;
    for some in items.chunks(LOGS_AT_ONCE) {
        let mut pipeline = redis::pipe();
        for item in some {
            pipeline.cmd("GET").arg(keys.shards()[item.shard].log(item.place.id));
        }
        for reply in connection.ask_all(&pipeline).await? {
            bytes += if let Ok(Value::BulkString(text)) = &reply { text.len() } else { 0 };
            found.push(read_log(reply)?);
        }
        if bytes > ENOUGH_BYTES {
            break;
        }
    }
    Ok(found)
}

/// Reads one log.
pub(crate) async fn log(connection: &Connection, keys: &ShardKeys, id: TxId) -> Result<Found, Failure> {
    let mut command = Cmd::with_capacity(2, keys.log_len() + 3);
    command.arg("GET").arg(keys.log(id));
    read_log(connection.ask(&command).await)
}

fn read_log(reply: Result<Value, Failure>) -> Result<Found, Failure> {
    match reply {
        Ok(Value::Nil) => Ok(Found::Nothing),
        Ok(Value::BulkString(bytes)) => Ok(text::read(&bytes).map_or_else(Found::Garbage, Found::Log)),
        Ok(_) => Err(Failure::unexpected("no string")),
        Err(failure) if failure.code() == Some("WRONGTYPE") => {
            Ok(Found::Garbage("its key holds another type than a string".to_owned()))
        }
        Err(failure) => Err(failure),
    }
}

/// What became of an id that was to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgotten {
    Yes,
    Unknown,
    HasLog,
}

/// Takes an id without a log out of the indexes.
pub(crate) async fn forget(
    connection: &Connection,
    keys: &ShardKeys,
    id: TxId,
) -> Result<Forgotten, StoreError> {
    let reply = scripts::FORGET
        .run(connection, 4, 3 * keys.log_len() + 16, |command| {
            command.arg(3).arg(&keys.due).arg(&keys.kept).arg(keys.log(id));
        })
        .await
        .map_err(Failure::of_write)?;
    match reply {
        Value::Int(1) => Ok(Forgotten::Yes),
        Value::Int(0) => Ok(Forgotten::Unknown),
        _ => Ok(Forgotten::HasLog),
    }
}

/// Makes members of the due index due again later, if nobody else has set them meanwhile.
pub(crate) async fn park(
    connection: &Connection,
    keys: &GroupKeys,
    lease: Duration,
    members: &[Stranger],
) -> Result<(), StoreError> {
    for (number, shard) in keys.shards().iter().enumerate() {
        let mine: Vec<_> = members.iter().filter(|member| member.shard == number).collect();
        if mine.is_empty() {
            continue;
        }
        let reply = scripts::PARK
            .run(connection, 4 + 2 * mine.len(), 64 * (1 + mine.len()), |command| {
                command.arg(1).arg(&shard.due).arg(crate::batch::micros(lease).to_string());
                for Stranger { member, score, .. } in &mine {
                    command.arg(&member[..]).arg(score);
                }
            })
            .await;
        reply.map_err(Failure::of_write)?;
    }
    Ok(())
}
