//! Pages as `ui://` resources: one address for each version, and the words every family of clients wants.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::manifest::{Checked, ClientName, Connector, Domain, PageOptions};
use crate::name::{ConnectorId, shown};
use crate::widget::{Csp, Load, NO_LIST, NOT_ABSOLUTE, Page, Pages, fingerprint, loads, sha256_hex, uncovered};

/// The media type of a page (MCP Apps, 2026-01-26).
pub const PAGE_TYPE: &str = "text/html;profile=mcp-app";

/// Faults of one page that are told.
const MOST_FAULTS: usize = 20;

/// Clients that want different things of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Viewer {
    /// `ChatGPT`.
    ChatGpt,
    /// Claude.
    Claude,
    /// Any other.
    #[default]
    Other,
}

impl Viewer {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::ChatGpt, Self::Claude, Self::Other];

    /// The client of this name, from its own mouth or its `User-Agent`.
    pub fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if is(&["openai", "chatgpt"]) {
            Self::ChatGpt
        } else if is(&["claude", "anthropic"]) {
            Self::Claude
        } else {
            Self::Other
        }
    }
}

/// A page as it is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its address, which names its contents.
    pub uri: String,
    /// Its connector.
    pub connector: ConnectorId,
    /// Its name.
    pub name: String,
    title: Option<String>,
    description: Option<String>,
    html: Arc<str>,
    csp: Csp,
    prefers_border: bool,
    permissions: Map<String, Value>,
    domains: Domains,
    /// What it loads from us, below `/assets/`.
    #[serde(default)]
    pub assets: Vec<String>,
    /// What it would load and its policy forbids, in words.
    #[serde(skip)]
    pub(super) faults: Vec<String>,
}

/// The origins a page wants to run on, by client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Domains {
    chatgpt: Option<String>,
    claude: Option<String>,
    other: Option<String>,
}

impl Shown {
    /// Publishes a page for a connector.
    fn new(connector: &ConnectorId, page: &Page, options: &PageOptions, pages: &Pages) -> Result<Self, String> {
        let (html, assets) = pages.placed(page)?;
        let mut csp = options.csp.clone();
        let base = pages.base.as_deref().and_then(|base| Url::parse(base).ok());
        if let Some(base) = base.filter(|_| !assets.is_empty()) {
            let origin = base.origin().ascii_serialization();
            if !csp.resource_domains.contains(&origin) {
                csp.resource_domains.push(origin);
            }
        }
        let mut shown = Self {
            uri: String::new(),
            connector: connector.clone(),
            name: page.name.clone(),
            title: options.title.clone(),
            description: options.description.clone(),
            html,
            csp,
            prefers_border: options.prefers_border,
            permissions: options.permissions.clone(),
            domains: domains(options.domain.as_ref(), pages),
            assets,
            faults: Vec::new(),
        };
        shown.faults = shown.find_faults();
        // A client keeps what an address stands for, with all that is said of it.
        let said = Viewer::ALL.map(|viewer| shown.meta(viewer).to_string()).concat();
        let hash = fingerprint(&[shown.html.as_bytes(), said.as_bytes()]);
        let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let name: String = page.name.chars().map(fits).collect();
        shown.uri = format!("ui://{connector}/{name}-{hash}.html");
        Ok(shown)
    }

    /// Whether it is the same for every client.
    pub fn is_for_all(&self) -> bool {
        self.domains == Domains::default()
    }

    /// What `resources/list` says of it.
    pub fn listed(&self, viewer: Viewer) -> Value {
        let mut item = json!({ "uri": self.uri, "name": self.name });
        if let Value::Object(item) = &mut item {
            item.extend(self.title.iter().map(|title| ("title".into(), json!(title))));
            item.extend(self.description.iter().map(|text| ("description".into(), json!(text))));
            item.insert("mimeType".into(), json!(PAGE_TYPE));
            item.insert("_meta".into(), self.meta(viewer));
        }
        item
    }

