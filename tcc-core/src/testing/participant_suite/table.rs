//! The fence's table as promises: what is expected of a phase, by what the branch has seen.

use crate::protocol::Phase;
use crate::testing::promise::Promise;

pub(super) const REQUEST: Promise = Promise::new(
    "a request that can be done is tried and confirmed, or tried and cancelled",
    "let `request` of the fixture ask for what a fresh service has, and answer Ok; `?` on an error is *unknown*, and \
     is asked again for ever",
);
const TRY_AGAIN: Promise = Promise::new(
    "a repeat of a try answers the first output, and changes nothing",
    "write a row for the branch, by `cx.key()`, in the same database transaction as the effect, with the output in it; \
     if the row is there, answer with what it keeps",
);
pub(super) const REFUSED_TRY: Promise = Promise::new(
    "a request that can't be had is refused, and a refused try changes nothing",
    "answer `return refuse(…)`, and roll back what the try has changed before it knew",
);
pub(super) const STICKY: Promise = Promise::new(
    "a refusal is sticky: no repeat of a refused try has an effect",
    "keep the refusal in the branch's row, and answer a repeat with it before anything is checked again",
);
pub(super) const LATE: Promise = Promise::new(
    "a try that comes after its branch's cancel is an error, and has no effect",
    "let cancel leave a row for the branch even if there is nothing to undo, and answer a try that finds it with \
     `Err(TryFailure::TooLate)`",
);
const AFTER_LOST: Promise = Promise::new(
    "a try that comes after its branch's confirm was refused is an error, and has no effect",
    "let the refused confirm leave a row for the branch, and answer a try that finds it with \
     `Err(TryFailure::TooLate)`",
);
const LOST: Promise = Promise::new(
    "a confirm without its try is refused, and has no effect",
    "if there is no row of the branch, answer `Err(SettleError::refuse(…))`: what the try put aside is lost, and no \
     repeat brings it back",
);
pub(super) const CONFIRM: Promise = Promise::new(
    "a confirm takes what the try put aside",
    "let confirm do the same whatever came before it: it finds its rows by `cx.key()`, and needs no more than the try \
     left",
);
const CONFIRM_AGAIN: Promise = Promise::new(
    "a repeat of a confirm is done, and changes nothing",
    "mark the branch's row as confirmed in the same database transaction as the effect; if it is marked, answer Ok",
);
const CONFIRM_CANCELLED: Promise = Promise::new(
    "a confirm after a cancel is refused, and has no effect",
    "if the branch's row says cancelled, answer `Err(SettleError::refuse(…))`",
);
const CONFIRM_REFUSED: Promise = Promise::new(
    "a confirm of a refused try is refused, and has no effect",
    "if the branch's row says refused, or there is none, answer `Err(SettleError::refuse(…))`",
);
const NOTHING_TO_CANCEL: Promise = Promise::new(
    "a cancel whose try never came is done, and has nothing to undo",
    "if there is no row of the branch, insert one that says cancelled, and answer Ok",
);
pub(super) const CANCEL: Promise = Promise::new(
    "a cancel gives back what the try put aside",
    "let cancel do the same whatever came before it: it finds its rows by `cx.key()`, and needs no output",
);
const CANCEL_AGAIN: Promise = Promise::new(
    "a repeat of a cancel is done, and changes nothing",
    "mark the branch's row as cancelled in the same database transaction as the effect; if it is marked, answer Ok",
);
const CANCEL_CONFIRMED: Promise = Promise::new(
    "a cancel after a confirm is refused, and has no effect",
    "if the branch's row says confirmed, answer `Err(SettleError::refuse(…))`",
);
const CANCEL_REFUSED: Promise = Promise::new(
    "a refused try is cancelled all the same: it is done, and has nothing to undo",
    "if the branch's row says refused, mark it as cancelled and answer Ok",
);
const CANCEL_LOST: Promise = Promise::new(
    "a cancel after a refused confirm has no effect",
    "let the refused confirm leave a row, and change nothing for a cancel that finds it",
);
const NO_CONFIRM: Promise = Promise::new(
    "the confirm of an action that has none is done, and changes nothing",
    "answer Ok, or leave `ParticipantFixture::CONFIRM` as it is",
);
const NO_CANCEL: Promise = Promise::new(
    "the cancel of an action that has none is done, and changes nothing",
    "answer Ok, or leave `ParticipantFixture::CANCEL` as it is",
);

