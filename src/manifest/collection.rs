//! What a manifest says about items that are kept here.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::operation::ItemsOperation;

/// Items that are kept here, in the data directory.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CollectionSettings {
    /// What the collection is called, in one word: `cart` makes `cartId`.
    #[schemars(regex(pattern = "^[a-z][A-Za-z0-9]{0,31}$"))]
    pub name: String,
    /// What an item looks like: JSON Schema of an object.
    pub item: Map<String, Value>,
    /// The text property by which an item is known; no two have the same.
    pub key: String,
    /// Whether keys that differ in case and spaces only are the same.
    #[serde(default)]
    pub ignore_case: bool,
    /// Number properties that are added up when an item that is there already is added once more.
    #[serde(default)]
    pub sum: Vec<String>,
    /// Who shares it.
    #[serde(default)]
    pub scope: Scope,
    /// The most items in it; with `maxItemBytes`, 4 MiB at most.
    #[serde(default = "one_hundred")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_items: usize,
    /// The largest item, in bytes.
    #[serde(default = "four_kibibytes")]
    #[schemars(range(min = 16, max = 65_536))]
    pub max_item_bytes: usize,
    /// The most collections of this connector.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1))]
    pub max_collections: u64,
    /// When a collection that nobody changes is forgotten.
    #[serde(default = "thirty_days")]
    #[schemars(range(min = 1, max = 315_360_000))]
    pub expire_seconds: NonZeroU64,
}

/// Who shares a collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Nobody: every conversation has its own.
    #[default]
    Session,
    /// All conversations of one caller. Who proves nothing is one and the same caller.
    Caller,
    /// Everybody.
    Shared,
}

fn one_hundred() -> usize {
    100
}

fn four_kibibytes() -> usize {
    4 << 10
}

fn ten_thousand() -> u64 {
    10_000
}

fn thirty_days() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(30 * 24 * 3600 - 1)
}

impl CollectionSettings {
    /// The argument and result member that says which collection is meant, where there are many.
    pub fn id_argument(&self) -> Option<String> {
        (self.scope == Scope::Session).then(|| format!("{}Id", self.name))
    }

    /// What an operation takes.
    pub fn input_schema(&self, operation: ItemsOperation) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        let mut take = |name: &str, items: Value, description: &str| {
            let list = json!({ "type": "array", "minItems": 1, "maxItems": self.max_items, "items": items, "description": description });
            properties.insert(name.into(), list);
            required.push(name.to_owned());
        };
        match operation {
            ItemsOperation::Add => take("items", json!(self.closed_item()), "The items to add."),
            ItemsOperation::Update => {
                take("items", json!(self.change()), "The items to change, each with what changes.");
            }
            ItemsOperation::Remove => {
                let description = format!("The items to remove, each by its `{}`.", self.key);
                take("keys", json!({ "type": "string" }), &description);
            }
            ItemsOperation::List | ItemsOperation::Clear => {}
        }
        properties.extend(self.id_argument().map(|name| (name, self.id_schema())));
        let mut schema = object(properties);
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        schema
    }

    /// The schema of the argument that says which collection is meant.
    pub fn id_schema(&self) -> Value {
        let name = &self.name;
        let description = format!(
            "The `{name}Id` that an earlier result gave. Leave it out the first time, and to start a new {name}."
        );
        json!({ "type": "string", "minLength": 1, "maxLength": 128, "description": description })
    }

    /// What every operation gives.
    pub fn output_schema(&self) -> Map<String, Value> {
        let mut properties = Map::new();
        properties.extend(self.id_argument().map(|name| (name, json!({ "type": "string" }))));
        properties.insert("items".into(), json!({ "type": "array", "items": self.bare_item() }));
        properties.insert("count".into(), json!({ "type": "integer" }));
        properties.insert("message".into(), json!({ "type": "string" }));
        let mut schema = object(properties);
        schema.insert("required".into(), json!(["items", "count", "message"]));
        schema
    }

    /// An item's form in few words: a model reads the descriptions where it writes items.
    fn bare_item(&self) -> Map<String, Value> {
        let mut bare = Map::new();
        for (name, property) in self.item.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let kind = property.get("type").map(|kind| ("type".to_owned(), kind.clone()));
            bare.insert(name.clone(), Value::Object(kind.into_iter().collect()));
        }
        let mut item =
            Map::from_iter([("type".to_owned(), json!("object")), ("properties".to_owned(), Value::Object(bare))]);
        item.insert("required".into(), json!([self.key]));
        item
    }

    /// An item that has no members nobody declared.
    fn closed_item(&self) -> Map<String, Value> {
        let mut item = self.item.clone();
        item.entry("additionalProperties").or_insert(Value::Bool(false));
        item
    }

    /// An item of which only the key has to be there.
    fn change(&self) -> Map<String, Value> {
        let mut item = self.closed_item();
        item.insert("required".into(), json!([self.key]));
        for property in item.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            if let Value::Object(property) = property.1 {
                property.shift_remove("default");
            }
        }
        item
    }
}

fn object(properties: Map<String, Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), Value::Bool(false));
    schema
}
