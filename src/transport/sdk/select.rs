//! Tools chosen by what they have to do.

use std::{sync::Arc, time::Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Asked, Refusal, Sdk, said};
use crate::error::ErrorKind;
use crate::gateway::Wanted;
use crate::transport::reply;

/// What is asked for, in both of the forms that clients have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    query: Words,
    #[serde(default)]
    max_tools: Option<usize>,
    #[serde(default)]
    token_budget: Option<usize>,
    #[serde(default)]
    categories: Option<Vec<String>>,
    #[serde(default)]
    connectors: Option<Vec<String>>,
    #[serde(default)]
    context: Option<Context>,
    #[serde(default)]
    tenant_id: Option<String>,
}

/// One wish, or one for each step.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`query` has to be a string, or a list of strings")]
enum Words {
    One(String),
    Steps(Vec<String>),
}

/// The older form's place for everything but the query.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default)]
    allowed_categories: Option<Vec<String>>,
    #[serde(default)]
    token_budget: Option<usize>,
    #[serde(default)]
    max_tools: Option<usize>,
}

impl Order {
    fn wanted(self) -> Wanted {
        let context = self.context.unwrap_or_default();
        Wanted {
            queries: match self.query {
                Words::One(query) => vec![query],
                Words::Steps(queries) => queries,
            },
            max_tools: self.max_tools.or(context.max_tools),
            token_budget: self.token_budget.or(context.token_budget),
            categories: self.categories.or(context.allowed_categories).unwrap_or_default(),
            connectors: self.connectors.unwrap_or_default(),
        }
    }
}

pub(super) async fn select(State(sdk): State<Arc<Sdk>>, asked: Asked, body: Body) -> Answer {
    // Who may not ask is told so before anything is read.
    sdk.asker(&asked, &[]).await?;
    let body = sdk.body(&asked, body).await?;
    let order: Order = said(body, "it has to be {query, maxTools?, categories?, tokenBudget?}")?;
    let who = sdk.asker(&asked, &[order.tenant_id.as_deref()]).await?;
    let started = Instant::now();
    let selected = sdk.gateway().selected(&who.caller, order.wanted()).await.map_err(|error| {
        let theirs = error.kind() == ErrorKind::InvalidArguments;
        let status = if theirs { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
        Refusal::new(status, error.message())
    })?;
    let metadata = json!({
        "totalTokens": selected.tokens,
        "listTokens": selected.list_tokens,
        "tokenReduction": selected.reduction(),
        "selectionLatency": milliseconds(started),
    });
    Ok(found(&selected.tools, &metadata))
}

/// The tools go out as they were counted.
fn found(tools: &str, metadata: &Value) -> Response {
    reply::json(StatusCode::OK, format!(r#"{{"success":true,"tools":{tools},"metadata":{metadata}}}"#))
}

/// Milliseconds since then, to the microsecond.
fn milliseconds(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
