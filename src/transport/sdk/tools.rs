//! Tools: listed, described, invoked.

use std::{sync::Arc, time::Instant};

use axum::body::Body;
use axum::extract::State;
use http::{StatusCode, header::USER_AGENT};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Asked, Named, Refusal, Sdk, answer, said};
use crate::call::{Downstream, Outcome, ToolCall, Way};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::gateway::ToolQuery;
use crate::name::shown;
use crate::params::Params;
use crate::protocol::{to_json, trace_of};

pub(super) async fn list(State(sdk): State<Arc<Sdk>>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[asked.query("tenantId")]).await?;
    let text = |name: &str| asked.query(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let query = ToolQuery {
        category: text("category"),
        integration: text("integration"),
        search: text("search"),
        limit: asked.number("limit")?,
        offset: asked.number("offset")?,
        page: asked.number("page")?,
    };
    let live = sdk.gateway().live();
    // The tokens of each tool are counted when somebody asks for the first time.
    let listed = tokio::task::spawn_blocking(move || live.tools_of(&who.caller, &query)).await;
    let (tools, total) =
        listed.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the tools cannot be listed"))?;
    Ok(answer(StatusCode::OK, &json!({ "success": true, "tools": tools, "total": total })))
}

pub(super) async fn one(State(sdk): State<Arc<Sdk>>, Named(id): Named<String>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[]).await?;
    let live = sdk.gateway().live();
    let found = live.tool_of(&who.caller, &id, asked.query("integration"));
    let whole = found.and_then(|entry| live.whole_tool(&entry, &who.caller));
    let whole = whole.ok_or_else(|| unknown(&id))?;
    Ok(answer(StatusCode::OK, &whole))
}

pub(super) async fn categories(State(sdk): State<Arc<Sdk>>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[]).await?;
    let categories = sdk.gateway().live().categories_of(&who.caller);
    Ok(answer(StatusCode::OK, &json!({ "success": true, "categories": categories })))
}

pub(super) async fn integrations(State(sdk): State<Arc<Sdk>>, asked: Asked) -> Answer {
    let who = sdk.asker(&asked, &[asked.query("tenantId")]).await?;
    let integrations = sdk.gateway().live().integrations_of(&who.caller);
    Ok(answer(StatusCode::OK, &json!({ "integrations": integrations, "count": integrations.len() })))
}

/// What is to be invoked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    tool_id: String,
    #[serde(default)]
    integration: Option<String>,
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

pub(super) async fn invoke(State(sdk): State<Arc<Sdk>>, asked: Asked, body: Body) -> Answer {
    // Who may not ask is told so before anything is read.
    sdk.asker(&asked, &[]).await?;
    let body = sdk.body(&asked, body).await?;
    let wanted: Wanted = said(body, "it has to be {toolId, integration, tenantId?, parameters}")?;
    let who = sdk.asker(&asked, &[wanted.tenant_id.as_deref()]).await?;
    let integration = wanted.integration.as_deref().filter(|integration| !integration.is_empty());
    let entry = sdk.gateway().live().tool_of(&who.caller, &wanted.tool_id, integration);
    let entry = entry.ok_or_else(|| unknown(&wanted.tool_id))?;
    let call =
        ToolCall { name: entry.name.clone(), params: Params::of("arguments", &wanted.parameters.unwrap_or_default()) };
    let agent = asked.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).map(Arc::from);
    let owner = if let Caller::Known(principal) = &who.caller { Some(Arc::clone(principal)) } else { None };
    let mut downstream = Downstream::default();
    (downstream.request, downstream.agent, downstream.owner) = (asked.request, agent, owner);
    (downstream.way, downstream.trace) = (Way::Api, trace_of(&asked.headers));
    let started = Instant::now();
    let outcome = Box::pin(sdk.gateway().call(who.caller, call, downstream)).await;
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, body) = match outcome {
        Ok(outcome) if outcome.is_error() => {
            (StatusCode::OK, json!({ "success": false, "error": text(outcome), "executionTimeMs": ms }))
        }
        Ok(outcome) => (StatusCode::OK, json!({ "success": true, "data": data(outcome), "executionTimeMs": ms })),
        Err(error) => (status(&error), json!({ "success": false, "error": error.told(), "executionTimeMs": ms })),
    };
    let mut response = answer(status, &body);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(http::header::RETRY_AFTER, super::SOON);
    }
    Ok(response)
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no tool `{}`", shown(id)))
}

/// The status of a call that failed. Clients repeat what fails with 429 and 503, so only what certainly did nothing
/// fails so.
fn status(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::UnknownTool | ErrorKind::UnknownResource => StatusCode::NOT_FOUND,
        ErrorKind::InvalidArguments => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden | ErrorKind::NotConnected => StatusCode::FORBIDDEN,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout
        | ErrorKind::Cancelled
        | ErrorKind::Upstream
        | ErrorKind::Unreachable
        | ErrorKind::Rejected
        | ErrorKind::TooLarge
        | ErrorKind::Internal => StatusCode::OK,
    }
}

/// What a tool gave: its structured result, else its text, read as JSON where it is that; else the pieces themselves.
fn data(outcome: Outcome) -> Value {
    let mut result = to_json(outcome);
    if let Some(structured) = result.get_mut("structuredContent").map(Value::take).filter(|it| !it.is_null()) {
        return structured;
    }
    let content = result.get_mut("content").map(Value::take).unwrap_or_default();
    let texts: Option<Vec<&str>> =
        content.as_array().and_then(|content| content.iter().map(|piece| piece.get("text")?.as_str()).collect());
    match texts.map(|texts| texts.join("\n")) {
        Some(text) => match serde_json::from_str::<Value>(&text) {
            Ok(value) if value.is_object() || value.is_array() => value,
            Ok(_) | Err(_) => Value::String(text),
        },
        None => json!({ "content": content }),
    }
}

/// What a failed tool says.
fn text(outcome: Outcome) -> String {
    let result = to_json(outcome);
    let content = result.get("content").and_then(Value::as_array);
    let texts = content.into_iter().flatten().filter_map(|piece| piece.get("text")?.as_str());
    let text = texts.collect::<Vec<_>>().join("\n");
    if text.is_empty() { "the tool failed and did not say why".into() } else { text }
}
