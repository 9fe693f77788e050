//! What is left of an answer when a schema that promises little is laid upon it.

use serde_json::{Map, Value};

/// Takes out of a value what its schema does not allow, and nothing else; whether the value itself may stand. The
/// schema is one of those that are written loosely: it says types, members, items and variants.
pub(super) fn fit(value: &mut Value, schema: &Value) -> bool {
    let Value::Object(schema) = schema else { return true };
    if !allows(schema, value) {
        return false;
    }
    if let Some(Value::Array(variants)) = schema.get("anyOf") {
        let tried = variants.iter().filter_map(|variant| {
            let mut tried = value.clone();
            fit(&mut tried, variant).then_some(tried)
        });
        // The variant that takes all of it, else the first that takes some.
        let Some(left) = tried.reduce(|best, next| if next == *value { next } else { best }) else { return false };
        *value = left;
    }
    match value {
        Value::Object(members) => {
            let (said, others) = (schema.get("properties"), schema.get("additionalProperties"));
            members.retain(|name, member| {
                let schema = said.and_then(|said| said.get(name)).or(others);
                schema.is_none_or(|schema| fit(member, schema))
            });
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.retain_mut(|item| fit(item, schema));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    true
}

/// Whether a schema allows a value's type.
fn allows(schema: &Map<String, Value>, value: &Value) -> bool {
    let named = |name: &str| match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        // JSON Schema takes `1.0` for a whole number.
        Value::Number(number) => {
            let whole = !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0);
            name == "number" || name == "integer" && whole
        }
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    };
    match schema.get("type") {
        Some(Value::String(name)) => named(name),
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).any(named),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "it is read as a table")]
    fn check(mut value: Value, schema: Value, left: Value) {
        assert!(super::fit(&mut value, &schema));
        assert_eq!(value, left);
    }

    #[test]
    fn what_does_not_fit_is_gone_and_nothing_beside_it() {
        let object = json!({ "type": ["object", "null"], "properties": { "a": { "type": "integer" } } });
        let list = json!({ "type": "object", "properties": { "items": { "type": "array", "items": object } } });
        check(
            json!({ "items": [{ "a": 1 }, "s", "t", { "b": 2 }, null, { "a": "7", "c": 3 }, { "a": 2.0 }], "x": 1 }),
            list.clone(),
            json!({ "items": [{ "a": 1 }, { "b": 2 }, null, { "c": 3 }, { "a": 2.0 }], "x": 1 }),
        );
        check(json!({ "items": "none" }), list, json!({}));
        let either = json!({ "properties": { "it": { "anyOf": [{ "type": "string" }, object] } } });
        check(json!({ "it": { "a": "x" } }), either.clone(), json!({ "it": {} }));
        let other = json!({ "anyOf": [object, { "properties": { "a": { "type": "string" } } }] });
        check(json!({ "a": "x" }), other, json!({ "a": "x" }));
        check(json!({ "it": 7 }), either, json!({}));
        check(json!({ "x": "1", "y": 2 }), json!({ "additionalProperties": { "type": "integer" } }), json!({ "y": 2 }));
    }
}
