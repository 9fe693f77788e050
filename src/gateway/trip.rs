//! What is noted of one call: made here and nowhere else, however the call ends.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, value::RawValue};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;

use super::{Gateway, Live, acts::recorded};
use crate::audit::{self, Keeping};
use crate::call::{Downstream, Outcome, RequestId, Sent};
use crate::caller::Caller;
use crate::catalog::Entry;
use crate::error::Result;
use crate::manifest::AuditedArguments;
use crate::name::{ConnectorId, cut, shown};
use crate::telemetry::{CALL, Call, Held, Ids, KeyValue, Part, SpanKind, TraceContext};

/// Characters of a client's name that wait for its record.
const LONGEST_CLIENT: usize = 200;
/// The method of a tool's call.
pub(super) const TOOL: &str = "tools/call";

/// A call under way. One that is dropped before its end was taken back by its caller.
#[derive(Debug)]
pub(super) struct Trip<'a> {
    gateway: &'a Gateway,
    method: &'static str,
    /// What was asked for, by its published name.
    what: String,
    request: RequestId,
    run: OnceLock<Arc<str>>,
    caller: Caller,
    client: Option<String>,
    started: Instant,
    found: OnceLock<Found>,
    /// Whether its result may be one that is kept.
    may_be_kept: AtomicBool,
    /// Whether its connector was asked.
    reached: AtomicBool,
    /// Tries after the first.
    retries: AtomicU64,
    is_over: bool,
    /// The span that stands for it in the log.
    span: Span,
    /// It in its trace, by the [semantic conventions] for MCP.
    ///
    /// [semantic conventions]: https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp
    part: Part,
    /// Whose it is, once that is known.
    connector: OnceLock<ConnectorId>,
    ids: Ids,
    /// Where its request stands in a trace, as its sender says.
    sent: Option<TraceContext>,
    /// Where it stands itself.
    place: Option<TraceContext>,
    _under_way: TaskTrackerToken,
}

/// The tool that a call is for.
#[derive(Debug)]
struct Found {
    live: Arc<Live>,
    entry: Arc<Entry>,
    /// Bytes of its arguments.
    bytes: usize,
    _in_flight: Held,
    /// The arguments, where they are recorded or their shape is.
    arguments: Mutex<Option<Box<RawValue>>>,
}

/// The tool of a call, for its record.
#[derive(Debug)]
struct Recorded {
    live: Arc<Live>,
    entry: Arc<Entry>,
}

impl audit::Called for Recorded {
    fn connector(&self) -> &str {
        self.entry.connector.as_str()
    }

    fn tool(&self) -> &str {
        &self.entry.tool
    }

    fn version(&self) -> Option<&str> {
        let connector = self.live.connectors.get(&self.entry.connector)?;
        Some(&connector.checked.connector.version)
    }

    fn fingerprint(&self) -> Arc<str> {
        self.live.catalog.fingerprint(&self.entry.connector)
    }

    fn input(&self) -> Option<&Value> {
        self.entry.descriptor.get("inputSchema")
    }

    fn keeping(&self) -> Keeping {
        keeping(&self.entry)
    }
}

fn keeping(entry: &Entry) -> Keeping {
    match entry.audited {
        AuditedArguments::None => Keeping::Nothing,
        AuditedArguments::Shape => Keeping::Shape,
        AuditedArguments::Values => Keeping::Values,
    }
}

/// What ended well, perhaps with a failure in it.
pub(super) trait Ended {
    /// Whether the other side says that it failed.
    fn has_failed(&self) -> bool;
    /// About how many bytes it has.
    fn bytes(&self) -> usize;
}

impl Ended for Outcome {
    fn has_failed(&self) -> bool {
        self.is_error()
    }

    fn bytes(&self) -> usize {
        self.size()
    }
}

impl Ended for Sent {
    fn has_failed(&self) -> bool {
        self.is_error
    }

    fn bytes(&self) -> usize {
        self.json.len()
    }
}

