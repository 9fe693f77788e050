//! Builds a catalog from what connectors declare, and from what MCP servers say they have.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::access::SignIn;
use super::list::Draft;
use super::page::{self, ShownPages, Viewer};
use super::related::Related;
use super::tool::{Looks, Said};
use super::{Catalog, Declared, Entry, GENERAL, Lists, Names, Offer, Place, Rename, Server, Unavailable, Why, sent};
use crate::caller::{Access, Caller};
use crate::error::{Problem, Severity};
use crate::manifest::{AdapterSettings, Checked, Connector, Tool};
use crate::name::{ConnectorId, slug};

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

pub(super) fn build(offered: &[Offered<'_>], pages: &ShownPages, sign_in: SignIn) -> (Catalog, Vec<Problem>) {
    let mut builder = Builder {
        pages,
        sign_in,
        catalog: Catalog::default(),
        problems: Vec::new(),
        taken: BTreeMap::new(),
        tools: Draft::default(),
        resources: Vec::new(),
        templates: Draft::default(),
        prompts: Draft::default(),
        foreign: Vec::new(),
        related: Related::default(),
    };
    for connector in offered {
        builder.add(connector);
    }
    // What is still to come may have the page.
    let is_server = |it: &Offered<'_>| matches!(it.checked.connector.adapter, AdapterSettings::Mcp(_));
    let settled = offered.iter().all(|it| !is_server(it) || it.offer.is_some());
    builder.finish(settled)
}

struct Builder<'a> {
    pages: &'a ShownPages,
    sign_in: SignIn,
    catalog: Catalog,
    problems: Vec<Problem>,
    /// Published names, each with whose it is.
    taken: BTreeMap<String, String>,
    tools: Draft,
    resources: Vec<(Value, ConnectorId, Access)>,
    templates: Draft,
    prompts: Draft,
    /// Templates that are no page of ours: the address, and where it is said.
    foreign: Vec<(String, Problem)>,
    /// Tools that others name.
    related: Related,
}

