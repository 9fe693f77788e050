//! The list of tools: all pages of it, the same in all versions.

use serde_json::{Value, json};

use super::lint::lint;
use super::rpc::{Era, MODERN, Proof, Reply};
use super::tool::Tool;
use super::tour::{Looked, Tour};
use super::wire::readable;

/// Pages of a list that are read.
const MOST_PAGES: usize = 100;
/// A list that weighs more than this fills a good part of what a model can hold, in tokens.
const HEAVY: usize = 25_000;
/// Tools beyond which models choose badly, and some clients cut the list.
const MANY: usize = 128;
/// Bytes of JSON that make a token, roughly.
const BYTES_PER_TOKEN: usize = 4;

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    tour.learned.may_ask()?;
    let modern = if tour.learned.modern { Some(list(tour, Era::Modern).await) } else { None };
    let legacy = if tour.learned.legacy { Some(list(tour, Era::Legacy).await) } else { None };
    let who = tour.who();
    for (version, failed) in [(MODERN, &modern), ("older versions", &legacy)] {
        if let Some(Err(reason)) = failed {
            tour.error(
                format!("the tools cannot be listed ({version}): {reason}"),
                format!("{who} shows no tool"),
                "look into the log of the server",
            );
        }
    }
    let (modern, legacy) = (modern.and_then(Result::ok), legacy.and_then(Result::ok));
    if let (Some(modern), Some(legacy)) = (&modern, &legacy) {
        compare(tour, modern, legacy);
    }
    let Some(tools) = modern.or(legacy) else { return Err("there is no list".into()) };
    if tools.is_empty() {
        tour.error(
            "the server lists no tools",
            format!("{who} connects and says that there is nothing to use"),
            "check what the server is set up to offer, and whether the person who signed in may use any of it",
        );
    }
    let weight: usize = tools.iter().map(|tool| tool.to_string().len()).sum::<usize>() / BYTES_PER_TOKEN;
    if tools.len() > MANY || weight > HEAVY {
        tour.note(
            format!("the list is long: {} tools, about {weight} tokens", tools.len()),
            "models choose worse among many tools, and each conversation pays for the list",
            "offer fewer tools, or shorter descriptions",
        );
    }
    lint(tour, &tools);
    let remark = format!("{} tools, about {weight} tokens", tools.len());
    tour.learned.tools = tools;
    Ok(remark)
}

async fn list<P>(tour: &mut Tour<'_, P>, era: Era) -> Result<Vec<Value>, String> {
    let mut tools: Vec<Value> = Vec::new();
    let mut params = json!({});
    for _ in 0..MOST_PAGES {
        let (answer, reply) = tour.ask_in(era, "tools/list", params, Proof::Ours).await?;
        let page = match reply {
            Reply::Result(page) => page,
            Reply::Error { code, message } => return Err(format!("error {code}, {message}")),
            Reply::Foreign => return Err(answer.summary()),
        };
        let Some(Value::Array(found)) = page.get("tools") else { return Err("the answer has no `tools`".into()) };
        tools.extend(found.iter().cloned());
        if era == Era::Modern {
            look_at_cache(tour, &page);
        }
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => return Ok(tools),
        }
    }
    Err(format!("the list has more than {MOST_PAGES} pages"))
}

fn look_at_cache<P>(tour: &mut Tour<'_, P>, page: &Value) {
    let missing: Vec<&str> =
        ["resultType", "ttlMs", "cacheScope"].into_iter().filter(|name| page.get(name).is_none()).collect();
    if !missing.is_empty() {
        tour.warn(
            format!("the list of tools lacks {}", missing.join(", ")),
            format!("version {MODERN} asks for these, and strict clients refuse the list"),
            "add them",
        );
    }
}

fn compare<P>(tour: &mut Tour<'_, P>, modern: &[Value], legacy: &[Value]) {
    let names = |tools: &[Value]| -> Vec<String> { tools.iter().map(|tool| Tool(tool).name().to_owned()).collect() };
    let (new, old) = (names(modern), names(legacy));
    if new == old {
        return;
    }
    let only = |these: &[String], others: &[String]| -> Vec<String> {
        these.iter().filter(|name| !others.contains(name)).take(5).map(|name| readable(name)).collect()
    };
    let (added, gone) = (only(&new, &old), only(&old, &new));
    let how = match (added.as_slice(), gone.as_slice()) {
        ([], []) => "in another order".to_owned(),
        _ => format!("only {MODERN} has [{}], only the older has [{}]", added.join(", "), gone.join(", ")),
    };
    tour.warn(
        format!("the list of tools differs between versions of the protocol: {how}"),
        "a client that changes its version sees tools come and go",
        "list the same tools in the same order in all versions",
    );
}
