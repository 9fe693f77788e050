//! What is on offer in the words of the HTTP API: tools by integration, integrations, categories.
//!
//! An integration is a connector. One that somebody added goes by the name they gave it, which is theirs among their
//! tenant's; to everybody else who sees it, by its id.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::{Connector, Live};
use crate::caller::Caller;
use crate::catalog::{Entry, GENERAL};
use crate::name::slug;

/// Tools on a page when nobody says how many, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// Which tools are asked for.
#[derive(Debug, Clone, Default)]
pub struct ToolQuery {
    /// Of this category.
    pub category: Option<String>,
    /// Of this integration.
    pub integration: Option<String>,
    /// With all of these words in name, title, description or integration.
    pub search: Option<String>,
    /// How many at once.
    pub limit: Option<usize>,
    /// How many to leave out before.
    pub offset: Option<usize>,
    /// Which page, from 1, when `offset` does not say.
    pub page: Option<usize>,
}

impl Live {
    /// The tools that are there for a caller, as far as the query wants them, and how many there are in all.
    pub fn tools_of(&self, caller: &Caller, query: &ToolQuery) -> (Vec<Value>, usize) {
        let words: Vec<String> = query
            .search
            .iter()
            .flat_map(|text| text.to_lowercase().split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let fits = |connector: &Connector, entry: &Entry| {
            let said = |key: &str| entry.descriptor.get(key).and_then(Value::as_str).unwrap_or_default();
            let category = query.category.as_ref().is_none_or(|wanted| is_category(connector, wanted));
            let integration = query.integration.as_ref().is_none_or(|wanted| goes_by(connector, caller, wanted));
            let text = || {
                format!("{} {} {} {}", name_of(connector, caller), entry.tool, said("title"), said("description"))
                    .to_lowercase()
            };
            category && integration && (words.is_empty() || words.iter().all(|word| text().contains(word)))
        };
        let all = self.seen(caller).filter(|(connector, entry)| fits(connector, entry));
        let all: Vec<_> = all.collect();
        let limit = query.limit.unwrap_or(PAGE).min(LARGEST_PAGE);
        let before = || query.page.unwrap_or(1).saturating_sub(1).saturating_mul(limit);
        let page = all.iter().skip(query.offset.unwrap_or_else(before)).take(limit);
        (page.map(|(connector, entry)| tool(connector, entry, caller)).collect(), all.len())
    }

    /// One tool, by its integration and its own name or by its published name.
    pub fn tool_of(&self, caller: &Caller, id: &str, integration: Option<&str>) -> Option<Arc<Entry>> {
        let named = |(connector, entry): &(&Arc<Connector>, &Arc<Entry>)| {
            let of = |name: &str| id.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) == Some(&entry.tool);
            let here = integration.is_none_or(|wanted| goes_by(connector, caller, wanted));
            let whole = of(name_of(connector, caller)) || of(connector.checked.connector.id.as_str());
            here && (whole || id == entry.name || (integration.is_some() && id == entry.tool))
        };
        // A tenant's own goes before what everybody has by the same name.
        let own = |connector: &Connector| connector.checked.connector.owner.is_none();
        self.seen(caller).filter(named).min_by_key(|(connector, _)| own(connector)).map(|(_, entry)| Arc::clone(entry))
    }

    /// A tool with everything that is known of it.
    pub fn whole_tool(&self, entry: &Entry, caller: &Caller) -> Option<Value> {
        let connector = self.connectors.get(&entry.connector)?;
        let mut whole = tool(connector, entry, caller);
        if let Some(whole) = whole.as_object_mut() {
            whole.insert("publishedName".into(), json!(entry.name));
            for key in ["title", "inputSchema", "outputSchema", "annotations", "securitySchemes"] {
                whole.extend(entry.descriptor.get(key).map(|value| (key.to_owned(), value.clone())));
            }
        }
        Some(whole)
    }

