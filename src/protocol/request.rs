//! Requests that connectors answer: tools, resources, prompts, completions, tasks.

use bytes::Bytes;
use indexmap::IndexMap;
use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::present::{Helps, dressed, from_error, member, present, result_meta};
use super::server::Server;
use crate::call::{Downstream, Era, ToolCall, Way};
use crate::caller::Caller;
use crate::catalog::view::{Exposure, View};
use crate::catalog::{Catalog, List, Place, Viewer, in_step};
use crate::error::{Error, ErrorKind};
use crate::gateway::{Request, may_open_links};
use crate::params::{Params, mentions};
use crate::telemetry::Metrics;

/// Methods that are answered here. The SDK sees them under other names, so that its types do not
/// take anything from the answers.
pub const OURS: &[&str] = &[
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "tasks/result",
    "tasks/update",
    "tasks/cancel",
];
/// Methods that the SDK hands us by themselves.
const HANDED: &[&str] = &["initialize", "server/discover", "subscriptions/listen"];
/// Methods about one thing, which may take more than the caller has.
pub const ASKED_ABOUT: &[&str] =
    &["tools/call", "prompts/get", "resources/read", "resources/subscribe", "completion/complete"];
/// What stands before a method's name on its way through the SDK.
pub(super) const PREFIX: &str = "switchboard/";
/// Methods of the handshake era that 2026-07-28 took away.
pub const REMOVED: &[&str] =
    &["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

const TASKS: &str = "io.modelcontextprotocol/tasks";
/// How long a client may keep a list without asking again. Changes are announced anyway.
const LIST_TTL: Duration = Duration::from_mins(1);
/// How long a page may be kept: its address names what it says.
const PAGE_TTL: Duration = Duration::from_hours(1);

type Answer = Result<Bytes, ErrorData>;

/// Who asks, and by which way.
struct Asked<'a> {
    caller: &'a Caller,
    downstream: &'a Downstream,
}

/// A request under way, counted when this is dropped: it was answered, or its client gave it up.
pub(super) struct Counted {
    metrics: Metrics,
    method: &'static str,
    by: (&'static str, &'static str),
    started: Instant,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.requested(self.method, self.by, self.started.elapsed());
    }
}

impl Server {
    /// Answers a request, `_meta` of whose parameters is in `downstream`, and counts it.
    pub(super) async fn answer(&self, caller: &Caller, method: &str, params: Params, downstream: Downstream) -> Answer {
        let _counted = self.counted(method, (downstream.era, downstream.way));
        self.respond(caller, method, params, downstream).await
    }

    /// Counts a request that begins.
    pub(super) fn counted(&self, method: &str, (era, way): (Era, Way)) -> Counted {
        let method = OURS.iter().chain(HANDED).find(|known| **known == method).unwrap_or(&"other");
        let metrics = self.gateway.telemetry().metrics().clone();
        Counted { metrics, method, by: (era.word(), way.word()), started: Instant::now() }
    }

    async fn respond(&self, caller: &Caller, method: &str, params: Params, mut downstream: Downstream) -> Answer {
        downstream.owner = if let Caller::Known(principal) = caller { Some(Arc::clone(principal)) } else { None };
        let list = |list| self.list(list, &params, (caller, &downstream));
        let asked = Asked { caller, downstream: &downstream };
        match method {
            "tools/list" => list(List::Tools),
            "resources/list" => list(List::Resources),
            "resources/templates/list" => list(List::Templates),
            "prompts/list" => list(List::Prompts),
            "tools/call" => self.call(caller, params, downstream).await,
            "resources/read" => self.read(params, &asked).await,
            "prompts/get" => self.about("prompts/get", "name", params, &asked).await,
            "tasks/get" => self.about_task("tasks/get", params, &asked).await,
            "tasks/update" => self.about_task("tasks/update", params, &asked).await,
            "tasks/cancel" => self.about_task("tasks/cancel", params, &asked).await,
            "tasks/result" => self.about_task("tasks/result", params, &asked).await,
            "completion/complete" => self.complete(params, &asked).await,
            other => Err(unknown_method(other)),
        }
    }

