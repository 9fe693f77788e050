//! Numbers: what is counted and measured, under which name.
//!
//! Labels are names of connectors and tools that there are, and words of ours; nothing that a client sends becomes one.
//! Beyond [`MOST`] combinations of labels, an instrument puts the rest under one that says so.

use std::{sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

/// Combinations of labels of one instrument.
pub(super) const MOST: usize = 10_000;
/// From a millisecond to a minute.
const BOUNDS: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// About so many bytes of a result are one token.
const TOKEN: usize = 4;

/// What is counted and measured; nothing, where nobody reads it.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Option<Arc<Instruments>>);

#[derive(Debug)]
struct Instruments {
    meter: Meter,
    calls: Counter<u64>,
    call_time: Histogram<f64>,
    argument_bytes: Counter<u64>,
    result_bytes: Counter<u64>,
    result_tokens: Counter<u64>,
    in_flight: UpDownCounter<i64>,
    retries: Counter<u64>,
    kept: Counter<u64>,
    requests: Counter<u64>,
    request_time: Histogram<f64>,
    sessions: UpDownCounter<i64>,
    streams: UpDownCounter<i64>,
}

/// A call that ended.
#[derive(Debug)]
pub struct Call<'a> {
    /// Its connector.
    pub connector: &'a str,
    /// Its tool, by its name there.
    pub tool: &'a str,
    /// How it ended, in a word.
    pub outcome: &'static str,
    /// How long it took.
    pub time: Duration,
    /// Bytes of its arguments.
    pub argument_bytes: usize,
    /// Bytes of its result.
    pub result_bytes: usize,
    /// Tries after the first.
    pub retries: u64,
    /// Whether its result was kept from another, where that may be.
    pub kept: Option<bool>,
}

/// How a connector is at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Its name.
    pub connector: String,
    /// Whether it takes calls, as far as is known.
    pub is_up: bool,
    /// Calls that wait for their turn.
    pub waiting: u64,
    /// Tools that callers see.
    pub tools: u64,
    /// Tokens of their descriptors.
    pub tokens: u64,
    /// Whether its calls are refused because they failed: 0 no, 1 yes, 0.5 one is tried.
    pub breaker: f64,
    /// Checks that failed so far.
    pub probe_failures: u64,
}

/// Counts something as there until it is dropped.
#[derive(Debug)]
pub struct Held(Option<(UpDownCounter<i64>, KeyValue)>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((counter, label)) = &self.0 {
            counter.add(-1, std::slice::from_ref(label));
        }
    }
}

