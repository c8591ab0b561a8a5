//! Traces of OpenTelemetry, by way of the spans of `tracing`.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::protocol::TraceParent;

/// The trace of the current span; none if nobody exports it.
pub(super) fn current() -> Option<TraceParent> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    let trace = u128::from_be_bytes(span.trace_id().to_bytes());
    // Ids of zeros are what there is without a trace.
    TraceParent::new(trace, u64::from_be_bytes(span.span_id().to_bytes()), span.trace_flags().to_u8()).ok()
}

/// Makes a span that has not begun a child of the one that the transaction began under.
pub(super) fn put_into(span: &tracing::Span, traceparent: TraceParent) {
    let parent = SpanContext::new(
        TraceId::from_bytes(traceparent.trace_id().to_be_bytes()),
        SpanId::from_bytes(traceparent.span_id().to_be_bytes()),
        TraceFlags::new(traceparent.flags()),
        true,
        TraceState::default(),
    );
    // Nobody exports it, or it is filtered out: then there is nothing to put into a trace.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}
