//! Where a transaction's trace comes from.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

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
        let current = self.0.as_ref()?;
        std::panic::catch_unwind(AssertUnwindSafe(|| current())).unwrap_or_else(|_| {
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
