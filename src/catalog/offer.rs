//! What a connector turns out to have: another MCP server in its own words, a described API in ours.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::pin::{REQUEST, descriptor_of};
use crate::manifest::{Tool, Validators};
use crate::name::shown;

/// The lists of an MCP server, or the tools that a document describes. Descriptors of a server are kept whole, members
/// nobody knows included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// Its tools.
    pub tools: Vec<Value>,
    /// Its resources.
    pub resources: Vec<Value>,
    /// Its resource templates.
    pub templates: Vec<Value>,
    /// Its prompts.
    pub prompts: Vec<Value>,
    /// What it declared it can do.
    pub capabilities: Map<String, Value>,
    /// What it says it is for.
    pub instructions: Option<String>,
    /// What had to be left out of the lists, and why.
    pub omitted: Vec<String>,
    /// Tools as a manifest would say them.
    pub declared: Vec<Declared>,
    /// What became of the document they come from.
    pub tally: Option<Tally>,
    /// Tools whose descriptor is not what the server says now, but what was agreed to.
    pub held: BTreeSet<String>,
    /// Tools that are not served, and why.
    pub withheld: BTreeMap<String, String>,
    /// Whether it is not the server's own, and stands in until that is known.
    pub is_provisional: bool,
}

/// A tool as a manifest would say it.
#[derive(Debug, Clone)]
pub struct Declared {
    /// What it is.
    pub tool: Tool,
    /// Its schemas, compiled when they are needed.
    pub validators: Validators,
    /// Where the manifest says something of it: a JSON pointer.
    pub at: String,
    /// What a call of it sends, and where.
    pub request: Value,
}

impl Declared {
    /// It in the form in which tools are pinned: what we send for it is part of what was agreed to.
    pub fn descriptor(&self) -> Value {
        let mut descriptor = descriptor_of(&self.tool);
        if let Some(members) = descriptor.as_object_mut() {
            members.insert(REQUEST.into(), self.request.clone());
        }
        descriptor
    }
}

impl PartialEq for Declared {
    fn eq(&self, other: &Self) -> bool {
        // What judges follows from the schemas.
        self.tool == other.tool && self.at == other.at && self.request == other.request
    }
}

/// What became of a document's operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub operations: usize,
    /// Those that are tools.
    pub tools: usize,
    /// Those that nobody wanted, by a choice or because they are deprecated.
    pub unwanted: usize,
    /// Those that cannot be tools.
    pub impossible: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, tools, unwanted, impossible } = self;
        write!(f, "{tools} of {operations} operations; {unwanted} left out as wanted, {impossible} cannot be tools")
    }
}

/// The tool that stands in for all others until they are known.
pub const CONNECT: &str = "connect";

impl Offer {
    /// What there is before anybody connected: the way to do that.
    pub fn to_connect(name: &str) -> Self {
        let about = format!(
            "Use this to connect {name}. Where that takes a person's consent, it gives a link for them to open. What {name} can do is listed once somebody is connected."
        );
        let tool = json!({
            "name": CONNECT, "title": format!("Connect {name}"), "description": about,
            "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
            "annotations": { "readOnlyHint": true, "destructiveHint": false, "openWorldHint": false },
        });
        Self { tools: vec![tool], is_provisional: true, ..Self::default() }
    }

    /// Keeps of each list what has a name of its own; the rest goes to `omitted`.
    pub fn drop_nameless(&mut self) {
        let lists = [
            ("tool", "name", &mut self.tools),
            ("resource", "uri", &mut self.resources),
            ("resource template", "uriTemplate", &mut self.templates),
            ("prompt", "name", &mut self.prompts),
        ];
        for (what, key, list) in lists {
            let mut seen = HashSet::new();
            list.retain(|item| match item.get(key).and_then(Value::as_str).filter(|name| !name.is_empty()) {
                None => {
                    self.omitted.push(format!("a {what} without `{key}`"));
                    false
                }
                Some(name) if !seen.insert(name.to_owned()) => {
                    self.omitted.push(format!("a second {what} called `{}`", shown(name)));
                    false
                }
                Some(_) => true,
            });
        }
    }
}
