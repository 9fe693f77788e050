//! The JSON Schema of manifest files, generated from the types: what `check` applies and editors read.

use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::document::overlay;
use super::{
    collection::CollectionSettings,
    command::CommandSettings,
    http::HttpSettings,
    mcp::McpSettings,
    model::{Connector, GatewaySettings},
    openapi::OpenApiSettings,
    service_map::{ServiceMap, ServiceMapConnector},
};

/// The schema of one part of a manifest, compiled.
#[derive(Debug)]
pub struct Part {
    /// The schema itself.
    pub schema: Value,
    /// What applies it.
    pub validator: Validator,
}

/// One connector of our shape.
pub(super) static CONNECTOR: LazyLock<Part> = LazyLock::new(|| part(connector_schema()));
/// A service-map document, its connectors aside.
pub(super) static SERVICE_MAP: LazyLock<Part> = LazyLock::new(|| part(generate::<ServiceMap>()));
/// One connector of a service-map document.
pub(super) static SERVICE_MAP_CONNECTOR: LazyLock<Part> = LazyLock::new(|| part(generate::<ServiceMapConnector>()));

/// Compiles the schema of one of our types.
///
/// # Panics
/// When the type makes no valid schema, which every run of the program would show.
pub fn part(schema: Value) -> Part {
    #[expect(clippy::panic, reason = "a fault in our own types, not in anything they describe")]
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("our own schema does not compile: {error}"));
    Part { schema, validator }
}

/// The schema of a type.
pub fn generate<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(without_null);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// What may be left out is left out, not written as null; so faults are named in fewer words.
fn without_null(schema: &mut Schema) {
    transform_subschemas(&mut without_null, schema);
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(branches)) = members.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            members.extend(only);
        }
    }
}

/// The schema of a connector, with what its adapter's kind asks of it.
fn connector_schema() -> Value {
    let mut schema = generate::<Connector>();
    let of_collections = json!({ "enum": ["add", "update", "remove", "list", "clear"] });
    let of_the_gateway = json!({ "enum": ["connectors", "sample", "search", "fetch", "profile", "connectorAdd",
        "connectorStatus", "connectorRemove", "connectorList"] });
    let any = || json!({});
    // How each tool of the kind says what it does.
    let kinds = [
        ("http", generate::<HttpSettings>(), Some(("request", any()))),
        ("command", generate::<CommandSettings>(), Some(("run", any()))),
        // An MCP server says itself what tools it has.
        ("mcp", generate::<McpSettings>(), None),
        // A document says what tools there are, and `operations` what is mended in them.
        ("openapi", generate::<OpenApiSettings>(), None),
        ("collection", generate::<CollectionSettings>(), Some(("operation", of_collections))),
        ("gateway", generate::<GatewaySettings>(), Some(("operation", of_the_gateway))),
    ];
    let mut rules = Vec::new();
    for (kind, settings, wanted) in kinds {
        let (mut settings, definitions) = split(settings);
        overlay(&mut settings, json!({ "properties": { "kind": { "const": kind } } }));
        overlay(&mut schema, json!({ "$defs": definitions }));
        let mut then = json!({ "properties": { "adapter": settings, "tools": { "items": { "properties": {} } } } });
        let its_own = wanted.as_ref().map(|(way, _)| *way);
        for way in ["request", "run", "operation"].into_iter().filter(|way| Some(*way) != its_own) {
            overlay(&mut then, json!({ "properties": { "tools": { "items": { "properties": { way: false } } } } }));
        }
        if kind == "openapi" {
            overlay(&mut then, json!({ "properties": { "tools": { "maxItems": 0 } } }));
        }
        if let Some((way, allowed)) = wanted {
            let items = json!({ "required": [way], "properties": { way: allowed } });
            let tools = json!({ "minItems": 1, "items": items });
            overlay(&mut then, json!({ "required": ["tools"], "properties": { "tools": tools } }));
        }
        rules.push(json!({
            "if": { "properties": { "adapter": { "properties": { "kind": { "const": kind } }, "required": ["kind"] } }, "required": ["adapter"] },
            "then": then
        }));
    }
    overlay(&mut schema, json!({ "allOf": rules }));
    schema
}

/// A root schema without what only a root has, and its definitions.
fn split(mut schema: Value) -> (Value, Value) {
    let definitions = schema.as_object_mut().and_then(|schema| {
        schema.remove("$schema");
        schema.remove("$defs")
    });
    (schema, definitions.unwrap_or_else(|| json!({})))
}

/// The schema of a whole file: one connector, a list, or a service-map document.
pub fn file_schema() -> Value {
    let mut all = json!({});
    let parts =
        [("Connector", &CONNECTOR), ("ServiceMap", &SERVICE_MAP), ("ServiceMapConnector", &SERVICE_MAP_CONNECTOR)];
    for (name, part) in parts {
        let (schema, definitions) = split(part.schema.clone());
        overlay(&mut all, definitions);
        overlay(&mut all, json!({ name: schema }));
    }
    let items = json!({ "$ref": "#/$defs/ServiceMapConnector" });
    overlay(&mut all, json!({ "ServiceMap": { "properties": { "connectors": { "items": items } } } }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Switchboard manifest",
        "description": "One connector, a list of connectors, or a service-map document. Generated by `switchboard schema`.",
        "if": { "type": "array" },
        "then": { "items": { "$ref": "#/$defs/Connector" } },
        "else": {
            "if": { "required": ["connectors"] },
            "then": { "$ref": "#/$defs/ServiceMap" },
            "else": { "$ref": "#/$defs/Connector" }
        },
        "$defs": all
    })
}
