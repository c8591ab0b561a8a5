//! Identities: of a transaction, a branch, a coordinator, a write.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// The identity of a transaction: a UUID, written as 32 hexadecimal digits without hyphens.
///
/// Version 7 (ordered by time) when the coordinator chooses it, version 8 when it is derived from the transaction's
/// name and the user's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxId(Uuid);

impl TxId {
    /// A version 7 UUID from milliseconds since the Unix epoch and random bytes.
    pub fn from_time(unix_millis: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid())
    }

    /// A version 8 UUID from the digest of a name and a key.
    pub fn from_digest(digest: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(digest).into_uuid())
    }

    /// The same id from its sixteen bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its sixteen bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; uuid::fmt::Simple::LENGTH];
        f.pad(self.0.simple().encode_lower(&mut buffer))
    }
}

impl fmt::Debug for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TxId {
    type Err = ParseIdError;

    /// Takes the 32 lower-case digits, and the same with a UUID's four hyphens; no braces, no `urn:uuid:`, no capitals: one
    /// id is to be found by one text.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let form = matches!(text.len(), 32 | 36)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        Uuid::try_parse(text)
            .ok()
            .filter(|_| form)
            .map(Self)
            .ok_or(ParseIdError { expected: "a transaction id: 32 lower-case hexadecimal digits" })
    }
}

/// A text that is not the identity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ParseIdError {
    expected: &'static str,
}

/// The number of a branch within its transaction: 0, 1, 2 … in the order of enlisting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchId(u16);

impl BranchId {
    /// The branch of this number.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its place in [`Record::branches`](super::Record::branches).
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for BranchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The idempotency key of a branch: the same in every phase and every repeat, and of no other branch.
///
/// Its text is the transaction's id and the branch's number, `0192f0c1…-1`, and for a transaction with a key its run as
/// well, `0192f0c1…-1-77aa…`: at most 55 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchKey {
    /// The transaction.
    pub tx: TxId,
    /// The branch within it.
    pub branch: BranchId,
    /// The run of a transaction with a key: the same key may run again after a cancelled run, or when what was kept of the
    /// first is gone, and then has the same id.
    pub run: Option<Run>,
}

impl BranchKey {
    /// A branch of a transaction without a key.
    pub const fn new(tx: TxId, branch: BranchId) -> Self {
        Self { tx, branch, run: None }
    }
}

impl fmt::Display for BranchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.tx, self.branch)?;
        match self.run {
            Some(run) => write!(f, "-{run}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for BranchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BranchKey {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parse = || {
            let mut parts = text.split('-');
            let (tx, branch) = (parts.next()?.parse().ok()?, parts.next()?);
            let branch = branch.bytes().all(|b| b.is_ascii_digit()).then(|| branch.parse().ok()).flatten()?;
            let run = parts.next().map(|run| run.parse().ok()).map_or(Some(None), |run| run.map(Some))?;
            parts.next().is_none().then_some(Self { tx, branch: BranchId(branch), run })
        };
        parse().ok_or(ParseIdError { expected: "a branch key: a transaction id, a hyphen and a number" })
    }
}

macro_rules! hex64 {
    ($name:ident, $expected:literal) => {
        impl $name {
            /// From its number.
            pub const fn from_u64(number: u64) -> Self {
                Self(number)
            }

            /// Its number.
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                u64::from_str_radix(text, 16)
                    .ok()
                    .filter(|_| digits)
                    .map(Self)
                    .ok_or(ParseIdError { expected: $expected })
            }
        }
    };
}

/// The identity of one write: random, and fresh for every entry. Written as 16 hexadecimal digits.
///
/// A repeat of a write carries the same op; that is how a store knows it for a repeat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(u64);
hex64!(Op, "an op: 16 lower-case hexadecimal digits");

/// The identity of one start of one coordinator: random, never shared, not kept over a restart. Written as 16
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u64);
hex64!(Owner, "an owner: 16 lower-case hexadecimal digits");

/// One run of a transaction with a key: random, and fresh for every begin. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run(u64);
hex64!(Run, "a run: 16 lower-case hexadecimal digits");

macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(TxId, BranchKey, Op, Owner, Run);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_write() {
        let tx = TxId::from_time(1_790_000_000_000, [7; 10]);
        let key = BranchKey::new(tx, BranchId::new(12));
        let rerun = BranchKey { run: Some(Run::from_u64(255)), ..key };
        assert_eq!(rerun.to_string(), format!("{key}-00000000000000ff"));
        assert_eq!(rerun.to_string().parse(), Ok(rerun));
        assert_eq!(tx.to_string().parse(), Ok(tx));
        assert_eq!(tx.to_string().len(), 32);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(Op::from_u64(0xff).to_string(), "00000000000000ff");
        assert_eq!("00000000000000ff".parse(), Ok(Op::from_u64(0xff)));
        assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{key}\""));
        assert_eq!(serde_json::from_str::<BranchKey>(&format!("\"{key}\"")).unwrap(), key);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000ff0"] {
            assert!(text.parse::<Op>().is_err(), "{text:?}");
        }
        let id = "0192f0c1a0b070008000000000000001";
        let hyphenated = "0192f0c1-a0b0-7000-8000-000000000001";
        assert_eq!(hyphenated.parse::<TxId>(), id.parse::<TxId>());
        assert_eq!(id.parse::<TxId>().unwrap().to_string(), id);
        for text in [
            "xyz",
            "",
            "0192F0C1A0B070008000000000000001",
            "0192F0C1-A0B0-7000-8000-000000000001",
            "{0192f0c1-a0b0-7000-8000-000000000001}",
            "urn:uuid:0192f0c1-a0b0-7000-8000-000000000001",
            "0192f0c1-a0b07000-8000-000000000001",
            "0192f0c1a-0b0-7000-8000-000000000001",
            " 0192f0c1a0b07000800000000000000",
            "0192f0c1a0b070008000000000000001\n",
        ] {
            let error = text.parse::<TxId>().expect_err(text);
            assert_eq!(error.to_string(), "expected a transaction id: 32 lower-case hexadecimal digits");
        }
        assert!("0192f0c1a0b070008000000000000000".parse::<BranchKey>().is_err());
        assert!("0192f0c1a0b070008000000000000000-70000".parse::<BranchKey>().is_err());
    }

    #[test]
    fn ids_of_later_times_sort_later() {
        assert!(TxId::from_time(1, [255; 10]) < TxId::from_time(2, [0; 10]));
    }
}
