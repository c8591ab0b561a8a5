//! A plain action, and the places where one defect at a time is put into it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{BranchKey, TxId};
use tcc_core::testing::ParticipantFixture;
use tcc_core::{ActionType, Branch, Handler, SettleError, Settled, Tried, TryFailure, refuse};
use tokio::task::yield_now;

use crate::defect::Defect;
use crate::defect::Defect as D;

/// Puts pieces aside.
pub(crate) struct Reserve;

impl ActionType for Reserve {
    const NAME: &'static str = "inventory.reserve";
    type Request = i64;
    type Output = Hold;
    type Error = Short;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    serial: u32,
    mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Mark {
    #[serde(alias = "Lost")]
    Plain,
    #[serde(rename(deserialize = "never"))]
    Lost,
    #[serde(rename(serialize = "unreadable"))]
    Unreadable,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Short {
    available: i64,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "only {} left", self.available)
    }
}

#[derive(Debug, Clone)]
struct Row {
    state: State,
    tx: TxId,
    pieces: i64,
    hold: Option<Hold>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Tried,
    Confirmed,
    Cancelled,
    Refused(Short),
    Lost,
}

/// What is in her database.
struct Data {
    available: i64,
    frozen: i64,
    sold: i64,
    rows: BTreeMap<String, Row>,
    /// Holds that were ever made.
    serial: u32,
    /// What a try that was dropped half-way still owes to `frozen`.
    owed: i64,
    /// Calls that are under way.
    busy: u32,
}

/// A service whose data are in memory.
pub(crate) struct Flawed {
    defect: Defect,
    data: Arc<Mutex<Data>>,
    /// Held for as long as a call takes, by those who wait.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A call is under way.
struct Busy<'a> {
    flawed: &'a Flawed,
    /// Whether the call has come to its end.
    ended: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        match self.flawed.defect {
            D::DroppedTryHoldsUpItsCancel | D::DroppedTryLocksTheData if !self.ended => {}
            D::DoesNotWait if !self.ended => {
                let data = self.flawed.data.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(35)).await;
                    data.lock().unwrap().busy -= 1;
                });
            }
            _ => self.flawed.data().busy -= 1,
        }
    }
}

impl Flawed {
    pub(crate) fn with(defect: Defect) -> Self {
        let available = if defect == D::RunsOutOfNothing { 1_000 } else { 10 };
        let data = Data { available, frozen: 0, sold: 0, rows: BTreeMap::new(), serial: 0, owed: 0, busy: 0 };
        Self { defect, data: Arc::new(Mutex::new(data)), turn: Arc::default() }
    }

    /// The same data, as another start gives them.
    pub(crate) fn shared(&self) -> Self {
        Self { defect: self.defect, data: self.data.clone(), turn: self.turn.clone() }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap()
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    /// `None`: another call is under way, and this one does not wait for it.
    async fn begin(&self) -> Option<(Option<tokio::sync::MutexGuard<'_, ()>>, Busy<'_>)> {
        let turn = if self.has(D::Waits) { Some(self.turn.lock().await) } else { None };
        let mut data = self.data();
        if data.busy > 0 && self.has(D::DoesNotWait) {
            return None;
        }
        data.busy += 1;
        Some((turn, Busy { flawed: self, ended: false }))
    }
}

impl ParticipantFixture for Flawed {
    type Action = Reserve;
    type Service = Self;
    type State = (i64, i64, i64);

    async fn start() -> Self {
        Self::with(D::None)
    }

    fn service(&self) -> &Self {
        self
    }

    fn request(&self, _: u32) -> i64 {
        if self.has(D::RequestCannotBeHad) { 11 } else { 3 }
    }

    fn refused(&self) -> Option<i64> {
        Some(1_001)
    }

    async fn state(&self) -> (i64, i64, i64) {
        while self.has(D::DroppedTryLocksTheData) && self.data().busy > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let data = self.data();
        (data.available, data.frozen, data.sold)
    }
}

/// Each phase is one step on the data, between two places where it may be dropped or overtaken. Some defects make two
/// steps of it.
impl Handler<Reserve> for Flawed {
    async fn r#try(&self, cx: &Branch, pieces: i64) -> Tried<Hold, Short> {
        let key = self.key(cx);
        let seen = self.data().rows.get(&key).cloned();
        if seen.is_some() && self.has(D::RepeatHangs) {
            std::future::pending::<()>().await;
        }
        if seen.is_some() && self.has(D::RepeatPanics) {
            // Past the panic hook.
            std::panic::resume_unwind(Box::new("by plan".to_owned()));
        }
        if self.has(D::SecondTryIsRefused) && self.data().busy > 0 {
            return refuse(Short { available: 0 });
        }
        let Some((_turn, mut busy)) = self.begin().await else {
            return Err(TryFailure::Unknown("the database is locked".into()));
        };
        yield_now().await;
        let answer = match self.defect {
            D::DroppedTryIsHalfUntilRepeated | D::DroppedTryIsHalfWhenCancelled
                if seen.is_none() && self.data().available >= pieces =>
            {
                let answer = self.data().r#try(self.defect, key, cx, pieces);
                self.data().owe(pieces);
                yield_now().await;
                self.data().pay_owed();
                answer
            }
            D::DroppedRefusalIsHalfUntilRepeated if seen.is_none() && self.data().available < pieces => {
                let answer = self.data().r#try(self.defect, key, cx, pieces);
                self.data().owe(-1);
                yield_now().await;
                self.data().pay_owed();
                answer
            }
            D::RowIsCommittedFirst if seen.is_none() && self.data().available >= pieces => {
                let (serial, tx) = (self.data().next_serial(), cx.tx());
                let hold = Hold { serial, mark: Mark::Plain };
                let row = Row { state: State::Tried, tx, pieces, hold: Some(hold.clone()) };
                self.data().rows.insert(key, row);
                yield_now().await;
                self.data().take(pieces);
                Ok(hold)
            }
            D::EffectIsCommittedFirst if seen.is_none() && self.data().available >= pieces => {
                self.data().take(pieces);
                yield_now().await;
                self.data().give(pieces);
                self.data().r#try(self.defect, key, cx, pieces)
            }
            D::RefusalTakesFirst if seen.is_none() && self.data().available < pieces => {
                self.data().take(pieces);
                yield_now().await;
                self.data().give(pieces);
                self.data().r#try(self.defect, key, cx, pieces)
            }
            D::TryLooksThenWrites if seen.is_none() => {
                self.data().rows.remove(&key);
                self.data().r#try(self.defect, key, cx, pieces)
            }
            D::SecondTryHasItsOwnOutput if seen.is_none() => {
                let answer = self.data().r#try(self.defect, key, cx, pieces);
                let serial = self.data().next_serial();
                answer.map(|hold| Hold { serial, ..hold })
            }
            _ => self.data().r#try(self.defect, key, cx, pieces),
        };
        yield_now().await;
        busy.ended = true;
        answer
    }