    /// What `resources/read` gives of it.
    pub fn contents(&self, viewer: Viewer) -> Value {
        json!({ "uri": self.uri, "mimeType": PAGE_TYPE, "text": self.html, "_meta": self.meta(viewer) })
    }

    /// Both families of keys: MCP Apps' and `ChatGPT`'s, which reads no other.
    fn meta(&self, viewer: Viewer) -> Value {
        let Self { csp, domains, prefers_border, .. } = self;
        let domain = match viewer {
            Viewer::ChatGpt => domains.chatgpt.as_ref(),
            Viewer::Claude => domains.claude.as_ref(),
            Viewer::Other => domains.other.as_ref(),
        };
        let mut ui = json!({
            "prefersBorder": prefers_border,
            "csp": {
                "connectDomains": csp.connect_domains,
                "resourceDomains": csp.resource_domains,
                "frameDomains": csp.frame_domains,
                "baseUriDomains": csp.base_uri_domains,
            },
        });
        let mut meta = json!({
            "openai/widgetPrefersBorder": prefers_border,
            "openai/widgetCSP": {
                "connect_domains": csp.connect_domains,
                "resource_domains": csp.resource_domains,
                "frame_domains": csp.frame_domains,
                "redirect_domains": csp.redirect_domains,
            },
        });
        if let (Value::Object(ui), Value::Object(meta)) = (&mut ui, &mut meta) {
            ui.extend(domain.map(|domain| ("domain".into(), json!(domain))));
            if !self.permissions.is_empty() {
                ui.insert("permissions".into(), json!(self.permissions));
            }
            meta.extend(self.description.iter().map(|text| ("openai/widgetDescription".into(), json!(text))));
            meta.extend(domains.chatgpt.iter().map(|domain| ("openai/widgetDomain".into(), json!(domain))));
        }
        json_first("ui", ui, meta)
    }

    fn find_faults(&self) -> Vec<String> {
        let loads = loads(&self.html);
        let say = |(load, reason): (&Load, &str)| {
            let url = shown(&load.url);
            match reason {
                NOT_ABSOLUTE | NO_LIST => format!("the page loads `{url}`: {reason}"),
                list => format!("the page loads `{url}`, which clients forbid unless `csp.{list}` lists its origin"),
            }
        };
        uncovered(&loads, &self.csp, &[]).into_iter().take(MOST_FAULTS).map(say).collect()
    }
}

fn json_first(name: &str, value: Value, rest: Value) -> Value {
    let mut all = Map::from_iter([(name.to_owned(), value)]);
    if let Value::Object(rest) = rest {
        all.extend(rest);
    }
    Value::Object(all)
}

/// What each client wants to hear: `ChatGPT` an origin, Claude a host made from the hash of the server's address
/// (both from their guides).
fn domains(domain: Option<&Domain>, pages: &Pages) -> Domains {
    match domain {
        None => Domains::default(),
        Some(Domain::All(domain)) if domain == "auto" => {
            let Some(base) = pages.base.as_ref().filter(|_| pages.is_public) else { return Domains::default() };
            let origin = Url::parse(base).ok().map(|base| base.origin().ascii_serialization());
            let hash: String = sha256_hex(&format!("{base}/mcp")).chars().take(32).collect();
            Domains { chatgpt: origin, claude: Some(format!("{hash}.claudemcpcontent.com")), other: None }
        }
        Some(Domain::All(domain)) => {
            let domain = Some(domain.clone());
            Domains { chatgpt: domain.clone(), claude: domain.clone(), other: domain }
        }
        Some(Domain::ByClient(domains)) => {
            let of = |client: ClientName| domains.get(&client).or(domains.get(&ClientName::Default)).cloned();
            Domains { chatgpt: of(ClientName::Chatgpt), claude: of(ClientName::Claude), other: of(ClientName::Default) }
        }
    }
}

