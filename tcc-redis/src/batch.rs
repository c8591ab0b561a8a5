//! Many appends as one script call.

use std::io::Write;
use std::time::Duration;

use redis::{Cmd, Value};
use tcc_core::protocol::Position;
use tcc_core::store::{Append, Due, Mode, Retain, StoreError};

use crate::connection::Connection;
use crate::error::Failure;
use crate::keys::{GroupKeys, ShardKeys};
use crate::{scripts, text};

/// How many writes one call carries at most, and about how many bytes: the server does nothing else meanwhile.
const MAX_WRITES: usize = 128;
const MAX_BYTES: usize = 1 << 20;

/// No time is longer: the server's clock is kept in microseconds, in numbers exact up to 2⁵³.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What an append depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The end of the log, as every append.
    Position,
    /// That, and that the log is due now.
    PositionAndDue,
}

/// Appends to logs of a group; the answers in the order of the writes.
pub(crate) async fn append(
    connection: &Connection,
    keys: &GroupKeys,
    writes: &[&Append],
    condition: Condition,
) -> Vec<Result<(), StoreError>> {
    let mut answers = Vec::with_capacity(writes.len());
    if let [shard] = keys.shards() {
        append_to_shard(connection, shard, writes, condition, &mut answers).await;
        return answers;
    }
    let mut placed: Vec<Option<Result<(), StoreError>>> = writes.iter().map(|_| None).collect();
    for (number, shard) in keys.shards().iter().enumerate() {
        let mine: Vec<usize> = (0..writes.len()).filter(|&i| keys.index_of(writes[i].id) == number).collect();
        let some: Vec<&Append> = mine.iter().map(|&i| writes[i]).collect();
        append_to_shard(connection, shard, &some, condition, &mut answers).await;
        for (i, answer) in mine.into_iter().zip(answers.drain(..)) {
            placed[i] = Some(answer);
        }
    }
    placed.into_iter().map(|answer| answer.expect("every write has its shard")).collect()
}

async fn append_to_shard(
    connection: &Connection,
    keys: &ShardKeys,
    writes: &[&Append],
    condition: Condition,
    answers: &mut Vec<Result<(), StoreError>>,
) {
    let mut rest = writes;
    while !rest.is_empty() {
        let (call, later) = rest.split_at(first_call(rest));
        append_in_one_call(connection, keys, call, condition, answers).await;
        rest = later;
    }
}

/// How many of these writes go into the first call: at least one, and no log twice.
fn first_call(writes: &[&Append]) -> usize {
    let mut bytes = 0;
    let fitting = writes.iter().take(MAX_WRITES).enumerate().take_while(|(number, write)| {
        bytes += write.entry.line().len();
        bytes <= MAX_BYTES && writes[..*number].iter().all(|before| before.id != write.id)
    });
    fitting.count().max(1)
}

async fn append_in_one_call(
    connection: &Connection,
    keys: &ShardKeys,
    writes: &[&Append],
    condition: Condition,
    answers: &mut Vec<Result<(), StoreError>>,
) {
    let runs = Runs::of(writes, condition);
    let lines: usize = writes.iter().map(|write| write.entry.line().len()).sum();
    let words = 5 + 2 * writes.len() + 2 * runs.whats.len();
    let bytes =
        keys.due.len() + keys.kept.len() + lines + writes.len() * (keys.log_len() + 2 * text::TRAILER + 16);
    let reply = scripts::APPEND
        .run(connection, words, bytes, |command| write_arguments(command, keys, writes, &runs))
        .await;
    match reply.and_then(|reply| read_answers(&reply, writes, &runs)) {
        Ok(read) => answers.extend(read),
        Err(failure) => answers.extend(writes.iter().map(|_| Err(failure.clone().of_write()))),
    }
}

/// The writes of a call in runs: those to which the same is to be done stand together.
struct Runs {
    /// Which write comes when.
    order: Vec<usize>,
    /// Of each run, what is to be done and how many writes it has.
    whats: Vec<(What, usize)>,
}

impl Runs {
    fn of(writes: &[&Append], condition: Condition) -> Self {
        let mut order: Vec<(What, usize)> =
            writes.iter().map(|write| What::of(write, condition)).zip(0..).collect();
        order.sort_unstable();
        let mut whats: Vec<(What, usize)> = Vec::new();
        for (what, _) in &order {
            match whats.last_mut() {
                Some((last, count)) if last == what => *count += 1,
                _ => whats.push((*what, 1)),
            }
        }
        Self { order: order.into_iter().map(|(_, index)| index).collect(), whats }
    }
}

