//! What a manifest of our own shape says, field by field.

use std::{collections::BTreeMap, num::NonZeroU64};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    audit::Audited,
    collection::CollectionSettings,
    command::{CommandSettings, Run},
    credentials::Credentials,
    feeds::Feeds,
    file::FileArgument,
    http::{HttpSettings, Request},
    limits::{Quotas, Timeouts},
    mcp::McpSettings,
    openapi::OpenApiSettings,
    operation::Operation,
    owner::Owner,
    relations::Relations,
    retries::Retries,
    widget::{PageOptions, Widget},
};
use crate::name::ConnectorId;

/// One connector: an API, a program or another server, and the tools it offers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connector {
    /// The schema this file follows, for editors.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// Names it everywhere: lower-case letters, digits and `-`.
    pub id: ConnectorId,
    /// Its name for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The manifest's own version.
    #[schemars(length(min = 1))]
    pub version: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// `false` leaves it out.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `false` publishes its tools under their bare names instead of `<id>_<tool>`.
    #[serde(default = "yes")]
    pub prefix: bool,
    /// Groups it with others.
    #[serde(default)]
    pub category: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How long what is known of it stays fresh, so how often it is checked.
    #[serde(default)]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_seconds: Option<NonZeroU64>,
    /// Anything else worth keeping; shown in the service map.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// How it is spoken to.
    #[schemars(schema_with = "adapter_schema")]
    pub adapter: AdapterSettings,
    /// What callers must show us.
    #[serde(default)]
    pub auth: Auth,
    /// What we show the upstream. Never published.
    #[serde(default)]
    pub credentials: Credentials,
    /// Scopes a caller needs for any of its tools.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How much it may be used.
    #[serde(default)]
    pub quotas: Quotas,
    /// How long it may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When a call that failed is made again (`http`, `openapi`).
    #[serde(default)]
    pub retries: Retries,
    /// Defaults for its tools' widgets.
    #[serde(default)]
    pub widget: Option<Widget>,
    /// What its pages are, and may load, by the name its widgets know them under.
    #[serde(default)]
    pub pages: BTreeMap<String, PageOptions>,
    /// How the tools `search` and `fetch` find things in it.
    #[serde(default)]
    pub feeds: Option<Feeds>,
    /// A call that shows whether it works, for the dashboard.
    #[serde(default)]
    pub sample: Option<Sample>,
    /// What a model should know to use its tools well, after what they are for.
    #[serde(default)]
    pub instructions: Option<String>,
    /// Keys `openai/…` of requests' `_meta` that its MCP server may see, such as `openai/locale`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^openai/.+")))]
    pub pass_meta: Vec<String>,
    /// What it can do. An MCP server says so itself; here a tool of it may be given scopes, hints and times.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Who added it while the server ran. No manifest says so.
    #[serde(skip)]
    pub owner: Option<Owner>,
}

impl Connector {
    /// Everything its tools are shown with.
    pub fn widgets(&self) -> impl Iterator<Item = &Widget> {
        let mends = match &self.adapter {
            AdapterSettings::OpenApi(settings) => Some(settings.operations.values()),
            AdapterSettings::Http(_)
            | AdapterSettings::Command(_)
            | AdapterSettings::Mcp(_)
            | AdapterSettings::Collection(_)
            | AdapterSettings::Gateway(_) => None,
        };
        let mends = mends.into_iter().flatten().filter_map(|mend| mend.widget.as_ref());
        self.tools.iter().filter_map(|tool| tool.widget.as_ref()).chain(mends).chain(&self.widget)
    }
}

fn yes() -> bool {
    true
}

/// The adapter's kind and its settings. The schema of each kind is applied by its `kind`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum AdapterSettings {
    /// An HTTP API.
    Http(HttpSettings),
    /// An HTTP API that an `OpenAPI` document describes.
    #[serde(rename = "openapi")]
    OpenApi(Box<OpenApiSettings>),
    /// Programs on this machine.
    Command(CommandSettings),
    /// Another MCP server.
    Mcp(McpSettings),
    /// Items that are kept here.
    Collection(CollectionSettings),
    /// This gateway itself.
    Gateway(GatewaySettings),
}

impl AdapterSettings {
    /// The kind, as a manifest names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::OpenApi(_) => "openapi",
            Self::Command(_) => "command",
            Self::Mcp(_) => "mcp",
            Self::Collection(_) => "collection",
            Self::Gateway(_) => "gateway",
        }
    }
}

fn adapter_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "How it is spoken to: an HTTP API (described here or by an OpenAPI document), programs on this machine, another MCP server, items kept here, or this gateway itself.",
        "required": ["kind"],
        "properties": { "kind": { "enum": ["http", "openapi", "command", "mcp", "collection", "gateway"] } }
    })
}

