//! Checks of collections, and the schemas of their tools.

use serde_json::{Map, Value};

use super::{Checker, compile, properties};
use crate::error::Severity;
use crate::manifest::collection::CollectionSettings;
use crate::manifest::model::Tool;
use crate::manifest::operation::{ItemsOperation, Operation};
use crate::manifest::template::escape;

/// The largest collection, in bytes: what the store takes as one value.
const LARGEST: usize = 4 << 20;

/// Gives a collection's tool the schemas it does not state itself.
pub(super) fn complete(settings: &CollectionSettings, tool: &mut Tool) {
    let Some(Operation::Items(operation)) = tool.operation.filter(|_| compile_items(settings).is_ok()) else { return };
    if properties(&tool.input_schema).is_empty() {
        tool.input_schema = settings.input_schema(operation);
    } else if let Some(name) = settings.id_argument()
        && let Some(Value::Object(properties)) = tool.input_schema.get_mut("properties")
    {
        properties.entry(name).or_insert_with(|| settings.id_schema());
    }
    tool.output_schema.get_or_insert_with(|| settings.output_schema());
}

impl Checker<'_> {
    /// What a collection says about its items has to fit together.
    pub(super) fn collection(&mut self, settings: &CollectionSettings) {
        let item = &settings.item;
        let at = "/adapter/item";
        if item.get("type").and_then(Value::as_str) != Some("object") {
            self.error(at, "an item's schema must say `\"type\": \"object\"`");
        }
        if let Err(message) = compile(&Value::Object(item.clone())) {
            self.error(at, format!("not a usable JSON Schema: {message}"));
        }
        if mentions_reference(item) {
            self.error(at, "an item's schema becomes part of others, so it cannot use `$ref`; write it out");
        }
        if settings.max_items.saturating_mul(settings.max_item_bytes) > LARGEST {
            let message =
                format!("so many items of `maxItemBytes` are more than the {LARGEST} bytes a collection may have");
            self.error("/adapter/maxItems", message);
        }
        let kind = |name: &str| properties(item).get(name).and_then(|it| it.get("type")).and_then(Value::as_str);
        match kind(&settings.key) {
            Some("string") => {}
            Some(_) => self.error("/adapter/key", format!("the property `{}` has to be a string", settings.key)),
            None => self.error("/adapter/key", format!("`{}` is no property of `item` with a `type`", settings.key)),
        }
        let required = item.get("required").and_then(Value::as_array);
        if !required.is_some_and(|required| required.iter().any(|name| name == settings.key.as_str())) {
            self.error("/adapter/item", format!("`required` has to hold the key, `{}`", settings.key));
        }
        for (index, name) in settings.sum.iter().enumerate() {
            if !matches!(kind(name), Some("integer" | "number")) {
                self.error(&format!("/adapter/sum/{index}"), format!("`{name}` is no number property of `item`"));
            }
        }
    }

    /// A tool takes what its operation needs. Arguments of its own beyond that go nowhere.
    pub(super) fn operation(&mut self, at: &str, tool: &Tool, settings: &CollectionSettings) {
        let Some(Operation::Items(operation)) = tool.operation else { return };
        let declared = properties(&tool.input_schema);
        if compile_items(settings).is_err() {
            // Said at the item's schema; what follows from it has not been made.
            return;
        }
        let wanted = match operation {
            ItemsOperation::Add | ItemsOperation::Update => Some("items"),
            ItemsOperation::Remove => Some("keys"),
            ItemsOperation::List | ItemsOperation::Clear => None,
        };
        if let Some(wanted) = wanted.filter(|wanted| !declared.contains_key(*wanted)) {
            self.error(&format!("{at}/inputSchema/properties"), format!("this operation takes `{wanted}`, an array"));
        }
        let id = settings.id_argument();
        let kind = |name: &String| declared.get(name).and_then(|it| it.get("type")).and_then(Value::as_str);
        if let Some(name) = id.as_ref().filter(|name| kind(name) != Some("string")) {
            let place = format!("{at}/inputSchema/properties/{}", escape(name));
            self.error(&place, format!("`{name}` says which {} is meant, and has to be a string", settings.name));
        }
        for name in declared.keys().filter(|name| Some(name.as_str()) != wanted && Some(*name) != id.as_ref()) {
            let place = format!("{}{at}/inputSchema/properties/{}", self.root, escape(name));
            let message = format!("the argument `{name}` is declared but never used");
            self.problems.push(self.document.problem(Severity::Warning, &place, message));
        }
    }
}

fn mentions_reference(schema: &Map<String, Value>) -> bool {
    schema.iter().any(|(name, value)| name == "$ref" || name == "$dynamicRef" || within(value))
}

fn within(value: &Value) -> bool {
    match value {
        Value::Object(members) => mentions_reference(members),
        Value::Array(items) => items.iter().any(within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The schema of a collection's items, compiled.
pub fn compile_items(settings: &CollectionSettings) -> Result<jsonschema::Validator, String> {
    compile(&Value::Object(settings.item.clone()))
}
