//! Actions that transactions of the group call and nobody here handles: counted, named, and left to other instances.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::{ActionName, TxId};

/// How many transactions of one action are told apart, and how many actions.
const MOST: usize = 10_000;
/// How often it is said again that an action is unknown, while it goes on.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// An action that transactions of the group call and this instance does not know: what
/// [`Operator::unknown_actions`](super::Operator::unknown_actions) shows.
///
/// Its branches wait for an instance that knows it. Nothing is guessed, refused or lost meanwhile, and the other branches
/// of their transactions are settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownAction {
    /// The action.
    pub action: ActionName,
    /// The version of its payloads.
    pub version: u16,
    /// How many transactions this instance has put back because of it since it started, counted up to 10 000. Others may
    /// have settled them since.
    pub transactions: u64,
    /// How often it has met one of them.
    pub times: u64,
    /// How long ago it met the first.
    pub since: Duration,
    /// How long ago it met the last.
    pub last: Duration,
}

/// What this instance has met and does not know.
#[derive(Default)]
pub(super) struct Unknown(Mutex<Met>);

#[derive(Default)]
struct Met {
    actions: HashMap<(ActionName, u16), Count>,
    /// When something was put back for an instance that knows more than this one.
    put_back: Option<Instant>,
}

struct Count {
    transactions: HashSet<TxId>,
    times: u64,
    since: Instant,
    last: Instant,
    said: Instant,
}

impl Unknown {
    /// A branch of a transaction calls an action that is unknown here. The log says so once, then every ten minutes.
    pub(super) fn met(&self, id: TxId, action: &ActionName, version: u16) {
        let now = Instant::now();
        let mut met = self.lock();
        met.put_back = Some(now);
        let actions = met.actions.len();
        let count = match met.actions.entry((action.clone(), version)) {
            std::collections::hash_map::Entry::Occupied(count) => count.into_mut(),
            std::collections::hash_map::Entry::Vacant(_) if actions >= MOST => return,
            std::collections::hash_map::Entry::Vacant(place) => place.insert(Count {
                transactions: HashSet::new(),
                times: 0,
                since: now,
                last: now,
                said: now,
            }),
        };
        if count.transactions.len() < MOST {
            count.transactions.insert(id);
        }
        count.times += 1;
        count.last = now;
        if count.times == 1 || now >= count.said + SAY_AGAIN {
            count.said = now;
            tracing::warn!(
                tx = %id, %action, version, transactions = count.transactions.len(), times = count.times,
                "an action is unknown here: its transactions are put back for another instance of the group; \
                 deploy one that knows it"
            );
        }
    }

    /// A log was put back for an instance that knows a newer format.
    pub(super) fn met_newer_format(&self) {
        self.lock().put_back = Some(Instant::now());
    }

    /// Whether something was put back in this time.
    pub(super) fn within(&self, time: Duration) -> bool {
        self.lock().put_back.is_some_and(|at| at.elapsed() < time)
    }

    /// All of it, by name and version.
    pub(super) fn actions(&self) -> Vec<UnknownAction> {
        let met = self.lock();
        let mut actions: Vec<UnknownAction> = met
            .actions
            .iter()
            .map(|((action, version), count)| UnknownAction {
                action: action.clone(),
                version: *version,
                transactions: count.transactions.len() as u64,
                times: count.times,
                since: count.since.elapsed(),
                last: count.last.elapsed(),
            })
            .collect();
        actions.sort_by(|a, b| (a.action.as_str(), a.version).cmp(&(b.action.as_str(), b.version)));
        actions
    }

    fn lock(&self) -> MutexGuard<'_, Met> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a branch was put back. It is kept as the branch's last error, so it names what is missing and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error(
    "{action} version {version} is unknown here: deploy an instance of the group that knows it; \
     if there will never be one, an operator may refuse the branch and resolve it"
)]
pub(super) struct NotKnown {
    pub(super) action: ActionName,
    pub(super) version: u16,
}