/// What a branch has seen, as the fence's row says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    None,
    Tried,
    Confirmed,
    Cancelled,
    /// Its try was.
    Refused,
    /// Its confirm came, and its try never had.
    Lost,
}

/// What her data look like after an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Held,
    Taken,
    Given,
}

/// What is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Done,
    FirstOutput,
    Refused,
    /// The same refusal, or too late.
    SameRefusal,
    /// Too late, or refused.
    Error,
    /// Done or refused.
    DoneOrRefused,
}

impl Wanted {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::FirstOutput => "done, with the first output",
            Self::Refused => "refused",
            Self::SameRefusal => "the same refusal, or too late",
            Self::Error => "too late",
            Self::DoneOrRefused => "done, or refused",
        }
    }
}

/// What is to happen to her data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// Nothing but what a cancel may leave to be seen.
    Mark,
    Becomes(Data),
}

/// What is expected of a call.
pub(super) struct Cell {
    pub(super) wanted: Wanted,
    pub(super) effect: Effect,
    /// What the branch has seen then.
    pub(super) row: Row,
    pub(super) promise: &'static Promise,
}

/// What an action is, and what it is asked: by it the table is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) tries: bool,
    pub(super) confirms: bool,
    pub(super) cancels: bool,
    /// Whether the request is one that is refused.
    pub(super) refuses: bool,
}

/// What is expected of a phase. Total.
pub(super) fn cell(kind: Kind, phase: Phase, row: Row) -> Cell {
    use Effect::{Becomes, Mark, Nothing};
    use Wanted::{Done, DoneOrRefused, Error, FirstOutput, Refused, SameRefusal};
    let cell = |wanted, effect, row, promise| Cell { wanted, effect, row, promise };
    match (phase, row) {
        (Phase::Confirm, _) if !kind.confirms => cell(Done, Nothing, row, &NO_CONFIRM),
        (Phase::Cancel, _) if !kind.cancels => cell(Done, Nothing, row, &NO_CANCEL),

        (Phase::Try, Row::None) if kind.refuses => cell(Refused, Nothing, Row::Refused, &REFUSED_TRY),
        (Phase::Try, Row::None) => cell(Done, Becomes(Data::Held), Row::Tried, &REQUEST),
        (Phase::Try, Row::Tried | Row::Confirmed) => cell(FirstOutput, Nothing, row, &TRY_AGAIN),
        (Phase::Try, Row::Cancelled) => cell(Error, Nothing, row, &LATE),
        (Phase::Try, Row::Refused) => cell(SameRefusal, Nothing, row, &STICKY),
        (Phase::Try, Row::Lost) => cell(Error, Nothing, row, &AFTER_LOST),

        (Phase::Confirm, Row::None) if kind.tries => cell(Refused, Mark, Row::Lost, &LOST),
        (Phase::Confirm, Row::None | Row::Tried) => {
            cell(Done, Becomes(Data::Taken), Row::Confirmed, &CONFIRM)
        }
        (Phase::Confirm, Row::Confirmed) => cell(Done, Nothing, row, &CONFIRM_AGAIN),
        (Phase::Confirm, Row::Cancelled) => cell(Refused, Nothing, row, &CONFIRM_CANCELLED),
        (Phase::Confirm, Row::Refused) => cell(Refused, Nothing, row, &CONFIRM_REFUSED),
        (Phase::Confirm, Row::Lost) => cell(Refused, Nothing, row, &LOST),

        (Phase::Cancel, Row::None) => cell(Done, Mark, Row::Cancelled, &NOTHING_TO_CANCEL),
        (Phase::Cancel, Row::Tried) => cell(Done, Becomes(Data::Given), Row::Cancelled, &CANCEL),
        (Phase::Cancel, Row::Confirmed) => cell(Refused, Nothing, row, &CANCEL_CONFIRMED),
        (Phase::Cancel, Row::Cancelled) => cell(Done, Nothing, row, &CANCEL_AGAIN),
        (Phase::Cancel, Row::Refused) => cell(Done, Mark, Row::Cancelled, &CANCEL_REFUSED),
        (Phase::Cancel, Row::Lost) => cell(DoneOrRefused, Nothing, row, &CANCEL_LOST),
    }
}
