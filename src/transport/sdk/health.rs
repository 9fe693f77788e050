//! Whether the server is well, for whoever looks after it.

use std::{sync::Arc, time::SystemTime};

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Sdk, answer};
use crate::gateway::State as Condition;

/// Who speaks.
const BRAND: &str = "Switchboard";

/// How the server is, in a word for it and each of its parts. Connectors are counted, not named: anybody may ask.
pub(super) async fn health(State(sdk): State<Arc<Sdk>>) -> Response {
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
    let body = json!({
        "status": word,
        "brand": BRAND,
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "uptime": sdk.started.elapsed().as_secs(),
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
    let checks: Value = json!({ "accepting": serves, "catalog": true });
    let status = if serves { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = answer(status, &json!({ "ready": serves, "checks": checks }));
    if !serves {
        response.headers_mut().insert(http::header::RETRY_AFTER, super::SOON);
    }
    response
}
