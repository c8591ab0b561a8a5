//! Many appends as one script call.

use std::borrow::Cow;
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

/// How many of these writes go into the first call: at least one.
fn first_call(writes: &[&Append]) -> usize {
    let mut bytes = 0;
    let fitting = writes.iter().take(MAX_WRITES).take_while(|write| {
        bytes += write.entry.line().len();
        bytes <= MAX_BYTES
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
    let lines: usize = writes.iter().map(|write| write.entry.line().len()).sum();
    let words = 3 + 4 * writes.len();
    let bytes =
        keys.due.len() + keys.kept.len() + lines + writes.len() * (keys.log_len() + 2 * text::TRAILER + 20);
    let reply = scripts::APPEND
        .run(connection, words, bytes, |command| write_arguments(command, keys, writes, condition))
        .await;
    match reply.and_then(|reply| read_answers(&reply, writes)) {
        Ok(read) => answers.extend(read),
        Err(failure) => answers.extend(writes.iter().map(|_| Err(failure.clone().of_write()))),
    }
}

/// The keys and arguments as `append.lua` describes them.
fn write_arguments(command: &mut Cmd, keys: &ShardKeys, writes: &[&Append], condition: Condition) {
    let mut buffer = Vec::with_capacity(256);
    command.arg(2 + writes.len()).arg(&keys.due).arg(&keys.kept);
    for write in writes {
        keys.write_log(write.id, &mut buffer);
        command.arg(&buffer[..]);
    }
    for write in writes {
        command.arg(&*what(write.due, write.mode, condition));
        buffer.clear();
        if write.after != Position::START {
            text::write_trailer(&mut buffer, write.after);
        }
        command.arg(&buffer[..]);
        buffer.clear();
        text::write_entry(&mut buffer, &write.entry, write.after.entries.saturating_add(1));
        command.arg(&buffer[..]);
    }
}

fn what(due: Due, mode: Mode, condition: Condition) -> Cow<'static, str> {
    let extends = mode == Mode::Extend;
    let letter = |extend, replace| if extends { extend } else { replace };
    match due {
        Due::In(wait) if condition == Condition::PositionAndDue => format!("c{}", micros(wait)).into(),
        Due::Keep => letter("k", "K").into(),
        Due::In(wait) => format!("{}{}", letter("d", "D"), micros(wait)).into(),
        Due::Never { retain: Retain::For(time) } => format!("{}{}", letter("f", "F"), millis(time)).into(),
        Due::Never { retain: Retain::Forever } => letter("e", "E").into(),
    }
}

pub(crate) fn micros(time: Duration) -> u128 {
    time.min(LONGEST).as_micros()
}

/// At least as long, and never nothing: a time to live of zero would be an error.
fn millis(time: Duration) -> u128 {
    time.min(LONGEST).as_nanos().div_ceil(1_000_000).max(1)
}

fn read_answers(reply: &Value, writes: &[&Append]) -> Result<Vec<Result<(), StoreError>>, Failure> {
    let text = match reply {
        Value::BulkString(text) => std::str::from_utf8(text).map_err(|_| Failure::unexpected("no text"))?,
        Value::SimpleString(text) => text,
        _ => return Err(Failure::unexpected("no answers to appends")),
    };
    let (letters, why) = text.split_once('\n').unwrap_or((text, ""));
    if letters.len() != writes.len() {
        return Err(Failure::unexpected("another number of answers"));
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
    letters.bytes().zip(writes).map(answer).collect()
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
