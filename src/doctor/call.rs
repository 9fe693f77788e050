//! Calls of tools that only read, and whether their results are what clients expect.

use std::time::Duration;

use serde_json::{Value, json};

use super::schema::misfit;
use super::tool::Tool;
use super::tour::{Looked, Tour};
use super::wire::readable;
use crate::name::cut;

/// Claude cuts longer results, in characters.
const LONGEST: usize = 150_000;
/// Clients give up on slower tools.
const SLOWEST: Duration = Duration::from_secs(50);
/// Tools that are called, at most.
const MOST: usize = 2;
/// How secrets begin.
const SECRETS: &[(&str, usize, &str)] = &[
    ("sk-", 30, "an API key"),
    ("ghp_", 36, "a GitHub token"),
    ("github_pat_", 40, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("xoxb-", 30, "a Slack token"),
    ("xoxp-", 30, "a Slack token"),
    ("AKIA", 20, "an AWS key"),
    ("AIza", 39, "a Google key"),
    ("eyJhbGciOi", 60, "a token"),
];

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    tour.learned.may_ask()?;
    let tools = tour.learned.tools.clone();
    let callable = |tool: &&Value| {
        let tool = Tool(tool);
        tool.is_read_only() && !tool.needs_arguments() && may_call(tour, tool)
    };
    let mut chosen: Vec<&Value> = tools.iter().filter(callable).collect();
    // What stays with the server first, and of that what says best what it gives.
    chosen.sort_by_key(|tool| {
        let tool = Tool(tool);
        (
            tool.is_profile(),
            tool.get("/annotations/openWorldHint") != Some(&Value::Bool(false)),
            tool.get("/outputSchema").is_none(),
        )
    });
    let profile = chosen.iter().find(|tool| Tool(tool).is_profile()).copied();
    chosen.retain(|tool| !Tool(tool).is_profile());
    chosen.truncate(MOST - 1);
    chosen.extend(profile);
    let mut called = Vec::new();
    for tool in chosen {
        let tool = Tool(tool);
        called.push(tool.name().to_owned());
        if let Some(result) = call(tour, tool, json!({})).await
            && tool.is_profile()
        {
            judge_profile(tour, &result);
        }
    }
    if tour.is_chatgpt() && research(tour, &tools).await {
        called.push("search".into());
    }
    if called.is_empty() {
        return Err("no tool can be called that only reads and needs no arguments".into());
    }
    Ok(format!("called {}", called.join(", ")))
}

/// Whether the person who signed in may call it, by the tool's own word.
fn may_call<P>(tour: &Tour<'_, P>, tool: Tool<'_>) -> bool {
    tool.is_open()
        || (tour.learned.token.is_some() && tool.scopes().is_subset(&tour.learned.scopes))
        || (tour.learned.token.is_some() && !tour.learned.token_is_ours)
}

/// Calls a tool and judges what it gives.
async fn call<P>(tour: &mut Tour<'_, P>, tool: Tool<'_>, arguments: Value) -> Option<Value> {
    let name = readable(&cut(tool.name(), 80));
    let who = tour.who();
    let started = std::time::Instant::now();
    let result = tour.want("tools/call", json!({ "name": tool.name(), "arguments": arguments })).await;
    if started.elapsed() > SLOWEST {
        tour.warn(
            format!("`{name}` took {} seconds", started.elapsed().as_secs()),
            "clients give up after about a minute",
            "answer sooner; long work is better begun by one tool and asked for by another",
        );
    }
    let result = match result {
        Ok(result) => result,
        Err(reason) => {
            tour.error(
                format!("calling `{name}` fails: {reason}"),
                format!("{who} says that the tool does not work"),
                "look into the log of the server",
            );
            return None;
        }
    };
    let texts: Vec<&str> = result
        .get("content")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|content| content.get("text")?.as_str())
        .collect();
    if result.get("isError") == Some(&Value::Bool(true)) {
        let said = texts.first().copied().unwrap_or_default();
        tour.warn(
            format!("`{name}` answers with an error: {}", readable(&cut(said, 200))),
            "what the tool needs may not be set up",
            "check the settings of what stands behind the tool",
        );
        return None;
    }
    judge(tour, tool, &name, &result, &texts);
    Some(result)
}