    /// The categories of what is there for a caller, with their tools counted.
    pub fn categories_of(&self, caller: &Caller) -> Vec<Value> {
        let mut counts: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        for (connector, _) in self.seen(caller) {
            let category = category_of(connector);
            counts.entry(slug(category)).or_insert((category, 0)).1 += 1;
        }
        let shown = counts.into_iter().map(|(id, (name, count))| json!({ "id": id, "name": name, "toolCount": count }));
        shown.collect()
    }

    /// The connectors that are there for a caller.
    pub fn integrations_of(&self, caller: &Caller) -> Vec<Value> {
        let shown = self.connectors.values().filter(|connector| {
            connector.checked.connector.enabled && !connector.checked.is_built_in() && self.shows(connector, caller)
        });
        let shown = shown.map(|connector| {
            let manifest = &connector.checked.connector;
            json!({
                "name": name_of(connector, caller),
                "title": manifest.name,
                "category": slug(category_of(connector)),
                "description": manifest.description.as_deref().unwrap_or_default(),
                "toolCount": self.catalog.cost_to(&manifest.id, caller).tools,
                "version": manifest.version,
                "custom": manifest.owner.is_some(),
                "status": connector.state().word(),
            })
        });
        shown.collect()
    }

    /// The tools a caller sees, with their connectors.
    fn seen(&self, caller: &Caller) -> impl Iterator<Item = (&Arc<Connector>, &Arc<Entry>)> {
        let seen = self.catalog.entries().iter().filter(move |entry| caller.sees(&entry.access));
        seen.filter_map(|entry| Some((self.connectors.get(&entry.connector)?, entry)))
    }
}

/// What a caller calls a connector.
fn name_of<'a>(connector: &'a Connector, caller: &Caller) -> &'a str {
    let manifest = &connector.checked.connector;
    let own = manifest.owner.as_ref().filter(|owner| owner.tenant.as_deref() == caller.tenant());
    own.map_or(manifest.id.as_str(), |owner| owner.name.as_str())
}

pub(super) fn goes_by(connector: &Connector, caller: &Caller, name: &str) -> bool {
    name_of(connector, caller) == name || connector.checked.connector.id.as_str() == name
}

fn category_of(connector: &Connector) -> &str {
    connector.checked.connector.category.as_deref().unwrap_or(GENERAL)
}

pub(super) fn is_category(connector: &Connector, wanted: &str) -> bool {
    let category = category_of(connector);
    category == wanted || slug(category) == slug(wanted)
}

/// A tool in the HTTP API's words.
pub(super) fn tool(connector: &Connector, entry: &Entry, caller: &Caller) -> Value {
    let integration = name_of(connector, caller);
    json!({
        "toolId": format!("{integration}.{}", entry.tool),
        "name": entry.tool,
        "description": entry.descriptor.get("description").and_then(Value::as_str).unwrap_or_default(),
        "integration": integration,
        "category": slug(category_of(connector)),
        "parameters": parameters(entry.descriptor.get("inputSchema")),
        "tokenCost": entry.exact_tokens(),
    })
}

/// The arguments at the root of a schema, one by one.
fn parameters(schema: Option<&Value>) -> Vec<Value> {
    let required = schema.and_then(|schema| schema.get("required")).and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|it| it == name));
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let parameter = |(name, property): (&String, &Value)| {
        let mut parameter = Map::new();
        parameter.insert("name".into(), json!(name));
        parameter.insert("type".into(), json!(kind(property)));
        parameter.extend(property.get("description").map(|text| ("description".into(), text.clone())));
        parameter.insert("required".into(), json!(is_required(name)));
        parameter.extend(property.get("default").map(|value| ("default".into(), value.clone())));
        Value::Object(parameter)
    };
    properties.into_iter().flatten().map(parameter).collect()
}

/// A property's type in a word.
fn kind(property: &Value) -> &str {
    match property.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if property.get("enum").is_some() => "string",
        _ => "any",
    }
}
