//! Builds a catalog from what connectors declare, and from what MCP servers say they have.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use super::{Catalog, Entry, Lists, Names, Offer, Place, Rename, Server, Unavailable, sent};
use crate::error::Problem;
use crate::manifest::{AdapterSettings, Checked};

/// A connector to put into a catalog.
#[derive(Debug, Clone)]
pub struct Offered<'a> {
    /// What its manifest says.
    pub checked: &'a Checked,
    /// Why it cannot be used, if it cannot.
    pub unavailable: Option<&'a str>,
    /// What its server says it has, once that is known.
    pub offer: Option<Arc<Offer>>,
}

pub(super) fn build(offered: &[Offered<'_>]) -> (Catalog, Vec<Problem>) {
    let mut builder = Builder::default();
    for connector in offered {
        builder.add(connector);
    }
    builder.finish()
}

#[derive(Default)]
struct Builder {
    catalog: Catalog,
    problems: Vec<Problem>,
    /// Published names, each with whose it is.
    taken: BTreeMap<String, String>,
    resources: Vec<Value>,
    templates: Vec<Value>,
    prompts: Vec<Value>,
}

impl Builder {
    fn add(&mut self, offered: &Offered<'_>) {
        let connector = &offered.checked.connector;
        let names = Names { connector: connector.id.clone(), prefix: connector.prefix };
        match &offered.offer {
            None => self.add_declared(offered, &names),
            Some(offer) => {
                for tool in &offer.tools {
                    let own = tool.get("name").and_then(Value::as_str).unwrap_or_default();
                    let Some(public) = self.publish(offered, &names, own, "/adapter") else { continue };
                    let entry = sent::entry(public, connector, &names, own, tool);
                    self.push(entry);
                }
                self.add_rest(offered, &names, offer);
            }
        }
        if matches!(connector.adapter, AdapterSettings::Mcp(_)) && offered.unavailable.is_none() {
            let offer = offered.offer.as_deref();
            let templates = offer.into_iter().flat_map(|offer| &offer.templates);
            let starts = templates.filter_map(|template| {
                let public = names.public_uri(template.get("uriTemplate")?.as_str()?);
                public.split('{').next().filter(|start| !start.is_empty()).map(str::to_owned)
            });
            let server = Server {
                has_resources: offer.is_some_and(|offer| offer.capabilities.contains_key("resources")),
                templates: starts.collect(),
                names,
            };
            self.catalog.servers.insert(connector.id.clone(), server);
        }
    }

    fn add_declared(&mut self, offered: &Offered<'_>, names: &Names) {
        let Offered { checked, unavailable, .. } = offered;
        let connector = &checked.connector;
        for (index, (tool, validators)) in connector.tools.iter().zip(&checked.validators).enumerate() {
            let Some(public) = self.publish(offered, names, &tool.name, &format!("/tools/{index}/name")) else {
                continue;
            };
            if let Some(reason) = unavailable {
                let why = Unavailable { connector: connector.id.clone(), reason: (*reason).to_owned() };
                self.catalog.unavailable.insert(public, why);
            } else {
                // What an MCP server takes, it judges itself.
                let validators = (!matches!(connector.adapter, AdapterSettings::Mcp(_))).then(|| validators.clone());
                self.push(Entry::new(public, connector, tool, validators));
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        self.catalog.by_name.insert(entry.name.clone(), self.catalog.entries.len());
        self.catalog.entries.push(Arc::new(entry));
    }

    /// The published name of a tool, unless somebody else has it.
    fn publish(&mut self, offered: &Offered<'_>, names: &Names, own: &str, at: &str) -> Option<String> {
        let public = names.public_name(own);
        let owner = format!("`{own}` of {}", names.connector);
        if let Some(first) = self.taken.get(&public) {
            let message = format!("{owner} and {first} would both be published as `{public}`; rename one of them");
            self.problems.push(offered.checked.error(at, message));
            return None;
        }
        self.taken.insert(public.clone(), owner);
        let plain = if names.prefix { format!("{}_{own}", names.connector) } else { own.to_owned() };
        if public != plain {
            let connector = names.connector.clone();
            self.catalog.renames.push(Rename { connector, tool: own.to_owned(), public: public.clone() });
        }
        Some(public)
    }

    /// Everything of a server that is no tool. Of two with one name, the first stays.
    fn add_rest(&mut self, offered: &Offered<'_>, names: &Names, offer: &Offer) {
        let place = |own: &str| Place { connector: names.connector.clone(), own: own.to_owned() };
        let mut collide = |what: &str, public: &str, first: &Place| {
            let message = format!(
                "the {what} `{public}` of {} is already published by {}; publish one of them with `prefix`",
                names.connector, first.connector
            );
            self.problems.push(offered.checked.error("/prefix", message));
        };
        for prompt in &offer.prompts {
            let (own, public, item) = sent::renamed(prompt, "name", |name| names.public_name(name));
            if let Some(first) = self.catalog.prompts.get(&public) {
                collide("prompt", &public, first);
                continue;
            }
            self.catalog.prompts.insert(public, place(&own));
            self.prompts.push(item);
        }
        for resource in &offer.resources {
            let (own, public, item) = sent::renamed(resource, "uri", |uri| names.public_uri(uri));
            if let Some(first) = self.catalog.resources.get(&public) {
                collide("resource", &public, first);
                continue;
            }
            self.catalog.resources.insert(public, place(&own));
            self.resources.push(item);
        }
        for template in &offer.templates {
            self.templates.push(sent::renamed(template, "uriTemplate", |uri| names.public_uri(uri)).2);
        }
    }

    fn finish(mut self) -> (Catalog, Vec<Problem>) {
        let tools: Vec<&Value> = self.catalog.entries.iter().map(|entry| &entry.descriptor).collect();
        let lists = Lists {
            tools: text(&tools),
            resources: text(&self.resources),
            templates: text(&self.templates),
            prompts: text(&self.prompts),
        };
        self.catalog.lists = lists;
        (self.catalog, self.problems)
    }
}

fn text(items: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(items).map(Bytes::from).unwrap_or_default()
}
