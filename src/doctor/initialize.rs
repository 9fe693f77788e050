//! The handshake of older versions, which clients fall back to; and that it leads to no session that is needed.

use serde_json::{Value, json};

use super::Severity;
use super::rpc::{Era, LEGACY, Proof, Reply};
use super::tour::{Looked, Tour};
use super::wire::Wanted;

/// Versions with a handshake.
const KNOWN: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", LEGACY];

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    tour.learned.may_ask()?;
    let who = tour.who();
    let (answer, reply) = tour.ask_in(Era::Legacy, "initialize", tour.guise().initialize(), Proof::Ours).await?;
    let found = match reply {
        Reply::Result(found) => found,
        Reply::Error { .. } | Reply::Foreign if tour.learned.modern => {
            tour.warn(
                format!("the server does not answer the older handshake (`initialize`): {}", answer.summary()),
                "many clients speak no newer version yet",
                "answer `initialize` too",
            );
            return Ok("refused".into());
        }
        Reply::Error { .. } | Reply::Foreign => {
            tour.error(
                format!("the server answers neither `server/discover` nor `initialize`: {}", answer.summary()),
                format!("{who} cannot connect"),
                "check that the address is the one of an MCP server (usually it ends with /mcp), and look into its log",
            );
            return Ok(String::new());
        }
    };
    tour.learned.legacy = true;
    let version = found.get("protocolVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !KNOWN.contains(&version.as_str()) {
        tour.error(
            format!("`initialize` is answered with the version \"{version}\", which is not one with a handshake"),
            format!("{who} ends the connection"),
            format!("answer with the version that was asked for, {LEGACY}, or an older one"),
        );
    }
    if found.pointer("/capabilities/tools").is_none() {
        tour.warn(
            "the answer to `initialize` does not say that there are tools (`capabilities.tools`)",
            format!("{who} may not ask for them"),
            "add `\"tools\": {}` to the capabilities",
        );
    }
    look_at_session(tour, answer.header("mcp-session-id")).await?;
    look_at_notification(tour, &version).await;
    Ok(format!("speaks {version}"))
}

/// `ChatGPT` and Claude do not send the id of a session back reliably.
async fn look_at_session<P>(tour: &mut Tour<'_, P>, session: Option<&str>) -> Result<(), String> {
    let (_, reply) = tour.ask_in(Era::Legacy, "tools/list", json!({}), Proof::Ours).await?;
    let Some(session) = session.filter(|_| !matches!(reply, Reply::Result(_))) else { return Ok(()) };
    tour.learned.session = Some(session.to_owned());
    let who = tour.who();
    let severity = if tour.learned.modern { Severity::Warning } else { Severity::Error };
    tour.found(
        severity,
        "the server answers nothing without its session id (`Mcp-Session-Id`)",
        format!("{who} does not send it back reliably, and then every call fails with \"session not found\""),
        "run the server stateless, so that each request stands for itself",
    );
    Ok(())
}

async fn look_at_notification<P>(tour: &mut Tour<'_, P>, version: &str) {
    let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    let mut request = tour.post(body, Proof::Ours).header("MCP-Protocol-Version", version);
    if let Some(session) = &tour.learned.session {
        request = request.header("Mcp-Session-Id", session);
    }
    let Ok(answer) = tour.wire.send(request, Wanted::All).await else { return };
    if !answer.is_ok() {
        tour.warn(
            format!("the message that ends the handshake is answered with {}", answer.summary()),
            "some clients take that for a failure of the connection",
            "answer HTTP 202 to notifications",
        );
    }
}
