//! Room to write a text in, kept from one text to the next: payloads and entries are written at once into what they are
//! kept in, without growing.

use std::cell::Cell;

thread_local! {
    static ROOM: Cell<String> = const { Cell::new(String::new()) };
}

/// No more than this is kept: a large payload now and then should not stay in memory for ever.
const MOST: usize = 16 * 1024;

/// Lends the room, empty. Who asks for it while it is lent, as a payload may that is written within another, is given
/// room of its own.
pub(super) fn with<T>(work: impl FnOnce(&mut String) -> T) -> T {
    // Gone while the thread ends.
    let mut room = ROOM.try_with(Cell::take).unwrap_or_default();
    room.clear();
    let done = work(&mut room);
    if room.capacity() <= MOST {
        let _ = ROOM.try_with(|kept| kept.set(room));
    }
    done
}

/// The same for what is written as bytes. `None` if they are no text.
pub(super) fn with_bytes<T, E>(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    work: impl FnOnce(Option<&str>) -> Result<T, E>,
) -> Result<T, E> {
    with(|room| {
        let mut bytes = std::mem::take(room).into_bytes();
        write(&mut bytes)?;
        let done = work(std::str::from_utf8(&bytes).ok());
        bytes.clear();
        // What is empty is text.
        *room = String::from_utf8(bytes).unwrap_or_default();
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_empty_and_nobody_elses() {
        with(|outer| {
            outer.push_str("outer");
            with(|inner| {
                assert_eq!(inner.len(), 0);
                inner.push_str("inner");
            });
            assert_eq!(outer, "outer");
        });
        with(|room| assert!(room.is_empty()));
    }

    #[test]
    fn bytes_are_lent_as_text_is() {
        let text = with_bytes(|bytes| Ok::<_, ()>(bytes.extend(b"text")), |text| Ok(text.map(str::to_owned)));
        assert_eq!(text, Ok(Some("text".to_owned())));
        with(|room| assert!(room.is_empty() && room.capacity() >= 4));
        let no_text = with_bytes(|bytes| Ok::<_, ()>(bytes.push(0xff)), |text| Ok(text.is_none()));
        assert_eq!(no_text, Ok(true));
        assert_eq!(with_bytes(|_| Err("no"), |_| Ok(())), Err("no"));
        with(|room| assert!(room.is_empty()));
    }

    #[test]
    fn much_room_is_not_kept() {
        with(|room| room.reserve(MOST));
        with(|room| assert!((MOST..2 * MOST).contains(&room.capacity()), "{}", room.capacity()));
        with(|room| room.reserve(2 * MOST));
        with(|room| assert_eq!(room.capacity(), 0));
    }
}
