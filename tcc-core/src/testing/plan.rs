//! The plan of a store with faults: which calls meet which, and what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::protocol::{Change, Entry};

/// What happens to a call of a [`FaultStore`](super::FaultStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not applied, and its caller is told so: `Unavailable`.
    Unavailable,
    /// It is applied, and its answer is lost: `Ambiguous`.
    AnswerLost,
    /// It is not applied, and its caller can't know: `Ambiguous`.
    RequestLost,
    /// Its caller is told `Ambiguous` at once, and it is applied later.
    Lingers(Until),
    /// It is applied twice, as if the network had repeated it; the first answer is given.
    Twice,
    /// It waits before it is applied. A caller that gives up meanwhile takes it with it.
    DelayBefore(Duration),
    /// It is applied, and its answer waits.
    DelayAfter(Duration),
    /// It waits before it is applied, until [`Faults::release`].
    Hangs,
}

/// Until when a write lingers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// For this long, on tokio's clock.
    After(Duration),
    /// Until [`Faults::release`].
    Released,
}

/// The kinds of [`Fault`], for counting them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// [`Fault::Unavailable`].
    Unavailable,
    /// [`Fault::AnswerLost`].
    AnswerLost,
    /// [`Fault::RequestLost`].
    RequestLost,
    /// [`Fault::Lingers`].
    Lingers,
    /// [`Fault::Twice`].
    Twice,
    /// [`Fault::DelayBefore`].
    DelayBefore,
    /// [`Fault::DelayAfter`].
    DelayAfter,
    /// [`Fault::Hangs`].
    Hangs,
}

impl Fault {
    /// Its kind.
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::Unavailable => FaultKind::Unavailable,
            Self::AnswerLost => FaultKind::AnswerLost,
            Self::RequestLost => FaultKind::RequestLost,
            Self::Lingers(_) => FaultKind::Lingers,
            Self::Twice => FaultKind::Twice,
            Self::DelayBefore(_) => FaultKind::DelayBefore,
            Self::DelayAfter(_) => FaultKind::DelayAfter,
            Self::Hangs => FaultKind::Hangs,
        }
    }
}

/// The kinds of calls of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// One write: of [`StatusStore::append`](crate::store::StatusStore::append), or one of those of [`StatusStore::append_all`](crate::store::StatusStore::append_all).
    Append,
    /// A whole [`StatusStore::append_all`](crate::store::StatusStore::append_all).
    AppendAll,
    /// [`StatusStore::claim`](crate::store::StatusStore::claim).
    Claim,
    /// [`StatusStore::read`](crate::store::StatusStore::read).
    Read,
    /// [`StatusStore::list`](crate::store::StatusStore::list).
    List,
    /// [`StatusStore::stats`](crate::store::StatusStore::stats).
    Stats,
    /// [`StatusStore::check`](crate::store::StatusStore::check).
    Check,
    /// [`StatusStore::sweep`](crate::store::StatusStore::sweep).
    Sweep,
}

/// Which calls a fault strikes, and how often: one line of a script.
///
/// A new rule strikes the first call that it fits, once.
pub struct Rule {
    fault: Fault,
    call: Option<Call>,
    when: Option<Fits>,
    skip: u64,
    times: u64,
}

type Fits = Box<dyn Fn(&Entry) -> bool + Send>;

impl Rule {
    /// Strikes the next call of any kind.
    pub fn new(fault: Fault) -> Self {
        Self { fault, call: None, when: None, skip: 0, times: 1 }
    }

    /// Only calls of this kind.
    #[must_use]
    pub fn on(mut self, call: Call) -> Self {
        self.call = Some(call);
        self
    }

    /// Only writes and claims whose entry is such.
    #[must_use]
    pub fn when(mut self, entry: impl Fn(&Entry) -> bool + Send + 'static) -> Self {
        self.when = Some(Box::new(entry));
        self
    }

    /// Only writes and claims whose entry is a change of this kind: `"begin"`, `"enlist"`, `"decide"`, `"settle"`,
    /// `"claim"`, `"resolve"` or `"snapshot"`.
    #[must_use]
    pub fn when_change(self, kind: &'static str) -> Self {
        self.when(move |entry| Change::decode(entry.line()).is_ok_and(|change| change.kind() == kind))
    }

    /// Only from the n-th call on that it fits, the first being 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// This many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Every time, until [`Faults::clear`].
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn strikes(&mut self, call: Call, entry: Option<&Entry>) -> Option<Fault> {
        let fits = self.call.is_none_or(|of| of == call)
            && self.when.as_ref().is_none_or(|when| entry.is_some_and(when))
            && self.times > 0;
        if !fits {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.fault)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("fault", &self.fault)
            .field("call", &self.call)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

/// How often each fault strikes by chance: 0 never, 1 at every call. What they leave of 1 is calls without a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Of [`Fault::Unavailable`].
    pub unavailable: f64,
    /// Of [`Fault::AnswerLost`].
    pub answer_lost: f64,
    /// Of [`Fault::RequestLost`].
    pub request_lost: f64,
    /// Of [`Fault::Lingers`], for up to [`Rates::longest`].
    pub lingers: f64,
    /// Of [`Fault::Twice`].
    pub twice: f64,
    /// Of [`Fault::DelayBefore`] and [`Fault::DelayAfter`] each, for up to [`Rates::longest`].
    pub delay: f64,
    /// The longest delay.
    pub longest: Duration,
}

impl Rates {
    /// No fault at all.
    pub const NONE: Self = Self {
        unavailable: 0.0,
        answer_lost: 0.0,
        request_lost: 0.0,
        lingers: 0.0,
        twice: 0.0,
        delay: 0.0,
        longest: Duration::from_millis(500),
    };

