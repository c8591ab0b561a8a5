//! A participant whose calls meet faults by plan.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::plan::Until;
use crate::participant::{Branch, Delivered, Delivery, Intercept, Lost, Register, Registry};
use crate::protocol::{ActionName, BranchKey, Phase};

/// Stands before any participant, and does to its calls what a bad network and a bad day would, by plan. Its own code
/// stays as it is.
///
/// ```
/// # use tcc_core::{Coordinator, Register, store::MemoryStore};
/// use tcc_core::protocol::Phase;
/// use tcc_core::testing::{CallFault, CallRule, FaultParticipant};
///
/// # fn example(wallet: impl Register) {
/// let wallet = FaultParticipant::new(wallet);
/// let faults = wallet.faults();
/// let builder = Coordinator::builder("shop", MemoryStore::new()).register(wallet);
///
/// // The first three confirms fail, then they pass.
/// faults.add(CallRule::new(CallFault::Fails).of("wallet.freeze").on(Phase::Confirm).times(3));
/// # drop(builder);
/// # }
/// ```
#[derive(Debug)]
pub struct FaultParticipant<P> {
    participant: P,
    faults: CallFaults,
}

impl<P: Register> FaultParticipant<P> {
    /// Wraps a participant, or an `Arc` of one. Without a rule, every call passes.
    pub fn new(participant: P) -> Self {
        Self::with(participant, CallFaults::default())
    }

    /// Wraps a participant, with a plan that others may share.
    pub fn with(participant: P, faults: CallFaults) -> Self {
        Self { participant, faults }
    }

    /// Its plan.
    pub fn faults(&self) -> CallFaults {
        self.faults.clone()
    }
}

impl<P: Register> Register for FaultParticipant<P> {
    fn register_in(self, registry: &mut Registry) {
        registry.add_intercepted(self.participant, Arc::new(self.faults));
    }
}

/// What happens to a call of a participant.
///
/// A call is awaited for its time limit at most: that of its action, or the coordinator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// It never arrives, and its caller is told at once that something is broken.
    Fails,
    /// It has its effect, and its caller is told at once that something is broken.
    FailsAfter,
    /// It never arrives, and its caller waits in vain.
    Lost,
    /// It has its effect, and its caller waits in vain.
    AnswerLost,
    /// It waits before it arrives. A caller that gives up meanwhile takes it with it.
    DelayBefore(Duration),
    /// It has its effect, and its answer waits.
    DelayAfter(Duration),
    /// It arrives so many times, one after the other; the last answer is given.
    Repeats(u32),
    /// The participant panics, without a message of the panic hook.
    Panics,
    /// It waits before it arrives, until [`CallFaults::release`]. A caller that gives up meanwhile takes it with it.
    Hangs,
    /// Its caller waits in vain, and it arrives later, whether or not anybody waits for it.
    Late(Until),
    /// Strikes tries only: the caller waits in vain, and the try arrives after its branch's cancel has been answered.
    AfterCancel,
}

/// Which calls a fault strikes, and how often: one line of a script.
///
/// A new rule strikes the first call that it fits, once.
#[derive(Debug)]
pub struct CallRule {
    fault: CallFault,
    action: Option<&'static str>,
    phase: Option<Phase>,
    skip: u64,
    times: u64,
}

impl CallRule {
    /// Strikes the next call.
    pub fn new(fault: CallFault) -> Self {
        let phase = (fault == CallFault::AfterCancel).then_some(Phase::Try);
        Self { fault, action: None, phase, skip: 0, times: 1 }
    }

    /// Only calls of this action: `"wallet.freeze"`.
    #[must_use]
    pub fn of(mut self, action: &'static str) -> Self {
        self.action = Some(action);
        self
    }

    /// Only calls of this phase.
    #[must_use]
    pub fn on(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// Only from the n-th call on that it fits, the first being 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// This many times; after that, calls pass.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Every time, until [`CallFaults::clear`].
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn strikes(&mut self, cx: &Branch) -> Option<CallFault> {
        let fits = self.action.is_none_or(|action| action == cx.action().as_str())
            && self.phase.is_none_or(|phase| phase == cx.phase())
            && (self.fault != CallFault::AfterCancel || cx.phase() == Phase::Try)
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

/// A call that a fault struck.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Struck {
    /// The fault.
    pub fault: CallFault,
    /// Of which branch.
    pub key: BranchKey,
    /// Of which action.
    pub action: ActionName,
    /// In which phase.
    pub phase: Phase,
}

/// What the participant said to a call that arrived when nobody waited for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LateAnswer {
    /// The call.
    pub call: Struck,
    /// The answer.
    pub answer: Delivered,
}

/// The plan of [`FaultParticipant`]s, and what came of it. Clones share it.
#[derive(Clone)]
pub struct CallFaults {
    plan: Arc<Mutex<Plan>>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Plan {
    rules: Vec<CallRule>,
    struck: Vec<Struck>,
    late: Vec<LateAnswer>,
    /// Branches whose cancel has been answered.
    cancelled: BTreeSet<BranchKey>,
    /// How often was released.
    released: u64,
}

impl Default for CallFaults {
    fn default() -> Self {
        Self { plan: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl fmt::Debug for CallFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan();
        f.debug_struct("CallFaults")
            .field("rules", &plan.rules)
            .field("struck", &plan.struck)
            .finish_non_exhaustive()
    }
}

impl CallFaults {
    /// Adds a rule. Of several that fit a call the one added first strikes, and those after it don't count the call.
    pub fn add(&self, rule: CallRule) {
        self.plan().rules.push(rule);
    }

