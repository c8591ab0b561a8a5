//! The handlers that a coordinator knows, by action and version.

use foldhash::HashMap;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::action::{ActionType, Handler, Payload};
use super::answer::{Settled, Tried};
use super::bound::{Bound, Payloads, SettleHandler, TryHandler};
use super::branch::Branch;
use super::intercept::{Delivered, Intercept, pass};
use super::upcast::Upcast;
use crate::protocol::{ActionName, Decision, Json, NameError};
use crate::span::Span;

/// A participant with its handlers: what [`register`](crate::Builder::register) takes.
///
/// `#[participant]` implements it. By hand, it is one [`Registry::add`] for each action.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a participant",
    label = "has no handlers",
    note = "put `#[participant(\"name\")]` on its `impl` block; what implements a participant's trait is registered as \
            `TraitClient::serve(service)`"
)]
pub trait Service: Send + Sync + 'static {
    /// Adds its handlers.
    fn register(self: Arc<Self>, registry: &mut Registry);
}

/// What can be registered: a [`Service`], or an `Arc` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a participant",
    label = "has no handlers",
    note = "put `#[participant(\"name\")]` on its `impl` block; what implements a participant's trait is registered as \
            `TraitClient::serve(service)`"
)]
pub trait Register {
    /// Adds its handlers.
    fn register_in(self, registry: &mut Registry);
}

impl<S: Service> Register for S {
    fn register_in(self, registry: &mut Registry) {
        Arc::new(self).register(registry);
    }
}

impl<S: Service> Register for Arc<S> {
    fn register_in(self, registry: &mut Registry) {
        self.register(registry);
    }
}

/// The handlers that a coordinator knows, by (action, version).
#[derive(Default)]
pub struct Registry {
    /// By name, then by version: few versions, so a list.
    actions: HashMap<ActionName, Vec<Arc<Action>>>,
    /// The participants' names, in the order in which they came.
    participants: Vec<String>,
    errors: Vec<RegisterError>,
    intercept: Option<Arc<dyn Intercept>>,
}

/// What is wrong with a registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Two handlers of the same action and version, be it by an upcast.
    #[error(
        "{action} version {version} is registered twice: register each participant once, and give actions names of their own"
    )]
    Duplicate {
        /// The action.
        action: ActionName,
        /// The version.
        version: u16,
    },
    /// An upcast of payloads that are not older than those they are to become.
    #[error(
        "{action} is upcast from version {from} to {to}: only what is older can be, from a version below {to}"
    )]
    NotOlder {
        /// The action.
        action: ActionName,
        /// The version of the payloads in the log.
        from: u16,
        /// The version of the handler.
        to: u16,
    },
    /// A number of tries out of range.
    #[error("{action} is tried up to {tries} times: {} to {} is permitted", TRIES.0, TRIES.1)]
    Tries {
        /// The action.
        action: ActionName,
        /// How often a try is asked at most.
        tries: u32,
    },
    /// A time limit out of range.
    #[error("the timeout of {action} is {}: {} to {} is permitted", Span(*timeout), Span(TIMEOUTS.0), Span(TIMEOUTS.1))]
    Timeout {
        /// The action.
        action: ActionName,
        /// Its time limit.
        timeout: Duration,
    },
    /// A name that can't be persisted.
    #[error("the action name {name:?} can't be used")]
    Name {
        /// The name.
        name: &'static str,
        /// What is wrong with it.
        source: NameError,
    },
}

/// The shortest and the longest time limit of a call or a transaction.
pub(crate) const TIMEOUTS: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));

/// The smallest and the greatest [`ActionType::TRIES`].
const TRIES: (u32, u32) = (1, 100);

impl Registry {
    /// Adds the handler of an action. What is wrong with it is said when the coordinator starts.
    pub fn add<A: ActionType, H: Handler<A>>(&mut self, handler: Arc<H>) {
        let bound = Arc::new(Bound::<A, H>::new(A::VERSION, handler));
        let typed: Arc<dyn TryHandler<A>> = bound.clone();
        self.insert::<A>(A::VERSION, bound, Some(Box::new(typed)));
    }

