//! The tools by which others are found and called, where not all are listed. They are no part of the catalog: a call
//! through them takes the road of the tool that is meant.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::{Map, Value, json, value::RawValue, value::to_raw_value};

use super::server::Server;
use crate::call::{Downstream, Outcome, ToolCall};
use crate::caller::Caller;
use crate::catalog::view::{Exposure, Extent, View};
use crate::catalog::{Entry, SignIn};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, SecurityScheme};
use crate::name::{nearest, shown};
use crate::params::Params;

/// What `tools/list` says of them, but for how callers sign in.
const DESCRIPTORS: &str = include_str!("front.json");
/// Their names.
const NAMES: &[&str] = &["search_tools", "describe_tools", READS, WRITES];
const READS: &str = "call_read_tool";
const WRITES: &str = "call_write_tool";
/// What models call that have met other gateways. It is not listed.
const EITHER: &str = "call_tool";
/// A call is repeated in an error when it has no more letters.
const LONGEST_CALL: usize = 2000;
/// What of a tool's `_meta` its client needs in order to show its results.
const SHOWING: &[&str] = &[
    "ui",
    "ui/resourceUri",
    "openai/outputTemplate",
    "openai/widgetAccessible",
    "openai/toolInvocation/invoking",
    "openai/toolInvocation/invoked",
];

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    Search,
    Describe,
    Call(Effect),
}

/// What a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Writes,
}

impl Front {
    fn named(name: &str) -> Option<Self> {
        match name {
            "search_tools" => Some(Self::Search),
            "describe_tools" => Some(Self::Describe),
            READS => Some(Self::Call(Effect::Reads)),
            WRITES | EITHER => Some(Self::Call(Effect::Writes)),
            _ => None,
        }
    }
}

/// The descriptors of the tools by which others are found and called: a JSON array.
pub fn front(sign_in: SignIn) -> &'static str {
    static OPEN: LazyLock<String> = LazyLock::new(|| descriptors(&SecurityScheme::NoAuth));
    static CLOSED: LazyLock<String> = LazyLock::new(|| descriptors(&SecurityScheme::OAuth2 { scopes: Vec::new() }));
    if sign_in == SignIn::Everybody { &CLOSED } else { &OPEN }
}

fn descriptors(scheme: &SecurityScheme) -> String {
    let mut tools: Vec<Map<String, Value>> = serde_json::from_str(DESCRIPTORS).unwrap_or_default();
    for tool in &mut tools {
        tool.insert("securitySchemes".into(), json!([scheme]));
        tool.insert("_meta".into(), json!({ "securitySchemes": [scheme] }));
    }
    json!(tools).to_string()
}

impl Server {
    /// Whether a caller finds tools by searching.
    pub(super) fn is_searched(&self, caller: &Caller, view: &View) -> bool {
        match view.exposure {
            Exposure::All => false,
            Exposure::Search => true,
            Exposure::Auto => self.gateway.live().catalog.is_large(view, caller),
        }
    }

    /// The list of tools of a view: a JSON array.
    pub(super) fn tools(&self, caller: &Caller, view: &View) -> Bytes {
        let live = self.gateway.live();
        if !self.is_searched(caller, view) {
            return live.catalog.tools_in(caller, view, Extent::Whole);
        }
        let front = front(live.sign_in()).as_bytes();
        let pinned = live.catalog.tools_in(caller, view, Extent::Pinned(NAMES));
        match (front.strip_suffix(b"]"), pinned.strip_prefix(b"[")) {
            (Some(front), Some(pinned)) if pinned != b"]" => [front, b",", pinned].concat().into(),
            _ => Bytes::from_static(front),
        }
    }

