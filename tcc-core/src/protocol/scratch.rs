//! Room to write a text in, kept from one text to the next: payloads and entries are written at once into what they are
//! kept in, without growing.

use std::cell::Cell;

thread_local! {
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// No more than this is kept: a large payload now and then should not stay in memory for ever.
const MOST: usize = 16 * 1024;

/// Lends the room, empty. Who asks for it while it is lent, as a payload may that is written within another, is given
/// room of its own.
pub(super) fn with<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    // Gone while the thread ends.
    let mut room = ROOM.try_with(Cell::take).unwrap_or_default();
    room.clear();
    let done = work(&mut room);
    if room.capacity() <= MOST {
        let _ = ROOM.try_with(|kept| kept.set(room));
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_empty_and_nobody_elses() {
        with(|outer| {
            outer.extend(b"outer");
            with(|inner| {
                assert_eq!(inner.len(), 0);
                inner.extend(b"inner");
            });
            assert_eq!(outer, b"outer");
        });
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
