//! The handlers that a coordinator knows, by action and version.

use std::any::Any;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::action::{ActionType, Handler};
use super::answer::{SettleError, Settled, Tried};
use super::branch::Branch;
use super::intercept::{Delivered, Intercept, pass};
use crate::protocol::{ActionName, Decision, Json, NameError};
use crate::span::Span;
use crate::store::BoxError;

/// A participant with its handlers: what [`register`](crate::Builder::register) takes.
///
/// `#[participant]` implements it. By hand, it is one [`Registry::add`] for each action.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a participant",
    label = "has no handlers",
    note = "put `#[participant(\"name\")]` on its `impl` block, or implement `tcc_core::Service` by hand"
)]
pub trait Service: Send + Sync + 'static {
    /// Adds its handlers.
    fn register(self: Arc<Self>, registry: &mut Registry);
}

/// What can be registered: a [`Service`], or an `Arc` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a participant",
    label = "has no handlers",
    note = "put `#[participant(\"name\")]` on its `impl` block, or implement `tcc_core::Service` by hand"
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
    errors: Vec<RegisterError>,
    intercept: Option<Arc<dyn Intercept>>,
}

/// What is wrong with a registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Two handlers of the same action and version.
    #[error(
        "{action} version {version} is registered twice: register each participant once, and give actions names of their own"
    )]
    Duplicate {
        /// The action.
        action: ActionName,
        /// The version.
        version: u16,
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

impl Registry {
    /// Adds the handler of an action. What is wrong with it is said when the coordinator starts.
    pub fn add<A: ActionType, H: Handler<A>>(&mut self, handler: Arc<H>) {
        let name = match ActionName::new(A::NAME) {
            Ok(name) => name,
            Err(source) => return self.errors.push(RegisterError::Name { name: A::NAME, source }),
        };
        if let Some(timeout) = A::TIMEOUT
            && !(TIMEOUTS.0..=TIMEOUTS.1).contains(&timeout)
        {
            return self.errors.push(RegisterError::Timeout { action: name, timeout });
        }
        let versions = self.actions.entry(name.clone()).or_default();
        if versions.iter().any(|action| action.version == A::VERSION) {
            return self.errors.push(RegisterError::Duplicate { action: name, version: A::VERSION });
        }
        let bound = Arc::new(Bound { handler, action: PhantomData::<fn() -> A> });
        let typed: Arc<dyn TryHandler<A>> = bound.clone();
        versions.push(Arc::new(Action {
            name,
            version: A::VERSION,
            on_confirm: A::ON_CONFIRM,
            timeout: A::TIMEOUT,
            settle: bound,
            typed: Box::new(typed),
            intercept: self.intercept.clone(),
        }));
    }

    /// Adds all handlers of a participant, each call of which passes `intercept`.
    pub fn add_intercepted(&mut self, service: impl Register, intercept: Arc<dyn Intercept>) {
        let before = self.intercept.replace(intercept);
        service.register_in(self);
        self.intercept = before;
    }

    /// The action of this name and version.
    pub fn action(&self, name: &ActionName, version: u16) -> Option<&Arc<Action>> {
        self.named(name.as_str(), version)
    }

    pub(crate) fn named(&self, name: &str, version: u16) -> Option<&Arc<Action>> {
        self.actions.get(name)?.iter().find(|action| action.version == version)
    }

    /// What is wrong with the registrations so far.
    pub fn errors(&self) -> &[RegisterError] {
        &self.errors
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
    version: u16,
    on_confirm: bool,
    timeout: Option<Duration>,
    settle: Arc<dyn SettleHandler>,
    /// An `Arc<dyn TryHandler<A>>`.
    typed: Box<dyn Any + Send + Sync>,
    intercept: Option<Arc<dyn Intercept>>,
}

impl Action {
    /// Its persisted name.
    pub fn name(&self) -> &ActionName {
        &self.name
    }

    /// The version of its payloads.
    pub fn version(&self) -> u16 {
        self.version
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
        let handler = self.typed.downcast_ref::<Arc<dyn TryHandler<A>>>()?;
        let Some(intercept) = &self.intercept else { return Some(handler.r#try(cx, request)) };
        let (handler, raw) = (handler.clone(), raw.clone());
        let deliver = move |cx: Branch| -> BoxFuture<'static, Tried<A::Output, A::Error>> {
            let (handler, raw) = (handler.clone(), raw.clone());
            Box::pin(async move { handler.r#try(&cx, raw.to()?).await })
        };
        Some(Box::pin(async move { pass(&**intercept, cx, deliver, Delivered::of_try).await? }))
    }

    /// Calls confirm or cancel.
    pub(crate) fn settle<'a>(
        &'a self,
        cx: &'a Branch,
        phase: Decision,
        request: &'a Json,
        output: Option<&'a Json>,
    ) -> BoxFuture<'a, Settled> {
        let Some(intercept) = &self.intercept else { return self.settle.settle(cx, phase, request, output) };
        let (handler, request, output) = (self.settle.clone(), request.clone(), output.cloned());
        let deliver = move |cx: Branch| -> BoxFuture<'static, Settled> {
            let (handler, request, output) = (handler.clone(), request.clone(), output.clone());
            Box::pin(async move { handler.settle(&cx, phase, &request, output.as_ref()).await })
        };
        Box::pin(async move { pass(&**intercept, cx, deliver, Delivered::of_settled).await? })
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}

trait TryHandler<A: ActionType>: Send + Sync {
    fn r#try<'a>(&'a self, cx: &'a Branch, request: A::Request) -> BoxFuture<'a, Tried<A::Output, A::Error>>;
}

trait SettleHandler: Send + Sync {
    fn settle<'a>(
        &'a self,
        cx: &'a Branch,
        phase: Decision,
        request: &'a Json,
        output: Option<&'a Json>,
    ) -> BoxFuture<'a, Settled>;
}

/// A handler, bound to one of the actions that it does.
struct Bound<A, H> {
    handler: Arc<H>,
    action: PhantomData<fn() -> A>,
}

impl<A: ActionType, H: Handler<A>> TryHandler<A> for Bound<A, H> {
    fn r#try<'a>(&'a self, cx: &'a Branch, request: A::Request) -> BoxFuture<'a, Tried<A::Output, A::Error>> {
        Box::pin(self.handler.r#try(cx, request))
    }
}

impl<A: ActionType, H: Handler<A>> SettleHandler for Bound<A, H> {
    fn settle<'a>(
        &'a self,
        cx: &'a Branch,
        phase: Decision,
        request: &'a Json,
        output: Option<&'a Json>,
    ) -> BoxFuture<'a, Settled> {
        Box::pin(async move {
            let request = read("request", request)?;
            let output = output.map(|output| read("output", output)).transpose()?;
            match (phase, output) {
                (Decision::Confirm, Some(output)) => self.handler.confirm(cx, request, output).await,
                (Decision::Confirm, None) if A::ON_CONFIRM => {
                    // It has no try, so its output is nothing; only `()` and the like can be made of that.
                    let nothing = read("output", &Json::of(&())?)?;
                    self.handler.confirm(cx, request, nothing).await
                }
                (Decision::Confirm, None) => Err(SettleError::Later(BoxError::from(
                    "a confirm without the output of its try: the log is damaged",
                ))),
                (Decision::Cancel, output) => self.handler.cancel(cx, request, output).await,
            }
        })
    }
}

/// A payload that does not fit waits for an instance that knows it; it is never guessed (PEERS 22, 23).
fn read<T: super::action::Payload>(what: &'static str, json: &Json) -> Result<T, SettleError> {
    json.to().map_err(|source| SettleError::Later(Box::new(Misfit { what, source })))
}

#[derive(Debug, thiserror::Error)]
#[error("the {what} in the log does not fit this version of the action")]
struct Misfit {
    what: &'static str,
    #[source]
    source: serde_json::Error,
}
