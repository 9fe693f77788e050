//! What MCP 2026-07-28 says twice: in a request's body and, for those who route it, in its headers.

use std::collections::HashSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use crate::params::Params;

/// The headers that mirror a request.
pub const METHOD: &str = "mcp-method";
/// See [`METHOD`].
pub const NAME: &str = "mcp-name";
/// What stands before the name a tool's schema gives to a header for one of its arguments.
pub const PARAM: &str = "mcp-param-";

const WRAPPED: (&str, &str) = ("=?base64?", "?=");
/// Keywords whose value is data and no schema.
const DATA: [&str; 4] = ["default", "const", "enum", "examples"];

/// An argument that a header mirrors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    path: Vec<String>,
    /// The header, without [`PARAM`].
    pub header: String,
}

impl Mirrored {
    /// The argument's text, when it is given.
    pub fn text(&self, arguments: &Value) -> Option<String> {
        let value = self.path.iter().try_fold(arguments, |value, key| value.get(key))?;
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// What `Mcp-Name` has to say for a request, if anything.
pub fn name(method: &str, params: &Params) -> Option<String> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    params.text(key)
}

/// A value as it can stand in a header.
pub fn encode(value: &str) -> String {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && value.trim_matches([' ', '\t']) == value
        && !value.starts_with(WRAPPED.0);
    if plain { value.to_owned() } else { format!("{}{}{}", WRAPPED.0, BASE64_STANDARD.encode(value), WRAPPED.1) }
}

/// A header's value as it was before [`encode`].
pub fn decode(header: &str) -> Option<String> {
    let Some(inner) = header.strip_prefix(WRAPPED.0).and_then(|rest| rest.strip_suffix(WRAPPED.1)) else {
        return Some(header.to_owned());
    };
    BASE64_STANDARD.decode(inner).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

/// The arguments that a tool's input schema wants mirrored, or why its wishes make no sense.
pub fn mirrored(schema: &Map<String, Value>) -> Result<Vec<Mirrored>, String> {
    let mut found = Vec::new();
    if schema.contains_key("x-mcp-header") || is_astray(schema, true) {
        return Err("x-mcp-header stands elsewhere than on a property reached by properties alone".into());
    }
    collect(schema, &mut Vec::new(), &mut found)?;
    let mut seen = HashSet::new();
    match found.iter().find(|mirrored| !seen.insert(mirrored.header.to_ascii_lowercase())) {
        Some(twice) => Err(format!("x-mcp-header `{}` is given twice", twice.header)),
        None => Ok(found),
    }
}

fn collect(schema: &Map<String, Value>, path: &mut Vec<String>, found: &mut Vec<Mirrored>) -> Result<(), String> {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let Some(property) = property.as_object() else { continue };
        path.push(name.clone());
        if let Some(header) = property.get("x-mcp-header") {
            let is_token = |text: &&str| http::HeaderName::from_bytes(text.as_bytes()).is_ok();
            let header = header.as_str().filter(is_token);
            let header = header.ok_or_else(|| format!("the x-mcp-header of `{name}` is no header name"))?;
            let kind = property.get("type").and_then(Value::as_str);
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return Err(format!("`{name}` has an x-mcp-header and is no string, integer or boolean"));
            }
            found.push(Mirrored { path: path.clone(), header: header.to_owned() });
        }
        collect(property, path, found)?;
        path.pop();
    }
    Ok(())
}

/// Whether a header is asked for where no argument of its own stands.
fn is_astray(schema: &Map<String, Value>, on_path: bool) -> bool {
    let within = |value: &Value, on_path: bool| value.as_object().is_some_and(|schema| is_astray(schema, on_path));
    schema.iter().any(|(key, value)| match key.as_str() {
        "x-mcp-header" => !on_path,
        "properties" => value.as_object().is_some_and(|all| all.values().any(|one| within(one, on_path))),
        "$defs" | "definitions" | "dependentSchemas" | "patternProperties" => {
            value.as_object().is_some_and(|all| all.values().any(|one| within(one, false)))
        }
        key if DATA.contains(&key) => false,
        _ => match value {
            Value::Array(items) => items.iter().any(|item| within(item, false)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                within(value, false)
            }
        },
    })
}