    async fn confirm(&self, cx: &Branch, pieces: i64, _: Hold) -> Settled {
        let key = self.key(cx);
        let Some((_turn, mut busy)) = self.begin().await else { return Err(later()) };
        yield_now().await;
        let seen = self.data().rows.get(&key).map(|row| row.state.clone());
        let answer = match self.defect {
            D::ConfirmFails => Err(later()),
            D::ConfirmIsTwoWrites if seen == Some(State::Tried) => {
                self.data().frozen -= pieces;
                yield_now().await;
                self.data().frozen += pieces;
                self.data().confirm(self.defect, key, cx, pieces)
            }
            D::ConfirmLooksThenWrites if seen == Some(State::Tried) => {
                yield_now().await;
                self.data().sell(pieces);
                self.data().set(&key, State::Confirmed);
                Ok(())
            }
            _ => self.data().confirm(self.defect, key, cx, pieces),
        };
        yield_now().await;
        busy.ended = true;
        answer
    }

    async fn cancel(&self, cx: &Branch, pieces: i64, hold: Option<Hold>) -> Settled {
        let key = self.key(cx);
        let others = self.data().busy;
        let Some((_turn, mut busy)) = self.begin().await else { return Err(later()) };
        yield_now().await;
        let seen = self.data().rows.get(&key).map(|row| row.state.clone());
        let answer = match self.defect {
            D::CancelFails => Err(later()),
            D::DroppedTryHoldsUpItsCancel if others > 0 => Err(later()),
            D::CancelOfATryUnderWayIsRefused if others > 0 => Err(SettleError::refuse("it is busy")),
            D::CancelNeedsTheOutput if hold.is_none() && seen == Some(State::Tried) => {
                self.data().set(&key, State::Cancelled);
                Ok(())
            }
            D::CancelIsTwoWrites if seen == Some(State::Tried) => {
                self.data().frozen -= pieces;
                yield_now().await;
                self.data().frozen += pieces;
                self.data().cancel(self.defect, key, cx, pieces)
            }
            D::CancelLooksThenWrites if seen == Some(State::Tried) => {
                yield_now().await;
                self.data().give(pieces);
                self.data().set(&key, State::Cancelled);
                Ok(())
            }
            _ => self.data().cancel(self.defect, key, cx, pieces),
        };
        yield_now().await;
        busy.ended = true;
        answer
    }
}

impl Flawed {
    fn key(&self, cx: &Branch) -> String {
        let key = cx.key();
        match self.defect {
            D::RowIsOfTheTransaction => key.tx.to_string(),
            D::RowIsOfTheNumber => key.branch.to_string(),
            D::RowForgetsTheRun => BranchKey { run: None, ..key }.to_string(),
            _ => key.to_string(),
        }
    }
}

/// One database transaction each.
impl Data {
    fn r#try(&mut self, defect: Defect, key: String, cx: &Branch, pieces: i64) -> Tried<Hold, Short> {
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
        self.pay_owed();
        if defect == D::RepeatTakesWhatIsLeft && self.rows.contains_key(&key) && self.available < pieces {
            self.available = 0;
        }
        if let Some(row) = self.rows.get(&key) {
            match (&row.state, defect) {
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

    fn confirm(&mut self, defect: Defect, key: String, cx: &Branch, pieces: i64) -> Settled {
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

    fn cancel(&mut self, defect: Defect, key: String, cx: &Branch, pieces: i64) -> Settled {
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

    fn take(&mut self, pieces: i64) {
        self.available -= pieces;
        self.frozen += pieces;
    }

    fn give(&mut self, pieces: i64) {
        self.available += pieces;
        self.frozen -= pieces;
    }

    fn sell(&mut self, pieces: i64) {
        self.frozen -= pieces;
        self.sold += pieces;
    }

    fn owe(&mut self, pieces: i64) {
        self.frozen -= pieces;
        self.owed += pieces;
    }

    fn pay_owed(&mut self) {
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

    fn set(&mut self, key: &str, state: State) {
        self.rows.get_mut(key).unwrap().state = state;
    }

    fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }
}

fn later() -> SettleError {
    SettleError::Later("the disk is full".into())
}
