//! A handler, bound to one of the actions that it does and to the payloads that the log has of it.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::action::{ActionType, Handler, Payload};
use super::answer::{SettleError, Settled, Tried};
use super::branch::Branch;
use super::upcast::Upcast;
use crate::protocol::{Decision, Json};
use crate::store::BoxError;

/// Does the try of an action.
pub(super) trait TryHandler<A: ActionType>: Send + Sync {
    fn r#try<'a>(&'a self, cx: &'a Branch, request: A::Request) -> BoxFuture<'a, Tried<A::Output, A::Error>>;
}

/// Confirms and cancels an action, given its payloads as they stand in the log.
pub(super) trait SettleHandler: Send + Sync {
    fn settle(
        self: Arc<Self>,
        cx: Branch,
        phase: Decision,
        payloads: Payloads,
    ) -> BoxFuture<'static, Settled>;
}

/// What a branch was asked for, and what its try returned, if that is in the log.
pub(crate) struct Payloads {
    pub(crate) request: Json,
    pub(crate) output: Option<Json>,
    /// The same, if this process has read them once already.
    pub(crate) read: Option<Read>,
}

/// The request and the output of an action, as they were read back from what is in the log, so that they are what any other
/// process would read there.
pub(crate) struct Read(Box<dyn Any + Send + Sync>);

impl Read {
    pub(crate) fn new<A: ActionType>(request: A::Request, output: A::Output) -> Self {
        Self(Box::new((request, output)))
    }

    fn of<A: ActionType>(self) -> Option<(A::Request, A::Output)> {
        self.0.downcast().ok().map(|read| *read)
    }
}

/// A handler of `A`. The log has a `Request` and an `Output`: those of `A`, or those of an older version.
pub(super) struct Bound<
    A: ActionType,
    H,
    Request = <A as ActionType>::Request,
    Output = <A as ActionType>::Output,
> {
    /// That of the payloads in the log.
    version: u16,
    handler: Arc<H>,
    payloads: PhantomData<Types<A, Request, Output>>,
}

type Types<A, Request, Output> = fn() -> (A, Request, Output);

impl<A: ActionType, H, Request, Output> Bound<A, H, Request, Output> {
    pub(super) fn new(version: u16, handler: Arc<H>) -> Self {
        Self { version, handler, payloads: PhantomData }
    }
}

impl<A: ActionType, H: Handler<A>> TryHandler<A> for Bound<A, H> {
    fn r#try<'a>(&'a self, cx: &'a Branch, request: A::Request) -> BoxFuture<'a, Tried<A::Output, A::Error>> {
        Box::pin(self.handler.r#try(cx, request))
    }
}

impl<A, H, Request, Output> SettleHandler for Bound<A, H, Request, Output>
where
    A: ActionType,
    H: Handler<A>,
    Request: Payload + Upcast<A::Request>,
    Output: Payload + Upcast<A::Output>,
{
    fn settle(
        self: Arc<Self>,
        cx: Branch,
        phase: Decision,
        payloads: Payloads,
    ) -> BoxFuture<'static, Settled> {
        Box::pin(async move {
            self.check(&cx)?;
            let (request, output) = self.payloads(payloads)?;
            match (phase, output) {
                (Decision::Confirm, Some(output)) => self.handler.confirm(&cx, request, output).await,
                (Decision::Confirm, None) if A::ON_CONFIRM => {
                    // It has no try, so its output is nothing; only `()` and the like can be made of that.
                    let nothing = self.read::<Output, A::Output>("output", &Json::of(&())?)?;
                    self.handler.confirm(&cx, request, nothing).await
                }
                (Decision::Confirm, None) => Err(SettleError::Later(BoxError::from(
                    "a confirm without the output of its try: the log is damaged",
                ))),
                (Decision::Cancel, output) => self.handler.cancel(&cx, request, output).await,
            }
        })
    }
}

impl<A: ActionType, H, Request, Output> Bound<A, H, Request, Output> {
    /// A try that was made can't be settled by an action without one: nothing would undo it. So with an older version, and
    /// with one that was changed and kept its number.
    fn check(&self, cx: &Branch) -> Settled {
        let (version, to) = (self.version, A::VERSION);
        if cx.is_on_confirm() == A::ON_CONFIRM {
            return Ok(());
        }
        if version == to {
            return Err(SettleError::Later(Box::new(Changed { version, has_try: A::ON_CONFIRM })));
        }
        Err(SettleError::Later(Box::new(OtherKind { version, to })))
    }

    fn payloads(&self, payloads: Payloads) -> Result<(A::Request, Option<A::Output>), SettleError>
    where
        Request: Payload + Upcast<A::Request>,
        Output: Payload + Upcast<A::Output>,
    {
        let Payloads { request, output, read } = payloads;
        if output.is_some()
            && let Some((request, output)) = read.and_then(Read::of::<A>)
        {
            return Ok((request, Some(output)));
        }
        let request = self.read::<Request, _>("request", &request)?;
        let output = output.map(|output| self.read::<Output, _>("output", &output)).transpose()?;
        Ok((request, output))
    }

    /// A payload that does not fit, or can't be upcast, waits for an instance that knows it; it is never guessed (PEERS
    /// 22, 23).
    fn read<Old: Payload + Upcast<New>, New>(
        &self,
        what: &'static str,
        json: &Json,
    ) -> Result<New, SettleError> {
        let version = self.version;
        let old = json
            .to::<Old>()
            .map_err(|source| SettleError::Later(Box::new(Misfit { what, version, source })))?;
        old.upcast().map_err(|source| {
            SettleError::Later(Box::new(NotUpcast { what, version, to: A::VERSION, source }))
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the {what} in the log does not fit version {version} of the action (if that was changed, raise `version`, and say \
     what the old one was: `upcast({version}: Old)`)"
)]
struct Misfit {
    what: &'static str,
    version: u16,
    #[source]
    source: serde_json::Error,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "of version {version} and {to} of the action one has a try and the other has none: neither settles the other's"
)]
struct OtherKind {
    version: u16,
    to: u16,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "in the log, version {version} of the action {}: what has a try and what has none don't settle each other's; give it a \
     version of its own", if *has_try { "has a try, and here it has none" } else { "has no try, and here it has one" }
)]
struct Changed {
    version: u16,
    has_try: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the {what} in the log, of version {version}, can't be upcast to version {to}")]
struct NotUpcast {
    what: &'static str,
    version: u16,
    to: u16,
    #[source]
    source: BoxError,
}
