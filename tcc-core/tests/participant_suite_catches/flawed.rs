//! A plain action, and the places where one defect at a time is put into it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tcc_core::protocol::BranchKey;
use tcc_core::testing::ParticipantFixture;
use tcc_core::{ActionType, Branch, Handler, SettleError, Settled, Tried, TryFailure, refuse};
use tokio::task::yield_now;

use crate::data::{Data, Hold, Mark, Row, Short, State, later};
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
        let data = Data::new(available);
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
            D::DroppedRefusalIsHalfUntilCancelled if seen.is_none() && self.data().available < pieces => {
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