    /// Takes back all rules. What hangs or is late goes on being so.
    pub fn clear(&self) {
        self.plan().rules.clear();
    }

    /// Lets go of what hangs, of what is late until it is released, and of tries that wait for their cancel.
    pub fn release(&self) {
        self.change(|plan| plan.released += 1);
    }

    /// The calls that were struck, in order.
    pub fn struck(&self) -> Vec<Struck> {
        self.plan().struck.clone()
    }

    /// What was said to late calls, in the order of the answers.
    pub fn late(&self) -> Vec<LateAnswer> {
        self.plan().late.clone()
    }

    /// Waits until so many calls have been struck, all in all.
    pub async fn until_struck(&self, calls: usize) {
        self.until(|plan| plan.struck.len() >= calls).await;
    }

    /// Waits until so many late calls have been answered, all in all.
    pub async fn until_late(&self, calls: usize) {
        self.until(|plan| plan.late.len() >= calls).await;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan());
        self.changed.send_replace(());
    }

    async fn until(&self, mut happened: impl FnMut(&Plan) -> bool) {
        let mut changed = self.changed.subscribe();
        while !happened(&self.plan()) {
            // The sender is `self`: it is there.
            let _ = changed.changed().await;
        }
    }

    fn strike(&self, cx: &Branch) -> Option<Struck> {
        let struck = {
            let mut plan = self.plan();
            let fault = plan.rules.iter_mut().find_map(|rule| rule.strikes(cx))?;
            Struck { fault, key: cx.key(), action: cx.action().clone(), phase: cx.phase() }
        };
        self.change(|plan| plan.struck.push(struck.clone()));
        Some(struck)
    }

    async fn deliver(&self, call: &Delivery) -> Delivered {
        let answer = call.deliver().await;
        if call.branch().phase() == Phase::Cancel {
            self.change(|plan| {
                plan.cancelled.insert(call.branch().key());
            });
        }
        answer
    }

    /// Delivers a call on a task of its own, once something has happened.
    fn deliver_late<F: Future<Output = ()> + Send + 'static>(
        &self,
        call: &Delivery,
        struck: Struck,
        happened: impl FnOnce(Self) -> F,
    ) {
        let (faults, call) = (self.clone(), call.clone());
        let wait = happened(self.clone());
        tokio::spawn(async move {
            wait.await;
            let answer = faults.deliver(&call).await;
            faults.change(|plan| plan.late.push(LateAnswer { call: struck, answer }));
        });
    }

    async fn meet(&self, call: &Delivery) -> Result<(), Lost> {
        let Some(struck) = self.strike(call.branch()) else {
            self.deliver(call).await;
            return Ok(());
        };
        let released = self.plan().released;
        let key = struck.key;
        match struck.fault {
            CallFault::Fails => return Err(broken("the call did not arrive")),
            CallFault::FailsAfter => {
                self.deliver(call).await;
                return Err(broken("the answer did not arrive"));
            }
            CallFault::Lost => wait_in_vain().await,
            CallFault::AnswerLost => {
                self.deliver(call).await;
                wait_in_vain().await;
            }
            CallFault::DelayBefore(time) => {
                tokio::time::sleep(time).await;
                self.deliver(call).await;
            }
            CallFault::DelayAfter(time) => {
                self.deliver(call).await;
                tokio::time::sleep(time).await;
            }
            CallFault::Repeats(times) => {
                for _ in 0..times.max(1) {
                    self.deliver(call).await;
                }
            }
            // Past the panic hook: a panic by plan is not to be shown as a mistake.
            CallFault::Panics => std::panic::resume_unwind(Box::new("by plan".to_owned())),
            CallFault::Hangs => {
                self.until(|plan| plan.released > released).await;
                self.deliver(call).await;
            }
            CallFault::Late(Until::After(time)) => {
                self.deliver_late(call, struck, move |_| tokio::time::sleep(time));
                wait_in_vain().await;
            }
            CallFault::Late(Until::Released) => {
                self.deliver_late(call, struck, move |faults| async move {
                    faults.until(|plan| plan.released > released).await;
                });
                wait_in_vain().await;
            }
            CallFault::AfterCancel => {
                self.deliver_late(call, struck, move |faults| async move {
                    faults.until(|plan| plan.cancelled.contains(&key) || plan.released > released).await;
                });
                wait_in_vain().await;
            }
        }
        Ok(())
    }
}

impl Intercept for CallFaults {
    fn call<'a>(&'a self, call: &'a Delivery) -> BoxFuture<'a, Result<(), Lost>> {
        Box::pin(self.meet(call))
    }
}

fn broken(what: &str) -> Lost {
    Lost { what: format!("{what}, by plan") }
}

/// Until the caller gives up.
async fn wait_in_vain() {
    std::future::pending().await
}