/// The pages that connectors show, by connector and the name their widgets know them under; or why there is none.
/// Made once for all snapshots that show the same.
#[derive(Debug, Default)]
pub struct ShownPages(HashMap<(ConnectorId, String), Result<Arc<Shown>, String>>);

impl ShownPages {
    /// The pages these connectors want.
    pub fn new<'a>(connectors: impl IntoIterator<Item = &'a Checked>, pages: &Pages) -> Self {
        let mut all = HashMap::new();
        for checked in connectors {
            let Connector { id, pages: options, .. } = &checked.connector;
            for reference in checked.connector.widgets().filter_map(|widget| widget.page.as_ref()) {
                all.entry((id.clone(), reference.clone())).or_insert_with(|| {
                    let page = pages.find(checked.folder(), reference)?;
                    let unsaid = PageOptions::default();
                    Shown::new(id, &page, options.get(reference).unwrap_or(&unsaid), pages).map(Arc::new)
                });
            }
        }
        Self(all)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Shown>> {
        self.0.values().filter_map(|page| page.as_ref().ok())
    }

    pub(super) fn get(&self, connector: &ConnectorId, reference: &str) -> Result<&Arc<Shown>, &str> {
        let found = self.0.get(&(connector.clone(), reference.to_owned()));
        found.map_or(Err("it was not read"), |found| found.as_ref().map_err(String::as_str))
    }
}

/// Whether a page wants a border, in each family's words.
const BORDER: [&str; 2] = ["prefersBorder", "openai/widgetPrefersBorder"];

/// The resource of an upstream, as a list names it or as it is read: when it is a page, both families of keys say
/// the same of it.
pub fn in_step(resource: &mut Map<String, Value>) -> bool {
    if resource.get("mimeType").and_then(Value::as_str).is_none_or(|kind| !kind.starts_with("text/html")) {
        return false;
    }
    let Some(Value::Object(meta)) = resource.get_mut("_meta") else { return false };
    let before = meta.clone();
    let standard = meta.get("ui").and_then(|ui| ui.get(BORDER[0])).cloned();
    match (standard, meta.get(BORDER[1]).cloned()) {
        (Some(border), None) => {
            meta.insert(BORDER[1].into(), border);
        }
        (None, Some(border)) => say(meta, BORDER[0], border),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let names = [
        ("connectDomains", "connect_domains"),
        ("resourceDomains", "resource_domains"),
        ("frameDomains", "frame_domains"),
    ];
    let renamed = |csp: &Value, back: bool| {
        let of = |(theirs, ours): &(&str, &str)| {
            let (from, to) = if back { (ours, theirs) } else { (theirs, ours) };
            Some(((*to).to_owned(), csp.get(*from)?.clone()))
        };
        Value::Object(names.iter().filter_map(of).collect())
    };
    let standard = meta.get("ui").and_then(|ui| ui.get("csp")).cloned();
    let theirs = meta.get("openai/widgetCSP").cloned();
    if standard.is_some() || theirs.is_some() {
        // What one of them lists and the other does not, both list.
        let [mut standard, mut theirs] = [standard, theirs].map(Option::unwrap_or_default);
        let (more, less) = (renamed(&theirs, true), renamed(&standard, false));
        fill(&mut standard, more);
        fill(&mut theirs, less);
        say(meta, "csp", standard);
        meta.insert("openai/widgetCSP".into(), theirs);
    }
    *meta != before
}

/// Adds members that are not there.
fn fill(object: &mut Value, more: Value) {
    if object.is_null() {
        *object = json!({});
    }
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        for (name, value) in more {
            object.entry(name).or_insert(value);
        }
    }
}

/// Says something in MCP Apps' words.
fn say(meta: &mut Map<String, Value>, name: &str, value: Value) {
    if let Value::Object(ui) = meta.entry("ui").or_insert_with(|| json!({})) {
        ui.insert(name.into(), value);
    }
}
