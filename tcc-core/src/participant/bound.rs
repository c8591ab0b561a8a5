//! A handler, bound to one of the actions that it does and to the payloads that the log has of it.

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
        request: Json,
        output: Option<Json>,
    ) -> BoxFuture<'static, Settled>;
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
    payloads: PhantomData<Payloads<A, Request, Output>>,
}

type Payloads<A, Request, Output> = fn() -> (A, Request, Output);

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
        request: Json,
        output: Option<Json>,
    ) -> BoxFuture<'static, Settled> {
        Box::pin(async move {
            self.check(&cx)?;
            let request: A::Request = self.read::<Request, _>("request", &request)?;
            let output = match output {
                Some(output) => Some(self.read::<Output, A::Output>("output", &output)?),
                None => None,
            };
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
