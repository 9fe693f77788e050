//! What another MCP server has, in its own words.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::name::shown;

/// The lists of an MCP server. Descriptors are kept whole, members nobody knows included.
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
}

impl Offer {
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
