//! Whether what is told arrives: that it begins to be lost is said once, and once that it arrives again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use url::Url;

/// Sends as the exporter in it does, and says in the log how that goes when it changes.
#[derive(Debug)]
pub(super) struct Told<E> {
    exporter: E,
    /// What it sends.
    what: &'static str,
    /// Where to, without what may be secret there.
    to: String,
    is_failing: AtomicBool,
}

impl<E> Told<E> {
    /// Sends `what` to a collector by this exporter.
    pub(super) fn new(exporter: E, what: &'static str, collector: &Url) -> Self {
        let to = format!("{}{}", collector.origin().ascii_serialization(), collector.path());
        Self { exporter, what, to, is_failing: AtomicBool::new(false) }
    }

    fn heard(&self, result: OTelSdkResult) -> OTelSdkResult {
        let Self { what, to, .. } = self;
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => tracing::warn!("{what} are lost, the collector at {to} takes none: {error}"),
            Ok(()) if was_failing => tracing::info!("the collector at {to} takes {what} again"),
            Ok(()) | Err(_) => {}
        }
        result
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.heard(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Told<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.heard(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