    /// Lets the handler of an action settle branches of an older `version` too: those that an instance from before a
    /// deploy has left in the log.
    ///
    /// `OldRequest` and `OldOutput` are the payloads as that version wrote them; what did not change is given as it is,
    /// `A::Output` say. They are read as such and turned into those of `A` by [`TryFrom`] (or [`From`]). What can't be is
    /// never guessed: the branch is asked for again *later*, its error names it and says why, and another instance may do
    /// better.
    ///
    /// There are no tries of the old version: its outputs would be of the new one. Who calls both versions has a handler
    /// for each.
    ///
    /// A version has one handler or one upcast, and only an older one is upcast; what is wrong is said when the coordinator
    /// starts.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use serde::{Deserialize, Serialize};
    /// # use tcc_core::{ActionType, Branch, Handler, Never, Registry, Service, Settled, Tried};
    /// /// As version 1 wrote it.
    /// #[derive(Serialize, Deserialize)]
    /// struct ReserveV1 { sku: String }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Reserve { sku: String, quantity: u32 }
    ///
    /// impl From<ReserveV1> for Reserve {
    ///     fn from(old: ReserveV1) -> Self {
    ///         Self { sku: old.sku, quantity: 1 } // it was always one
    ///     }
    /// }
    /// # struct InventoryReserve;
    /// # impl ActionType for InventoryReserve {
    /// #     const NAME: &'static str = "inventory.reserve";
    /// #     const VERSION: u16 = 2;
    /// #     type Request = Reserve;
    /// #     type Output = u64;
    /// #     type Error = Never;
    /// # }
    /// # struct Inventory;
    /// # impl Handler<InventoryReserve> for Inventory {
    /// #     async fn r#try(&self, _: &Branch, _: Reserve) -> Tried<u64, Never> { Ok(1) }
    /// #     async fn confirm(&self, _: &Branch, _: Reserve, _: u64) -> Settled { Ok(()) }
    /// #     async fn cancel(&self, _: &Branch, _: Reserve, _: Option<u64>) -> Settled { Ok(()) }
    /// # }
    ///
    /// impl Service for Inventory {
    ///     fn register(self: Arc<Self>, registry: &mut Registry) {
    ///         registry.add_upcast::<InventoryReserve, ReserveV1, u64, _>(1, self.clone()); // the output did not change
    ///         registry.add::<InventoryReserve, _>(self);
    ///     }
    /// }
    /// # let mut registry = Registry::default();
    /// # Arc::new(Inventory).register(&mut registry);
    /// # assert!(registry.errors().is_empty());
    /// ```
    pub fn add_upcast<A, OldRequest, OldOutput, H>(&mut self, version: u16, handler: Arc<H>)
    where
        A: ActionType,
        OldRequest: Payload + Upcast<A::Request>,
        OldOutput: Payload + Upcast<A::Output>,
        H: Handler<A>,
    {
        let bound = Arc::new(Bound::<A, H, OldRequest, OldOutput>::new(version, handler));
        self.insert::<A>(version, bound, None);
    }

    fn insert<A: ActionType>(
        &mut self,
        version: u16,
        settle: Arc<dyn SettleHandler>,
        typed: Option<Box<dyn Any + Send + Sync>>,
    ) {
        let name = match ActionName::new(A::NAME) {
            Ok(name) => name,
            Err(source) => return self.errors.push(RegisterError::Name { name: A::NAME, source }),
        };
        if let Some(timeout) = A::TIMEOUT
            && !(TIMEOUTS.0..=TIMEOUTS.1).contains(&timeout)
        {
            return self.errors.push(RegisterError::Timeout { action: name, timeout });
        }
        if !(TRIES.0..=TRIES.1).contains(&A::TRIES) {
            return self.errors.push(RegisterError::Tries { action: name, tries: A::TRIES });
        }
        if typed.is_none() && version >= A::VERSION {
            return self.errors.push(RegisterError::NotOlder { action: name, from: version, to: A::VERSION });
        }
        let versions = self.actions.entry(name.clone()).or_default();
        if versions.iter().any(|action| action.version == version) {
            return self.errors.push(RegisterError::Duplicate { action: name, version });
        }
        let participant = self.participants.iter().position(|known| known == name.participant());
        let participant = participant.unwrap_or_else(|| {
            self.participants.push(name.participant().to_owned());
            self.participants.len() - 1
        });
        versions.push(Arc::new(Action {
            name,
            participant,
            version,
            handled_as: A::VERSION,
            on_confirm: A::ON_CONFIRM,
            timeout: A::TIMEOUT,
            settle,
            typed,
            intercept: self.intercept.clone(),
        }));
    }

