//! Whether the server is well, for whoever looks after it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use axum::{
    extract::{Extension, State},
    response::Response,
};
use http::StatusCode;
use serde_json::json;

use super::super::guard::Prefix;
use super::{Sdk, answer};
use crate::gateway::State as Condition;

/// Who we are, to clients that ask many servers.
const SERVICE: &str = "switchboard";
/// Connectors are waited for so long after the start, and no longer: one that never starts holds nobody up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the server is, in a word for it and each of its parts. Connectors are counted, not named: anybody may ask.
pub(super) async fn health(State(sdk): State<Arc<Sdk>>, Extension(prefix): Extension<Prefix>) -> Response {
    let live = sdk.gateway().live();
    let states: Vec<Condition> = live.connectors.values().map(|connector| connector.state()).collect();
    let in_use = states.iter().filter(|state| **state != Condition::Disabled).count();
    let up = states.iter().filter(|state| state.is_ready()).count();
    let kept = sdk.gateway().store().is_ok();
    let stops = sdk.draining.is_cancelled();
    let word = match (stops, up == in_use && kept) {
        (true, _) => "unhealthy",
        (false, true) => "healthy",
        (false, false) => "degraded",
    };
    let at = |path: &str| format!("{}{path}", prefix.0);
    let told = |path: &str| (!sdk.is_secret).then(|| at(path));
    let body = json!({
        "status": word,
        "service": SERVICE,
        "brand": live.brand(),
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "uptime": sdk.started.elapsed().as_secs(),
        "endpoints": { "api": told("/api/v1"), "mcp": told("/mcp"), "health": at("/health") },
        "components": {
            "server": if stops { "it stops" } else { "it serves" },
            "connectors": format!("{up} of {in_use} take calls"),
            "store": if kept { "it keeps" } else { "there is none" },
        },
    });
    answer(StatusCode::OK, &body)
}

/// Whether requests may be sent here.
pub(super) async fn ready(State(sdk): State<Arc<Sdk>>) -> Response {
    let serves = !sdk.draining.is_cancelled();
    let starting = sdk.starting();
    let mut reasons: Vec<String> = (!serves).then(|| "the server stops".to_owned()).into_iter().collect();
    reasons.extend((starting > 0).then(|| format!("connectors start for the first time: {starting}")));
    let ready = reasons.is_empty();
    let checks = json!({ "accepting": serves, "connectors": starting == 0 });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = answer(status, &json!({ "ready": ready, "checks": checks, "reasons": reasons }));
    if !ready {
        response.headers_mut().insert(http::header::RETRY_AFTER, super::SOON);
    }
    response
}

impl Sdk {
    /// How many connectors start for the first time. What is added later is nobody's reason to send requests elsewhere.
    fn starting(&self) -> usize {
        if self.has_started.load(Ordering::Relaxed) {
            return 0;
        }
        let starting = if self.started.elapsed() < PATIENCE { self.gateway().live().starting() } else { 0 };
        self.has_started.store(starting == 0, Ordering::Relaxed);
        starting
    }
}
