//! The trace that a transaction belongs to: where it comes from, and how the spans of phase two get into it.

#[cfg(feature = "opentelemetry")]
mod otel;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::future::Either;
#[cfg(feature = "opentelemetry")]
use otel::{current, put_into};
use tracing::Span;
use tracing::instrument::{Instrument, Instrumented};

use crate::protocol::TraceParent;

/// What is asked at the begin of a transaction which trace it belongs to.
#[derive(Clone, Default)]
pub(super) struct TraceContext(Option<Arc<Asked>>);

type Asked = dyn Fn() -> Option<TraceParent> + Send + Sync;

impl TraceContext {
    pub(super) fn new(current: impl Fn() -> Option<TraceParent> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(current)))
    }

    /// Asks it. A panic of it is its own affair: no transaction fails for want of a trace.
    pub(super) fn ask(&self) -> Option<TraceParent> {
        let Some(asked) = self.0.as_ref() else { return current() };
        std::panic::catch_unwind(AssertUnwindSafe(|| asked())).unwrap_or_else(|_| {
            tracing::error!("the trace context panicked: a transaction goes on without a trace");
            None
        })
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "not set" })
    }
}

/// A span at the level of debug. Where nobody subscribes to that level nothing is made, not even what the feature `log` of
/// `tracing` would tell of it.
macro_rules! span {
    ($($said:tt)*) => {
        if ::tracing::level_filters::LevelFilter::current() >= ::tracing::level_filters::LevelFilter::DEBUG {
            ::tracing::debug_span!($($said)*)
        } else {
            ::tracing::Span::none()
        }
    };
}
pub(super) use span;

/// Does the work within a span, if anybody sees it.
pub(super) fn within<F: Future>(span: &Span, work: F) -> Either<F, Instrumented<F>> {
    if span.is_disabled() { Either::Left(work) } else { Either::Right(work.instrument(span.clone())) }
}

/// Puts a span that has not begun into the trace of its transaction, whoever began that and however long ago.
pub(super) fn join(span: &Span, traceparent: Option<TraceParent>) {
    if let Some(traceparent) = traceparent {
        put_into(span, traceparent);
    }
}

#[cfg(not(feature = "opentelemetry"))]
const fn current() -> Option<TraceParent> {
    None
}

#[cfg(not(feature = "opentelemetry"))]
const fn put_into(_: &Span, _: TraceParent) {}