/// This gateway itself: what it knows of its connectors. Its tools say by `operation` what they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {}

/// A call that shows whether a connector works.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// What the call does, in a few words.
    pub title: String,
    /// The tool, by its own name.
    pub tool: String,
    /// What it is called with.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// What callers must show to use a connector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// The kind of proof.
    #[serde(rename = "type", default)]
    pub kind: AuthKind,
    /// The OAuth scopes, for `bearer` and `oauth2`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The header an API key stands in.
    #[serde(default)]
    pub header_name: Option<String>,
    /// The query parameter an API key stands in.
    #[serde(default)]
    pub query_param: Option<String>,
}

/// The kind of proof a caller shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuthKind {
    /// None.
    #[default]
    None,
    /// An API key of this server.
    ApiKey,
    /// A bearer token.
    Bearer,
    /// A token with scopes.
    #[serde(rename = "oauth2")]
    OAuth2,
}

/// One tool.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tool {
    /// Its name within the connector.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// When to use it, for the model: "Use this when …".
    #[schemars(length(min = 1))]
    pub description: String,
    /// What it takes: JSON Schema 2020-12 with an object at its root.
    #[serde(default = "empty_object_schema")]
    pub input_schema: Map<String, Value>,
    /// What `structuredContent` looks like.
    #[serde(default)]
    pub output_schema: Option<Map<String, Value>>,
    /// What it does to the world; the adapter knows defaults.
    #[serde(default)]
    pub annotations: Annotations,
    /// What callers must show; else the connector's `auth` decides.
    #[serde(default)]
    pub security_schemes: Option<Vec<SecurityScheme>>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Scopes a caller needs beyond the connector's.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Anything a client understands.
    #[serde(rename = "_meta", default)]
    pub meta: Map<String, Value>,
    /// How it shows itself.
    #[serde(default)]
    pub widget: Option<Widget>,
    /// Whether it is listed to clients that search for tools, too: what shows a widget has to be seen by its client.
    #[serde(default)]
    pub pinned: bool,
    /// How long a call may take, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<NonZeroU64>,
    /// How long the same call is answered with the same result; for what is read-only.
    #[serde(default)]
    pub cache_seconds: Option<NonZeroU64>,
    /// When a call that failed is made again, instead of the connector's `retries`.
    #[serde(default)]
    pub retry: Retries,
    /// The HTTP request it makes (`http`).
    #[serde(default)]
    pub request: Option<Request>,
    /// The program it runs (`command`).
    #[serde(default)]
    pub run: Option<Run>,
    /// What it does (`collection`, `gateway`). Each kind of adapter knows its own words.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub operation: Option<Operation>,
    /// Arguments that are files of the person who asks; the client uploads them, and they are fetched from it.
    #[serde(default)]
    pub files: Ordered<FileArgument>,
    /// The tools it belongs together with.
    #[serde(default)]
    pub relations: Relations,
    /// What is recorded of its calls.
    #[serde(default)]
    pub audit: Audited,
}

impl Tool {
    /// A tool of which only name and purpose are known.
    pub fn named(name: String, description: String) -> Self {
        Self {
            name,
            title: None,
            description,
            input_schema: empty_object_schema(),
            output_schema: None,
            annotations: Annotations::default(),
            security_schemes: None,
            tags: Vec::new(),
            scopes: Vec::new(),
            meta: Map::new(),
            widget: None,
            pinned: false,
            timeout_ms: None,
            cache_seconds: None,
            retry: Retries::default(),
            request: None,
            run: None,
            operation: None,
            files: Ordered::new(),
            relations: Relations::default(),
            audit: Audited::default(),
        }
    }
}

fn empty_object_schema() -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema
}

/// Hints for people and models about what a tool does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Annotations {
    /// It changes nothing.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// It may destroy or overwrite something.
    #[serde(default)]
    pub destructive: Option<bool>,
    /// A second call with the same arguments changes nothing more.
    #[serde(default)]
    pub idempotent: Option<bool>,
    /// It reaches beyond the user's own data, to the open world.
    #[serde(default)]
    pub open_world: Option<bool>,
}

/// One way to be allowed to call a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum SecurityScheme {
    /// Anybody.
    #[serde(rename = "noauth")]
    NoAuth,
    /// A token with these scopes.
    #[serde(rename = "oauth2")]
    OAuth2 {
        /// The scopes.
        #[serde(default)]
        scopes: Vec<String>,
    },
}

/// Members in the order they were written.
pub(super) type Ordered<T> = IndexMap<String, T>;
