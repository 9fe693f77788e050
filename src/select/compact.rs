//! A schema without what nobody needs to call a tool by it.

use serde_json::{Map, Value};

/// Members that say nothing of what is valid. A `title` is most often the name once more.
const IDLE: [&str; 4] = ["$schema", "$comment", "title", "examples"];
/// Schemas within schemas that are looked into; deeper ones stay as they are.
const DEEPEST: usize = 24;

/// The same schema in fewer words.
#[must_use]
pub fn compact(schema: &Value) -> Value {
    at(schema, 0)
}

fn at(schema: &Value, depth: usize) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    if depth > DEEPEST {
        return schema.clone();
    }
    let idle = |name: &str, value: &Value| IDLE.contains(&name) && (name != "title" || value.is_string());
    let kept = members.iter().filter(|(name, value)| !idle(name, value));
    kept.map(|(name, value)| (name.clone(), member(name, value, depth + 1))).collect::<Map<_, _>>().into()
}

fn member(name: &str, value: &Value, depth: usize) -> Value {
    match (name, value) {
        ("properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas", Value::Object(schemas)) => {
            schemas.iter().map(|(name, schema)| (name.clone(), at(schema, depth))).collect::<Map<_, _>>().into()
        }
        ("items" | "additionalProperties" | "not" | "if" | "then" | "else" | "contains", _) => at(value, depth),
        ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
            schemas.iter().map(|schema| at(schema, depth)).collect()
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::compact;
    use serde_json::json;

    #[test]
    fn only_what_decides_nothing_is_left_out() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "args", "type": "object",
            "properties": {
                "title": { "type": "string", "title": "Title", "examples": ["x"], "default": { "title": "x" } },
                "list": { "type": "array", "items": { "title": "Item", "anyOf": [{ "title": "A", "type": "null" }] } },
            },
            "required": ["title"], "additionalProperties": false,
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "title": { "type": "string", "default": { "title": "x" } },
                "list": { "type": "array", "items": { "anyOf": [{ "type": "null" }] } },
            },
            "required": ["title"], "additionalProperties": false,
        });
        assert_eq!(compact(&schema), expected);
    }
}