    /// Adds all handlers of a participant, each call of which passes `intercept`.
    pub fn add_intercepted(&mut self, service: impl Register, intercept: Arc<dyn Intercept>) {
        let before = self.intercept.replace(intercept);
        service.register_in(self);
        self.intercept = before;
    }

    /// The action of this name and version, be it one that is upcast.
    pub fn action(&self, name: &ActionName, version: u16) -> Option<&Arc<Action>> {
        self.named(name.as_str(), version)
    }

    /// The action of this name and version, if it can be called: one that is upcast is only settled.
    pub(crate) fn callable(&self, name: &str, version: u16) -> Option<&Arc<Action>> {
        self.named(name, version).filter(|action| action.typed.is_some())
    }

    fn named(&self, name: &str, version: u16) -> Option<&Arc<Action>> {
        self.actions.get(name)?.iter().find(|action| action.version == version)
    }

    /// What is wrong with the registrations so far.
    pub fn errors(&self) -> &[RegisterError] {
        &self.errors
    }

    /// The names of the participants; [`Action::participant`] is a place in it.
    pub(crate) fn participants(&self) -> &[String] {
        &self.participants
    }

    /// All actions, in no order.
    pub fn actions(&self) -> impl Iterator<Item = &Arc<Action>> {
        self.actions.values().flatten()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.actions().map(|action| (&action.name, action.version))).finish()
    }
}

/// A registered action.
pub struct Action {
    name: ActionName,
    /// Where its participant stands in [`Registry::participants`].
    participant: usize,
    version: u16,
    handled_as: u16,
    on_confirm: bool,
    timeout: Option<Duration>,
    settle: Arc<dyn SettleHandler>,
    /// An `Arc<dyn TryHandler<A>>`. `None` for an older version, which is settled and no longer tried.
    typed: Option<Box<dyn Any + Send + Sync>>,
    intercept: Option<Arc<dyn Intercept>>,
}

impl Action {
    /// Its persisted name.
    pub fn name(&self) -> &ActionName {
        &self.name
    }

    /// Where its participant stands in [`Registry::participants`].
    pub(crate) fn participant(&self) -> usize {
        self.participant
    }

    /// The version of its payloads in the log.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The version of its handler: a later one than [`version`](Self::version) if its payloads are
    /// [upcast](Registry::add_upcast).
    pub fn handled_as(&self) -> u16 {
        self.handled_as
    }

    /// Whether it has no try.
    pub fn is_on_confirm(&self) -> bool {
        self.on_confirm
    }

    /// How long one call may take; `None` for the coordinator's default.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Calls the try. `None` if this action is not `A`.
    pub(crate) fn r#try<'a, A: ActionType>(
        &'a self,
        cx: &'a Branch,
        request: A::Request,
        raw: &'a Json,
    ) -> Option<BoxFuture<'a, Tried<A::Output, A::Error>>> {
        let handler = self.typed.as_ref()?.downcast_ref::<Arc<dyn TryHandler<A>>>()?;
        let Some(intercept) = &self.intercept else { return Some(handler.r#try(cx, request)) };
        let (handler, raw) = (handler.clone(), raw.clone());
        let deliver = move |cx: Branch| -> BoxFuture<'static, Tried<A::Output, A::Error>> {
            let (handler, raw) = (handler.clone(), raw.clone());
            Box::pin(async move { handler.r#try(&cx, raw.to()?).await })
        };
        Some(Box::pin(async move { pass(&**intercept, cx, deliver, Delivered::of_try).await? }))
    }

    /// Calls confirm or cancel.
    pub(crate) fn settle(
        &self,
        cx: Branch,
        phase: Decision,
        payloads: Payloads,
    ) -> BoxFuture<'static, Settled> {
        let handler = self.settle.clone();
        let Some(intercept) = self.intercept.clone() else { return handler.settle(cx, phase, payloads) };
        let Payloads { request, output, .. } = payloads;
        let deliver = move |cx: Branch| -> BoxFuture<'static, Settled> {
            let payloads = Payloads { request: request.clone(), output: output.clone(), read: None };
            handler.clone().settle(cx, phase, payloads)
        };
        Box::pin(async move { pass(&*intercept, &cx, deliver, Delivered::of_settled).await? })
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}
