//! Traces: W3C Trace Context in and out, the parts of a trace, and by which ids a line of the log is found.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, TraceState, Tracer as _};
use opentelemetry::{Context, KeyValue, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span as Kept};
use tracing::Span;
use tracing_subscriber::{Registry, registry::LookupSpan as _};
use uuid::Uuid;

/// The target of spans that stand for a request to us: for the log, which shows their ids on each line.
pub const REQUEST: &str = "switchboard.request";
/// The target of spans that stand for a call: for the log, too. Traces have [parts](Part) of their own.
pub const CALL: &str = "switchboard.call";

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
/// The longest `tracestate` that is passed on, in bytes (W3C Trace Context wants 512 at least).
const LONGEST_STATE: usize = 2048;

/// Where a request stands in a trace, as W3C Trace Context writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// Names the trace and the span that is the parent of what comes. Invariant: 55 bytes of version 00.
    parent: Arc<str>,
    /// What others along the trace keep there. Invariant: a list that W3C allows, of [`LONGEST_STATE`] bytes at most.
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// The headers, and members of `_meta`, that say it.
    pub const NAMES: [&str; 2] = [PARENT, STATE];

    /// The context that somebody sent; nothing when it is malformed, which W3C wants to be passed over.
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let state = state.filter(|state| is_state(state)).map(Into::into);
        let own = Self { parent: in_version_00(parent.trim())?.into(), state };
        let is_valid = own.context().span().span_context().is_valid();
        is_valid.then_some(own)
    }

    fn of(own: &SpanContext) -> Option<Self> {
        let state = Some(own.trace_state().header()).filter(|state| !state.is_empty()).map(Into::into);
        let (trace, span, flags) = (own.trace_id(), own.span_id(), own.trace_flags().to_u8());
        own.is_valid().then(|| Self { parent: format!("00-{trace:032x}-{span:016x}-{flags:02x}").into(), state })
    }

    /// Names the trace, in 32 hexadecimal digits.
    fn trace(&self) -> &str {
        self.parent.get(3..35).unwrap_or_default()
    }

    /// The name and value of each header and member of `_meta` that says it.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        std::iter::once((PARENT, self.parent.as_ref())).chain(self.state.as_deref().map(|state| (STATE, state)))
    }

    fn context(&self) -> Context {
        let carrier: HashMap<String, String> =
            self.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
    }
}

/// A `traceparent` as version 00 writes it. One of a later version begins so, and what follows there is not ours to pass
/// on.
fn in_version_00(text: &str) -> Option<String> {
    let (own, more) = text.split_at_checked(55)?;
    let (version, rest) = own.split_at_checked(2)?;
    let fits = own.split('-').map(str::len).eq([2, 32, 16, 2])
        && own.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    let ends = more.is_empty() || version != "00" && more.starts_with('-');
    (fits && ends && version != "ff").then(|| format!("00{rest}"))
}

/// Whether a `tracestate` may be passed on.
fn is_state(text: &str) -> bool {
    let is_short = !text.is_empty() && text.len() <= LONGEST_STATE;
    is_short && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) && text.parse::<TraceState>().is_ok()
}

/// By what a line of the log is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Names the request.
    pub request: Uuid,
    /// Names the trace it is part of, in 32 hexadecimal digits.
    pub trace: Arc<str>,
}

impl Ids {
    /// Names a span in the log. Where its request stands in no trace, the trace is called as the request.
    pub fn give(span: &Span, request: Uuid, place: Option<&TraceContext>) -> Self {
        let trace = place.map_or_else(|| request.simple().to_string().into(), |place| place.trace().into());
        let ids = Self { request, trace };
        span.with_subscriber(|(id, dispatch)| {
            if let Some(named) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
                named.extensions_mut().insert(ids.clone());
            }
        });
        ids
    }
}

/// A part of a trace, which ends when this is dropped; nothing of a trace that is not kept.
#[derive(Debug, Default)]
pub struct Part(Option<Box<Kept>>);

impl Part {
    /// What happens for a request that stands there in a trace, by its sender's word; and where that stands, even when
    /// the trace is not kept.
    pub(super) fn first(tracer: &SdkTracer, sent: Option<&TraceContext>) -> (Self, Option<TraceContext>) {
        let above = sent.map(TraceContext::context).unwrap_or_default();
        let begun = tracer.span_builder("request").with_kind(SpanKind::Server);
        let span = tracer.build_with_context(begun, &above);
        let place = TraceContext::of(span.span_context());
        (Self(span.is_recording().then(|| Box::new(span))), place)
    }

    /// A part of this one; nothing where this is not kept.
    pub(super) fn within(
        &self,
        tracer: &SdkTracer,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        said: Vec<KeyValue>,
    ) -> Self {
        Self(self.0.as_ref().map(|kept| {
            let above = Context::new().with_remote_span_context(kept.span_context().clone());
            let begun = tracer.span_builder(name).with_kind(kind).with_attributes(said);
            Box::new(tracer.build_with_context(begun, &above))
        }))
    }

    /// Whether it is kept.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Where it stands, if it is kept.
    pub fn place(&self) -> Option<TraceContext> {
        self.0.as_ref().and_then(|kept| TraceContext::of(kept.span_context()))
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(kept) = &mut self.0 {
            kept.update_name(name);
        }
    }

    /// Says something of it.
    pub fn say(&mut self, said: impl IntoIterator<Item = KeyValue>) {
        if let Some(kept) = &mut self.0 {
            kept.set_attributes(said);
        }
    }

    /// Says that it failed, and how, in a word.
    pub fn failed(&mut self, how: &'static str) {
        self.say([KeyValue::new("error.type", how)]);
        if let Some(kept) = &mut self.0 {
            kept.set_status(Status::error(""));
        }
    }

    /// Does some work, for as long as it lasts.
    pub fn of<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }

    /// Waits for something, for as long as it lasts.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        work.await
    }
}
