//! Sound actions of every shape pass: a saga step, what has no cancel, a message, what never refuses, what leaves a mark.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tcc_core::protocol::BranchKey;
use tcc_core::testing::{ParticipantFixture, participant_suite};
use tcc_core::{Branch, Never, Settled, Tried, TryFailure, participant, refuse};
use tokio::task::yield_now;

/// A desk where seats are booked, whose data are in memory.
#[derive(Default)]
struct Desk {
    data: Mutex<Data>,
}

#[derive(Default)]
struct Data {
    /// By branch, whether it is cancelled. With what it holds: the fence's row, and the effect, are one.
    seats: BTreeMap<BranchKey, (Option<u32>, bool)>,
    letters: BTreeMap<BranchKey, String>,
}

const SEATS: usize = 2;

#[participant("desk")]
impl Desk {
    /// A saga step: booked at once, and undone if need be.
    #[action(cancel = give_up)]
    async fn book(&self, cx: &Branch, seat: u32) -> Tried<u32, String> {
        yield_now().await;
        match self.book_seat(cx.key(), seat) {
            Some(answer) => answer,
            None => refuse("the house is full".to_owned()),
        }
    }

    async fn give_up(&self, cx: &Branch, _: u32, _: Option<u32>) -> Settled {
        yield_now().await;
        self.data().seats.entry(cx.key()).or_default().1 = true;
        Ok(())
    }

    /// Nothing is changed, so there is nothing to undo, and nothing to refuse.
    #[action(cancel = none)]
    async fn look(&self, _: &Branch, _: ()) -> Tried<usize, Never> {
        yield_now().await;
        Ok(self.data().taken())
    }

    /// Sent once all is confirmed.
    #[on_confirm]
    async fn write(&self, cx: &Branch, text: String) -> Settled {
        yield_now().await;
        self.data().letters.entry(cx.key()).or_insert(text);
        Ok(())
    }
}

impl Desk {
    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap()
    }

    /// `None`: there is no such seat, or none left. A refusal leaves a row without a seat.
    fn book_seat(&self, key: BranchKey, seat: u32) -> Option<Tried<u32, String>> {
        let mut data = self.data();
        match data.seats.get(&key) {
            Some((_, true)) => return Some(Err(TryFailure::TooLate)),
            Some((seat, false)) => return seat.map(Ok),
            None => {}
        }
        let had = seat < 100 && data.taken() < SEATS;
        data.seats.insert(key, (had.then_some(seat), false));
        had.then_some(Ok(seat))
    }
}

impl Data {
    fn taken(&self) -> usize {
        self.seats.values().filter(|(seat, cancelled)| seat.is_some() && !cancelled).count()
    }
}

mod saga {
    use super::*;

    struct Book(Desk);

    impl ParticipantFixture for Book {
        type Action = DeskBook;
        type Service = Desk;
        /// Seats that are taken, and seats that were given up: the mark that a cancel leaves.
        type State = (usize, usize);

        const CONFIRM: bool = false;

        async fn start() -> Self {
            Self(Desk::default())
        }

        fn service(&self) -> &Desk {
            &self.0
        }

        fn request(&self, number: u32) -> u32 {
            number
        }

        fn refused(&self) -> Option<u32> {
            Some(100)
        }

        async fn state(&self) -> (usize, usize) {
            let data = self.0.data();
            let given_up =
                data.seats.values().filter(|(seat, cancelled)| seat.is_some() && *cancelled).count();
            (data.taken(), given_up)
        }

        fn undone(before: &(usize, usize), after: &(usize, usize)) -> bool {
            before.0 == after.0
        }
    }

    participant_suite!(Book, start_paused = true);
}

mod without_a_cancel {
    use super::*;

    struct Look(Desk);

    impl ParticipantFixture for Look {
        type Action = DeskLook;
        type Service = Desk;
        type State = usize;

        const CONFIRM: bool = false;
        const CANCEL: bool = false;

        async fn start() -> Self {
            Self(Desk::default())
        }

        fn service(&self) -> &Desk {
            &self.0
        }

        fn request(&self, _: u32) {}

        fn refused(&self) -> Option<()> {
            None
        }

        async fn state(&self) -> usize {
            self.0.data().taken()
        }
    }

    participant_suite!(Look, start_paused = true);
}

mod on_confirm {
    use super::*;

    struct Write(Desk);

    impl ParticipantFixture for Write {
        type Action = DeskWrite;
        type Service = Desk;
        type State = Vec<String>;

        async fn start() -> Self {
            Self(Desk::default())
        }

        fn service(&self) -> &Desk {
            &self.0
        }

        fn request(&self, number: u32) -> String {
            format!("letter {number}")
        }

        fn refused(&self) -> Option<String> {
            None
        }

        async fn state(&self) -> Vec<String> {
            self.0.data().letters.values().cloned().collect()
        }
    }

    participant_suite!(Write, start_paused = true);
}
