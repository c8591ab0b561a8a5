//! How a coordinator is set up and started.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::alert::{Alert, Hook};
use super::backoff::Backoff;
use super::config::{Config, ConfigError, SettleOrder};
use super::gather::Gather;
use super::meter::{self, Meter, Operation};
use super::once::Once;
use super::pace::Pace;
use super::participants::Participants;
use super::shared::Shared;
use super::tasks::Tasks;
use super::trace::TraceContext;
use super::unknown::Unknown;
use super::{Coordinator, finish, random, recovery, sweep, tasks};
use crate::participant::{Register, RegisterError, Registry};
use crate::protocol::{Group, NameError, TraceParent};
use crate::store::{Finding, StatusStore, StoreError};

/// Sets up a [`Coordinator`]: made by [`Coordinator::builder`].
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    group: String,
    store: Arc<dyn StatusStore>,
    registry: Registry,
    config: Config,
    shutdown: Option<CancellationToken>,
}

/// Why a coordinator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The group has a name that can't be persisted.
    #[error("the group can't be called that: {0}")]
    Group(NameError),
    /// More than one thing is wrong: all that can be seen before the store is asked.
    #[error("{} things are wrong: {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<StartError>),
    /// The runtime can't tell the time.
    #[error("the tokio runtime has no timers: build it with `enable_time()` or `enable_all()`")]
    NoTimers,
    /// There is no runtime to run its tasks on.
    #[error(
        "there is no tokio runtime here: start the coordinator within one, as in `#[tokio::main] async fn main`"
    )]
    NoRuntime,
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A participant can't be registered as it is.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The store could not be asked for its settings.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's settings would lose transactions.
    #[error("the store can't be used as it is set up: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotReady(Vec<Finding>),
}

impl Builder {
    pub(super) fn new(group: &str, store: impl StatusStore) -> Self {
        Self {
            group: group.to_owned(),
            store: Arc::new(store),
            registry: Registry::default(),
            config: Config::default(),
            shutdown: None,
        }
    }

    /// Adds a participant: a value with `#[participant]`, or an `Arc` of one.
    ///
    /// Several services may have one participant's name, as long as their actions differ: together they are that
    /// participant, which [`calls_at_once`](Self::calls_at_once), the operator's filter and alerts know by its name. Two
    /// handlers of the same action and version are a [`RegisterError::Duplicate`].
    pub fn register(mut self, participant: impl Register) -> Self {
        participant.register_in(&mut self.registry);
        self
    }