impl<'a> Trip<'a> {
    pub(super) fn start(
        gateway: &'a Gateway,
        (method, what): (&'static str, &str),
        caller: &Caller,
        downstream: &Downstream,
    ) -> Self {
        let (what, request, sent) = (shown(what), downstream.request, downstream.trace());
        let (part, place) = gateway.telemetry.part(sent.as_ref());
        let span = tracing::info_span!(target: CALL, "call");
        let place = place.or_else(|| sent.clone());
        let ids = Ids::give(&span, request.into(), place.as_ref());
        let mut trip = Self {
            gateway,
            method,
            what,
            request,
            run: OnceLock::new(),
            caller: caller.clone(),
            // It is read for its record alone.
            client: if gateway.audit.is_on() {
                downstream.client_name().map(|name| cut(&name, LONGEST_CLIENT))
            } else {
                None
            },
            started: Instant::now(),
            found: OnceLock::new(),
            may_be_kept: AtomicBool::new(false),
            reached: AtomicBool::new(false),
            retries: AtomicU64::new(0),
            is_over: false,
            span,
            part,
            connector: OnceLock::new(),
            ids,
            sent,
            place,
            _under_way: gateway.calls.token(),
        };
        trip.describe(downstream);
        trip
    }

    /// Says in the trace whose call it is. Where none is kept, that is not worth its words.
    fn describe(&mut self, downstream: &Downstream) {
        if !self.part.is_kept() {
            return;
        }
        let tool = Some(self.what.as_str()).filter(|_| self.method == TOOL);
        let mut said = self.said("gateway");
        said.push(KeyValue::new("mcp.method.name", self.method));
        said.push(KeyValue::new("mcp.protocol.version", downstream.era.word()));
        said.extend(downstream.session.as_ref().map(|it| KeyValue::new("mcp.session.id", it.id.to_string())));
        if let Some(tool) = tool {
            said.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
            said.push(KeyValue::new("gen_ai.tool.name", tool.to_owned()));
        }
        let name = named(self.method, tool);
        self.part.rename(name);
        self.part.say(said);
    }

    /// What the contract has every part of a trace say.
    fn said(&self, component: &'static str) -> Vec<KeyValue> {
        let mut said = Vec::with_capacity(8);
        said.push(KeyValue::new("brand", self.gateway.telemetry.logs().brand()));
        said.push(KeyValue::new("component", component));
        said.push(KeyValue::new("runId", self.run()));
        said.extend(self.connector.get().map(of));
        said
    }

    /// Its request's name in traces and records.
    fn run(&self) -> Arc<str> {
        Arc::clone(self.run.get_or_init(|| self.request.to_string().into()))
    }

    /// The span that stands for it in the log.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Where its request stands in a trace, as its sender says.
    pub(super) fn sent(&self) -> Option<&TraceContext> {
        self.sent.as_ref()
    }

    /// One of its steps, in its trace.
    pub(super) fn step(&self, name: &'static str) -> Part {
        if !self.part.is_kept() {
            return Part::default();
        }
        self.gateway.telemetry.within(&self.part, SpanKind::Internal, name, self.said("gateway"))
    }

    /// Something that is asked of its connector, in its trace, and where that stands: where we stand, or the sender, when
    /// the trace is not kept. [`answered`] ends it.
    pub(super) fn attempt(&self, tool: Option<&str>) -> (Part, Option<TraceContext>) {
        if !self.part.is_kept() {
            return (Part::default(), self.sent.clone().or_else(|| self.place.clone()));
        }
        let mut said = self.said("adapter");
        said.push(KeyValue::new("mcp.method.name", self.method));
        said.extend(tool.map(|tool| KeyValue::new("gen_ai.tool.name", tool.to_owned())));
        let part = self.gateway.telemetry.within(&self.part, SpanKind::Client, named(self.method, tool), said);
        let own = part.place();
        (part, own)
    }

    /// Notes which tool it is for.
    pub(super) fn found(&self, live: &Arc<Live>, entry: &Arc<Entry>, arguments: Option<&RawValue>) {
        let bytes = arguments.map_or(0, |arguments| arguments.get().len());
        let in_flight = self.gateway.telemetry.metrics().under_way(entry.connector.as_str());
        self.of_connector(&entry.connector);
        let kept = arguments.filter(|_| keeping(entry) != Keeping::Nothing && self.gateway.audit.wants(bytes));
        let arguments = Mutex::new(kept.map(ToOwned::to_owned));
        let (live, entry) = (Arc::clone(live), Arc::clone(entry));
        let _ = self.found.set(Found { live, entry, bytes, _in_flight: in_flight, arguments });
    }

    /// Notes whose connector it is for.
    pub(super) fn of_connector(&self, connector: &ConnectorId) {
        let _ = self.connector.set(connector.clone());
    }

    /// Notes that its result may be one that is kept.
    pub(super) fn may_be_kept(&self) {
        self.may_be_kept.store(true, Ordering::Relaxed);
    }

    /// Notes that its connector is asked.
    pub(super) fn reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Notes how often its connector was asked, the try under way among it.
    pub(super) fn tried(&self, times: u64) {
        self.retries.store(times.saturating_sub(1), Ordering::Relaxed);
    }

    /// Notes how it ended.
    pub(super) fn end<T: Ended>(mut self, result: Result<T>) -> Result<T> {
        match &result {
            Ok(ended) => self.note(word(&result), ended.bytes(), None),
            Err(error) => self.note(word(&result), 0, std::error::Error::source(error)),
        }
        result
    }

    fn note(&mut self, outcome: &'static str, bytes: usize, cause: Option<&(dyn std::error::Error + 'static)>) {
        self.is_over = true;
        let time = self.started.elapsed();
        self.record(outcome, bytes, time);
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let cause = cause.map(tracing::field::display);
        self.span.in_scope(|| tracing::info!(tool = self.what, outcome, ms, bytes, cause, "called"));
        if self.part.is_kept() {
            let connector = self.connector.get().map(of);
            self.part.say(connector.into_iter().chain([KeyValue::new("switchboard.outcome", outcome)]));
            mark(&mut self.part, outcome);
        }
        if self.method != TOOL {
            return;
        }
        let found = self.found.get();
        let reached = self.reached.load(Ordering::Relaxed);
        self.gateway.telemetry.metrics().called(&Call {
            // What clients ask for and is not there becomes no label.
            connector: found.map_or("", |found| found.entry.connector.as_str()),
            tool: found.map_or("", |found| found.entry.tool.as_str()),
            outcome,
            time,
            argument_bytes: found.map_or(0, |found| found.bytes),
            result_bytes: bytes,
            retries: self.retries.load(Ordering::Relaxed),
            kept: self.may_be_kept.load(Ordering::Relaxed).then_some(!reached),
        });
    }

