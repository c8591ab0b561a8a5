//! A log as text: for every entry its line, a space, the number of entries so far as 8 hexadecimal digits, a space, its op
//! as 16, and a line break.
//!
//! The trailer has a fixed width, so one look at the last bytes of a log compares both halves of its position.

use tcc_core::protocol::{Entry, Log, Op, Position};

/// The length of a trailer.
pub(crate) const TRAILER: usize = 27;

/// Adds the trailer of a log that ends here.
pub(crate) fn write_trailer(text: &mut Vec<u8>, end: Position) {
    text.push(b' ');
    write_hex(text, &end.entries.to_be_bytes());
    text.push(b' ');
    write_hex(text, &end.op.as_u64().to_be_bytes());
    text.push(b'\n');
}

/// Adds up to 16 bytes as hexadecimal digits. By hand: it is done five times for every write, and `write!` takes five times
/// as long.
pub(crate) fn write_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text.extend_from_slice(&digits[..2 * bytes.len()]);
}

/// Adds an entry, after which a log ends here.
pub(crate) fn write_entry(text: &mut Vec<u8>, entry: &Entry, entries: u32) {
    text.extend_from_slice(entry.line().as_bytes());
    write_trailer(text, Position { entries, op: entry.op() });
}

/// Reads a log.
///
/// # Errors
/// What is wrong with it, without any payload.
pub(crate) fn read(text: &[u8]) -> Result<Log, String> {
    let text = std::str::from_utf8(text)
        .map_err(|error| format!("its byte {} is not UTF-8", error.valid_up_to()))?;
    let whole = text.strip_suffix('\n').ok_or("its last line is cut off, or it is empty")?;
    let mut entries = Vec::new();
    let mut appended: Option<u32> = None;
    for (number, line) in whole.split('\n').enumerate() {
        let wrong = |what: &str| format!("its line {} {what}", number + 1);
        let (line, count, op) = split(line).ok_or_else(|| wrong("has no trailer"))?;
        if count == 0 || appended.is_some_and(|before| before.checked_add(1) != Some(count)) {
            return Err(wrong("does not follow the one before"));
        }
        appended = Some(count);
        entries.push(Entry::new(op, line).map_err(|_| wrong("has a line break in it"))?);
    }
    Log::new(entries, appended.unwrap_or(0))
        .ok_or_else(|| "it has more entries than were appended".to_owned())
}

/// An entry's line, count and op.
fn split(line: &str) -> Option<(&str, u32, Op)> {
    let (line, trailer) = line.split_at_checked(line.len().checked_sub(TRAILER - 1)?)?;
    let (count, op) = trailer.strip_prefix(' ')?.split_once(' ')?;
    let digits = count.len() == 8 && count.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Some((line, u32::from_str_radix(count, 16).ok().filter(|_| digits)?, op.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entries: &[(&str, u64)], first: u32) -> Vec<u8> {
        let mut text = Vec::new();
        for (number, (line, op)) in (first..).zip(entries) {
            write_entry(&mut text, &Entry::new(Op::from_u64(*op), *line).unwrap(), number);
        }
        text
    }

    #[test]
    fn a_log_reads_back_as_it_was_written() {
        let written = text(&[("{\"v\":1}", 0xfeed), ("", 2), ("größe 00000001 0000000000000002", 3)], 1);
        let log = read(&written).unwrap();
        assert_eq!(log.position(), Position { entries: 3, op: Op::from_u64(3) });
        assert_eq!(log.entries()[0].line(), "{\"v\":1}");
        assert_eq!(log.entries()[1].line(), "");
        assert_eq!(log.entries()[2].line(), "größe 00000001 0000000000000002");
        assert_eq!(&written[..35], b"{\"v\":1} 00000001 000000000000feed\n ");
    }

    #[test]
    fn numbering_goes_on_after_a_replacement() {
        let log = read(&text(&[("snapshot", 9)], 7)).unwrap();
        assert_eq!(log.position(), Position { entries: 7, op: Op::from_u64(9) });
        assert_eq!(log.entries().len(), 1);
    }

    #[test]
    fn the_trailer_has_its_width() {
        for position in [Position::START, Position { entries: u32::MAX, op: Op::from_u64(u64::MAX) }] {
            let mut trailer = Vec::new();
            write_trailer(&mut trailer, position);
            assert_eq!(trailer.len(), TRAILER);
        }
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let good = text(&[("one", 1), ("two", 2)], 1);
        let mut wrong: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"\n".to_vec(),
            b"hello\n".to_vec(),
            good[..good.len() - 1].to_vec(),
            text(&[("zero", 1)], 0),
            [text(&[("one", 1)], 1), text(&[("three", 1)], 3)].concat(),
            [text(&[("one", 1)], 1), b"\n".to_vec()].concat(),
            [b"\xff".to_vec(), good.clone()].concat(),
            b"carriage\rreturn 00000001 0000000000000001\n".to_vec(),
            b"capitals 0000000A 0000000000000001\n".to_vec(),
            b"sign +0000001 0000000000000001\n".to_vec(),
            "ü0000001 0000000000000001\n".as_bytes().to_vec(),
        ];
        wrong.push([good, b"trailing".to_vec()].concat());
        for text in wrong {
            assert!(read(&text).is_err(), "{}", String::from_utf8_lossy(&text));
        }
    }
}