    /// A list. There is one page, so a cursor is none of ours.
    fn list(&self, list: List, params: &Params, (caller, downstream): (&Caller, &Downstream)) -> Answer {
        if params.get("cursor").is_some() {
            return Err(ErrorData::invalid_params("unknown cursor: the list has one page", None));
        }
        let name = match list {
            List::Tools => "tools",
            List::Resources => "resources",
            List::Templates => "resourceTemplates",
            List::Prompts => "prompts",
        };
        let viewer = if list == List::Resources { viewer(downstream) } else { Viewer::default() };
        let items = match list {
            List::Tools => self.tools(caller, &downstream.view),
            List::Resources | List::Templates | List::Prompts => {
                self.gateway.live().catalog.list_in(list, viewer, caller, &downstream.view)
            }
        };
        // What a caller sees depends on who it is.
        Ok(result(name, &items, downstream.era, LIST_TTL, "private"))
    }

    async fn call(&self, caller: &Caller, params: Params, downstream: Downstream) -> Answer {
        let name = params.text("name").filter(|_| params.get("arguments").is_none() || params.is_object("arguments"));
        let Some(name) = name else {
            let message = "tools/call wants `name`, a string, and `arguments`, an object";
            return Err(ErrorData::invalid_params(message, None));
        };
        let era = downstream.era;
        let opens_links = may_open_links(&downstream);
        let state = if opens_links { params.read("requestState") } else { None };
        let request = Some(downstream.request);
        let helps = Helps { request, sign_in_at: self.sign_in_at.as_deref(), opens_links, state };
        let outcome = match self.front_of(&name, caller, &downstream.view) {
            None => {
                let is_searched = downstream.view.exposure == Exposure::Search;
                let answered = self.gateway.call(caller.clone(), ToolCall { name, params }, downstream).await;
                // A model that has seen no list has to be told where names are found.
                answered.map_err(|error| {
                    let is_lost = is_searched && error.kind() == ErrorKind::UnknownTool;
                    if is_lost { error.adding("; search_tools finds tools") } else { error }
                })
            }
            Some(front) => Box::pin(self.call_front(caller, (front, &name), params, downstream)).await,
        };
        present(outcome, era, &helps)
    }

    /// A page of ours, or what another MCP server has.
    async fn read(&self, params: Params, asked: &Asked<'_>) -> Answer {
        let downstream = asked.downstream;
        let uri = params.text("uri").unwrap_or_default();
        let page = self.gateway.page(&uri, asked.caller).await;
        if let Some(page) = page.map_err(|error| from_error(&error, asked.downstream.era, Some(&uri)))? {
            let contents = json!([page.contents(viewer(downstream))]).to_string();
            let anybody = !matches!(asked.caller, Caller::Known(_));
            let scope = if page.is_for_all() && anybody { "public" } else { "private" };
            return Ok(result("contents", contents.as_bytes(), downstream.era, PAGE_TTL, scope));
        }
        let read = self.about("resources/read", "uri", params, asked).await?;
        // Few results hold a page, and one that does not is not opened.
        Ok(if mentions(&read, "text/html") { paired(&read).unwrap_or(read) } else { read })
    }

    /// A request about one thing, whose published name stands under `key`.
    async fn about(&self, method: &'static str, key: &str, mut params: Params, asked: &Asked<'_>) -> Answer {
        let Some(public) = params.text(key) else {
            return Err(ErrorData::invalid_params(format!("{method} wants `{key}`, a string"), None));
        };
        let place = self.place(key, &public, asked.caller).await;
        let place = place.map_err(|error| from_error(&error, asked.downstream.era, Some(&public)))?;
        params.set(key, &place.own);
        self.forward(method, params, place, asked).await
    }

