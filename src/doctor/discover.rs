//! The first request of MCP 2026-07-28, which opens a connection without a handshake.

use serde_json::Value;

use super::rpc::{MODERN, Proof, Reply, reply_in};
use super::tour::{Looked, Tour};

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    tour.learned.may_ask()?;
    let who = tour.who();
    let answer = tour.say_discover(Proof::Ours).await?;
    match reply_in(&answer) {
        Reply::Result(found) => Ok(judge(tour, &found, answer.json().as_ref())),
        _ if matches!(answer.status, 401 | 403) => {
            tour.error(
                format!("the server does not take the token: {}", answer.summary()),
                format!("{who} signs in, and every call fails"),
                "check which audience, issuer and scopes the server expects of tokens; its log may say",
            );
            tour.learned.token = None;
            Ok(String::new())
        }
        Reply::Error { code: -32601, .. } => Ok("not known; an older handshake follows".into()),
        Reply::Error { code, message } if answer.status == 429 || answer.status >= 500 => {
            tour.error(
                format!("`server/discover` fails: HTTP {}, error {code}, {message}", answer.status),
                format!("{who} cannot connect"),
                "look into the log of the server",
            );
            Ok(String::new())
        }
        Reply::Error { code, .. } => {
            tour.warn(
                format!("`server/discover` is refused with error {code} (HTTP {}) instead of -32601", answer.status),
                format!("some versions of {who} fall back to the older handshake then, others give up"),
                "answer the request, or refuse it with the JSON-RPC error -32601 (method not found)",
            );
            Ok("refused; an older handshake follows".into())
        }
        Reply::Foreign => {
            tour.error(
                format!("the answer to `server/discover` is no JSON-RPC: {}", answer.summary()),
                format!("{who} gives up with \"server/discover response was inconsistent\""),
                "answer the request, or refuse it with the JSON-RPC error -32601 (method not found)",
            );
            Ok(String::new())
        }
    }
}

fn judge<P>(tour: &mut Tour<'_, P>, found: &Value, message: Option<&Value>) -> String {
    let who = tour.who();
    let versions: Vec<&str> = found
        .get("supportedVersions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let wanted_id = serde_json::from_str::<Value>(&tour.guise().discover()).ok().and_then(|it| it.get("id").cloned());
    if message.is_some_and(|message| message.get("id") != wanted_id.as_ref()) {
        tour.error(
            "the answer to `server/discover` carries another id than the request",
            format!("{who} cannot tell what it answers"),
            "send back the `id` as it came; it may be a text",
        );
    }
    if !versions.contains(&MODERN) {
        tour.error(
            format!("the answer to `server/discover` does not list the version {MODERN} (`supportedVersions`)"),
            format!("{who} gives up with \"server/discover response was inconsistent\""),
            "list every version that is spoken, or refuse the request with the JSON-RPC error -32601",
        );
        return String::new();
    }
    tour.learned.modern = true;
    let missing = |name: &&&str| found.pointer(name).is_none_or(Value::is_null);
    let needed = ["/capabilities", "/resultType"];
    let needed: Vec<&str> = needed.iter().filter(missing).map(|name| name.trim_start_matches('/')).collect();
    if !needed.is_empty() {
        tour.error(
            format!("the answer to `server/discover` is incomplete: {} is missing", needed.join(" and ")),
            format!("{who} gives up with \"server/discover response was inconsistent\""),
            "answer with resultType, supportedVersions, capabilities, ttlMs, cacheScope and the server's name",
        );
    }
    if found.get("capabilities").is_some() && found.pointer("/capabilities/tools").is_none() {
        tour.warn(
            "the answer to `server/discover` does not say that there are tools (`capabilities.tools`)",
            format!("{who} may not ask for them"),
            "add `\"tools\": {}` to the capabilities",
        );
    }
    let wanted = ["/ttlMs", "/cacheScope", "/_meta/io.modelcontextprotocol~1serverInfo"];
    let wanted: Vec<String> =
        wanted.iter().filter(missing).map(|name| name.trim_start_matches('/').replace("~1", "/")).collect();
    if !wanted.is_empty() {
        tour.warn(
            format!("the answer to `server/discover` lacks {}", wanted.join(", ")),
            "the protocol asks for these, and strict clients refuse the answer",
            "add them",
        );
    }
    format!("speaks {MODERN}")
}
