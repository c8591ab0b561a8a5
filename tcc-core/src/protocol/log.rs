//! What a store keeps of a transaction.

use std::fmt;
use std::sync::Arc;

use super::id::Op;

/// One line of a log. A store does not look into it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    op: Op,
    line: Arc<str>,
}

impl Entry {
    /// An entry of this op and text.
    ///
    /// # Errors
    /// [`EntryError`] if the text has a line break or a NUL: an entry is one line, so that a log can be kept as lines
    /// and read by eye, and not every database's text may hold a NUL. JSON needs neither.
    pub fn new(op: Op, line: impl Into<Arc<str>>) -> Result<Self, EntryError> {
        let line = line.into();
        let forbidden = memchr::memchr3(b'\n', b'\r', b'\0', line.as_bytes());
        if forbidden.is_some() { Err(EntryError) } else { Ok(Self { op, line }) }
    }

    /// The write that brought it.
    pub fn op(&self) -> Op {
        self.op
    }

    /// Its text: any characters but line feed, carriage return and NUL.
    pub fn line(&self) -> &str {
        &self.line
    }
}

impl fmt::Debug for Entry {
    /// Its op and length: the text holds payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.op, self.line.len())
    }
}

/// The text of an entry has a line break or a NUL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an entry is one line of text, and this one has a line break or a NUL")]
pub struct EntryError;

/// The end of a log: how many entries were ever appended, and the op of the last one.
///
/// Every append names the position it follows, and a store compares **both** halves.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// How many entries were appended since the transaction began; a replacement counts as one more.
    pub entries: u32,
    /// The op of the last one.
    pub op: Op,
}

impl Position {
    /// Where there is no log yet.
    pub const START: Self = Self { entries: 0, op: Op::from_u64(0) };

    /// Where the log ends once an entry of this op follows.
    #[must_use]
    pub const fn then(self, op: Op) -> Self {
        Self { entries: self.entries.saturating_add(1), op }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.entries, self.op)
    }
}

/// A log as it was read: its entries, oldest first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    entries: Vec<Entry>,
    appended: u32,
}

impl Log {
    /// A log of these entries, of which `appended` were ever appended (more than there are, after a replacement).
    ///
    /// `None` if there is no entry, or if there are more than `appended`.
    pub fn new(entries: Vec<Entry>, appended: u32) -> Option<Self> {
        (!entries.is_empty() && entries.len() <= appended as usize).then_some(Self { entries, appended })
    }

    /// Its entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Its end.
    pub fn position(&self) -> Position {
        Position { entries: self.appended, op: self.entries.last().map_or(Position::START.op, Entry::op) }
    }

    /// Whether the entry of this op is in it.
    pub fn contains(&self, op: Op) -> bool {
        self.entries.iter().any(|entry| entry.op == op)
    }

    /// The same log with one more entry.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.appended += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line() {
        assert!(Entry::new(Op::from_u64(1), "{\"v\":1}").is_ok());
        assert!(Entry::new(Op::from_u64(1), "").is_ok());
        assert_eq!(Entry::new(Op::from_u64(1), "a\nb"), Err(EntryError));
        assert_eq!(Entry::new(Op::from_u64(1), "a\r"), Err(EntryError));
        assert_eq!(Entry::new(Op::from_u64(1), "a\0"), Err(EntryError));
    }

    #[test]
    fn a_position_does_not_overflow() {
        let end = Position { entries: u32::MAX, op: Op::from_u64(1) };
        assert_eq!(end.then(Op::from_u64(2)), Position { entries: u32::MAX, op: Op::from_u64(2) });
    }

    #[test]
    fn a_replacement_counts_as_one_more() {
        let entry = |n| Entry::new(Op::from_u64(n), "x").unwrap();
        let mut log = Log::new(vec![entry(7)], 4).unwrap();
        assert_eq!(log.position(), Position { entries: 4, op: Op::from_u64(7) });
        log.push(entry(8));
        assert_eq!(log.position(), Position { entries: 5, op: Op::from_u64(8) });
        assert!(Log::new(vec![], 1).is_none());
        assert!(Log::new(vec![entry(1), entry(2)], 1).is_none());
    }
}
