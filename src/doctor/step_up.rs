//! A tool that takes more than what was signed in for: the client has to be told so in its own words.

use serde_json::{Value, json};

use super::challenge::Challenge;
use super::rpc::{Era, Proof, Reply};
use super::tool::Tool;
use super::tour::{Looked, Tour};
use super::wire::{Answer, readable};
use crate::name::cut;

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    if !tour.learned.has_oauth() {
        return Err("the server has no sign-in".into());
    }
    tour.learned.may_ask()?;
    let tools = tour.learned.tools.clone();
    // Only what would do no harm, should the server let it pass.
    let harmless = |tool: &Tool<'_>| tool.is_read_only() && !tool.needs_arguments() && !tool.is_open();
    let harmless: Vec<Tool<'_>> = tools.iter().map(Tool).filter(harmless).collect();
    let beyond = |tool: &&Tool<'_>| !tool.scopes().is_subset(&tour.learned.scopes);
    let more = harmless.iter().find(beyond).copied().filter(|_| tour.learned.token_is_ours);
    let anonymous = harmless.first().copied().filter(|_| tour.learned.is_open());
    let mut tried = Vec::new();
    if let Some(tool) = more {
        try_call(tour, tool, Proof::Ours).await?;
        tried.push(format!("{} with too few scopes", tool.name()));
    }
    if let Some(tool) = anonymous {
        try_call(tour, tool, Proof::Nothing).await?;
        tried.push(format!("{} without signing in", tool.name()));
    }
    if tried.is_empty() { Err("no tool to try it with".into()) } else { Ok(format!("called {}", tried.join(", "))) }
}

async fn try_call<P>(tour: &mut Tour<'_, P>, tool: Tool<'_>, proof: Proof<'_>) -> Result<(), String> {
    let era = if tour.learned.modern { Era::Modern } else { Era::Legacy };
    let (answer, reply) =
        tour.ask_in(era, "tools/call", json!({ "name": tool.name(), "arguments": {} }), proof).await?;
    let name = readable(&cut(tool.name(), 80));
    let who = tour.who();
    let Some(challenge) = challenge(&answer, &reply) else {
        if matches!(&reply, Reply::Result(result) if result.get("isError") != Some(&Value::Bool(true))) {
            tour.error(
                format!("`{name}` can be called without the sign-in or scope it asks for"),
                "everybody can use what is meant for some",
                "check the token and its scopes with every call",
            );
        } else {
            tour.error(
                format!("`{name}` needs more than was signed in for, and its answer does not say so"),
                format!("{who} shows an error instead of the button to sign in"),
                "answer with `isError` and `_meta[\"mcp/www_authenticate\"]`, or with HTTP 401 or 403 and `WWW-Authenticate`",
            );
        }
        return Ok(());
    };
    let missing: Vec<&str> =
        ["error", "error_description"].into_iter().filter(|name| challenge.get(name).is_none()).collect();
    if tour.is_chatgpt() && !missing.is_empty() {
        tour.error(
            format!("the challenge of `{name}` lacks {}", missing.join(" and ")),
            "ChatGPT shows the button to sign in only when both are there",
            "add `error` and `error_description` to the challenge",
        );
    }
    Ok(())
}

/// The challenge of a result or of an answer's headers.
fn challenge(answer: &Answer, reply: &Reply) -> Option<Challenge> {
    if let Reply::Result(result) = reply {
        let said = result.pointer("/_meta/mcp~1www_authenticate")?;
        let text = said.as_str().or_else(|| said.get(0)?.as_str())?;
        return Challenge::parse(text);
    }
    Challenge::of(answer).filter(|_| matches!(answer.status, 401 | 403))
}