/// What is to be done to a log, as `append.lua` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    letter: char,
    /// In microseconds until it is due, or milliseconds for which it is kept; nothing for other letters.
    time: u64,
}

impl What {
    fn of(write: &Append, condition: Condition) -> Self {
        let letter = |begin, extend, replace| match write.mode {
            _ if write.after == Position::START => begin,
            Mode::Extend => extend,
            Mode::Replace => replace,
        };
        let (letter, time) = match write.due {
            Due::In(wait) if condition == Condition::PositionAndDue => (letter('b', 'c', 'c'), micros(wait)),
            Due::In(wait) => (letter('b', 'd', 'D'), micros(wait)),
            // A log that begins is due at once.
            Due::Keep => (letter('b', 'k', 'K'), 0),
            Due::Never { retain: Retain::For(time) } => (letter('x', 'f', 'F'), millis(time)),
            Due::Never { retain: Retain::Forever } => (letter('y', 'e', 'E'), 0),
        };
        Self { letter, time }
    }
}

/// The keys and arguments as `append.lua` describes them.
fn write_arguments(command: &mut Cmd, keys: &ShardKeys, writes: &[&Append], runs: &Runs) {
    let mut buffer = Vec::with_capacity(256.max(text::TRAILER * writes.len()));
    command.arg(2 + writes.len()).arg(&keys.due).arg(&keys.kept);
    let ordered = || runs.order.iter().map(|&index| writes[index]);
    for write in ordered() {
        keys.write_log(write.id, &mut buffer);
        command.arg(&buffer[..]);
    }
    command.arg(runs.whats.len());
    for (What { letter, time }, count) in &runs.whats {
        buffer.clear();
        write!(buffer, "{letter}{time}").expect("a vector takes all that is written");
        command.arg(&buffer[..]).arg(*count);
    }
    buffer.clear();
    for write in ordered().filter(|write| write.after != Position::START) {
        text::write_trailer(&mut buffer, write.after);
    }
    command.arg(&buffer[..]);
    for write in ordered() {
        buffer.clear();
        text::write_entry(&mut buffer, &write.entry, write.after.entries.saturating_add(1));
        command.arg(&buffer[..]);
    }
}

pub(crate) fn micros(time: Duration) -> u64 {
    whole(time.min(LONGEST).as_micros())
}

/// At least as long, and never nothing: a time to live of zero would be an error.
fn millis(time: Duration) -> u64 {
    whole(time.min(LONGEST).as_nanos().div_ceil(1_000_000).max(1))
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).expect("the longest time fits")
}

/// The answers, in the order of the writes.
fn read_answers(
    reply: &Value,
    writes: &[&Append],
    runs: &Runs,
) -> Result<Vec<Result<(), StoreError>>, Failure> {
    let text = match reply {
        Value::BulkString(text) => std::str::from_utf8(text).map_err(|_| Failure::unexpected("no text"))?,
        Value::SimpleString(text) => text,
        _ => return Err(Failure::unexpected("no answers to appends")),
    };
    let (letters, why) = text.split_once('\n').unwrap_or((text, ""));
    if letters.len() != writes.len() {
        return Err(Failure::unexpected("another number of answers"));
    }
    let mut ordered = vec![b'='; writes.len()];
    for (letter, &index) in letters.bytes().zip(&runs.order) {
        ordered[index] = letter;
    }
    let answer = |(letter, write): (u8, &&Append)| {
        let id = write.id;
        Ok(match letter {
            b'=' => Ok(()),
            b'c' => Err(StoreError::Conflict { id }),
            b'n' => Err(StoreError::NotFound { id }),
            b'g' => Err(StoreError::Corrupt {
                id,
                why: "what is kept under its key does not end like a log".into(),
            }),
            b'r' => Err(refused(why).of_write()),
            _ => return Err(Failure::unexpected("an unknown answer")),
        })
    };
    ordered.into_iter().zip(writes).map(answer).collect()
}

/// A command within the script was refused, and nothing of its write was done.
fn refused(why: &str) -> Failure {
    Failure::Answered { code: "REFUSED".to_owned(), text: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_never_cut_to_nothing() {
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_micros(1_001)), 2);
        assert_eq!(millis(Duration::from_millis(7)), 7);
        assert_eq!(micros(Duration::from_nanos(1_500)), 1);
        // The server's clock is at some 1.8 · 10¹⁵ µs: the sum stays exact.
        assert!(micros(Duration::MAX) + 2_000_000_000_000_000 < 1 << 53);
        assert!(millis(Duration::MAX) < 1 << 53);
    }
}
