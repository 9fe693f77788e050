//! Which other documents a document refers to.

use std::collections::HashSet;

use serde_json::Value;

/// More than these are not looked for.
const MOST: usize = 1_000;

/// Members whose own members are named by people: a schema or a response may be called `default` or `example`.
const NAMED: &[&str] = &[
    "properties",
    "responses",
    "schemas",
    "parameters",
    "requestBodies",
    "headers",
    "links",
    "callbacks",
    "pathItems",
    "securitySchemes",
    "definitions",
    "$defs",
    "patternProperties",
    "dependentSchemas",
];
/// Members that hold data, in which `$ref` means nothing.
const DATA: &[&str] = &["example", "examples", "default", "enum", "const"];

/// The other documents a document names: addresses and paths as they stand there, without fragments, each once.
pub fn references(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut waiting = vec![(document, false)];
    while let Some((value, free)) = waiting.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let name = reference.split_once('#').map_or(reference.as_str(), |(name, _)| name);
                    if !name.is_empty() && found.len() < MOST && seen.insert(name) {
                        found.push(name.to_owned());
                    }
                }
                let members = members.iter().rev();
                let data = |name: &str| !free && (DATA.contains(&name) || name.starts_with("x-"));
                waiting.extend(
                    members
                        .filter(|(name, _)| !data(name))
                        .map(|(name, value)| (value, !free && NAMED.contains(&name.as_str()))),
                );
            }
            Value::Array(items) => waiting.extend(items.iter().rev().map(|item| (item, false))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}
