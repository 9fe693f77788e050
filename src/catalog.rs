//! The catalog: what every connector offers, as one immutable snapshot.
//!
//! A change builds the next snapshot; readers keep theirs. Lists are rendered once per snapshot,
//! and the order is always the same: connectors by id, items as their manifest or server has them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

mod access;
mod build;
pub mod diff;
mod list;
pub mod mirror;
mod names;
mod offer;
mod page;
pub mod pin;
pub mod poison;
mod related;
mod sent;
pub mod surface;
mod tool;
pub mod view;

pub use access::{ADMIN, SignIn};
pub use build::Offered;
pub use mirror::Mirrored;
pub use names::Names;
pub use offer::{CONNECT, Declared, Offer, Tally};
pub use page::{PAGE_TYPE, Shown, ShownPages, Viewer, in_step};
pub use tool::Entry;

use crate::caller::{Access, Caller, Verdict};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::name::{ConnectorId, nearest, shown};
use list::Written;
use view::View;

/// Everything on offer at one moment.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: Vec<Arc<Entry>>,
    by_name: BTreeMap<String, usize>,
    unavailable: BTreeMap<String, Unavailable>,
    renames: Vec<Rename>,
    lists: Lists,
    /// Connectors that are MCP servers, and whether they have resources.
    servers: BTreeMap<ConnectorId, Server>,
    prompts: BTreeMap<String, Place>,
    resources: HashMap<String, Place>,
    /// Own names and URIs of servers that have pages, each with its published one; none when two servers have it.
    aliases: HashMap<String, Option<String>>,
    costs: BTreeMap<ConnectorId, Cost>,
    /// Pages of ours by their address.
    pages: BTreeMap<String, Arc<Shown>>,
    /// What it takes to use what connectors have beside tools.
    access: BTreeMap<ConnectorId, Access>,
    /// Connectors' categories, as addresses write them.
    categories: BTreeMap<ConnectorId, Arc<str>>,
    /// What it takes to see a page.
    page_access: HashMap<String, Access>,
    /// As far as somebody asked for them.
    fingerprints: Mutex<BTreeMap<ConnectorId, Arc<str>>>,
}

/// What a connector costs a model that sees its tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Tools.
    pub tools: usize,
    /// About how many tokens their descriptors have.
    pub tokens: usize,
}

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `prompts/list`.
    Prompts,
}

/// The lists as they go out: JSON arrays.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lists {
    tools: Written,
    /// For each kind of viewer.
    resources: [Written; Viewer::ALL.len()],
    templates: Written,
    prompts: Written,
}

/// A connector that is an MCP server.
#[derive(Debug, Clone)]
struct Server {
    names: Names,
    has_resources: bool,
    /// What its templates begin with, as they are published.
    templates: Vec<String>,
}

/// Where something with a published name is: the connector, and its name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The connector.
    pub connector: ConnectorId,
    /// The connector's own name or URI.
    pub own: String,
}

/// A tool that cannot be called now, with its connector's reason.
#[derive(Debug, Clone)]
struct Unavailable {
    connector: ConnectorId,
    why: Why,
    access: Access,
}

/// Why a tool cannot be called.
#[derive(Debug, Clone)]
enum Why {
    /// Its connector cannot be used, for this reason, which may name files and variables.
    Down(String),
    /// Nobody agreed to what its server says of it now.
    Withheld(String),
}

/// A tool whose published name differs from what its manifest would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// Its connector.
    pub connector: ConnectorId,
    /// Its name in the manifest.
    pub tool: String,
    /// The name clients see.
    pub public: String,
}

