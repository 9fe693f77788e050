//! `tools/list` and `tools/call`.

use futures_util::future::join;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, CustomResult, ErrorData, ProgressNotificationParam, ProgressToken, Tool,
};
use rmcp::{Peer, RoleServer, service::RequestContext};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

use super::era::Era;
use super::present::{present, result_meta};
use super::server::OverHttp;
use crate::call::{Caller, Progress, Step};
use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind};
use crate::gateway::Gateway;

/// What `tools/list` is called on its way through the SDK, so that the answer stays our JSON.
pub const LIST_TOOLS: &str = "switchboard/tools/list";

/// How long a client may keep a list without asking again. Changes are announced anyway.
const LIST_TTL: Duration = Duration::from_mins(1);
/// How long the last reports of a finished call may take to leave.
const PROGRESS_FLUSH: Duration = Duration::from_secs(1);

/// All tools. There is one page, so a cursor is none of ours.
pub(super) fn list(catalog: &Catalog, params: Option<&Value>, era: Era) -> Result<CustomResult, ErrorData> {
    let cursor = params.and_then(|params| params.get("cursor")).filter(|cursor| !cursor.is_null());
    if cursor.is_some() {
        return Err(ErrorData::invalid_params("unknown cursor: the list has one page", None));
    }
    let mut result = Value::clone(catalog.tools());
    if let Value::Object(members) = &mut result
        && let Some(meta) = result_meta(era)
    {
        members.insert("resultType".into(), json!("complete"));
        members.insert("ttlMs".into(), json!(LIST_TTL.as_millis()));
        // What a caller sees may come to depend on who it is.
        members.insert("cacheScope".into(), json!("private"));
        members.insert("_meta".into(), meta);
    }
    Ok(CustomResult::new(result))
}

/// Calls a tool and reports its progress under the caller's own token.
pub(super) async fn call(
    gateway: &Gateway,
    caller: Caller,
    request: CallToolRequestParams,
    cx: RequestContext<RoleServer>,
) -> Result<CallToolResult, ErrorData> {
    let era = Era::of(&cx);
    // A client that takes JSON only cannot be sent anything before the answer.
    let one_answer = OverHttp::of(&cx).is_some_and(|over| over.json_only);
    let gone = OverHttp::of(&cx).map(|over| over.gone.clone()).unwrap_or_default();
    let token = cx.meta.get_progress_token().filter(|_| !one_answer);
    let arguments = request.arguments.unwrap_or_default();
    let walk = async {
        match token {
            None => gateway.call(caller, &request.name, arguments, Progress::default()).await,
            Some(token) => {
                let (progress, reports) = Progress::channel();
                let call = gateway.call(caller, &request.name, arguments, progress);
                join(call, forward(&cx.peer, token, reports)).await.0
            }
        }
    };
    let cancelled = || Err(Error::new(ErrorKind::Cancelled, "the call was cancelled"));
    let outcome = tokio::select! {
        outcome = walk => outcome,
        () = cx.ct.cancelled() => cancelled(),
        () = gone.cancelled() => cancelled(),
    };
    present(outcome, era)
}

/// Sends reports until the call that makes them is over.
async fn forward(peer: &Peer<RoleServer>, token: ProgressToken, mut reports: Receiver<Step>) {
    while let Some(Step { progress, message }) = reports.recv().await {
        let report = ProgressNotificationParam::new(token.clone(), f64::from(progress)).with_message(message);
        let sent = tokio::time::timeout(PROGRESS_FLUSH, peer.notify_progress(report)).await;
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
}

/// The tool as the SDK wants it to check `Mcp-Param-*` headers; only for tools that ask for them.
pub(super) fn with_header_parameters(catalog: &Catalog, name: &str) -> Option<Tool> {
    let entry = catalog.resolve(name).ok()?;
    let properties = entry.descriptor.pointer("/inputSchema/properties")?.as_object()?;
    if !properties.values().any(|property| property.get("x-mcp-header").is_some()) {
        return None;
    }
    serde_json::from_value(entry.descriptor.clone()).ok()
}
