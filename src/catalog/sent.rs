//! Descriptors of another MCP server: kept whole, with what callers of ours must know put in.

use serde_json::{Map, Value, json};

use super::Names;
use super::tool::{Entry, Said, in_step};
use crate::manifest::Annotations;

/// A tool of an MCP server. What its manifest says of it goes before what the server says.
pub(super) fn entry(public: String, names: &Names, said: &Said<'_>, sent: &Value) -> Entry {
    let Said { tool, looks, words, .. } = said;
    let mut descriptor = sent.as_object().cloned().unwrap_or_default();
    descriptor.insert("name".into(), json!(public));
    names.publish_meta(&mut descriptor);
    usable_schema(&mut descriptor);
    annotate(&mut descriptor, tool.annotations);
    descriptor.insert("securitySchemes".into(), json!(words));
    let meta = descriptor.entry("_meta").or_insert_with(|| json!({}));
    if !meta.is_object() {
        *meta = json!({});
    }
    if let Value::Object(meta) = meta {
        meta.extend(tool.meta.clone());
        meta.insert("securitySchemes".into(), json!(words));
        looks.silence(meta);
        looks.describe(meta);
        in_step(meta);
    }
    Entry::sent(public, said, Value::Object(descriptor))
}

/// A descriptor under its published name: its own name, the published one, and the descriptor.
pub(super) fn renamed(item: &Value, key: &str, publish: impl Fn(&str) -> String) -> (String, String, Value) {
    let own = item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let public = publish(&own);
    let mut item = item.clone();
    if let Value::Object(members) = &mut item {
        members.insert(key.into(), json!(public));
    }
    (own, public, item)
}

/// One tool whose schema is no schema of an object makes clients refuse all tools.
fn usable_schema(descriptor: &mut Map<String, Value>) {
    let schema = descriptor.entry("inputSchema").or_insert_with(|| json!({}));
    if let Value::Object(schema) = schema {
        schema.entry("type").or_insert(json!("object"));
    }
    if schema.get("type").is_none_or(|kind| kind != "object") {
        *schema = json!({ "type": "object" });
    }
}

/// All four hints. What neither server nor manifest says is what the specification takes it for.
fn annotate(descriptor: &mut Map<String, Value>, declared: Annotations) {
    let hints = descriptor.entry("annotations").or_insert_with(|| json!({}));
    if !hints.is_object() {
        *hints = json!({});
    }
    let Value::Object(hints) = hints else { return };
    let says = [
        ("readOnlyHint", declared.read_only),
        ("destructiveHint", declared.destructive),
        ("idempotentHint", declared.idempotent),
        ("openWorldHint", declared.open_world),
    ];
    for (hint, says) in says {
        if let Some(says) = says {
            hints.insert(hint.into(), json!(says));
        }
    }
    let read_only = hints.get("readOnlyHint") == Some(&Value::Bool(true));
    for (hint, taken_for) in [
        ("readOnlyHint", false),
        ("destructiveHint", !read_only),
        ("idempotentHint", read_only),
        ("openWorldHint", true),
    ] {
        hints.entry(hint).or_insert(json!(taken_for));
    }
}
