//! The trace that a transaction belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which trace a transaction belongs to, and under which span of it it began: a `traceparent` of the W3C's
/// [Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header).
///
/// It is kept with the transaction, so that a confirm hours later, in another process, still links to its trace. Its
/// text is `00-`, the trace's id (32 hexadecimal digits), `-`, the span's id (16), `-` and the flags (2).
///
/// ```
/// use tcc_core::protocol::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let traceparent: TraceParent = text.parse()?;
/// assert!(traceparent.is_sampled());
/// assert_eq!(traceparent.to_string(), text);
/// # Ok::<(), tcc_core::protocol::ParseTraceParentError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// A text that is no [`TraceParent`], or ids that are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTraceParentError {
    /// It has not the shape of one.
    #[error(
        "not a traceparent: expected a version, a trace id, a span id and flags, as 2, 32, 16 and 2 lower-case \
         hexadecimal digits with hyphens between them"
    )]
    Shape,
    /// Version `ff`, which there is not.
    #[error("not a traceparent: there is no version ff; send version 00")]
    Version,
    /// A trace id of zeros, which means *none*.
    #[error("not a traceparent: a trace id of zeros means that there is no trace; leave the traceparent out")]
    NoTrace,
    /// A span id of zeros, which means *none*.
    #[error("not a traceparent: a span id of zeros means that there is no span; leave the traceparent out")]
    NoSpan,
}

/// The one flag that every version has.
const SAMPLED: u8 = 1;

impl TraceParent {
    /// A span of a trace, with the flags of version 00: bit 0 says that it is sampled.
    ///
    /// # Errors
    /// [`ParseTraceParentError::NoTrace`] or [`ParseTraceParentError::NoSpan`] if an id is zero.
    pub const fn new(trace: u128, span: u64, flags: u8) -> Result<Self, ParseTraceParentError> {
        match (trace, span) {
            (0, _) => Err(ParseTraceParentError::NoTrace),
            (_, 0) => Err(ParseTraceParentError::NoSpan),
            _ => Ok(Self { trace, span, flags }),
        }
    }

    /// The trace's id; never zero.
    pub const fn trace_id(self) -> u128 {
        self.trace
    }

    /// The span's id; never zero.
    pub const fn span_id(self) -> u64 {
        self.span
    }

    /// The flags.
    pub const fn flags(self) -> u8 {
        self.flags
    }

    /// Whether whoever began the trace records it.
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl FromStr for TraceParent {
    type Err = ParseTraceParentError;

    /// Takes later versions as well, as the W3C asks for: what is known of them is kept, as version 00.
    fn from_str(text: &str) -> Result<Self, ParseTraceParentError> {
        use ParseTraceParentError::{Shape, Version};
        let mut fields = text.splitn(5, '-');
        let mut field = |digits| number(fields.next()?, digits);
        let mut next = |digits| field(digits).ok_or(Shape);
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // At most two digits and sixteen were read.
        let (span, flags) = (span as u64, flags as u8);
        match (version, fields.next()) {
            (0xff, _) => Err(Version),
            (0, None) => Self::new(trace, span, flags),
            (0, Some(_)) => Err(Shape),
            (_, _) => Self::new(trace, span, flags & SAMPLED),
        }
    }
}

/// So many lower-case hexadecimal digits.
fn number(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn it_reads_back_what_it_writes() {
        let parsed: TraceParent = TEXT.parse().unwrap();
        assert_eq!(parsed.to_string(), TEXT);
        assert_eq!(parsed.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parsed.span_id(), 0x00f0_67aa_0ba9_02b7);
        assert_eq!((parsed.flags(), parsed.is_sampled()), (1, true));
        assert_eq!(TraceParent::new(parsed.trace_id(), parsed.span_id(), 1), Ok(parsed));
        // The flag of random ids, and those to come, are passed on.
        let flags: TraceParent = TEXT.replace("-01", "-fe").parse().unwrap();
        assert_eq!((flags.flags(), flags.is_sampled()), (0xfe, false));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), format!("\"{TEXT}\""));
        assert_eq!(serde_json::from_str::<TraceParent>(&format!("\"{TEXT}\"")).unwrap(), parsed);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in
            [TEXT.replacen("00", "cc", 1), format!("{}-what-is-to-come", TEXT.replacen("00", "01", 1))]
        {
            assert_eq!(later.replace("-01", "-ff").parse(), TEXT.parse::<TraceParent>(), "{later}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        use ParseTraceParentError::{NoSpan, NoTrace, Shape, Version};
        let zeros = |digits: &str| TEXT.replace(digits, &"0".repeat(digits.len()));
        for (text, error) in [
            (String::new(), Shape),
            ("00".to_owned(), Shape),
            (TEXT.to_uppercase(), Shape),
            (TEXT.replace('4', "g"), Shape),
            (TEXT.replace("-01", "-1"), Shape),
            (TEXT.replace("-01", "-+1"), Shape),
            (TEXT.replace("-01", ""), Shape),
            (TEXT.replacen("00-", "0-", 1), Shape),
            (TEXT.replacen("4bf9", "bf9", 1), Shape),
            (TEXT.replacen("00f0", "00f00", 1), Shape),
            (format!(" {TEXT}"), Shape),
            (format!("{TEXT}-"), Shape),
            (format!("{TEXT}-more"), Shape),
            (format!("01{}", &TEXT[2..]).replace("-01", "-01more"), Shape),
            (TEXT.replacen("00-", "ff-", 1), Version),
            (zeros("4bf92f3577b34da6a3ce929d0e0e4736"), NoTrace),
            (zeros("00f067aa0ba902b7"), NoSpan),
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(error), "{text:?}");
        }
    }
}