    fn record(&self, outcome: &'static str, result_bytes: usize, took: Duration) {
        let audit = &self.gateway.audit;
        if !audit.is_on() {
            return;
        }
        let found = self.found.get();
        let called = |found: &Found| -> Box<dyn audit::Called> {
            Box::new(Recorded { live: Arc::clone(&found.live), entry: Arc::clone(&found.entry) })
        };
        audit.call(audit::Call {
            who: recorded(&self.caller),
            client: self.client.clone(),
            tool: self.what.clone(),
            called: found.map(called),
            outcome,
            argument_bytes: found.map_or(0, |found| found.bytes),
            arguments: found.and_then(|it| it.arguments.lock().unwrap_or_else(PoisonError::into_inner).take()),
            result_bytes,
            took,
            request: self.run(),
            trace: Some(Arc::clone(&self.ids.trace)),
        });
    }
}

/// Whose a part of a trace is.
fn of(connector: &ConnectorId) -> KeyValue {
    KeyValue::new("connectorId", Arc::from(connector))
}

/// The name of a span.
fn named(method: &str, tool: Option<&str>) -> String {
    tool.map_or_else(|| method.to_owned(), |tool| format!("{method} {tool}"))
}

/// How something ended, in a word.
fn word<T: Ended>(result: &Result<T>) -> &'static str {
    match result {
        Ok(ended) if ended.has_failed() => "failed",
        Ok(_) => "ok",
        Err(error) => error.kind().word(),
    }
}

/// Says of a part of a trace how it ended.
fn mark(part: &mut Part, outcome: &'static str) {
    if outcome != "ok" {
        part.failed(if outcome == "failed" { "tool_error" } else { outcome });
    }
}

/// Ends the part of a trace that was asked of a connector.
pub(super) fn answered<T: Ended>(mut part: Part, result: &Result<T>) {
    mark(&mut part, word(result));
}

impl Drop for Trip<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.note("cancelled", 0, None);
        }
    }
}