impl Metrics {
    pub(super) fn new(meter: Meter) -> Self {
        let info = meter.u64_gauge("switchboard.build.info").with_description("Which version runs.").build();
        info.record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
        let counter = |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let bytes = |name: &'static str, what: &'static str| {
            meter.u64_counter(name).with_unit("By").with_description(what).build()
        };
        let time = |name: &'static str, what: &'static str| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(what);
            histogram.with_boundaries(BOUNDS.to_vec()).build()
        };
        let level =
            |name: &'static str, what: &'static str| meter.i64_up_down_counter(name).with_description(what).build();
        Self(Some(Arc::new(Instruments {
            calls: counter("switchboard.calls", "Calls of tools that ended, by how they ended."),
            call_time: time("switchboard.call.duration", "How long calls took."),
            argument_bytes: bytes("switchboard.call.argument", "Bytes of calls' arguments."),
            result_bytes: bytes("switchboard.call.result", "Bytes of calls' results."),
            result_tokens: counter("switchboard.call.result.tokens", "About the tokens of results: four bytes each."),
            in_flight: level("switchboard.calls.in_flight", "Calls under way."),
            retries: counter("switchboard.call.retries", "Tries after the first."),
            kept: counter("switchboard.cache.lookups", "Calls whose result may be kept from another."),
            requests: counter("switchboard.requests", "Requests of MCP, by method and generation of the protocol."),
            request_time: time("switchboard.request.duration", "How long requests of MCP took."),
            sessions: level("switchboard.sessions", "Sessions of clients."),
            streams: level("switchboard.streams", "Streams that are open."),
            meter,
        })))
    }

    fn hold(&self, which: impl FnOnce(&Instruments) -> &UpDownCounter<i64>, label: impl FnOnce() -> KeyValue) -> Held {
        Held(self.0.as_deref().map(|it| {
            let (counter, label) = (which(it).clone(), label());
            counter.add(1, std::slice::from_ref(&label));
            (counter, label)
        }))
    }

    /// Counts a call as under way.
    pub fn under_way(&self, connector: &str) -> Held {
        self.hold(|it| &it.in_flight, || KeyValue::new("connector", connector.to_owned()))
    }

    /// Counts a session by this transport.
    pub fn session(&self, transport: &'static str) -> Held {
        self.hold(|it| &it.sessions, || KeyValue::new("transport", transport))
    }

    /// Counts a stream of this kind.
    pub fn stream(&self, kind: &'static str) -> Held {
        self.hold(|it| &it.streams, || KeyValue::new("kind", kind))
    }

    /// Counts a call that ended.
    pub fn called(&self, call: &Call<'_>) {
        let Some(it) = &self.0 else { return };
        let connector = KeyValue::new("connector", call.connector.to_owned());
        let labels = [connector, KeyValue::new("tool", call.tool.to_owned()), KeyValue::new("outcome", call.outcome)];
        it.calls.add(1, &labels);
        let (of_tool, _) = labels.split_at(2);
        it.call_time.record(call.time.as_secs_f64(), of_tool);
        it.argument_bytes.add(call.argument_bytes as u64, of_tool);
        it.result_bytes.add(call.result_bytes as u64, of_tool);
        it.result_tokens.add(call.result_bytes.div_ceil(TOKEN) as u64, of_tool);
        if call.retries > 0 {
            it.retries.add(call.retries, of_tool);
        }
        if let (Some(kept), [connector, ..]) = (call.kept, of_tool) {
            let outcome = KeyValue::new("outcome", if kept { "hit" } else { "miss" });
            it.kept.add(1, &[connector.clone(), outcome]);
        }
    }

    /// Counts a request of MCP. `method` is one we know.
    pub fn requested(&self, method: &'static str, (era, transport): (&'static str, &'static str), time: Duration) {
        let Some(it) = &self.0 else { return };
        let labels =
            [KeyValue::new("method", method), KeyValue::new("era", era), KeyValue::new("transport", transport)];
        it.requests.add(1, &labels);
        let (of_method, _) = labels.split_at(1);
        it.request_time.record(time.as_secs_f64(), of_method);
    }

    /// Shows how connectors are whenever numbers are read. The first number's name begins with `brand`.
    pub fn watch_connectors(&self, brand: &str, read: impl Fn() -> Vec<Reading> + Clone + Send + Sync + 'static) {
        type Value = fn(&Reading) -> f64;
        let Some(meter) = self.0.as_ref().map(|it| &it.meter) else { return };
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let gauges: [(String, &'static str, Value); 5] = [
            (up_name(brand), "Whether a connector is healthy: 1, or 0 when it is offline or disabled.", |it| {
                f64::from(u8::from(it.is_up))
            }),
            ("switchboard.calls.waiting".into(), "Calls that wait for their turn.", |it| it.waiting as f64),
            ("switchboard.connector.tools".into(), "Tools of a connector.", |it| it.tools as f64),
            ("switchboard.connector.descriptor.tokens".into(), "About the tokens of a connector's tools.", |it| {
                it.tokens as f64
            }),
            (
                "switchboard.breaker.open".into(),
                "Whether calls are refused because the connector failed: 0 no, 1 yes, 0.5 one is tried.",
                |it| it.breaker,
            ),
        ];
        for (name, what, value) in gauges {
            let read = read.clone();
            let gauge = meter.f64_observable_gauge(name).with_description(what);
            gauge
                .with_callback(move |observer| {
                    for it in read() {
                        observer.observe(value(&it), &[KeyValue::new("connector", it.connector)]);
                    }
                })
                .build();
        }
        let failures = meter.u64_observable_counter("switchboard.connector.probe.failures");
        failures
            .with_description("Checks of a connector that failed.")
            .with_callback(move |observer| {
                for it in read() {
                    observer.observe(it.probe_failures, &[KeyValue::new("connector", it.connector)]);
                }
            })
            .build();
    }

    /// Shows how many records the audit took, how many were lost, and whether they cannot be written.
    pub fn watch_audit(
        &self,
        read: impl Fn() -> (u64, u64) + Clone + Send + Sync + 'static,
        is_failing: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        let Some(meter) = self.0.as_ref().map(|it| &it.meter) else { return };
        let lost = read.clone();
        let counter = meter.u64_observable_counter("switchboard.audit.records");
        let counter = counter.with_description("Records the audit took.");
        counter.with_callback(move |observer| observer.observe(read().0, &[])).build();
        let counter = meter.u64_observable_counter("switchboard.audit.lost");
        let counter = counter.with_description("Records that were lost.");
        counter.with_callback(move |observer| observer.observe(lost().1, &[])).build();
        let gauge = meter.u64_observable_gauge("switchboard.audit.failing");
        let gauge = gauge.with_description("Whether records cannot be written: 1, or 0.");
        gauge.with_callback(move |observer| observer.observe(u64::from(is_failing()), &[])).build();
    }
}

/// The name that the service-map system gives its number.
fn up_name(brand: &str) -> String {
    let letters = brand.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    format!("{}_mcp_connector_proxy_up", letters.collect::<String>())
}
