//! Pinned tools: what upstreams said of their tools when somebody agreed to it, and what is served when they say
//! something else now.
//!
//! The lock holds hashes only, so that it can be read and reviewed. What was agreed to word by word is kept elsewhere,
//! by [`Pin::form`].

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod judge;

pub use judge::{Judged, Known, judge};

use super::diff::{Class, Difference, differences, worst};
use crate::manifest::Tool;
use crate::widget::sha256_hex;

/// The member that says what is sent for a tool of a described API, and where.
pub(super) const REQUEST: &str = "request";
/// The name under which a server's instructions are pinned, as if they were a tool's.
pub const INSTRUCTIONS: &str = "(instructions)";
/// Pages of one tool that are pinned. No tool shows itself by more.
const MOST_PAGES: usize = 8;
/// The form of the lock that is written here.
pub const LOCK_VERSION: u32 = 2;
/// Letters by which a person names a pin.
const SHORT: usize = 12;
/// What stands for the hash of a page that could not be read.
pub const UNREAD: &str = "unread";

/// What happens when an upstream says something else of a tool than was agreed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// It is served, and told of.
    #[default]
    Warn,
    /// What was agreed to goes on being served; what is new waits.
    Hold,
    /// Only what is in the lock, and as it is there, is served at all.
    Block,
}

impl Policy {
    /// It in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Hold => "hold",
            Self::Block => "block",
        }
    }
}

/// A tool as it was agreed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The SHA-256 of its descriptor and, of a described API, of what a call sends and where, as RFC 8785 writes them.
    #[schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$"))]
    pub hash: String,
    /// The upstream's pages it shows itself by, each with the SHA-256 of its contents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pages: BTreeMap<String, String>,
}

impl Pin {
    /// The pin of a tool whose pages have these hashes, as far as they are known.
    pub fn of(tool: &Value, page: impl Fn(&str) -> Option<String>) -> Self {
        let hash = |uri: String| {
            let hash = page(&uri).unwrap_or_else(|| UNREAD.to_owned());
            (uri, hash)
        };
        Self { hash: digest(&pinned(tool)), pages: pages_of(tool).into_iter().map(hash).collect() }
    }

    /// Whether what is seen now is what was agreed to. Of a page that could not be read then, nothing else is known.
    pub(super) fn covers(&self, now: &Self) -> bool {
        let same = |((uri, agreed), (now, digest)): ((&String, &String), (&String, &String))| {
            uri == now && (agreed == UNREAD || agreed == digest)
        };
        self.hash == now.hash && self.pages.len() == now.pages.len() && self.pages.iter().zip(&now.pages).all(same)
    }

    /// It in a few letters, by which a person says which one they saw.
    pub fn short(&self) -> String {
        sha256_hex(&json!(self).to_string()).chars().take(SHORT).collect()
    }

    /// Names the descriptor it is of: everything but what its pages say.
    pub fn form(&self) -> String {
        let pages: Vec<&String> = self.pages.keys().collect();
        sha256_hex(&format!("{}{}", self.hash, json!(pages)))
    }
}

/// What was agreed to, of all upstreams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The form it has.
    pub version: u32,
    /// The digest of the lock that this one goes on from, where that one could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// By the connectors' ids.
    #[serde(default)]
    pub connectors: BTreeMap<String, Locked>,
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: LOCK_VERSION, base: None, connectors: BTreeMap::new() }
    }
}

/// What was agreed to of one upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// By the tools' own names, and the server's instructions as `(instructions)`.
    #[serde(default)]
    pub tools: BTreeMap<String, Pin>,
}

/// The digest of a value as RFC 8785 writes it.
pub fn digest(value: &Value) -> String {
    let canonical = serde_json_canonicalizer::to_string(value).unwrap_or_else(|_| value.to_string());
    format!("sha256:{}", sha256_hex(&canonical))
}

/// What of a descriptor is pinned: everything that clients get of it and go by. Whom a tool lets in, we say ourselves;
/// of `_meta`, hosts know what is written for them.
pub fn pinned(tool: &Value) -> Value {
    let mut members = tool.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(meta)) = members.get_mut("_meta") {
        meta.retain(|name, _| name == "ui" || name.starts_with("ui/") || name.starts_with("openai/"));
    }
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    members
        .retain(|name, value| !value.is_null() && name != "securitySchemes" && !(name == "_meta" && is_empty(value)));
    Value::Object(members)
}

/// A server's instructions, in the form in which tools are pinned.
pub fn descriptor_of_instructions(text: &str) -> Value {
    json!({ "name": INSTRUCTIONS, "instructions": text })
}

/// The digest of what was read at a page's address: what is shown, and what it may do.
pub fn page_digest(read: &Value) -> String {
    let of = |item: &Value| {
        let members = ["mimeType", "text", "blob", "_meta"];
        let members = members.iter().filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone())));
        Value::Object(members.collect())
    };
    let contents = read.get("contents").and_then(Value::as_array).into_iter().flatten();
    digest(&Value::Array(contents.map(of).collect()))
}

/// The upstream's own pages that a tool shows itself by.
pub fn pages_of(tool: &Value) -> BTreeSet<String> {
    let meta = tool.get("_meta");
    let places = ["/ui/resourceUri", "/ui~1resourceUri", "/openai~1outputTemplate"];
    let named = places.iter().filter_map(|place| meta?.pointer(place)?.as_str());
    named.filter(|uri| uri.starts_with("ui://")).take(MOST_PAGES).map(str::to_owned).collect()
}