    /// Which of them a name means, if not a tool of the catalog. While a list may be short, a client that once saw a
    /// long one goes on searching.
    pub(super) fn front_of(&self, name: &str, caller: &Caller, view: &View) -> Option<Front> {
        let front = Front::named(name).filter(|_| view.exposure != Exposure::All)?;
        let is_free = || self.gateway.live().catalog.resolve_in(name, caller, view).is_err();
        (self.is_searched(caller, view) || is_free()).then_some(front)
    }

    /// The tool that a `tools/call` is about.
    pub(super) fn tool_meant(&self, params: &Params, caller: &Caller, view: &View) -> Option<String> {
        let name = params.text("name")?;
        match self.front_of(&name, caller, view) {
            None => Some(name),
            Some(Front::Search | Front::Describe) => None,
            Some(Front::Call(_)) => params.read::<Params>("arguments")?.text("name"),
        }
    }

    /// Answers a call of one of them. Whatever a model can do better is for it to read.
    pub(super) async fn call_front(
        &self,
        caller: &Caller,
        (front, by): (Front, &str),
        params: Params,
        downstream: Downstream,
    ) -> Result<Outcome> {
        let arguments: Arguments = params.read("arguments").unwrap_or_default();
        let view = Arc::clone(&downstream.view);
        let answered = match front {
            Front::Search => self.gateway.search_tools(caller, &view, &arguments).await.map(Outcome::from),
            Front::Describe => self.gateway.describe_tools(caller, &view, &arguments).map(Outcome::from),
            Front::Call(effect) => self.call_through(caller, (effect, by), params, downstream).await,
        };
        answered.map_err(|error| {
            let is_unknown = error.kind() == ErrorKind::UnknownTool;
            if is_unknown { Error::new(ErrorKind::InvalidArguments, error.message()) } else { error }
        })
    }

    async fn call_through(
        &self,
        caller: &Caller,
        (effect, by): (Effect, &str),
        params: Params,
        downstream: Downstream,
    ) -> Result<Outcome> {
        let call = meant(by, params)?;
        let name = call.name.clone();
        let view = Arc::clone(&downstream.view);
        let entry = match self.gateway.tool(&name, caller, &view).await {
            Ok((_, entry)) => entry,
            Err(error) if error.kind() == ErrorKind::UnknownTool => {
                return Err(error.adding(&self.other_way(&call, caller, &view)));
            }
            Err(error) => return Err(error),
        };
        if effect == Effect::Reads && !entry.is_read_only() {
            let exact = written(WRITES, &name, call.params.get("arguments"));
            let message = format!("`{}` may change something, so {READS} does not call it; {exact}", shown(&name));
            return Err(Error::new(ErrorKind::InvalidArguments, message));
        }
        let answered = self.gateway.call(caller.clone(), call, downstream).await;
        let outcome = answered.map_err(|error| {
            let names = json!({ "names": [name] });
            let is_for_model = error.kind() == ErrorKind::InvalidArguments;
            let way = || format!("\nwhat it takes is told by describe_tools with {names}");
            if is_for_model { error.adding(&way()) } else { error }
        })?;
        Ok(showing(outcome, &entry))
    }

    /// What to call instead of a tool that is not there.
    fn other_way(&self, call: &ToolCall, caller: &Caller, view: &View) -> String {
        if Front::named(&call.name).is_some() {
            return format!("; `{}` is called by its own name and not through another tool", call.name);
        }
        let live = self.gateway.live();
        let names: Vec<(String, &Entry)> =
            live.catalog.held(view, caller).map(|entry| (view.public_name(&entry.name), entry)).collect();
        let near = nearest(&call.name, names.iter().map(|(name, _)| name.as_str()));
        let best = near.first().and_then(|near| names.iter().find(|(name, _)| name == near));
        match best {
            Some((name, entry)) => {
                let by = if entry.is_read_only() { READS } else { WRITES };
                format!("; if {name} was meant, {}", written(by, name, call.params.get("arguments")))
            }
            None => "; find tools with search_tools".into(),
        }
    }
}