impl Catalog {
    /// Builds the snapshot of these connectors and says which tools had to be left out.
    pub fn build(offered: &[Offered<'_>], pages: &ShownPages, sign_in: SignIn) -> (Self, Vec<Problem>) {
        build::build(offered, pages, sign_in)
    }

    /// What it takes to use what a connector has beside tools. What is gone is there for nobody.
    pub fn to_connector(&self, connector: &ConnectorId) -> &Access {
        self.access.get(connector).unwrap_or(NOBODY)
    }

    /// What it takes to see a page.
    pub fn to_page(&self, page: &Shown) -> &Access {
        self.page_access.get(&page.uri).unwrap_or_else(|| self.to_connector(&page.connector))
    }

    /// Whether a caller may use what is at this place.
    pub fn lets_in(&self, place: &Place, caller: &Caller) -> bool {
        caller.may(self.to_connector(&place.connector)) == Verdict::Yes
    }

    /// Whether a caller sees anything of a connector.
    pub fn shows(&self, connector: &ConnectorId, caller: &Caller) -> bool {
        caller.sees(self.to_connector(connector))
            || self.entries.iter().any(|entry| entry.connector == *connector && caller.sees(&entry.access))
    }

    /// What a connector costs.
    pub fn cost(&self, connector: &ConnectorId) -> Cost {
        self.costs.get(connector).copied().unwrap_or_default()
    }

    /// What a connector costs a model that works for this caller.
    pub fn cost_to(&self, connector: &ConnectorId, caller: &Caller) -> Cost {
        if caller.is_unlimited() {
            return self.cost(connector);
        }
        let seen = self.entries.iter().filter(|entry| entry.connector == *connector && caller.sees(&entry.access));
        seen.fold(Cost::default(), |sum, entry| Cost { tools: sum.tools + 1, tokens: sum.tokens + entry.tokens })
    }

    /// The SHA-256 of what a connector's tools are published as, an array of descriptors as RFC 8785 writes it: the same
    /// as long as clients are told the same of them.
    pub fn fingerprint(&self, connector: &ConnectorId) -> Arc<str> {
        let known = || self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(connector) {
            return Arc::clone(known);
        }
        let mine = self.entries.iter().filter(|entry| entry.connector == *connector);
        let made: Arc<str> = pin::digest(&mine.map(|entry| entry.descriptor.clone()).collect()).into();
        known().insert(connector.clone(), Arc::clone(&made));
        made
    }

    /// The pages of ours.
    pub fn pages(&self) -> impl Iterator<Item = &Arc<Shown>> {
        self.pages.values()
    }

    /// The page at this address.
    pub fn page(&self, uri: &str) -> Option<&Arc<Shown>> {
        self.pages.get(uri)
    }

    /// The tools callers see, in order.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// A connector's tool by its own name.
    pub fn entry_of(&self, connector: &ConnectorId, tool: &str) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.connector == *connector && entry.tool == tool)
    }

    /// The tools whose published name is not `<connector>_<tool>` to the letter.
    pub fn renames(&self) -> &[Rename] {
        &self.renames
    }

    /// The descriptors, `{"tools": […]}`.
    pub fn tools(&self) -> Value {
        json!({ "tools": self.entries.iter().map(|entry| &entry.descriptor).collect::<Vec<_>>() })
    }

    fn written(&self, list: List, viewer: Viewer) -> &Written {
        match list {
            List::Tools => &self.lists.tools,
            List::Resources => {
                let [chatgpt, claude, other] = &self.lists.resources;
                match viewer {
                    Viewer::ChatGpt => chatgpt,
                    Viewer::Claude => claude,
                    Viewer::Other => other,
                }
            }
            List::Templates => &self.lists.templates,
            List::Prompts => &self.lists.prompts,
        }
    }

    /// Whether both list the same.
    pub fn lists_the_same(&self, other: &Self, list: List) -> bool {
        Viewer::ALL.into_iter().all(|viewer| self.written(list, viewer) == other.written(list, viewer))
    }

    /// The prompt of this name.
    pub fn prompt(&self, name: &str, caller: &Caller) -> Result<&Place> {
        let sees = |place: &Place| caller.sees(self.to_connector(&place.connector));
        self.prompts.get(name).filter(|place| sees(place)).ok_or_else(|| {
            let known = self.prompts.iter().filter(|(_, place)| sees(place)).map(|(name, _)| name.as_str());
            Error::new(ErrorKind::UnknownTool, format!("unknown prompt `{}`{}", shown(name), hint(name, known)))
        })
    }

    /// Where the resource of this URI is: one that is listed, one whose URI says so, one that
    /// fits a template, or the only place where it can be.
    pub fn resource(&self, uri: &str, caller: &Caller) -> Result<Place> {
        let place = |server: &Server| {
            Some(Place { connector: server.names.connector.clone(), own: server.names.own_uri(uri)? })
        };
        let listed = self.resources.get(uri).or_else(|| self.resources.get(self.alias(uri)?)).cloned();
        let prefixed = || self.servers.values().filter(|server| server.names.prefix).find_map(place);
        let bare = || {
            let mut bare = self.servers.values().filter(|server| server.has_resources && !server.names.prefix);
            let fits = |server: &&Server| server.templates.iter().any(|start| uri.starts_with(start));
            let first = bare.next();
            bare.clone().chain(first).find(fits).or(first.filter(|_| bare.next().is_none())).and_then(place)
        };
        listed
            .or_else(prefixed)
            .or_else(bare)
            .filter(|place| caller.sees(self.to_connector(&place.connector)))
            .ok_or_else(|| Error::new(ErrorKind::UnknownResource, format!("unknown resource `{}`", shown(uri))))
    }

    /// The published form of what a page of a server calls by the server's own name.
    fn alias(&self, own: &str) -> Option<&str> {
        self.aliases.get(own)?.as_deref()
    }

    /// The connector a task is of, and its id there.
    pub fn task(&self, id: &str, caller: &Caller) -> Result<Place> {
        let found = id.split_once('.').and_then(|(connector, own)| {
            let (connector, _) = self.servers.iter().find(|(known, _)| known.as_str() == connector)?;
            let own = match caller {
                Caller::Known(principal) => own.strip_prefix(principal.tag().as_str())?.strip_prefix('.')?,
                Caller::Local | Caller::Anonymous { .. } => own,
            };
            Some(Place { connector: connector.clone(), own: own.to_owned() })
        });
        let found = found.filter(|place| caller.sees(self.to_connector(&place.connector)));
        found.ok_or_else(|| Error::new(ErrorKind::UnknownTool, format!("unknown task `{}`", shown(id))))
    }

    /// The tool of this name, as far as it is there for this caller.
    pub fn resolve(&self, name: &str, caller: &Caller) -> Result<&Arc<Entry>> {
        self.resolve_in(name, caller, &View::default())
    }

    /// The tool that a view calls so, as far as it is there for this caller. An unknown name is answered with the
    /// nearest ones of the view, a tool of a connector that is unavailable with the reason as its cause: it may name
    /// files and variables.
    pub fn resolve_in(&self, name: &str, caller: &Caller, view: &View) -> Result<&Arc<Entry>> {
        let own = self.own_name(name, view);
        let named = |name: &str| self.by_name.get(name).and_then(|index| self.entries.get(*index));
        let entry = named(own).or_else(|| named(self.alias(own)?));
        if let Some(entry) = entry.filter(|entry| view.holds(entry) && caller.sees(&entry.access)) {
            return Ok(entry);
        }
        let is_held = |it: &&Unavailable| view.takes(&it.connector, self.category(&it.connector), own);
        let unavailable = self.unavailable.get(own).filter(|it| caller.sees(&it.access)).filter(is_held);
        if let Some(Unavailable { connector, why, .. }) = unavailable {
            let (message, reason) = match why {
                Why::Down(reason) => (
                    format!("the connector {connector} is unavailable; its operator sees why with `switchboard check`"),
                    reason,
                ),
                Why::Withheld(reason) => {
                    (format!("`{}` of {connector} is withheld until its operator agrees to it", shown(name)), reason)
                }
            };
            return Err(Error::new(ErrorKind::Unavailable, message).because(reason.clone()));
        }
        let meant = self.meant(name, caller, view);
        Err(Error::new(ErrorKind::UnknownTool, format!("unknown tool `{}`{meant}", shown(name))))
    }
}

/// The category of what has none.
pub const GENERAL: &str = "general";

/// Takes a proof that nobody has.
const NOBODY: &Access = &Access::Proven(Vec::new());

/// The names that may have been meant.
fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = nearest(name, known);
    if near.is_empty() { String::new() } else { format!("; the nearest are {}", near.join(", ")) }
}