fn judge<P>(tour: &mut Tour<'_, P>, tool: Tool<'_>, name: &str, result: &Value, texts: &[&str]) {
    if let Some(structured) = result.get("structuredContent") {
        match tool.get("/outputSchema") {
            None => tour.warn(
                format!("`{name}` gives `structuredContent` and has no `outputSchema`"),
                "models do not know what to expect, and ChatGPT asks for it",
                "describe the result in `outputSchema`",
            ),
            Some(schema) => {
                if let Some(misfit) = misfit(schema, structured) {
                    tour.error(
                        format!(
                            "the result of `{name}` does not fit its `outputSchema`: {}",
                            readable(&cut(&misfit, 200))
                        ),
                        "clients that check throw the result away",
                        "correct the schema or the result",
                    );
                }
            }
        }
        if !texts.iter().any(|text| serde_json::from_str::<Value>(text).is_ok_and(|value| value == *structured)) {
            tour.warn(
                format!("the text of `{name}`'s result is not the same as its `structuredContent`"),
                "some clients show the model only the text, others only the structure",
                "put the structure, as JSON, into a text of `content` too",
            );
        }
    } else if tool.get("/outputSchema").is_some() {
        tour.error(
            format!("`{name}` has an `outputSchema` and gives no `structuredContent`"),
            "clients that check throw the result away",
            "give `structuredContent`, or leave the schema out",
        );
    }
    let whole = result.to_string();
    if whole.chars().count() > LONGEST {
        tour.warn(
            format!("the result of `{name}` is longer than {LONGEST} characters"),
            "Claude cuts it, and other clients drop it",
            "give less at once, and a way to ask for the rest",
        );
    }
    if let Some(kind) = secret_in(&whole) {
        tour.error(
            format!("the result of `{name}` seems to hold a secret: {kind}"),
            "the model and its makers read it, and it may be shown to others",
            "leave it out of the result, and replace it: it has to count as known",
        );
    }
}

/// What kind of secret a text seems to hold.
fn secret_in(text: &str) -> Option<&'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut words = text.split(|c: char| !part(c));
    words
        .find_map(|word| SECRETS.iter().find(|(start, least, _)| word.starts_with(start) && word.len() >= *least))
        .map(|(.., kind)| *kind)
}

fn judge_profile<P>(tour: &mut Tour<'_, P>, result: &Value) {
    let id = result.pointer("/structuredContent/id").and_then(Value::as_str).unwrap_or_default();
    if id.is_empty() {
        tour.error(
            "the profile tool gives no `id`",
            "ChatGPT cannot tell accounts apart, and connecting may fail",
            "give `structuredContent` with an `id` that stays the same for the same person",
        );
    }
}

/// `search` and then `fetch`, as `ChatGPT`'s research calls them; whether they are there.
async fn research<P>(tour: &mut Tour<'_, P>, tools: &[Value]) -> bool {
    let find = |name: &str| tools.iter().map(Tool).find(|tool| tool.name() == name && tool.is_read_only());
    let Some(search) = find("search").filter(|tool| takes(*tool, "query") && may_call(tour, *tool)) else {
        return false;
    };
    let Some(found) = call(tour, search, json!({ "query": "test" })).await else { return true };
    let Some(results) = found.pointer("/structuredContent/results").and_then(Value::as_array) else {
        tour.warn(
            "`search` gives no `results` list",
            "ChatGPT's research finds nothing with it",
            "give `{\"results\": [{\"id\", \"title\", \"url\"}]}` as `structuredContent` and as text",
        );
        return true;
    };
    let lacks = |item: &Value, names: &[&str]| {
        names.iter().any(|name| item.get(name).and_then(Value::as_str).is_none_or(str::is_empty))
    };
    if results.iter().any(|item| lacks(item, &["id", "title", "url"])) {
        tour.warn(
            "results of `search` lack `id`, `title` or `url`",
            "ChatGPT's research cannot open or cite them",
            "give all three with each result; `url` is an address people can open",
        );
    }
    let id = results.first().and_then(|item| item.get("id")?.as_str()).map(str::to_owned);
    let fetch = find("fetch").filter(|tool| takes(*tool, "id") && may_call(tour, *tool));
    if let (Some(id), Some(fetch)) = (id, fetch)
        && let Some(found) = call(tour, fetch, json!({ "id": id })).await
        && lacks(found.get("structuredContent").unwrap_or(&Value::Null), &["id", "title", "text", "url"])
    {
        tour.warn(
            "the result of `fetch` lacks `id`, `title`, `text` or `url`",
            "ChatGPT's research cannot use or cite it",
            "give all four as `structuredContent` and as text",
        );
    }
    true
}

fn takes(tool: Tool<'_>, parameter: &str) -> bool {
    let required = tool.get("/inputSchema/required").and_then(Value::as_array);
    tool.get("/inputSchema/properties").is_some_and(|properties| properties.get(parameter).is_some())
        && required.is_none_or(|required| required.iter().all(|name| name == parameter))
}
