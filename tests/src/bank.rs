//! A participant with a fence in memory, which knows what may not happen to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcc_core::protocol::{BranchKey, Group, Phase, TxId, fold};
use tcc_core::store::StatusStore;
use tcc_core::{
    ActionType, Branch, BranchError, Handler, Registry, Service, SettleError, Settled, TransactionError,
    Tried, TryFailure,
};

use crate::witness::Witness;

/// Moves money. Its fence is the table of DESIGN.md §6.
pub struct Bank {
    group: Group,
    /// The logs as they are, past all faults: a try looks whether it was allowed to be called.
    logs: Arc<Witness>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    rows: HashMap<BranchKey, Row>,
    violations: Vec<String>,
}

/// What has happened to a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Its fence.
    pub state: Option<State>,
    /// How often each phase was called.
    pub calls: HashMap<Phase, u32>,
    /// The phases that had an effect, in order.
    pub effects: Vec<Phase>,
}

/// The state of a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its try had its effect.
    Tried,
    /// Its confirm had its effect.
    Confirmed,
    /// Its cancel had its effect, or there was nothing to cancel.
    Cancelled,
}

/// How a move goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// At once.
    Quick,
    /// The first attempts of phase two fail, so many.
    Fails(u32),
    /// The first attempt of phase two takes this long.
    Slow(Duration),
    /// The first two attempts of phase two take this long: of a coordinator, and of the one that takes over.
    Sticks(Duration),
    /// The try has its effect, and its answer is lost.
    Mute,
}

/// The request of a move.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Move {
    /// How much.
    pub cents: i64,
    /// How it goes.
    pub manner: Manner,
}

/// The bank's only action.
pub struct Transfer;

impl ActionType for Transfer {
    const NAME: &'static str = "bank.transfer";
    // Longer than any lease here: what takes long is to be renewed, not given up.
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(120));
    type Request = Move;
    type Output = i64;
    type Error = String;
}

/// The error of a body of these tests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Of a branch.
    #[error(transparent)]
    Branch(#[from] BranchError<String>),
    /// Of the transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The body's own.
    #[error("the body's own")]
    Own,
}

impl Error {
    /// The transaction's error, wherever it came up.
    pub fn transaction(&self) -> Option<&TransactionError> {
        match self {
            Self::Branch(BranchError::Transaction(error)) | Self::Transaction(error) => Some(error),
            Self::Branch(_) | Self::Own => None,
        }
    }
}

impl Bank {
    /// A bank whose coordinators keep their logs there.
    pub fn new(group: &str, logs: Arc<Witness>) -> Self {
        Self { group: Group::new(group.to_owned()).expect("a good name"), logs, books: Mutex::default() }
    }

    /// What happened that may not.
    pub fn violations(&self) -> Vec<String> {
        self.books().violations.clone()
    }

    /// The branches of a transaction that were ever called, in their order.
    pub fn branches(&self, tx: TxId) -> Vec<(BranchKey, Row)> {
        let books = self.books();
        let mut rows: Vec<_> =
            books.rows.iter().filter(|(key, _)| key.tx == tx).map(|(key, row)| (*key, row.clone())).collect();
        rows.sort_by_key(|(key, _)| *key);
        rows
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call, and says its number.
    fn called(&self, cx: &Branch) -> u32 {
        let mut books = self.books();
        let calls = books.rows.entry(cx.key()).or_default().calls.entry(cx.phase()).or_default();
        *calls += 1;
        *calls
    }

    /// A branch is in the log before its try is called, and its transaction is undecided and unclaimed then.
    async fn may_try(&self, cx: &Branch) {
        let log = self.logs.read(&self.group, cx.tx()).await;
        let wrong = match log {
            Ok(Some(log)) => match fold(&log) {
                Ok(record) if record.branch(cx.id()).is_none() => {
                    Some("its branch is not in the log".to_owned())
                }
                Ok(record) if record.decision().is_some() || record.is_claimed() => {
                    Some(format!("the transaction is {}, claimed: {}", record.status(), record.is_claimed()))
                }
                Ok(_) => None,
                Err(error) => Some(format!("{error:?}")),
            },
            Ok(None) => Some("there is no log".to_owned()),
            Err(error) => Some(format!("{error:?}")),
        };
        if let Some(wrong) = wrong {
            self.books().violations.push(format!("try of {} was called, and {wrong}", cx.key()));
        }
    }

    /// A confirm only after the decision to confirm is in the log.
    async fn may_confirm(&self, cx: &Branch) {
        let decided = self.logs.decision(cx.tx());
        if decided != Some(tcc_core::protocol::Decision::Confirm) {
            self.books()
                .violations
                .push(format!("confirm of {} was called, and the decision is {decided:?}", cx.key()));
        }
    }

    async fn manner(&self, cx: &Branch, manner: Manner) -> Result<(), std::io::Error> {
        let call = self.called(cx);
        match manner {
            Manner::Fails(times) if call <= times => Err(std::io::Error::other("not yet")),
            Manner::Slow(time) if call == 1 => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Manner::Sticks(time) if call <= 2 => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Manner::Quick | Manner::Fails(_) | Manner::Slow(_) | Manner::Sticks(_) | Manner::Mute => Ok(()),
        }
    }

    /// The fence: the effect and its mark at once.
    fn settle(&self, cx: &Branch, to: State) -> Settled {
        let mut books = self.books();
        let row = books.rows.entry(cx.key()).or_default();
        match row.state {
            Some(State::Tried) => {
                row.effects.push(cx.phase());
                row.state = Some(to);
                Ok(())
            }
            None if to == State::Cancelled => {
                row.state = Some(to);
                Ok(())
            }
            Some(state) if state == to => Ok(()),
            state => {
                books.violations.push(format!("{} of {}, whose fence is {state:?}", cx.phase(), cx.key()));
                Err(SettleError::refuse("it contradicts the fence"))
            }
        }
    }
}

impl Handler<Transfer> for Bank {
    async fn r#try(&self, cx: &Branch, request: Move) -> Tried<i64, String> {
        self.called(cx);
        self.may_try(cx).await;
        let mut books = self.books();
        let row = books.rows.entry(cx.key()).or_default();
        match row.state {
            None => {
                row.state = Some(State::Tried);
                row.effects.push(Phase::Try);
            }
            Some(State::Tried | State::Confirmed) => {}
            Some(State::Cancelled) => return Err(TryFailure::TooLate),
        }
        if request.manner == Manner::Mute {
            return Err(std::io::Error::other("the answer is lost").into());
        }
        Ok(request.cents)
    }

    async fn confirm(&self, cx: &Branch, request: Move, output: i64) -> Settled {
        self.may_confirm(cx).await;
        if output != request.cents {
            self.books().violations.push(format!("confirm of {} was given another output", cx.key()));
        }
        self.manner(cx, request.manner).await?;
        self.settle(cx, State::Confirmed)
    }

    async fn cancel(&self, cx: &Branch, request: Move, _: Option<i64>) -> Settled {
        self.manner(cx, request.manner).await?;
        self.settle(cx, State::Cancelled)
    }
}

impl Service for Bank {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Transfer, _>(self);
    }
}
