//! What is told of what goes on: log lines, numbers and traces.

use std::{sync::Arc, time::Duration};

use opentelemetry::{InstrumentationScope, KeyValue, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_otlp::{Compression, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use opentelemetry_sdk::{Resource, metrics::PeriodicReader};
use prometheus::{Registry, TextEncoder, process_collector::ProcessCollector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

mod logs;
mod metrics;
mod trace;

pub use logs::{Format, Level, LogConfig, Logs};
pub use metrics::{Call, Held, Metrics, Reading};
pub use trace::{CALL, Ids, REQUEST, STEP, TraceContext};

/// What is under way when we end may take this long to leave.
const FLUSH: Duration = Duration::from_secs(3);
/// How we are called where traces and numbers of many programs come together, unless `OTEL_SERVICE_NAME` says it.
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
}

impl Telemetry {
    /// Starts telling. To be called once, before there is a runtime: what sends to collectors has threads of its own.
    /// `service` is what `OTEL_SERVICE_NAME` says. The reason when something cannot be set up.
    pub fn start(log: &LogConfig, config: &TelemetryConfig, service: Option<&str>) -> Result<Self, String> {
        let resource = Resource::builder()
            .with_service_name(service.unwrap_or(SERVICE).to_owned())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let endpoint = config.otlp_endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
        let tracers = endpoint.as_deref().map(|endpoint| tracers(endpoint, config, resource.clone())).transpose()?;
        let scope = InstrumentationScope::builder(SERVICE).with_version(env!("CARGO_PKG_VERSION")).build();
        let logs = Logs::start(log, tracers.as_ref().map(|tracers| tracers.tracer_with_scope(scope.clone())));
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_view(|_: &Instrument| Stream::builder().with_cardinality_limit(metrics::MOST).build().ok());
        let wanted = config.otlp_metrics.unwrap_or(!config.prometheus);
        let endpoint = endpoint.filter(|_| wanted);
        if let Some(endpoint) = &endpoint {
            let exporter = opentelemetry_otlp::MetricExporter::builder().with_http();
            let exporter = exporter.with_endpoint(format!("{endpoint}/v1/metrics")).with_compression(Compression::Gzip);
            let exporter = exporter.build().map_err(|error| cannot(&error))?;
            meters = meters.with_reader(PeriodicReader::builder(exporter).build());
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
            return Ok(Self(Arc::new(Parts { logs, tracers, ..Parts::default() })));
        }
        let meters = meters.build();
        let metrics = Metrics::new(meters.meter_with_scope(scope));
        Ok(Self(Arc::new(Parts { logs, metrics, registry, meters: Some(meters), tracers })))
    }

    /// The log.
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// Whether traces are kept.
    pub fn traces(&self) -> bool {
        self.0.tracers.is_some()
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

    /// Sends what is left. To be called once, after the last runtime ended; waits a few seconds at most.
    pub fn stop(&self) {
        if let Some(tracers) = &self.0.tracers {
            let _ = tracers.shutdown_with_timeout(FLUSH);
        }
        if let Some(meters) = &self.0.meters {
            let _ = meters.shutdown_with_timeout(FLUSH);
        }
    }
}

fn tracers(endpoint: &str, config: &TelemetryConfig, resource: Resource) -> Result<SdkTracerProvider, String> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http();
    let exporter = exporter.with_endpoint(format!("{endpoint}/v1/traces")).with_compression(Compression::Gzip);
    let exporter = exporter.build().map_err(|error| cannot(&error))?;
    let root = config.sample_ratio.map_or(Sampler::AlwaysOn, Sampler::TraceIdRatioBased);
    let sampler = Sampler::ParentBased(Box::new(root));
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(sampler);
    Ok(provider.with_resource(resource).build())
}

fn cannot(error: &dyn std::fmt::Display) -> String {
    format!("telemetry cannot be set up: {error}")
}
