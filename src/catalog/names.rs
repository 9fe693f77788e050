//! Another MCP server's names and URIs made unique, and mapped back.
//!
//! With a prefix, `scheme://rest` is published as `scheme://<connector>/rest`, so a `ui://` page
//! stays one; what has no `://` is published as `switchboard://<connector>/<uri>`. Results are
//! edited where a URI stands, and stay the bytes they were everywhere else.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::caller::Principal;
use crate::manifest::Connector;
use crate::name::{ConnectorId, public_name};
use crate::params::mentions;

/// The scheme of URIs that have no `://` of their own.
const OURS: &str = "switchboard://";
/// Keys of `_meta` that name a widget's page.
const TEMPLATES: [&str; 2] = ["openai/outputTemplate", "ui/resourceUri"];

/// Where 2025-11-25 says which task something belongs to.
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// How one connector's names are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The connector.
    pub connector: ConnectorId,
    /// Whether they carry its id.
    pub prefix: bool,
    /// Whose tasks are named, when it is somebody who proved who they are.
    owner: Option<Arc<Principal>>,
}

/// An object of which only what is looked at is read.
type Raw<'a> = IndexMap<Cow<'a, str>, &'a RawValue>;

impl Names {
    /// How this connector's names are published.
    pub fn of(connector: &Connector) -> Self {
        Self { connector: connector.id.clone(), prefix: connector.prefix, owner: None }
    }

    /// The published name of a tool or prompt.
    pub fn public_name(&self, name: &str) -> String {
        public_name(&self.connector, name, self.prefix)
    }

    /// The published form of a URI or URI template.
    pub fn public_uri(&self, uri: &str) -> String {
        if !self.prefix {
            return uri.to_owned();
        }
        match uri.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) && !uri.starts_with(OURS) => {
                format!("{scheme}://{}/{rest}", self.connector)
            }
            _ => format!("{OURS}{}/{uri}", self.connector),
        }
    }

    /// The connector's own form of a published URI, when it is one of its.
    pub fn own_uri(&self, public: &str) -> Option<String> {
        if !self.prefix {
            return Some(public.to_owned());
        }
        let (scheme, rest) = public.split_once("://")?;
        let rest = rest.strip_prefix(self.connector.as_str())?.strip_prefix('/')?;
        Some(if public.starts_with(OURS) { rest.to_owned() } else { format!("{scheme}://{rest}") })
    }

    /// The published id of a task, prefix or not: it has to lead back here.
    pub fn public_task(&self, id: &str) -> String {
        match &self.owner {
            Some(owner) => format!("{}.{}.{id}", self.connector, owner.tag()),
            None => format!("{}.{id}", self.connector),
        }
    }

    /// The same for what is of this caller: its tasks are nobody else's.
    #[must_use]
    pub fn of_caller(&self, owner: Option<&Arc<Principal>>) -> Self {
        Self { owner: owner.map(Arc::clone), ..self.clone() }
    }

    /// Publishes the pages that a tool's `_meta` names, in both families of keys.
    pub fn publish_meta(&self, holder: &mut Map<String, Value>) {
        let Some(Value::Object(meta)) = holder.get_mut("_meta") else { return };
        let publish = |at: Option<&mut Value>| {
            if let Some(Value::String(uri)) = at {
                *uri = self.public_uri(uri);
            }
        };
        for key in TEMPLATES {
            publish(meta.get_mut(key));
        }
        publish(meta.get_mut("ui").and_then(|ui| ui.get_mut("resourceUri")));
        if let Some(Value::String(id)) = meta.get_mut(RELATED_TASK).and_then(|task| task.get_mut("taskId")) {
            *id = self.public_task(id);
        }
    }

    /// A result with its URIs published: of links, embedded resources, contents that were read,
    /// and pages in `_meta`, in a tool's or a prompt's answer.
    pub fn publish_result(&self, result: &Bytes) -> Bytes {
        let uris: &[&str] = if self.prefix { &["\"uri\"", "resourceUri", TEMPLATES[0]] } else { &[] };
        if !mentions(result, "\"taskId\"") && !uris.iter().any(|word| mentions(result, word)) {
            return result.clone();
        }
        let edited = std::str::from_utf8(result).ok().and_then(|text| self.result(text));
        edited.map_or_else(|| result.clone(), Bytes::from)
    }

    fn result(&self, text: &str) -> Option<String> {
        let mut members: Raw<'_> = serde_json::from_str(text).ok()?;
        let mut edits: Vec<(&str, Box<RawValue>)> = Vec::new();
        if let Some(content) = members.get("content") {
            edits.extend(self.blocks(content.get()).map(|content| ("content", content)));
        }
        if let Some(contents) = members.get("contents") {
            let contents = each(contents.get(), |item| self.uri_in(item));
            edits.extend(contents.map(|contents| ("contents", contents)));
        }
        if let Some(messages) = members.get("messages") {
            let messages = each(messages.get(), |message| {
                edit(message, "content", |content| self.blocks(content).or_else(|| self.block(content)))
            });
            edits.extend(messages.map(|messages| ("messages", messages)));
        }
        if let Some(meta) = members.get("_meta") {
            let mut holder = Map::from_iter([("_meta".to_owned(), serde_json::from_str(meta.get()).ok()?)]);
            self.publish_meta(&mut holder);
            let meta = holder.remove("_meta").and_then(|meta| to_raw_value(&meta).ok());
            edits.extend(meta.map(|meta| ("_meta", meta)));
        }
        let task = |id: &str| {
            let id: String = serde_json::from_str(id).ok()?;
            to_raw_value(&self.public_task(&id)).ok()
        };
        edits.extend(members.get("taskId").and_then(|id| task(id.get())).map(|id| ("taskId", id)));
        // Where 2025-11-25 says it.
        let nested = members.get("task").and_then(|nested| edit(nested.get(), "taskId", task));
        edits.extend(nested.map(|nested| ("task", nested)));
        for (name, edited) in &edits {
            members.insert(Cow::Borrowed(name), edited);
        }
        serde_json::to_string(&members).ok()
    }

    fn blocks(&self, blocks: &str) -> Option<Box<RawValue>> {
        each(blocks, |block| self.block(block))
    }

    /// A content block that holds a URI, with that published.
    fn block(&self, block: &str) -> Option<Box<RawValue>> {
        if block.contains("\"resource_link\"") {
            return self.uri_in(block);
        }
        edit(block, "resource", |resource| self.uri_in(resource))
    }

    fn uri_in(&self, holder: &str) -> Option<Box<RawValue>> {
        edit(holder, "uri", |uri| {
            let uri: String = serde_json::from_str(uri).ok()?;
            to_raw_value(&self.public_uri(&uri)).ok()
        })
    }
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// An object with one member edited; nothing when there is nothing to edit.
fn edit(object: &str, member: &str, change: impl FnOnce(&str) -> Option<Box<RawValue>>) -> Option<Box<RawValue>> {
    let mut members: Raw<'_> = serde_json::from_str(object).ok()?;
    let changed = change(members.get(member)?.get())?;
    members.insert(Cow::Borrowed(member), &changed);
    to_raw_value(&members).ok()
}

/// An array with each item edited that there is something to edit in.
fn each(array: &str, change: impl Fn(&str) -> Option<Box<RawValue>>) -> Option<Box<RawValue>> {
    let items: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    let items: Vec<Cow<'_, RawValue>> =
        items.into_iter().map(|item| change(item.get()).map_or(Cow::Borrowed(item), Cow::Owned)).collect();
    to_raw_value(&items).ok()
}