impl Builder<'_> {
    fn add(&mut self, offered: &Offered<'_>) {
        let connector = &offered.checked.connector;
        let names = Names::of(connector);
        self.catalog.access.insert(connector.id.clone(), self.sign_in.to_connector(connector));
        let category = slug(connector.category.as_deref().unwrap_or(GENERAL));
        self.catalog.categories.insert(connector.id.clone(), category.into());
        self.related.meet(offered);
        match &offered.offer {
            None => self.add_declared(offered, &names),
            Some(offer) => {
                for tool in &offer.tools {
                    let own = tool.get("name").and_then(Value::as_str).unwrap_or_default();
                    let Some(public) = self.publish(offered, &names, own, "/adapter") else { continue };
                    let declared = connector.tools.iter().enumerate().find(|(_, declared)| declared.name == own);
                    let declared = declared.map(|(index, tool)| (format!("/tools/{index}"), tool));
                    let looks = self.looks(offered.checked, declared.as_ref().map(|(at, tool)| (at.as_str(), *tool)));
                    if let Some((at, tool)) = &declared {
                        self.related.note(offered.checked, at, tool);
                    }
                    let unnamed;
                    let said = if let Some((_, declared)) = declared {
                        declared
                    } else {
                        unnamed = Tool::named(own.to_owned(), String::new());
                        &unnamed
                    };
                    let said = self.said(connector, said, &looks);
                    let mut entry = sent::entry(public, &names, &said, tool);
                    if offer.held.contains(own) {
                        entry.hold();
                    }
                    self.push(entry, &looks);
                }
                self.add_learned(offered, &names, offer);
                self.withhold(connector, &names, offer);
                self.add_rest(offered, &names, offer);
                self.add_aliases(&names, offer);
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

    /// Tools that are there and not served: calls of them are told why.
    fn withhold(&mut self, connector: &Connector, names: &Names, offer: &Offer) {
        for (own, reason) in &offer.withheld {
            let declared = connector.tools.iter().find(|declared| declared.name == *own);
            let access = declared.map_or_else(
                || self.sign_in.to_connector(connector),
                |declared| self.sign_in.to_tool(connector, declared),
            );
            let withheld = Unavailable { connector: connector.id.clone(), why: Why::Withheld(reason.clone()), access };
            self.catalog.unavailable.entry(names.public_name(own)).or_insert(withheld);
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
                let access = self.sign_in.to_tool(connector, tool);
                let why = Unavailable { connector: connector.id.clone(), why: Why::Down((*reason).to_owned()), access };
                self.catalog.unavailable.insert(public, why);
            } else {
                // What an MCP server takes, it judges itself.
                let validators = (!matches!(connector.adapter, AdapterSettings::Mcp(_))).then(|| validators.clone());
                let at = format!("/tools/{index}");
                let looks = self.looks(checked, Some((&at, tool)));
                self.related.note(checked, &at, tool);
                self.push(Entry::new(public, &self.said(connector, tool, &looks), validators), &looks);
            }
        }
    }

    /// Tools that a document describes.
    fn add_learned(&mut self, offered: &Offered<'_>, names: &Names, offer: &Offer) {
        let connector = &offered.checked.connector;
        for Declared { tool, validators, at, .. } in &offer.declared {
            let Some(public) = self.publish(offered, names, &tool.name, at) else { continue };
            let looks = self.looks(offered.checked, Some((at, tool)));
            self.related.note(offered.checked, at, tool);
            let said = self.said(connector, tool, &looks);
            self.push(Entry::new(public, &said, Some(validators.clone())), &looks);
        }
    }

    fn said<'a>(&self, connector: &'a Connector, tool: &'a Tool, looks: &'a Looks) -> Said<'a> {
        let access = self.sign_in.to_tool(connector, tool);
        let words = self.sign_in.words(connector, tool, &access);
        Said { connector, tool, looks, access, words }
    }

    /// How a tool shows itself. A page that is not there is said once for all tools that want it.
    fn looks(&mut self, checked: &Checked, declared: Option<(&str, &Tool)>) -> Looks {
        let connector = &checked.connector;
        let own = declared.and_then(|(at, tool)| Some((at, tool.widget.as_ref()?)));
        let at = own.filter(|(_, widget)| widget.page.is_some() || widget.template.is_some());
        let at = at.map_or_else(|| "/widget".to_owned(), |(at, _)| format!("{at}/widget"));
        let widget = own.map(|(_, widget)| widget.clone()).unwrap_or_default().or(connector.widget.as_ref());
        if let Some(template) = &widget.template {
            let message = format!("no resource has the address `{template}`");
            let problem = checked.problem(Severity::Warning, &format!("{at}/template"), message);
            self.foreign.push((template.clone(), problem));
        }
        let page = widget.page.as_deref().and_then(|page| self.page(checked, page, &format!("{at}/page")));
        Looks { template: page.or_else(|| widget.template.clone()), widget }
    }

    /// The address of a connector's page. What is wrong with it is said once for all tools that show it.
    fn page(&mut self, checked: &Checked, reference: &str, at: &str) -> Option<String> {
        match self.pages.get(&checked.connector.id, reference) {
            Ok(page) => {
                if self.catalog.pages.insert(page.uri.clone(), Arc::clone(page)).is_none() {
                    let warn = |fault: &String| checked.problem(Severity::Warning, at, fault);
                    self.problems.extend(page.faults.iter().map(warn));
                }
                Some(page.uri.clone())
            }
            Err(reason) => {
                let problem = checked.error(at, reason);
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                None
            }
        }
    }

    fn push(&mut self, mut entry: Entry, looks: &Looks) {
        let category = self.catalog.categories.get(&entry.connector);
        entry.category = category.map(Arc::clone).unwrap_or_default();
        let bytes = self.tools.push(&entry.descriptor, &entry.connector, entry.access.clone());
        entry.tokens = bytes.div_ceil(4);
        if let Some(page) = &looks.template {
            // Who sees one of its tools sees a page.
            let seen = self.catalog.page_access.entry(page.clone());
            seen.and_modify(|seen| seen.widen(&entry.access)).or_insert_with(|| entry.access.clone());
        }
        self.catalog.by_name.insert(entry.name.clone(), self.catalog.entries.len());
        let cost = self.catalog.costs.entry(entry.connector.clone()).or_default();
        cost.tools += 1;
        cost.tokens += entry.tokens;
        self.catalog.entries.push(Arc::new(entry));
    }

    /// The published name of a tool, unless somebody else has it.
    fn publish(&mut self, offered: &Offered<'_>, names: &Names, own: &str, at: &str) -> Option<String> {
        let public = names.public_name(own);
        let owner = format!("`{own}` of {}", names.connector);
        if let Some(first) = self.taken.get(&public) {
            if offered.checked.is_built_in() {
                return None;
            }
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

    /// A server's pages know its tools and resources by its own names. Whoever has such a page can use them too,
    /// where they mean one thing only.
    fn add_aliases(&mut self, names: &Names, offer: &Offer) {
        let shows_itself = |tool: &&Value| {
            tool.get("_meta")
                .is_some_and(|meta| meta.get("ui").is_some() || meta.get("openai/outputTemplate").is_some())
        };
        if !names.prefix || !offer.tools.iter().any(|tool| shows_itself(&tool)) {
            return;
        }
        let own = |item: &Value, key: &str| Some(item.get(key)?.as_str()?.to_owned());
        for tool in offer.tools.iter().filter_map(|tool| own(tool, "name")) {
            let public = names.public_name(&tool);
            self.catalog.aliases.entry(tool).and_modify(|it| *it = None).or_insert(Some(public));
        }
        for uri in offer.resources.iter().filter_map(|resource| own(resource, "uri")) {
            let public = names.public_uri(&uri);
            self.catalog.aliases.entry(uri).and_modify(|it| *it = None).or_insert(Some(public));
        }
    }

    /// Everything of a server that is no tool. Of two with one name, the first stays.
    fn add_rest(&mut self, offered: &Offered<'_>, names: &Names, offer: &Offer) {
        let place = |own: &str| Place { connector: names.connector.clone(), own: own.to_owned() };
        let access = self.sign_in.to_connector(&offered.checked.connector);
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
            self.prompts.push(&item, &names.connector, access.clone());
        }
        for resource in &offer.resources {
            let (own, public, mut item) = sent::renamed(resource, "uri", |uri| names.public_uri(uri));
            if let Value::Object(item) = &mut item {
                page::in_step(item);
            }
            if let Some(first) = self.catalog.resources.get(&public) {
                collide("resource", &public, first);
                continue;
            }
            self.catalog.resources.insert(public, place(&own));
            self.resources.push((item, names.connector.clone(), access.clone()));
        }
        for template in &offer.templates {
            let (_, _, item) = sent::renamed(template, "uriTemplate", |uri| names.public_uri(uri));
            self.templates.push(&item, &names.connector, access.clone());
        }
    }

    fn finish(mut self, settled: bool) -> (Catalog, Vec<Problem>) {
        // Only pages of ours are listed differently for different viewers.
        let resources = |viewer: Viewer| {
            let mut draft = Draft::default();
            for page in self.catalog.pages.values() {
                draft.push(&page.listed(viewer), &page.connector, self.catalog.to_page(page).clone());
            }
            for (resource, connector, access) in &self.resources {
                draft.push(resource, connector, access.clone());
            }
            draft.finish()
        };
        let resources = Viewer::ALL.map(resources);
        let missing = |address: &str| {
            settled
                && !self.catalog.pages.contains_key(address)
                && self.catalog.resource(address, &Caller::Local).is_err()
        };
        let foreign = self.foreign.iter().filter(|(address, _)| missing(address)).map(|(_, problem)| problem.clone());
        self.problems.extend(foreign.collect::<Vec<_>>());
        self.problems.extend(self.related.missing(&self.catalog));
        self.catalog.lists = Lists {
            tools: self.tools.finish(),
            resources,
            templates: self.templates.finish(),
            prompts: self.prompts.finish(),
        };
        (self.catalog, self.problems)
    }
}
