//! What is in her database, and what each phase does there in one database transaction.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::TxId;
use tcc_core::{Branch, SettleError, Settled, Tried, TryFailure, refuse};

use crate::defect::Defect;
use crate::defect::Defect as D;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) serial: u32,
    pub(crate) mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mark {
    #[serde(alias = "Lost")]
    Plain,
    #[serde(rename(deserialize = "never"))]
    Lost,
    #[serde(rename(serialize = "unreadable"))]
    Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Short {
    pub(crate) available: i64,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "only {} left", self.available)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) state: State,
    pub(crate) tx: TxId,
    pub(crate) pieces: i64,
    pub(crate) hold: Option<Hold>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Tried,
    Confirmed,
    Cancelled,
    Refused(Short),
    Lost,
}

/// What is in her database.
pub(crate) struct Data {
    pub(crate) available: i64,
    pub(crate) frozen: i64,
    pub(crate) sold: i64,
    pub(crate) rows: BTreeMap<String, Row>,
    /// Holds that were ever made.
    pub(crate) serial: u32,
    /// What a try that was dropped half-way still owes to `frozen`.
    owed: i64,
    /// Calls that are under way.
    pub(crate) busy: u32,
}

impl Data {
    pub(crate) fn new(available: i64) -> Self {
        Self { available, frozen: 0, sold: 0, rows: BTreeMap::new(), serial: 0, owed: 0, busy: 0 }
    }

