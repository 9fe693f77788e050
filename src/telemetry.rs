//! What is told of what goes on: log lines, numbers and traces.

use std::{
    borrow::Cow,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use opentelemetry::{InstrumentationScope, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use opentelemetry_sdk::resource::{EnvResourceDetector, Resource, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use prometheus::{Registry, TextEncoder, process_collector::ProcessCollector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

mod logs;
mod metrics;
mod told;
mod trace;

pub use logs::{Format, Level, LogConfig, Logs};
pub use metrics::{Call, Held, Metrics, Reading};
pub use opentelemetry::{KeyValue, trace::SpanKind};
pub use trace::{CALL, Ids, Part, REQUEST, TraceContext};

use told::Told;

/// What is under way when we end may take this long to leave.
pub const FLUSH: Duration = Duration::from_secs(3);
/// How we are called where traces and numbers of many programs come together, unless `OTEL_SERVICE_NAME` or
/// `OTEL_RESOURCE_ATTRIBUTES` says it.
const SERVICE: &str = "switchboard";

/// What is told to whom, besides the log.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Whether `/metrics` shows numbers in Prometheus' form.
    pub prometheus: bool,
    /// Where an OpenTelemetry collector takes OTLP over HTTP: traces, and numbers where `prometheus` is off.
    #[schemars(with = "Option<String>", extend("pattern" = "^https?://[^/@]+(/.*)?$"))]
    pub otlp_endpoint: Option<Url>,
    /// Whether numbers go there, too; unless it is said, when `prometheus` is off.
    pub otlp_metrics: Option<bool>,
    /// The share of traces that is sent, of those whose caller does not decide that: 0 to 1, all when unsaid.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample_ratio: Option<f64>,
}

/// Everything that is told. Cheap to share.
/// The default tells nobody anything.
#[derive(Debug, Clone, Default)]
pub struct Telemetry(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    logs: Logs,
    metrics: Metrics,
    registry: Option<Registry>,
    meters: Option<SdkMeterProvider>,
    tracers: Option<SdkTracerProvider>,
    tracer: Option<SdkTracer>,
}

impl Telemetry {
    /// Starts telling. To be called once, and in no runtime: what sends to collectors has threads of its own.
    /// `service` is what `OTEL_SERVICE_NAME` says. The reason when something cannot be set up.
    pub fn start(log: &LogConfig, config: &TelemetryConfig, service: Option<&str>) -> Result<Self, String> {
        let resource = resource(service);
        let endpoint = config.otlp_endpoint.as_ref();
        let tracers = endpoint.map(|endpoint| tracers(endpoint, config, resource.clone())).transpose()?;
        let scope = InstrumentationScope::builder(SERVICE).with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = tracers.as_ref().map(|tracers| tracers.tracer_with_scope(scope.clone()));
        let logs = Logs::start(log);
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_view(|_: &Instrument| Stream::builder().with_cardinality_limit(metrics::MOST).build().ok());
        let wanted = config.otlp_metrics.unwrap_or(!config.prometheus);
        let endpoint = endpoint.filter(|_| wanted);
        if let Some(endpoint) = endpoint {
            let exporter = opentelemetry_otlp::MetricExporter::builder().with_http();
            let exporter = exporter.with_endpoint(address(endpoint, "metrics")).build();
            let exporter = exporter.map_err(|error| cannot(&error))?;
            meters = meters.with_reader(PeriodicReader::builder(Told::new(exporter, "numbers", endpoint)).build());
        }
        let mut registry = None;
        if config.prometheus {
            let own = Registry::new();
            let exporter = opentelemetry_prometheus::exporter().with_registry(own.clone());
            let exporter = exporter.scope_info_enabled(false).without_target_info().build();
            meters = meters.with_reader(exporter.map_err(|error| cannot(&error))?);
            own.register(Box::new(ProcessCollector::for_self())).map_err(|error| cannot(&error))?;
            registry = Some(own);
        }
        if endpoint.is_none() && registry.is_none() {
            return Ok(Self(Arc::new(Parts { logs, tracers, tracer, ..Parts::default() })));
        }
        let meters = meters.build();
        let metrics = Metrics::new(meters.meter_with_scope(scope));
        Ok(Self(Arc::new(Parts { logs, metrics, registry, meters: Some(meters), tracers, tracer })))
    }

    /// The log.
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// What happens here for a request that stands there in a trace, by its sender's word, and where that stands; nothing
    /// where no trace is kept.
    pub fn part(&self, sent: Option<&TraceContext>) -> (Part, Option<TraceContext>) {
        self.0.tracer.as_ref().map(|tracer| Part::first(tracer, sent)).unwrap_or_default()
    }

    /// A part of another one, of which this is said; nothing where that is not kept.
    pub fn within(&self, part: &Part, kind: SpanKind, name: impl Into<Cow<'static, str>>, said: Vec<KeyValue>) -> Part {
        self.0.tracer.as_ref().map(|tracer| part.within(tracer, kind, name, said)).unwrap_or_default()
    }

    /// What is counted and measured.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// All numbers as Prometheus reads them, where that is wanted.
    pub fn prometheus(&self) -> Option<Result<String, String>> {
        let registry = self.0.registry.as_ref()?;
        Some(TextEncoder::new().encode_to_string(&registry.gather()).map_err(|error| error.to_string()))
    }

    /// Sends what is left, and waits so long for it. To be called once, after the last runtime ended. Where nothing is
    /// waited for it is called, too: what is only dropped has its own patience.
    pub fn stop(&self, patience: Duration) {
        let (working, ended) = mpsc::channel::<()>();
        let (tracers, meters) = (self.0.tracers.clone(), self.0.meters.clone());
        let also_working = working.clone();
        thread::spawn(move || {
            let _working = working;
            tracers.map(|tracers| tracers.shutdown_with_timeout(patience))
        });
        thread::spawn(move || {
            let _working = also_working;
            // It does not hear how long it may take.
            meters.map(|meters| meters.shutdown_with_timeout(patience))
        });
        // Nothing is sent there; it is closed when both have ended.
        let _ = ended.recv_timeout(patience);
    }
}

/// Who we are, beside what `OTEL_RESOURCE_ATTRIBUTES` says.
fn resource(service: Option<&str>) -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name(SERVICE)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match service.filter(|service| !service.is_empty()) {
        Some(service) => resource.with_service_name(service.to_owned()).build(),
        None => resource.build(),
    }
}

/// Where a collector takes this signal.
fn address(endpoint: &Url, signal: &str) -> String {
    format!("{}/v1/{signal}", endpoint.as_str().trim_end_matches('/'))
}

fn tracers(endpoint: &Url, config: &TelemetryConfig, resource: Resource) -> Result<SdkTracerProvider, String> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http();
    let exporter = exporter.with_endpoint(address(endpoint, "traces")).build();
    let exporter = Told::new(exporter.map_err(|error| cannot(&error))?, "traces", endpoint);
    let root = config.sample_ratio.map_or(Sampler::AlwaysOn, Sampler::TraceIdRatioBased);
    let sampler = Sampler::ParentBased(Box::new(root));
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(sampler);
    Ok(provider.with_resource(resource).build())
}

fn cannot(error: &dyn std::fmt::Display) -> String {
    format!("telemetry cannot be set up: {error}")
}
