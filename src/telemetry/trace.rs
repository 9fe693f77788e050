//! Traces: W3C Trace Context in and out, and by which ids a line of the log is found.

use std::collections::HashMap;

use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Registry, registry::LookupSpan as _};
use uuid::Uuid;

/// The target of spans that stand for a request to us: for the log, which shows their ids on each line.
pub const REQUEST: &str = "switchboard.request";
/// The target of spans that stand for a call: for the log and for traces.
pub const CALL: &str = "switchboard.call";
/// The target of spans that stand for a step of a call: for traces alone.
pub const STEP: &str = "switchboard.step";

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
/// The longest `tracestate` that is passed on, in bytes (W3C Trace Context wants 512 at least).
const LONGEST_STATE: usize = 2048;

/// Where a request stands in a trace, as W3C Trace Context writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// Names the trace and the span that is the parent of what comes.
    pub parent: String,
    /// What others along the trace keep there.
    pub state: Option<String>,
}

impl TraceContext {
    /// The context that somebody sent; nothing when it is malformed, which W3C wants to be passed over.
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let state = state.filter(|state| state.len() <= LONGEST_STATE);
        let own = Self { parent: parent.trim().to_owned(), state: state.map(str::to_owned) };
        let is_valid = own.context().span().span_context().is_valid();
        is_valid.then_some(own)
    }

    /// Where a span stands, when it is part of a trace.
    pub fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        if !context.span().span_context().is_valid() {
            return None;
        }
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        let state = carrier.remove(STATE).filter(|state| !state.is_empty());
        Some(Self { parent: carrier.remove(PARENT)?, state })
    }

    /// The name and value of each header and member of `_meta` that says it.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        std::iter::once((PARENT, self.parent.as_str())).chain(self.state.as_deref().map(|state| (STATE, state)))
    }

    fn context(&self) -> Context {
        let carrier: HashMap<String, String> =
            self.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
    }
}

/// By what a line of the log is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Names the request.
    pub request: Uuid,
    /// Names the trace it is part of, in 32 hexadecimal digits.
    pub trace: String,
}

impl Ids {
    /// Puts a span below what its request's sender says, and names it in the log. Where nobody keeps traces, and the
    /// sender neither, the trace is called as the request.
    pub fn give(span: &Span, request: Uuid, sent: Option<&TraceContext>) -> Self {
        if let Some(sent) = sent {
            // Nothing to do where no trace is kept.
            let _ = span.set_parent(sent.context());
        }
        let own = span.context().span().span_context().clone();
        let own =
            if own.is_valid() { Some(own) } else { sent.map(|sent| sent.context().span().span_context().clone()) };
        let trace = own.map_or_else(|| request.simple().to_string(), |own| own.trace_id().to_string());
        let ids = Self { request, trace };
        span.with_subscriber(|(id, dispatch)| {
            if let Some(named) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
                named.extensions_mut().insert(ids.clone());
            }
        });
        ids
    }
}