    pub(crate) fn r#try(
        &mut self,
        defect: Defect,
        key: String,
        cx: &Branch,
        pieces: i64,
    ) -> Tried<Hold, Short> {
        let short = Short { available: self.available };
        match defect {
            D::TryFails => return Err(TryFailure::Unknown("the disk is full".into())),
            D::NoFence if self.available < pieces => return refuse(short),
            D::NoFence => {
                self.take(pieces);
                return Ok(Hold { serial: self.next_serial(), mark: Mark::Plain });
            }
            D::BalanceBeforeRepeat if self.available < pieces => return refuse(short),
            _ => {}
        }
        if defect != D::DroppedRefusalIsHalfUntilCancelled {
            self.pay_owed();
        }
        if defect == D::RepeatTakesWhatIsLeft && self.rows.contains_key(&key) && self.available < pieces {
            self.available = 0;
        }
        if let Some(row) = self.rows.get(&key) {
            match (&row.state, defect) {
                (State::Refused(_), D::AnswersOtherwise) => return Err(TryFailure::TooLate),
                (State::Cancelled | State::Lost, D::AnswersOtherwise) => return refuse(short),
                (State::Refused(_), D::RefusalIsForgotten) => {}
                (State::Refused(_), D::RefusalDiffers) => return refuse(Short { available: -1 }),
                (State::Cancelled, D::LateTryTakes) => {}
                (State::Cancelled, D::LateTryIsDone) => {
                    return Ok(Hold { serial: 0, mark: Mark::Plain });
                }
                (State::Tried | State::Confirmed, D::OutputDiffers) => {
                    return Ok(Hold { serial: self.next_serial(), mark: Mark::Plain });
                }
                (State::Confirmed, D::RepeatReopensTheConfirmed) => {
                    let hold = row.hold.clone().unwrap();
                    self.set(&key, State::Tried);
                    return Ok(hold);
                }
                (State::Tried, D::TryLooksAtAllOfATransaction)
                    if self.rows.values().any(|row| row.tx == cx.tx() && row.state == State::Cancelled) =>
                {
                    return Err(TryFailure::TooLate);
                }
                (State::Tried | State::Confirmed, _) => return Ok(row.hold.clone().unwrap()),
                (State::Refused(short), _) => return refuse(short.clone()),
                (State::Cancelled | State::Lost, _) => return Err(TryFailure::TooLate),
            }
        }
        let tx = cx.tx();
        if self.available < pieces && defect != D::RefusedTryIsDone {
            if defect == D::RefusedTryLeavesHalf {
                self.frozen += 1;
            }
            self.rows.insert(key, Row { state: State::Refused(short.clone()), tx, pieces, hold: None });
            return refuse(short);
        }
        self.take(pieces);
        let mark = match defect {
            D::OutputCannotBeRead => Mark::Unreadable,
            D::OutputIsReadAsAnother => Mark::Lost,
            _ => Mark::Plain,
        };
        let hold = Hold { serial: self.next_serial(), mark };
        self.rows.insert(key, Row { state: State::Tried, tx, pieces, hold: Some(hold.clone()) });
        Ok(hold)
    }

    pub(crate) fn confirm(&mut self, defect: Defect, key: String, cx: &Branch, pieces: i64) -> Settled {
        if defect == D::NoFence {
            self.sell(pieces);
            return Ok(());
        }
        let no = || Err(SettleError::refuse("not now, and never"));
        match (self.rows.get(&key).map(|row| &row.state), defect) {
            (Some(State::Tried), D::ConfirmChecksTheBalance) if self.available < pieces => no(),
            (Some(State::Tried), D::ConfirmLooksAtAllOfATransaction)
                if self.rows.values().any(|row| row.tx == cx.tx() && row.state == State::Cancelled) =>
            {
                no()
            }
            (Some(State::Tried), D::ConfirmTakesAllOfATransaction) => {
                let taken = self.set_all(cx.tx(), State::Confirmed);
                self.sell(taken);
                Ok(())
            }
            (Some(State::Tried), _)
            | (Some(State::Confirmed), D::ConfirmPaysTwice)
            | (Some(State::Cancelled), D::ConfirmTakesTheCancelled) => {
                self.sell(pieces);
                self.set(&key, State::Confirmed);
                Ok(())
            }
            (Some(State::Confirmed), D::ConfirmAgainIsRefused) => no(),
            (Some(State::Cancelled), D::ConfirmOfTheCancelledIsDone) => Ok(()),
            (Some(State::Refused(_)), D::ConfirmOfTheRefusedIsDone) => Ok(()),
            (None, D::ConfirmWithoutTryIsDone) => Ok(()),
            (None, D::ConfirmWithoutTryLeavesNoMark) => no(),
            (Some(State::Confirmed), _) => Ok(()),
            (Some(State::Cancelled | State::Refused(_) | State::Lost), _) => no(),
            (None, _) => {
                self.rows.insert(key, Row { state: State::Lost, tx: cx.tx(), pieces, hold: None });
                no()
            }
        }
    }

    pub(crate) fn cancel(&mut self, defect: Defect, key: String, cx: &Branch, pieces: i64) -> Settled {
        if defect == D::NoFence {
            self.give(pieces);
            return Ok(());
        }
        if defect != D::DroppedTryIsHalfWhenCancelled {
            self.pay_owed();
        }
        let no = || Err(SettleError::refuse("not now, and never"));
        match (self.rows.get(&key).map(|row| &row.state), defect) {
            (Some(State::Tried), D::CancelForgets) => {
                self.set(&key, State::Cancelled);
                Ok(())
            }
            (Some(State::Tried), D::CancelGivesBackAllOfATransaction) => {
                let tried = |row: &&Row| row.tx == cx.tx() && row.state == State::Tried;
                let given = self.rows.values().filter(tried).map(|row| row.pieces).sum();
                self.give(given);
                self.set(&key, State::Cancelled);
                Ok(())
            }
            (Some(State::Tried), D::CancelMarksAllOfATransaction) => {
                self.give(pieces);
                self.set_all(cx.tx(), State::Cancelled);
                Ok(())
            }
            (Some(State::Tried), _)
            | (Some(State::Cancelled), D::CancelGivesTwice)
            | (Some(State::Confirmed), D::CancelGivesBackTheConfirmed)
            | (Some(State::Refused(_)), D::CancelOfTheRefusedGivesBack) => {
                self.give(pieces);
                self.set(&key, State::Cancelled);
                Ok(())
            }
            (Some(State::Lost), D::AnswersOtherwise) => Ok(()),
            (Some(State::Cancelled), D::CancelAgainIsRefused) => no(),
            (Some(State::Confirmed), D::CancelOfTheConfirmedIsDone) => Ok(()),
            (Some(State::Refused(_)), D::CancelOfTheRefusedFails) => Err(later()),
            (Some(State::Lost), D::CancelAfterTheLostConfirmGivesBack) => {
                self.give(pieces);
                Ok(())
            }
            (None, D::CancelWithoutTryFails) => Err(later()),
            (None, D::CancelLeavesNoMark) => Ok(()),
            (Some(State::Confirmed | State::Lost), _) => no(),
            (Some(State::Cancelled), _) => Ok(()),
            (Some(State::Refused(_)), _) => {
                self.set(&key, State::Cancelled);
                Ok(())
            }
            (None, _) => {
                if defect == D::CancelWithoutTryGivesBack {
                    self.give(pieces);
                }
                self.rows.insert(key, Row { state: State::Cancelled, tx: cx.tx(), pieces, hold: None });
                Ok(())
            }
        }
    }

    pub(crate) fn take(&mut self, pieces: i64) {
        self.available -= pieces;
        self.frozen += pieces;
    }

    pub(crate) fn give(&mut self, pieces: i64) {
        self.available += pieces;
        self.frozen -= pieces;
    }

    pub(crate) fn sell(&mut self, pieces: i64) {
        self.frozen -= pieces;
        self.sold += pieces;
    }

    pub(crate) fn owe(&mut self, pieces: i64) {
        self.frozen -= pieces;
        self.owed += pieces;
    }

    pub(crate) fn pay_owed(&mut self) {
        self.frozen += std::mem::take(&mut self.owed);
    }

    /// Sets the state of all that is tried in a transaction, and says how many pieces that are.
    fn set_all(&mut self, tx: TxId, state: State) -> i64 {
        let tried = self.rows.values_mut().filter(|row| row.tx == tx && row.state == State::Tried);
        tried
            .map(|row| {
                row.state = state.clone();
                row.pieces
            })
            .sum()
    }

    pub(crate) fn set(&mut self, key: &str, state: State) {
        self.rows.get_mut(key).unwrap().state = state;
    }

    pub(crate) fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }
}

pub(crate) fn later() -> SettleError {
    SettleError::Later("the disk is full".into())
}