    /// Tasks are for clients that say they know them. Those of 2025-11-25 were made by asking for them.
    async fn about_task(&self, method: &'static str, params: Params, asked: &Asked<'_>) -> Answer {
        let downstream = asked.downstream;
        if downstream.era == Era::Handshake {
            return self.about(method, "taskId", params, asked).await;
        }
        if method == "tasks/result" || !self.gateway.live().extensions().contains_key(TASKS) {
            return Err(unknown_method(method));
        }
        let capabilities: Value =
            downstream.meta.read("io.modelcontextprotocol/clientCapabilities").unwrap_or_default();
        let knows = capabilities.get("extensions").is_some_and(|extensions| extensions.get(TASKS).is_some());
        if !knows {
            let required = json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } });
            let message = "Missing required client capability";
            return Err(ErrorData::new(ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY, message, Some(required)));
        }
        self.about(method, "taskId", params, asked).await
    }

    /// Where something is. What may be on a connector that is starting is waited for.
    pub(super) async fn place(&self, key: &str, public: &str, caller: &Caller) -> Result<Place, Error> {
        let look = |catalog: &Catalog| match key {
            "uri" => catalog.resource(public, caller),
            "taskId" => catalog.task(public, caller),
            _ => catalog.prompt(public, caller).cloned(),
        };
        self.gateway.find((public, &View::default()), caller, look).await.map(|(_, place)| place)
    }

    async fn forward(&self, method: &'static str, params: Params, place: Place, asked: &Asked<'_>) -> Answer {
        let era = asked.downstream.era;
        let request = Request { method, params, place };
        let sent = self.gateway.forward(asked.caller, request, asked.downstream).await;
        let sent = sent.map_err(|error| from_error(&error, asked.downstream.era, None))?;
        Ok(dressed(sent, era, method == "resources/read"))
    }

    async fn complete(&self, mut params: Params, asked: &Asked<'_>) -> Answer {
        let Some(mut reference) = params.read::<Map<String, Value>>("ref") else {
            return Err(ErrorData::invalid_params("completion/complete wants `ref`, an object", None));
        };
        let key = if reference.contains_key("uri") { "uri" } else { "name" };
        let public = reference.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = self.place(key, &public, asked.caller).await;
        let place = place.map_err(|error| from_error(&error, asked.downstream.era, Some(&public)))?;
        reference.insert(key.into(), json!(place.own));
        params.set("ref", &reference);
        self.forward("completion/complete", params, place, asked).await
    }
}

fn unknown_method(method: &str) -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method.to_owned(), None)
}

/// The client, as far as pages depend on it.
fn viewer(downstream: &Downstream) -> Viewer {
    downstream.client_name().map(|name| Viewer::named(&name)).unwrap_or_default()
}

/// A result with one member, written already, in the words of the caller's generation.
fn result(name: &str, value: &[u8], era: Era, ttl: Duration, scope: &str) -> Bytes {
    let mut text = Vec::with_capacity(value.len() + 256);
    text.extend_from_slice(format!("{{\"{name}\":").as_bytes());
    text.extend_from_slice(value);
    if era == Era::PerRequest {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or_default();
        for (name, value) in [("resultType", json!("complete")), ("ttlMs", json!(ttl)), ("cacheScope", json!(scope))] {
            text.extend_from_slice(member(name, &value).as_bytes());
        }
        text.extend_from_slice(member("_meta", &result_meta(era).unwrap_or_default()).as_bytes());
    }
    text.push(b'}');
    text.into()
}

/// What an MCP server has, with both families of keys on its pages; nothing when there is nothing to add.
fn paired(read: &Bytes) -> Option<Bytes> {
    let mut members: IndexMap<&str, &RawValue> = serde_json::from_slice(read).ok()?;
    let mut contents: Vec<Map<String, Value>> = serde_json::from_str(members.get("contents")?.get()).ok()?;
    let changed = contents.iter_mut().map(in_step).filter(|changed| *changed).count() > 0;
    let contents = to_raw_value(&contents).ok().filter(|_| changed)?;
    members.insert("contents", &contents);
    serde_json::to_vec(&members).ok().map(Bytes::from)
}
