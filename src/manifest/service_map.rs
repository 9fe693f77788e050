//! The manifest of the service-map system, exactly as its own tools write it.

use std::{collections::BTreeMap, num::NonZeroU64, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::credentials::Credentials;
use super::http::{HttpSettings, Response};
use super::limits::{Quotas, Timeouts};
use super::mcp::McpSettings;
use super::model::{AdapterSettings, Auth, AuthKind, Connector, Tool};
use super::retries::Retries;
use crate::name::ConnectorId;
use crate::secret::{Reference, Text};

/// What stands at the head of a document of connectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Masthead {
    /// The file it stands in.
    pub file: PathBuf,
    /// A ULID.
    pub id: String,
    /// Whose it is.
    pub brand: Option<String>,
    /// When it was made.
    pub generated_at: Option<String>,
    /// How long it is fresh, in seconds.
    pub ttl_seconds: Option<NonZeroU64>,
    /// Anything else.
    pub metadata: Map<String, Value>,
}

/// The document around the connectors.
#[expect(dead_code, reason = "the versions and the schema are checked here, and nobody asks for them")]
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServiceMap {
    /// The schema this file follows.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// A ULID.
    #[schemars(regex(pattern = "^[0-9A-HJKMNP-TV-Z]{26}$"))]
    pub id: String,
    /// Whose it is.
    #[serde(default)]
    pub brand: Option<String>,
    /// The manifest's version.
    #[schemars(length(min = 1))]
    pub manifest_version: String,
    /// The version of the schema.
    #[serde(default)]
    pub schema_version: Option<String>,
    /// When it was made, ISO 8601.
    #[serde(default)]
    pub generated_at: Option<String>,
    /// How long it is fresh.
    #[serde(default)]
    pub ttl_seconds: Option<NonZeroU64>,
    /// Anything else.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// The connectors, each read on its own.
    #[schemars(length(min = 1))]
    pub connectors: Vec<Value>,
}

/// One connector of the document.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServiceMapConnector {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]{1,62}$"))]
    id: ConnectorId,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    version: String,
    #[serde(default)]
    description: Option<String>,
    #[schemars(url)]
    endpoint: String,
    #[serde(default)]
    auth: ServiceMapAuth,
    #[serde(default)]
    authentication: Authentication,
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    scopes: Vec<String>,
    #[serde(default)]
    quotas: Quotas,
    #[serde(default)]
    timeouts: Timeouts,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    enabled: Option<bool>,
    ttl_seconds: NonZeroU64,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    remote_tools: Vec<RemoteTool>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceMapAuth {
    #[serde(rename = "type", default)]
    kind: ServiceMapAuthKind,
    #[serde(default)]
    header_name: Option<String>,
    #[serde(default)]
    query_param: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum ServiceMapAuthKind {
    #[default]
    None,
    ApiKey,
    Bearer,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Authentication {
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    value: Text,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Status {
    #[default]
    Enabled,
    Disabled,
    Preview,
}

/// A tool known before the upstream is reached.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemoteTool {
    name: String,
    description: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl ServiceMap {
    /// What stands at its head.
    pub(super) fn masthead(self, file: PathBuf) -> Masthead {
        let Self { id, brand, generated_at, ttl_seconds, metadata, .. } = self;
        Masthead { file, id, brand, generated_at, ttl_seconds, metadata }
    }
}

impl ServiceMapConnector {
    /// The connector in our shape. An endpoint whose path ends in `mcp` or `sse` is an MCP
    /// server; any other is the base of an HTTP API.
    pub(super) fn into_connector(self) -> Connector {
        let mcp = self.endpoint.split(['?', '#']).next().is_some_and(|path| {
            let last = path.trim_end_matches('/').rsplit('/').next();
            matches!(last, Some("mcp" | "sse"))
        });
        let adapter = if mcp {
            AdapterSettings::Mcp(McpSettings::at(self.endpoint, self.headers.clone()))
        } else {
            AdapterSettings::Http(HttpSettings {
                base_url: Text(self.endpoint),
                allow_private: false,
                headers: self.headers.clone(),
                response: Response::default(),
                probe: None,
                max_response_bytes: 2 << 20,
            })
        };
        let secrets = self.authentication.headers.into_iter().map(|Header { name, value }| (name, value));
        let headers = self.headers.into_iter().chain(secrets);
        Connector {
            schema: None,
            name: self.display_name.or(self.name).unwrap_or_else(|| self.id.to_string()),
            id: self.id,
            version: self.version,
            description: self.description,
            enabled: self.enabled.unwrap_or(self.status != Status::Disabled),
            prefix: true,
            category: self.metadata.get("category").and_then(Value::as_str).map(str::to_owned),
            tags: self.tags,
            ttl_seconds: Some(self.ttl_seconds),
            metadata: self.metadata,
            adapter,
            auth: Auth {
                kind: match self.auth.kind {
                    ServiceMapAuthKind::None => AuthKind::None,
                    ServiceMapAuthKind::ApiKey => AuthKind::ApiKey,
                    ServiceMapAuthKind::Bearer => AuthKind::Bearer,
                },
                scopes: Vec::new(),
                header_name: self.auth.header_name,
                query_param: self.auth.query_param,
            },
            credentials: Credentials {
                headers: headers.map(|(name, value)| (name, Reference::Text(value))).collect(),
                ..Credentials::default()
            },
            scopes: self.scopes,
            quotas: self.quotas,
            timeouts: self.timeouts,
            retries: Retries::default(),
            widget: None,
            pages: BTreeMap::new(),
            feeds: None,
            sample: None,
            instructions: None,
            pass_meta: Vec::new(),
            tools: self.remote_tools.into_iter().map(RemoteTool::into_tool).collect(),
            owner: None,
        }
    }
}

impl RemoteTool {
    /// The tool as far as it is known; its connector says how it is called.
    fn into_tool(self) -> Tool {
        Tool { tags: self.tags, scopes: self.scopes, ..Tool::named(self.name, self.description) }
    }
}
