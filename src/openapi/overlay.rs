//! `OpenAPI` Overlay 1.0: changes to a document that somebody else writes.

use serde_json::Value;

use super::text;
use crate::manifest::Query;

/// Applies an overlay to a document. What it gives is odd but harmless, such as a target that is not there; after an
/// error the document may be changed in part.
pub fn overlay(document: &mut Value, overlay: &Value) -> Result<Vec<String>, String> {
    match overlay.get("overlay").and_then(Value::as_str) {
        Some(version) if version.starts_with("1.") => {}
        Some(version) => return Err(format!("`overlay` is {version:?}; 1.0 is read")),
        None => return Err("it is no overlay: `overlay: 1.0.0` is missing".into()),
    }
    let actions = overlay.get("actions").and_then(Value::as_array).ok_or("its `actions` are no list")?;
    let mut remarks = Vec::new();
    for (index, action) in actions.iter().enumerate() {
        let place = format!("/actions/{index}");
        let target = action.get("target").and_then(Value::as_str);
        let target = target.ok_or_else(|| format!("{place} has no `target`"))?;
        let query = Query::new(target);
        if let Some(fault) = query.fault() {
            return Err(format!("{place}/target {:?}: {fault}", text::line(target, 200)));
        }
        let places = query.places(document);
        if places.is_empty() {
            remarks.push(format!("{place}: nothing fits the target {target:?}"));
        }
        if action.get("remove") == Some(&Value::Bool(true)) {
            query.remove(document);
        } else if let Some(update) = action.get("update") {
            for at in &places {
                let Some(value) = document.pointer_mut(at) else { continue };
                match (&mut *value, update) {
                    (Value::Object(_), Value::Object(_)) => merge(value, update),
                    (Value::Array(items), update) => items.push(update.clone()),
                    _ => remarks.push(format!("{place}: {at} is neither an object nor a list, so it stays")),
                }
            }
        } else {
            remarks.push(format!("{place} has neither `update` nor `remove`"));
        }
    }
    Ok(remarks)
}

/// Objects are put together, lists behind each other; anything else is replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, from) in from {
                match into.get_mut(name) {
                    Some(into) => merge(into, from),
                    None => drop(into.insert(name.clone(), from.clone())),
                }
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}
