//! Log lines, on standard error only: standard output belongs to MCP.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::{
    self as writing, FmtContext, FormatEvent, FormatFields,
    format::{DefaultFields, Writer},
};
use tracing_subscriber::{
    Layer as _, Registry, filter::Targets, layer::SubscriberExt as _, registry::LookupSpan, reload,
    util::SubscriberInitExt as _,
};

use super::trace::{CALL, Ids, REQUEST};

/// Whose lines they are until somebody says it.
const BRAND: &str = "Switchboard";

/// What is logged and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LogConfig {
    /// The least important line that is shown.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// The log, as far as it can be changed while it is written.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    level: Option<reload::Handle<Targets, Registry>>,
    brand: Brand,
}

/// Whose lines they are.
#[derive(Debug, Clone)]
struct Brand(Arc<RwLock<Arc<str>>>);

impl Default for Brand {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(BRAND.into())))
    }
}

impl Brand {
    fn get(&self) -> Arc<str> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Logs {
    /// Starts logging. A second start in one process (a test) keeps the first.
    pub(super) fn start(config: &LogConfig) -> Self {
        let (filter, level) = reload::Layer::new(shown(config.level));
        let brand = Brand::default();
        let event = Lines { brand: brand.clone(), format: config.format };
        let ansi = config.format == Format::Text && io::stderr().is_terminal();
        let layer = writing::layer().with_writer(io::stderr).with_ansi(ansi).fmt_fields(Nothing).event_format(event);
        let started = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
        Self { level: started.is_ok().then_some(level), brand }
    }

    /// Shows lines of this importance from here on.
    pub fn set_level(&self, level: Level) {
        if let Some(handle) = &self.level {
            let _ = handle.reload(shown(level));
        }
    }

    /// Whose lines they are.
    pub fn brand(&self) -> Arc<str> {
        self.brand.get()
    }

    /// Says whose lines they are.
    pub fn set_brand(&self, brand: &str) {
        *self.brand.0.write().unwrap_or_else(PoisonError::into_inner) = brand.into();
    }
}

/// What is shown at this level. The SDK logs the contents of messages, so only its errors are let through, and not
/// those of its service loop, to which every client that leaves is one.
fn shown(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("switchboard", level)
        // They are no lines, but give lines their ids.
        .with_targets([(REQUEST, LevelFilter::INFO), (CALL, LevelFilter::INFO)])
        .with_targets([("rmcp", LevelFilter::ERROR), ("rmcp::service", LevelFilter::OFF)])
}

/// Spans show nothing but their ids.
struct Nothing;

impl<'writer> FormatFields<'writer> for Nothing {
    fn format_fields<R: RecordFields>(&self, _: Writer<'writer>, _: R) -> fmt::Result {
        Ok(())
    }
}

/// How lines look.
struct Lines {
    brand: Brand,
    format: Format,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut spans = cx.event_scope().into_iter().flatten();
        let ids = spans.find_map(|span| span.extensions().get::<Ids>().cloned());
        let at = humantime::format_rfc3339_micros(SystemTime::now());
        let (brand, component) = (self.brand.get(), component(metadata.target()));
        if self.format == Format::Text {
            let mut fields = String::new();
            DefaultFields::new().format_fields(Writer::new(&mut fields), event)?;
            let level = Coloured(*metadata.level(), writer.has_ansi_escapes());
            write!(writer, "{at} {level} {} component={component} brand={brand:?}", Harmless(&fields))?;
            if let Some(ids) = ids {
                write!(writer, " request_id={} trace_id={}", ids.request, ids.trace)?;
            }
            return writeln!(writer);
        }
        let mut line = Map::new();
        line.insert("timestamp".into(), at.to_string().into());
        line.insert("level".into(), metadata.level().as_str().into());
        line.insert("brand".into(), brand.as_ref().into());
        line.insert("component".into(), component.into());
        line.insert("trace_id".into(), ids.as_ref().map(|ids| ids.trace.as_ref()).into());
        line.insert("request_id".into(), ids.map(|ids| ids.request.to_string()).into());
        event.record(&mut Members(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The part of the program that speaks: the module of ours, or somebody else's name.
fn component(target: &str) -> &str {
    let mut parts = target.split("::");
    match (parts.next(), parts.next()) {
        (Some("switchboard"), Some(module)) => module,
        (Some(name), _) => name,
        (None, _) => target,
    }
}

/// A level, coloured for a terminal.
struct Coloured(tracing::Level, bool);

impl fmt::Display for Coloured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(level, coloured) = self;
        let colour = match *level {
            tracing::Level::ERROR => 31,
            tracing::Level::WARN => 33,
            tracing::Level::INFO => 32,
            _ => 34,
        };
        if *coloured { write!(f, "\u{1b}[{colour}m{level:>5}\u{1b}[0m") } else { write!(f, "{level:>5}") }
    }
}

/// A text as part of one entry: its further lines are set in, so that none looks like an entry of its own, and nothing
/// in it moves a terminal's cursor.
struct Harmless<'a>(&'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\n    ")?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// An event's fields as members of an object.
struct Members<'a>(&'a mut Map<String, Value>);

impl Members<'_> {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, value.to_string());
    }
}
