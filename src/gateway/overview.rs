//! How every connector is, for people: `switchboard status`, and the dashboard.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::standing::Standing;
use super::{Connector, Live, State};
use crate::adapter::Status;
use crate::caller::Caller;
use crate::telemetry::Reading;

/// Times that are drawn.
const DRAWN: usize = 30;

/// Who reads an overview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader<'a> {
    /// The operator, who is told everything.
    Operator,
    /// Somebody else, who is told of what is there for them, and not what only this machine's owner should know:
    /// files and variables.
    Caller(&'a Caller),
}

impl Reader<'_> {
    fn caller(&self) -> &Caller {
        match self {
            Self::Operator => &Caller::Local,
            Self::Caller(caller) => caller,
        }
    }
}

impl Live {
    /// How every connector is. Holds no secret and no address.
    pub fn report(&self) -> Value {
        json!(self.connectors.values().map(|connector| self.report_of(connector)).collect::<Vec<_>>())
    }

    fn report_of(&self, connector: &Connector) -> Value {
        let id = &connector.checked.connector.id;
        let state = connector.state();
        let mine = self.catalog.entries().iter().filter(|entry| entry.connector == *id);
        let mut report = json!({
            "id": id,
            "state": state.word(),
            "reason": state.reason(),
            "tools": mine.map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
            "tokens": self.catalog.cost(id).tokens,
            "breaker": connector.breaker_state().0,
        });
        if let (Some(tally), Value::Object(report)) = (connector.offer().and_then(|offer| offer.tally), &mut report) {
            report.insert("document".into(), json!(tally));
        }
        if let (State::Live(status), Value::Object(report)) = (state, &mut report) {
            let since = status.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            report.insert("since".into(), json!(since));
            report.insert("retryInMs".into(), json!(status.retry_in().map(|wait| wait.as_millis())));
            report.insert("connections".into(), json!(status.connections));
        }
        if let Value::Object(report) = &mut report {
            report.extend(self.report_of_pins(id, self.policy).map(|pins| ("pins".to_owned(), pins)));
            let findings = self.findings(id);
            report.extend((!findings.is_empty()).then(|| ("findings".to_owned(), json!(findings))));
        }
        report
    }

    /// How every connector is, in numbers.
    pub fn readings(&self) -> Vec<Reading> {
        let reading = |connector: &Arc<Connector>| {
            let id = &connector.checked.connector.id;
            let (standing, cost) = (connector.standing(), self.catalog.cost(id));
            Reading {
                connector: id.to_string(),
                is_up: standing.is_up(),
                waiting: connector.waiting() as u64,
                tools: cost.tools as u64,
                tokens: cost.tokens as u64,
                breaker: connector.breaker_state().1,
                probe_failures: standing.facts.failures,
            }
        };
        self.connectors.values().filter(|it| !it.checked.is_built_in()).map(reading).collect()
    }

    /// What the dashboard shows.
    pub fn overview(&self, reader: Reader<'_>) -> Value {
        let sees = |connector: &Connector| match reader {
            Reader::Operator => true,
            Reader::Caller(caller) => self.shows(connector, caller),
        };
        let shown = self.connectors.values().filter(|it| !it.checked.is_built_in() && sees(it));
        let rows: Vec<Value> = shown.map(|connector| self.row(connector, reader)).collect();
        let sum = |key: &str| rows.iter().filter_map(|row| row.get(key)?.as_u64()).sum::<u64>();
        let online = rows.iter().filter(|row| row.get("status").is_some_and(|status| status == "online")).count();
        json!({
            "generatedAt": written(SystemTime::now()),
            "version": env!("CARGO_PKG_VERSION"),
            "totals": {
                "connectors": rows.len(),
                "online": online,
                "tools": sum("tools"),
                "tokens": sum("tokens"),
                "calls": sum("calls"),
                "errors": sum("errors"),
            },
            "connectors": rows,
        })
    }

    fn row(&self, connector: &Connector, reader: Reader<'_>) -> Value {
        let manifest = &connector.checked.connector;
        let standing = connector.standing();
        let Standing { state, facts, breaker, endpoint } = &standing;
        let cost = self.catalog.cost_to(&manifest.id, reader.caller());
        let live = standing.live();
        let checked = facts.checked.as_ref();
        let retry = live.and_then(Status::retry_in).and_then(|wait| SystemTime::now().checked_add(wait));
        let times = facts.times.iter().skip(facts.times.len().saturating_sub(DRAWN));
        let expires = checked.and_then(|checked| checked.at.checked_add(connector.ttl()));
        json!({
            "id": manifest.id,
            "name": manifest.name,
            "category": manifest.category,
            "version": manifest.version,
            "description": manifest.description,
            "kind": manifest.adapter.kind(),
            "state": state.word(),
            "status": standing.status(),
            "breaker": breaker,
            "reason": standing.reason(reader),
            "endpoint": endpoint.as_ref().filter(|host| reader == Reader::Operator || is_public_name(host)),
            "since": live.map(|status| written(status.since)),
            "checkedAt": checked.map(|checked| written(checked.at)),
            "expiresAt": expires.map(written),
            "ttlSeconds": connector.ttl().as_secs(),
            "retryAt": retry.map(written),
            "latencyMs": facts.times.back().copied().map(milliseconds),
            "latencyP50Ms": facts.percentile(0.5).map(milliseconds),
            "latencyP95Ms": facts.percentile(0.95).map(milliseconds),
            "latencies": times.copied().map(milliseconds).collect::<Vec<_>>(),
            "calls": facts.calls,
            "errors": facts.errors,
            "tools": cost.tools,
            "tokens": cost.tokens,
            "sample": self.sample(connector, reader.caller()),
        })
    }

    /// A connector's sample call, with its tool's published name.
    pub(super) fn sample(&self, connector: &Connector, caller: &Caller) -> Option<Value> {
        let manifest = &connector.checked.connector;
        let sample = manifest.sample.as_ref()?;
        let name = connector.names().public_name(&sample.tool);
        // A tool that is not there now, or whose name somebody else has, cannot be tried.
        self.catalog.resolve(&name, caller).ok().filter(|entry| entry.connector == manifest.id)?;
        Some(json!({ "title": sample.title, "tool": name, "arguments": sample.arguments }))
    }
}

/// Whether a host is named as hosts of the internet are, and not as those of somebody's own network.
fn is_public_name(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let own = ["local", "internal", "localhost", "lan", "home", "corp", "intranet", "test"];
    host.contains('.') && last.chars().any(char::is_alphabetic) && !own.contains(&last.to_ascii_lowercase().as_str())
}

/// A time as RFC 3339 writes it, in UTC and whole seconds.
pub(super) fn written(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Milliseconds with one digit after the point.
fn milliseconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
