//! A tool in one line: its name, what it takes, and the first sentence of what it is for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::sentence::{first_sentence, plain};

/// Characters of a signature at most.
const LONGEST: usize = 400;
/// Of the part before the sentence.
const LONGEST_HEAD: usize = 300;
/// Of one argument's type.
const LONGEST_TYPE: usize = 60;
/// Of one argument's name.
const LONGEST_NAME: usize = 64;
/// Arguments that are looked at; the required ones first.
const MOST_ARGUMENTS: usize = 12;
/// Types named in a choice.
const MOST_CHOICES: usize = 6;
/// References that are followed, and types within types.
const DEEPEST: usize = 4;

/// `name(a: string, b?: integer, c: "x"|"y", d?: string[]) – First sentence.`
pub fn signature(name: &str, schema: &Value, description: &str) -> String {
    let mut text = format!("{name}(");
    let mut length = text.chars().count();
    let (arguments, more) = arguments(schema);
    let mut cut = more;
    for (index, argument) in arguments.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let longer = length + comma.len() + argument.chars().count();
        if longer > LONGEST_HEAD {
            cut = true;
            break;
        }
        text.push_str(comma);
        text.push_str(argument);
        length = longer;
    }
    if cut {
        text.push_str(if text.ends_with('(') { "…" } else { ", …" });
    }
    text.push(')');
    let room = LONGEST.saturating_sub(text.chars().count() + 3);
    let sentence = first_sentence(description, room);
    if !sentence.is_empty() {
        text.push_str(" – ");
        text.push_str(&sentence);
    }
    text
}

/// The arguments, the required ones first, and whether there are more.
fn arguments(schema: &Value) -> (Vec<String>, bool) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return (Vec::new(), false) };
    let required = schema.get("required").and_then(Value::as_array);
    let required: BTreeSet<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
    let (first, rest): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| required.contains(name.as_str()));
    let ordered = first.into_iter().map(|it| (it, "")).chain(rest.into_iter().map(|it| (it, "?")));
    let argument = |((name, property), mark): ((&String, &Value), &str)| {
        format!("{}{mark}: {}", written(name), kind(property, schema))
    };
    (ordered.take(MOST_ARGUMENTS).map(argument).collect(), properties.len() > MOST_ARGUMENTS)
}

/// A name as it stands, or quoted where that would be misread.
fn written(name: &str) -> String {
    let name = crate::name::cut(&plain(name), LONGEST_NAME);
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '@' | '…');
    if !name.is_empty() && name.chars().all(fits) { name } else { Value::String(name).to_string() }
}

/// A type in a few characters.
fn kind(schema: &Value, root: &Value) -> String {
    let whole = typed(schema, root, 0);
    if whole.chars().count() <= LONGEST_TYPE { whole } else { bare(schema).unwrap_or("any").to_owned() }
}

fn typed(schema: &Value, root: &Value, depth: usize) -> String {
    let any = || "any".to_owned();
    if depth > DEEPEST {
        return any();
    }
    let inner = |schema: &Value| typed(schema, root, depth + 1);
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        return place.strip_prefix('#').and_then(|place| root.pointer(place)).map_or_else(any, inner);
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return literals(choices).or_else(|| bare(schema).map(str::to_owned)).unwrap_or_else(any);
    }
    if let Some(only) = schema.get("const") {
        return literals(std::slice::from_ref(only)).unwrap_or_else(any);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
            return joined(choices.iter().map(inner));
        }
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        return parts.iter().take(MOST_CHOICES).map(inner).find(|kind| kind != "any").unwrap_or_else(any);
    }
    match schema.get("type") {
        Some(Value::Array(kinds)) if kinds.len() > 1 => {
            joined(kinds.iter().filter_map(Value::as_str).map(|word| crate::name::cut(&plain(word), LONGEST_NAME)))
        }
        _ => match bare(schema) {
            Some("array") => listed(&schema.get("items").map_or_else(any, inner)),
            Some(word) => word.to_owned(),
            None => any(),
        },
    }
}