    /// Every kind at 4 of 100 calls.
    pub const STORMY: Self = Self {
        unavailable: 0.04,
        answer_lost: 0.04,
        request_lost: 0.04,
        lingers: 0.04,
        twice: 0.04,
        delay: 0.04,
        ..Self::NONE
    };
}

/// The plan of a [`FaultStore`](super::FaultStore), and what came of it. Clones share it.
#[derive(Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    /// How often was released.
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct Plan {
    rules: Vec<Rule>,
    chance: Option<(fastrand::Rng, Rates)>,
    down: bool,
    lingering: VecDeque<Late>,
    struck: BTreeMap<FaultKind, u64>,
    calls: BTreeMap<Call, u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { plan: Arc::default(), released: watch::Sender::new(0) }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan();
        f.debug_struct("Faults")
            .field("rules", &plan.rules)
            .field("struck", &plan.struck)
            .finish_non_exhaustive()
    }
}

impl Faults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule. Of several that fit a call the one added first strikes, and those after it don't count the call.
    pub fn add(&self, rule: Rule) {
        self.plan().rules.push(rule);
    }

    /// Strikes the next write.
    pub fn next_append(&self, fault: Fault) {
        self.add(Rule::new(fault).on(Call::Append));
    }

    /// Strikes the next call of this kind.
    pub fn next(&self, call: Call, fault: Fault) {
        self.add(Rule::new(fault).on(call));
    }

    /// Takes back all rules, and ends chance. What lingers or hangs goes on doing so.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.rules.clear();
        plan.chance = None;
    }

    /// The store is down: every call is `Unavailable`, until [`Faults::up`].
    pub fn down(&self) {
        self.plan().down = true;
    }

    /// The store is up again.
    pub fn up(&self) {
        self.plan().down = false;
    }

    /// Applies what lingers until it is released, in the order of its calls, and lets go of what hangs. Says how many
    /// lingering calls were applied.
    pub async fn release(&self) -> usize {
        let late = std::mem::take(&mut self.plan().lingering);
        let applied = late.len();
        for late in late {
            late.await;
        }
        self.released.send_modify(|times| *times += 1);
        applied
    }

    /// How many calls linger until they are released.
    pub fn lingering(&self) -> usize {
        self.plan().lingering.len()
    }

    pub(super) fn chance(&self, seed: u64, rates: Rates) {
        self.plan().chance = Some((fastrand::Rng::with_seed(seed), rates));
    }

    pub(super) fn linger(&self, late: impl Future<Output = ()> + Send + 'static) {
        self.plan().lingering.push_back(Box::pin(late));
    }

    /// How often faults of this kind struck.
    pub fn struck(&self, kind: FaultKind) -> u64 {
        self.plan().struck.get(&kind).copied().unwrap_or_default()
    }

    /// How often each kind of fault struck that struck at all.
    pub fn struck_all(&self) -> BTreeMap<FaultKind, u64> {
        self.plan().struck.clone()
    }

    /// How many calls of this kind were made, struck or not.
    pub fn calls(&self, call: Call) -> u64 {
        self.plan().calls.get(&call).copied().unwrap_or_default()
    }

    pub(super) fn count(&self, call: Call, calls: usize) {
        *self.plan().calls.entry(call).or_default() += calls as u64;
    }

    /// What strikes a call by script, or because the store is down.
    pub(super) fn scripted(&self, call: Call, entry: Option<&Entry>) -> Option<Fault> {
        let mut plan = self.plan();
        let fault = match plan.down {
            true => Fault::Unavailable,
            false => plan.rules.iter_mut().find_map(|rule| rule.strikes(call, entry))?,
        };
        *plan.struck.entry(fault.kind()).or_default() += 1;
        Some(fault)
    }

    /// What strikes a call by chance.
    pub(super) fn by_chance(&self) -> Option<Fault> {
        let mut plan = self.plan();
        let (random, rates) = plan.chance.as_mut()?;
        let (mut at, long) = (random.f64(), rates.longest.mul_f64(random.f64()));
        let faults = [
            (rates.unavailable, Fault::Unavailable),
            (rates.answer_lost, Fault::AnswerLost),
            (rates.request_lost, Fault::RequestLost),
            (rates.lingers, Fault::Lingers(Until::After(long))),
            (rates.twice, Fault::Twice),
            (rates.delay, Fault::DelayBefore(long)),
            (rates.delay, Fault::DelayAfter(long)),
        ];
        let fault = faults.into_iter().find_map(|(rate, fault)| {
            at -= rate;
            (at < 0.0).then_some(fault)
        })?;
        *plan.struck.entry(fault.kind()).or_default() += 1;
        Some(fault)
    }

    pub(super) async fn hang(&self) {
        let mut released = self.released.subscribe();
        let before = *released.borrow_and_update();
        // The sender is in `self`: it can't be gone.
        let _ = released.wait_for(|times| *times > before).await;
    }
}

/// A call that is still to be applied.
type Late = BoxFuture<'static, ()>;