/// A call that works, in words.
fn written(by: &str, name: &str, arguments: Option<&RawValue>) -> String {
    let arguments = arguments.map_or("{}", RawValue::get);
    let call = json!({ "name": name, "arguments": arguments }).to_string();
    if call.len() <= LONGEST_CALL {
        format!("call {by} with {call}")
    } else {
        format!("call {by} with {} and the same `arguments`", json!({ "name": name }))
    }
}

/// The call that is meant by one of a tool that calls others. Everything beside its arguments stays as it came.
fn meant(by: &str, mut params: Params) -> Result<ToolCall> {
    let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArguments, message));
    let mut asked: Params = params.read("arguments").unwrap_or_default();
    let Some(name) = asked.text("name").filter(|name| !name.is_empty()) else {
        let form = json!({ "name": "<tool>", "arguments": "{}" });
        return refuse(format!("{by} wants `name`, a tool's name, as in {form}; find names with search_tools"));
    };
    let arguments = match asked.get("arguments") {
        None => None,
        Some(given) => match object(given) {
            Ok(object) => Some(object),
            Err(fault) => {
                let form = json!({ "name": shown(&name), "arguments": "{\"key\": \"value\"}" });
                return refuse(format!(
                    "`arguments` of {by} {fault}; it has to be a JSON object as text, as in {form}"
                ));
            }
        },
    };
    if arguments.is_none() {
        asked.retain(|member| !matches!(member, "name" | "arguments"));
        if !asked.is_empty() {
            let beside = to_raw_value(&asked).ok();
            let exact = written(by, &shown(&name), beside.as_deref());
            return refuse(format!("what a tool is called with stands in `arguments`: {exact}"));
        }
    }
    params.set("name", &name);
    match &arguments {
        Some(arguments) => params.set("arguments", arguments),
        None => drop(params.take("arguments")),
    }
    Ok(ToolCall { name, params })
}

/// An object, given as one or as text that holds one.
fn object(given: &RawValue) -> Result<Box<RawValue>, String> {
    if given.get().starts_with('{') {
        return Ok(given.to_owned());
    }
    let Ok(text) = serde_json::from_str::<String>(given.get()) else { return Err("is no text".into()) };
    let text = if text.trim().is_empty() { "{}" } else { text.as_str() };
    let object: Box<RawValue> = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    if object.get().starts_with('{') { Ok(object) } else { Err("holds no object".into()) }
}

/// A result with what a client needs to show it: it has not seen the tool's descriptor where the tool is not listed.
fn showing(outcome: Outcome, entry: &Entry) -> Outcome {
    let said = entry.descriptor.get("_meta").and_then(Value::as_object);
    let Some(said) = said.filter(|said| said.contains_key("openai/outputTemplate")) else { return outcome };
    let add = |meta: &mut Map<String, Value>| {
        for key in SHOWING {
            if let Some(value) = said.get(*key) {
                meta.entry(*key).or_insert_with(|| value.clone());
            }
        }
    };
    match outcome {
        Outcome::Made(mut output) => {
            add(&mut output.meta);
            Outcome::Made(output)
        }
        Outcome::Sent(mut sent) => {
            sent.json = with_meta(&sent.json, add).unwrap_or(sent.json);
            Outcome::Sent(sent)
        }
    }
}

/// Another server's result with more in its `_meta`; everything else stays the bytes it was.
fn with_meta(result: &Bytes, add: impl FnOnce(&mut Map<String, Value>)) -> Option<Bytes> {
    let mut members: IndexMap<&str, &RawValue> = serde_json::from_slice(result).ok()?;
    let mut meta: Map<String, Value> = match members.get("_meta") {
        Some(meta) => serde_json::from_str(meta.get()).ok()?,
        None => Map::new(),
    };
    add(&mut meta);
    let meta = to_raw_value(&meta).ok()?;
    members.insert("_meta", &meta);
    serde_json::to_vec(&members).ok().map(Bytes::from)
}
