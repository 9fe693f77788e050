//! The shape of arguments: the names that their tool declares, and types. No value, and no name that a caller made up,
//! because either may be a secret.

use serde_json::{Map, Value, json, value::RawValue};

use crate::name::cut;

/// Members that are named.
const MEMBERS: usize = 32;
/// Characters of a name.
const NAME: usize = 64;
/// Objects and lists within each other that are looked into.
const DEPTH: usize = 2;

/// The shape of what a tool was called with.
pub(super) fn of(sent: &RawValue, schema: Option<&Value>) -> Value {
    let Ok(value) = serde_json::from_str::<Value>(sent.get()) else { return json!("unreadable") };
    Shaper { root: schema }.shape(&value, schema, 0)
}

struct Shaper<'a> {
    root: Option<&'a Value>,
}

impl<'a> Shaper<'a> {
    fn shape(&self, value: &Value, schema: Option<&'a Value>, depth: usize) -> Value {
        match value {
            Value::Null => json!("null"),
            Value::Bool(_) => json!("boolean"),
            Value::Number(number) if number.is_f64() => json!("number"),
            Value::Number(_) => json!("integer"),
            Value::String(_) => json!("string"),
            Value::Array(_) if depth > DEPTH => json!("list"),
            Value::Object(_) if depth > DEPTH => json!("object"),
            Value::Array(items) => self.list(items, schema, depth),
            Value::Object(members) => self.object(members, schema, depth),
        }
    }

    fn list(&self, items: &[Value], schema: Option<&'a Value>, depth: usize) -> Value {
        let schema = self.declared(schema).and_then(|schema| schema.get("items"));
        let mut kinds: Vec<Value> = Vec::new();
        // Most lists are of one kind; of the others, what is among the first says enough.
        for item in items.iter().take(MEMBERS) {
            let kind = self.shape(item, schema, depth + 1);
            if kinds.len() < 4 && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        json!({ "list": kinds, "length": class(items.len()) })
    }

    fn object(&self, members: &Map<String, Value>, schema: Option<&'a Value>, depth: usize) -> Value {
        let properties = self.declared(schema).and_then(|schema| schema.get("properties"));
        let mut shape = Map::new();
        let mut others = 0_u64;
        for (name, value) in members {
            match properties.and_then(|properties| properties.get(name)) {
                Some(property) if shape.len() < MEMBERS => {
                    shape.insert(cut(name, NAME), self.shape(value, Some(property), depth + 1));
                }
                _ => others += 1,
            }
        }
        let mut told = json!({ "members": shape });
        if let Some(told) = told.as_object_mut().filter(|_| others > 0) {
            told.insert("others".into(), json!(others));
        }
        told
    }

    /// A schema, or the one in the same document that it refers to.
    fn declared(&self, schema: Option<&'a Value>) -> Option<&'a Value> {
        let schema = schema?;
        match schema.get("$ref").and_then(Value::as_str) {
            Some(place) => self.root?.pointer(place.strip_prefix('#')?),
            None => Some(schema),
        }
    }
}

/// About how long a list is.
fn class(length: usize) -> &'static str {
    match length {
        0 => "0",
        1 => "1",
        2..=9 => "2-9",
        10..=99 => "10-99",
        100..=999 => "100-999",
        _ => "1000+",
    }
}
