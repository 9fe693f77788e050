//! What the schemas of a tool have to be like.

use serde_json::Value;

use super::tool::Tool;

/// A larger schema is remarked on, in bytes.
pub(super) const LARGE: usize = 32 << 10;
/// How deep a schema is read.
const DEEPEST: usize = 64;

/// A tool's schemas.
pub(super) fn of(tool: Tool<'_>) -> impl Iterator<Item = &Value> {
    [tool.get("/inputSchema"), tool.get("/outputSchema")].into_iter().flatten()
}

/// Every reference in a schema.
fn references(schema: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open = vec![(schema, 0)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::Object(object) if depth < DEEPEST => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                let data = ["const", "enum", "default", "examples"];
                open.extend(
                    object.iter().filter(|(key, _)| !data.contains(&key.as_str())).map(|(_, it)| (it, depth + 1)),
                );
            }
            Value::Array(items) if depth < DEEPEST => open.extend(items.iter().map(|it| (it, depth + 1))),
            Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            }
        }
    }
    found
}

pub(super) fn foreign_reference(schema: &Value) -> Option<String> {
    references(schema).into_iter().find(|reference| !reference.starts_with('#')).map(str::to_owned)
}

pub(super) fn dangling_reference(schema: &Value) -> Option<String> {
    let dangles = |reference: &&str| {
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        pointer.is_some_and(|pointer| {
            let decoded = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
            schema.pointer(&decoded).is_none()
        })
    };
    references(schema).into_iter().find(dangles).map(str::to_owned)
}

/// What makes it no schema. References are judged elsewhere.
pub(super) fn fault(schema: &Value) -> Option<String> {
    if foreign_reference(schema).is_some() || dangling_reference(schema).is_some() {
        return None;
    }
    jsonschema::validator_for(schema).err().map(|error| error.to_string())
}

/// Why a value does not fit a schema; none also when the schema itself is broken.
pub(super) fn misfit(schema: &Value, value: &Value) -> Option<String> {
    let validator = jsonschema::validator_for(schema).ok()?;
    let error = validator.iter_errors(value).next()?;
    Some(format!(
        "at {}, {error}",
        if error.instance_path().as_str().is_empty() { "the root".into() } else { error.instance_path().to_string() }
    ))
}

/// Why `ChatGPT` cannot fill the parameters that are marked as files.
pub(super) fn file_fault(tool: Tool<'_>) -> Option<String> {
    let marked = tool.meta("openai/fileParams")?;
    let Some(names) = marked.as_array() else { return Some("it is no list".into()) };
    let fields = ["download_url", "file_id", "mime_type", "file_name"];
    names.iter().find_map(|name| {
        let Some(name) = name.as_str() else { return Some("it is no list of names".to_owned()) };
        let property = tool.get("/inputSchema/properties").and_then(|properties| properties.get(name));
        let Some(property) = property else { return Some(format!("{name} is no parameter")) };
        // Several files are a list of such objects.
        let property = property.get("items").unwrap_or(property);
        let declared = property.get("properties");
        let missing = fields.into_iter().find(|field| declared.is_none_or(|declared| declared.get(field).is_none()));
        if let Some(missing) = missing {
            return Some(format!("{name} lacks {missing}"));
        }
        let required = property.get("required").and_then(Value::as_array);
        let too_much = required.into_iter().flatten().find(|it| *it == "mime_type" || *it == "file_name")?;
        Some(format!("{name} requires {}", too_much.as_str().unwrap_or_default()))
    })
}