/// The type that a schema names, or shows.
fn bare(schema: &Value) -> Option<&'static str> {
    const KNOWN: [&str; 7] = ["string", "integer", "number", "boolean", "object", "array", "null"];
    let named = match schema.get("type") {
        Some(Value::String(word)) => Some(word.as_str()),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).find(|word| *word != "null"),
        _ => None,
    };
    match named {
        Some(word) => KNOWN.into_iter().find(|known| *known == word),
        None if schema.get("properties").is_some() => Some("object"),
        None if schema.get("items").is_some() => Some("array"),
        None => None,
    }
}

fn listed(item: &str) -> String {
    match item {
        "any" => "array".into(),
        choice if choice.contains('|') => format!("({choice})[]"),
        _ => format!("{item}[]"),
    }
}

/// One of these; that nothing is possible too says an argument's `?` already.
fn joined(kinds: impl Iterator<Item = String>) -> String {
    let mut named: Vec<String> = Vec::new();
    for kind in kinds.take(MOST_CHOICES).filter(|kind| kind != "null") {
        if !named.contains(&kind) {
            named.push(kind);
        }
    }
    if named.is_empty() || named.iter().any(|kind| kind == "any") { "any".into() } else { named.join("|") }
}

/// The values themselves, as far as they are short.
fn literals(values: &[Value]) -> Option<String> {
    let mut text = String::new();
    for value in values.iter().filter(|value| !value.is_null()) {
        let value = match value {
            Value::String(word) => Value::String(plain(word)).to_string(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        if text.chars().count() + value.chars().count() + 3 > LONGEST_TYPE {
            return (!text.is_empty()).then(|| text + "|…");
        }
        if !text.is_empty() {
            text.push('|');
        }
        text.push_str(&value);
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_signature_says_what_is_required_and_of_which_type() {
        let schema = json!({
            "type": "object",
            "properties": {
                "b": { "type": "integer" },
                "a": { "type": "string" },
                "c": { "enum": ["x", "y"] },
                "d": { "type": "array", "items": { "type": ["string", "null"] } },
                "e": { "anyOf": [{ "$ref": "#/$defs/place" }, { "type": "null" }] },
                "f g": { "type": "array", "items": { "enum": [1, 2] } },
                "h": true,
            },
            "required": ["a", "c"],
            "$defs": { "place": { "properties": {} } },
        });
        assert_eq!(
            signature("find", &schema, "Finds e.g. shops. Slow."),
            "find(a: string, c: \"x\"|\"y\", b?: integer, d?: string[], e?: object, \"f g\"?: (1|2)[], h?: any) – \
             Finds e.g. shops."
        );
    }

    #[test]
    fn odd_schemas_give_a_short_signature_all_the_same() {
        for schema in [json!(null), json!([]), json!({ "properties": 3 }), json!({ "required": "a" }), json!("x")] {
            assert_eq!(signature("t", &schema, ""), "t()");
        }
        let wheel = json!({ "properties": { "a": { "$ref": "#/properties/a" }, "b": { "$ref": "#/nowhere" } } });
        assert_eq!(signature("t", &wheel, ""), "t(a?: any, b?: any)");
        let wide: serde_json::Map<String, Value> = (0..500)
            .map(|n| (format!("{}{n}", "long\n".repeat(40)), json!({ "enum": vec!["é".repeat(50); 90] })))
            .collect();
        let wide = signature("t", &json!({ "properties": wide }), &"word ".repeat(1000));
        assert!(wide.chars().count() <= LONGEST && wide.contains("…)") && !wide.contains('\n'), "{wide}");
        let choices: Vec<String> = (0..100).map(|n| format!("choice{n}")).collect();
        let many = signature("t", &json!({ "properties": { "a": { "type": "string", "enum": choices } } }), "");
        assert_eq!(many, "t(a?: \"choice0\"|\"choice1\"|\"choice2\"|\"choice3\"|\"choice4\"|…)");
    }
}