/// A tool that was learned and not sent, in the form in which tools are pinned.
pub fn descriptor_of(tool: &Tool) -> Value {
    let mut members = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    members.extend(tool.title.iter().map(|title| ("title".to_owned(), json!(title))));
    members.insert("description".into(), json!(tool.description));
    members.insert("inputSchema".into(), json!(tool.input_schema));
    members.extend(tool.output_schema.iter().map(|schema| ("outputSchema".to_owned(), json!(schema))));
    let hints = [
        ("readOnlyHint", tool.annotations.read_only),
        ("destructiveHint", tool.annotations.destructive),
        ("idempotentHint", tool.annotations.idempotent),
        ("openWorldHint", tool.annotations.open_world),
    ];
    let hints: Map<String, Value> =
        hints.into_iter().filter_map(|(name, hint)| Some((name.to_owned(), json!(hint?)))).collect();
    members.insert("annotations".into(), Value::Object(hints));
    Value::Object(members)
}

/// What became of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Served {
    /// It is served as it is now.
    Now,
    /// What was agreed to is served.
    Before,
    /// It is not served.
    Not,
}

/// How a tool differs from what was agreed to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The tool, by its own name.
    pub tool: String,
    /// What kind of change it is.
    pub change: Change,
    /// What it means.
    pub class: Class,
    /// What changed, the worst first.
    pub differences: Vec<Difference>,
    /// What is served.
    pub served: Served,
}

/// Kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It was not there.
    New,
    /// It is another.
    Changed,
    /// It is gone.
    Gone,
}

impl Drift {
    /// A tool that came or went: there is nothing to compare it with.
    fn plain(policy: Policy, tool: &str, change: Change) -> Self {
        let class = if change == Change::Gone { Class::Breaking } else { Class::Risky };
        let served = if policy == Policy::Warn && change == Change::New { Served::Now } else { Served::Not };
        Self { tool: tool.to_owned(), change, class, differences: Vec::new(), served }
    }

    /// It in a line.
    pub fn said(&self) -> String {
        let served = match (self.change, self.served) {
            (Change::Gone, _) => "",
            (_, Served::Now) => "; it is served as it is now",
            (Change::Changed, Served::Before) => "; what was agreed to goes on being served",
            (_, Served::Before | Served::Not) => "; it is withheld",
        };
        let change = match self.change {
            Change::New => "is new",
            Change::Changed => "changed",
            Change::Gone => "is gone",
        };
        let reasons: Vec<&str> = self.differences.iter().map(|it| it.reason.as_str()).take(3).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
        format!("`{}` {change} ({}){reasons}{served}", super::poison::visible_line(&self.tool), self.class.word())
    }
}

/// How what is seen of an upstream differs from what was agreed to, and what the policy makes of it.
pub fn waiting(
    policy: Policy,
    locked: Option<&Locked>,
    seen: &BTreeMap<String, Pin>,
    descriptor: impl Fn(&Pin) -> Option<Value>,
) -> Vec<Drift> {
    let nothing = Locked::default();
    let locked = locked.unwrap_or(&nothing);
    let mut drifts = Vec::new();
    for (name, now) in seen {
        match locked.tools.get(name) {
            None => drifts.push(Drift::plain(policy, name, Change::New)),
            Some(pin) if pin.covers(now) => {}
            Some(pin) => {
                let (before, after) = (descriptor(pin), descriptor(now));
                drifts.push(drift(policy, name, (pin, before.as_ref()), (now, after.as_ref())));
            }
        }
    }
    let gone = locked.tools.keys().filter(|name| !seen.contains_key(*name));
    drifts.extend(gone.map(|name| Drift::plain(policy, name, Change::Gone)));
    drifts
}

fn drift(
    policy: Policy,
    name: &str,
    (pin, before): (&Pin, Option<&Value>),
    (now, tool): (&Pin, Option<&Value>),
) -> Drift {
    let served = match (policy, &before) {
        (Policy::Warn, _) => Served::Now,
        // The old words would be told of what is another call now.
        (Policy::Hold, Some(before)) if tool.is_none_or(|tool| tool.get(REQUEST) == before.get(REQUEST)) => {
            Served::Before
        }
        (Policy::Hold | Policy::Block, _) => Served::Not,
    };
    let mut differences = match tool {
        Some(tool) => explain(before, tool),
        None => Vec::new(),
    };
    for (uri, hash) in &now.pages {
        if pin.pages.get(uri).is_some_and(|agreed| agreed != UNREAD && agreed != hash) {
            let reason = format!("the page {} says something else", super::poison::visible_line(uri));
            differences.push(Difference { class: Class::Risky, place: "/_meta".into(), reason });
        }
    }
    let class = worst(&differences);
    Drift { tool: name.to_owned(), change: Change::Changed, class, differences, served }
}

/// What changed in a tool, as far as what was agreed to is still known.
pub fn explain(before: Option<&Value>, now: &Value) -> Vec<Difference> {
    match before {
        Some(before) => differences(&pinned(before), &pinned(now)),
        None => vec![Difference {
            class: Class::Risky,
            place: String::new(),
            reason: "what was agreed to is not kept here word by word, so it cannot be said how".into(),
        }],
    }
}
