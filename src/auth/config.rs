//! What the settings say of callers.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::{Hidden, Reference};

/// Who may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuthConfig {
    /// What callers show. Unsaid, it is `api-key` when a key is set, else `none`.
    pub mode: Option<Mode>,
    /// With `oauth` and `built-in`: everybody may connect and see the list, and each tool says for itself what it takes.
    pub mixed: bool,
    /// The file of API keys, which `switchboard keys` writes; `keys.json` in the data folder when unsaid.
    pub keys_file: Option<PathBuf>,
    /// With `none`: the endpoint is `/<this>/mcp`, which nobody can guess.
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]{16,128}$"))]
    #[serde(skip_serializing)]
    pub secret_path: Option<Hidden>,
    /// The issuer of tokens, with `oauth`.
    pub oauth: OAuthConfig,
    /// Our own issuer, with `built-in`.
    pub built_in: BuiltInConfig,
}

/// What callers show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing.
    None,
    /// An API key.
    ApiKey,
    /// A token of an issuer elsewhere; an API key too, when one is set.
    #[serde(rename = "oauth")]
    OAuth,
    /// A token of the issuer in this program; an API key too, when one is set.
    BuiltIn,
}

/// An issuer of tokens elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OAuthConfig {
    /// The issuer, exactly as its own metadata names it.
    #[schemars(extend("pattern" = "^https?://[^\\s]+$"))]
    pub issuer: Option<String>,
    /// What tokens have to be meant for; the address of the MCP endpoint when unsaid.
    pub audience: Vec<String>,
    /// Scopes the issuer can give out, which clients are told to ask for. Unsaid, nothing is known of them.
    pub scopes: Vec<String>,
    /// The claims that hold scopes or roles: text with spaces between, or a list. Unsaid: `scope`, `scp`, `roles`.
    pub scope_claims: Vec<String>,
    /// The claim that names the tenant.
    pub tenant_claim: Option<String>,
    /// Where to ask about tokens that cannot be read.
    pub introspection: Option<Introspection>,
    /// Whether the issuer may stand at a private address.
    pub allow_private: bool,
}

/// Where to ask about tokens that cannot be read (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Introspection {
    /// The endpoint; the one the issuer's metadata names when unsaid.
    #[serde(default)]
    pub url: Option<String>,
    /// Who we are there.
    pub client_id: String,
    /// What proves it.
    #[serde(skip_serializing)]
    pub client_secret: Reference,
}

/// The issuer in this program.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BuiltInConfig {
    /// A client whose id and secret a person types into it.
    pub client: Option<PredefinedClient>,
    /// Whether clients may register themselves.
    pub registration: bool,
    /// The hosts at which clients may describe themselves by a metadata document; unsaid, all.
    pub client_hosts: Vec<String>,
    /// Whether such documents may stand at private addresses.
    pub allow_private_clients: bool,
    /// Whether answers name the issuer (RFC 9207) and say so in advance.
    pub advertise_iss: bool,
    /// How long an access token is good for, in seconds.
    #[schemars(range(min = 60, max = 86_400))]
    pub access_token_seconds: u64,
    /// How long a client that is not used stays connected, in days.
    #[schemars(range(min = 1, max = 3650))]
    pub idle_days: u64,
    /// How long a refresh token that was used already is answered once more, in seconds.
    #[schemars(range(max = 600))]
    pub refresh_grace_seconds: u64,
}

/// A client whose id and secret a person types into it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PredefinedClient {
    /// Its id.
    #[schemars(extend("pattern" = "^[!-~]{1,200}$"))]
    pub id: String,
    /// Its secret; none for a public client.
    #[serde(default, skip_serializing)]
    pub secret: Option<Reference>,
    /// Where people are sent back to; unsaid, the known addresses of ChatGPT, Claude, VS Code and Cursor, and this machine.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
}

impl Default for BuiltInConfig {
    fn default() -> Self {
        Self {
            client: None,
            registration: true,
            client_hosts: Vec::new(),
            allow_private_clients: false,
            advertise_iss: true,
            access_token_seconds: 3600,
            idle_days: 90,
            refresh_grace_seconds: 60,
        }
    }
}
