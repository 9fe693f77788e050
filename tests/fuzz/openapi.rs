//! Any text at all → tools that every client takes, or words why not.

#![no_main]

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use switchboard::manifest::OpenApiSettings;
use switchboard::openapi::{Source, convert, parse, references};

/// Keywords no schema may have, and places where others may not stand.
fn check(schema: &Value, root: bool) {
    let Value::Object(members) = schema else { return };
    for keyword in ["$ref", "allOf", "oneOf", "nullable", "discriminator"] {
        assert!(!members.contains_key(keyword), "{schema}");
    }
    assert!(!root || schema["type"] == "object" && !members.contains_key("anyOf"), "{schema}");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        assert!((1..=64).contains(&name.len()) && name.chars().all(fits), "{name}");
        check(property, false);
    }
    for below in ["items", "additionalProperties"].into_iter().filter_map(|keyword| schema.get(keyword)) {
        check(below, false);
    }
    for below in ["anyOf", "prefixItems"].into_iter().filter_map(|keyword| schema[keyword].as_array()).flatten() {
        check(below, false);
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = parse(text) else { return };
    let names = references(&document);
    // What it refers to is itself, so that references lead somewhere.
    let others: BTreeMap<String, Arc<Value>> =
        names.into_iter().take(4).map(|name| (name, Arc::new(document.clone()))).collect();
    let promise = if text.len().is_multiple_of(2) { "loose" } else { "strict" };
    let settings = json!({ "spec": "x", "output": promise, "deprecated": true });
    let settings: OpenApiSettings = serde_json::from_value(settings).expect("they are settings");
    let Ok(converted) = convert(&Source { document: &document, at: None, others: &others }, &settings) else { return };
    let mut called = HashSet::new();
    for tool in &converted.tools {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        assert!((1..=64).contains(&tool.tool.name.len()) && tool.tool.name.chars().all(fits), "{}", tool.tool.name);
        assert!(called.insert(&tool.tool.name), "{}", tool.tool.name);
        check(&Value::Object(tool.tool.input_schema.clone()), true);
        if let Some(output) = &tool.tool.output_schema {
            check(&Value::Object(output.clone()), true);
        }
    }
});