    /// How long a transaction may stay undecided unless it says otherwise. 30 s; 1 ms to 24 h.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// How long one call of a participant may take unless its action says otherwise. 5 s; 1 ms to 24 h.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.config.call_timeout = timeout;
        self
    }

    /// How long one call of the store may take before its answer counts as lost. 10 s; 1 ms to 60 s.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }

    /// For how long one coordinator alone settles a transaction before another may take it over; it is renewed while its
    /// holder lives. 10 s; 100 ms to 24 h.
    ///
    /// What a process that was killed leaves waits for so long. A call may take longer than that: the lease is renewed while
    /// it runs. Whoever can't renew it in time, because the store is slower than half of it, loses the transaction to
    /// another instance, which calls the same participants again; positions and fences make that harmless, and a lease
    /// of some store calls makes it rare.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// How long a finished transaction's outcome can be asked for. 10 min; 60 s and twice the
    /// [`store_timeout`](Self::store_timeout), or more, for so long a write may still arrive; up to 100 years.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.config.retention = retention;
        self
    }

    /// How long the same key never runs twice. 24 h; within the bounds of [`retention`](Self::retention). The timeout of a
    /// transaction with a key must be shorter by as much.
    pub fn key_retention(mut self, retention: Duration) -> Self {
        self.config.key_retention = retention;
        self
    }

    /// How long to wait before a branch is settled again. [`Backoff::SETTLE`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// After how many failed attempts a transaction is reported as stuck. It is retried all the same. 10; 1 or more.
    pub fn alert_after(mut self, attempts: u32) -> Self {
        self.config.alert_after = attempts;
        self
    }

    /// How many transactions left by others are brought to their end at once. 256; 1 or more.
    pub fn recover_at_once(mut self, transactions: usize) -> Self {
        self.config.recover_at_once = transactions;
        self
    }

    /// How long the log of what an operator cancelled or resolved is kept, with who did it and why. 90 days; within
    /// the bounds of [`retention`](Self::retention).
    pub fn audit_retention(mut self, retention: Duration) -> Self {
        self.config.audit_retention = retention;
        self
    }

    /// In which order the branches of a transaction are settled. [`SettleOrder::Concurrent`].
    pub fn settle_order(mut self, order: SettleOrder) -> Self {
        self.config.order = order;
        self
    }

    /// How many calls of one participant are under way at once in this process; the others wait, and hold up no other
    /// participant. 1024; 1 or more.
    pub fn calls_at_once(mut self, calls: usize) -> Self {
        self.config.calls_at_once = calls;
        self
    }

    /// The most bytes of one payload as JSON: a request, an output, the value of a body with a key. 64 KiB; 1 byte to
    /// 16 MiB.
    ///
    /// All payloads of a transaction are written to the store, and read when it is recovered: keep large things elsewhere,
    /// and their names here.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.config.max_payload = bytes;
        self
    }

    /// The most bytes of all requests and outputs of a transaction together. 1 MiB; up to 64 MiB, and not less than
    /// [`max_payload`](Self::max_payload).
    pub fn max_log(mut self, bytes: usize) -> Self {
        self.config.max_log = bytes;
        self
    }

    /// The most branches of a transaction. 64; 1 to 1024.
    pub fn max_branches(mut self, branches: usize) -> Self {
        self.config.max_branches = branches;
        self
    }

    /// Is called when a branch has failed [`alert_after`](Self::alert_after) times. It is retried all the same.
    ///
    /// Each instance calls once for a branch: also when it takes over one that has failed more often already, be it that
    /// another instance has called before. [`Alert::id`] and [`Alert::branch`] tell whether two calls are of the same.
    /// Of more than 10 000 branches within an hour, those beyond are called for when they have failed just that often here.
    ///
    /// It must return soon: hand over to a task or a channel what takes time.
    pub fn on_stuck(mut self, hook: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.config.on_stuck = Hook::new(hook);
        self
    }

    /// Is called for each refused branch when its transaction has become heuristic: an operator has to resolve it.
    ///
    /// It must return soon: hand over to a task or a channel what takes time.
    pub fn on_heuristic(mut self, hook: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.config.on_heuristic = Hook::new(hook);
        self
    }

    /// Is asked at the begin of each transaction which trace it belongs to, in the task of its caller; unless it was
    /// [told so by hand](super::Transaction::traceparent).
    ///
    /// By default none; with the feature `opentelemetry`, that of the current span. It must return soon. If it panics,
    /// the transaction goes on without.
    ///
    /// With that feature the spans of confirms and cancels are children of the one that is said here, in whatever
    /// process, and however much later. They are spans of `tracing`, of the level *debug*: the layer that exports them
    /// has to let `tcc_core=debug` pass.
    pub fn trace_context(
        mut self,
        current: impl Fn() -> Option<TraceParent> + Send + Sync + 'static,
    ) -> Self {
        self.config.trace_context = TraceContext::new(current);
        self
    }

    /// Begins a [shutdown](Coordinator::shutdown) when the token is cancelled.
    pub fn shutdown_on(mut self, token: CancellationToken) -> Self {
        self.shutdown = Some(token);
        self
    }

    /// The group, if nothing is wrong with what can be seen before the store is asked.
    fn checked(&self) -> Result<Group, StartError> {
        let group = Group::new(self.group.clone());
        let mut errors: Vec<StartError> = group.clone().err().map(StartError::Group).into_iter().collect();
        errors.extend(self.config.errors().into_iter().map(StartError::Config));
        errors.extend(self.registry.errors().iter().cloned().map(StartError::Register));
        match (group, errors.pop()) {
            (Ok(group), None) => Ok(group),
            (_, Some(only)) if errors.is_empty() => Err(only),
            (_, last) => {
                errors.extend(last);
                Err(StartError::Several(errors))
            }
        }
    }

    /// Checks all settings and the store's readiness, and starts: from now on this process settles what is due in its
    /// group.
    ///
    /// # Errors
    /// [`StartError`] says what to mend; [`StartError::Several`], if it is more than one thing.
    pub async fn start(self) -> Result<Coordinator, StartError> {
        let group = self.checked()?;
        let tasks = Tasks::new().ok_or(StartError::NoRuntime)?;
        if !tasks::can_tell_the_time() {
            return Err(StartError::NoTimers);
        }
        let meter = Arc::new(Meter::start(&group, &self.registry));
        let (finished, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            gather: Gather::start(self.store.clone(), self.config.store_timeout, &tasks, meter.clone()),
            group,
            store: self.store,
            participants: Participants::of(&self.registry, self.config.calls_at_once),
            registry: self.registry,
            pace: Pace::new(self.config.recover_at_once),
            config: self.config,
            unknown: Unknown::default(),
            alerted: Once::default(),
            unreadable: Once::default(),
            owner: random::owner(),
            tasks,
            finished,
            look_again: Notify::new(),
            meter,
        });
        let readiness = shared.limited(Operation::Check, async { shared.store.check().await }).await?;
        if !readiness.errors.is_empty() {
            return Err(StartError::NotReady(readiness.errors));
        }
        // What the check can't see, as it is not of a group: whether this store is set as the others of the group are.
        shared.limited(Operation::Stats, async { shared.store.stats(&shared.group).await }).await?;
        for warning in readiness.warnings {
            tracing::warn!(group = %shared.group, "{warning}");
        }
        let tasks = shared.tasks.clone();
        tasks.spawn_background(finish::run(shared.gather.clone(), receiver));
        tasks.spawn_background(recovery::run(Arc::downgrade(&shared)));
        tasks.spawn_background(sweep::run(Arc::downgrade(&shared)));
        meter::watch(&shared);
        if let Some(token) = self.shutdown {
            let closing = tasks.clone();
            tasks.spawn_untracked(async move {
                tokio::select! {
                    () = token.cancelled() => closing.close(),
                    () = closing.closing().cancelled() => {}
                }
            });
        }
        Ok(Coordinator::new(shared))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("group", &self.group)
            .field("registry", &self.registry)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
