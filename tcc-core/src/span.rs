//! A duration in words.

use std::fmt;
use std::time::Duration;

/// Shows a duration in the largest unit that fits it: `24 h`, `1500 ms`, `0 s`.
pub(crate) struct Span(pub(crate) Duration);

const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("µs", 1_000),
    ("ns", 1),
];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0 s");
        }
        // Nobody counts the nanoseconds of centuries.
        let nanos = if self.0.as_secs() >= 1 << 32 { nanos / 1_000_000_000 * 1_000_000_000 } else { nanos };
        let fits = UNITS.into_iter().find(|(_, unit)| nanos % unit == 0);
        let (name, unit) = fits.unwrap_or(("ns", 1));
        write!(f, "{} {name}", nanos / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_in_its_largest_unit() {
        let said = |duration| Span(duration).to_string();
        assert_eq!(said(Duration::ZERO), "0 s");
        assert_eq!(said(Duration::from_nanos(7)), "7 ns");
        assert_eq!(said(Duration::from_millis(1)), "1 ms");
        assert_eq!(said(Duration::from_millis(1_500)), "1500 ms");
        assert_eq!(said(Duration::from_secs(90)), "90 s");
        assert_eq!(said(Duration::from_secs(600)), "10 min");
        assert_eq!(said(Duration::from_secs(86_400)), "24 h");
        assert_eq!(said(Duration::from_secs(86_400) + Duration::from_millis(1)), "86400001 ms");
        assert_eq!(said(Duration::MAX), "18446744073709551615 s");
    }
}
