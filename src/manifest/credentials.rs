//! What a manifest says of what an upstream is shown.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::{Reference, Text};

/// Values sent upstream with every call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Request headers (`http`, `openapi`, `mcp` with a `url`).
    #[serde(default)]
    pub headers: BTreeMap<String, Reference>,
    /// Query parameters (`http`, `openapi`).
    #[serde(default)]
    pub query: BTreeMap<String, Reference>,
    /// Cookies (`http`, `openapi`).
    #[serde(default)]
    pub cookies: BTreeMap<String, Reference>,
    /// Environment variables (`command`, `mcp` with a `program`).
    #[serde(default)]
    pub env: BTreeMap<String, Reference>,
    /// A user name and a password, in the header `Authorization`.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// A token, in the header `Authorization` after the word `Bearer`.
    #[serde(default)]
    pub bearer: Option<Reference>,
    /// A token of an OAuth 2.0 issuer.
    #[serde(default)]
    pub oauth: Option<Box<OAuth>>,
}

/// A user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user name.
    pub username: Reference,
    /// The password.
    pub password: Reference,
}

/// How a token is had.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OAuth {
    /// By what.
    pub grant: Grant,
    /// The issuer, exactly as its own metadata names it; the addresses below are read there.
    #[serde(default)]
    pub issuer: Option<Text>,
    /// Where tokens are.
    #[serde(default)]
    pub token_url: Option<Text>,
    /// Where people agree, for `caller`.
    #[serde(default)]
    pub authorization_url: Option<Text>,
    /// Who we are at the issuer.
    #[serde(default)]
    pub client_id: Option<Text>,
    /// What proves it.
    #[serde(default)]
    pub client_secret: Option<Reference>,
    /// How it is shown; unsaid, as the issuer's metadata wants it, else `basic`.
    #[serde(default)]
    pub client_auth: Option<ClientAuth>,
    /// The scopes to ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whom the token is for, as some issuers want it named.
    #[serde(default)]
    pub audience: Option<Text>,
    /// The same as an address (RFC 8707).
    #[serde(default)]
    pub resource: Option<Text>,
    /// The first refresh token, for `refreshToken`. When the issuer gives another one, that is kept and used.
    #[serde(default)]
    pub refresh_token: Option<Reference>,
    /// Lets the issuer be at a private address, and be reached without TLS.
    #[serde(default)]
    pub allow_private: bool,
    /// The header the token stands in.
    #[serde(default = "authorization")]
    pub header: String,
    /// What stands before it there.
    #[serde(default = "bearer")]
    pub prefix: String,
}

/// By what a token is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Grant {
    /// We ask in our own name.
    ClientCredentials,
    /// Somebody gave us a refresh token.
    RefreshToken,
    /// We ask in the caller's name, for whom our own issuer vouches (RFC 8693).
    TokenExchange,
    /// Each caller agrees for themselves.
    Caller,
}

/// How a client says who it is at a token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuth {
    /// By a header (`client_secret_basic`).
    Basic,
    /// In the form (`client_secret_post`).
    Post,
    /// By its id alone: it has no secret.
    None,
}

impl Credentials {
    /// Each reference, with its place below `credentials`.
    pub fn references(&self) -> Vec<(String, &Reference)> {
        let named =
            [("headers", &self.headers), ("query", &self.query), ("cookies", &self.cookies), ("env", &self.env)];
        let named = named.into_iter().flat_map(|(kind, references)| {
            references
                .iter()
                .map(move |(name, reference)| (format!("/{kind}/{}", super::template::escape(name)), reference))
        });
        let basic = self
            .basic
            .iter()
            .flat_map(|basic| [("/basic/username", &basic.username), ("/basic/password", &basic.password)]);
        let oauth = self.oauth.iter().flat_map(|oauth| {
            let secret = oauth.client_secret.as_ref().map(|secret| ("/oauth/clientSecret", secret));
            secret.into_iter().chain(oauth.refresh_token.as_ref().map(|token| ("/oauth/refreshToken", token)))
        });
        let bearer = self.bearer.as_ref().map(|bearer| ("/bearer", bearer));
        let single = basic.chain(bearer).chain(oauth).map(|(at, reference)| (at.to_owned(), reference));
        named.chain(single).collect()
    }

    /// Whether each caller shows something of their own.
    pub fn is_per_caller(&self) -> bool {
        self.oauth.as_ref().is_some_and(|oauth| matches!(oauth.grant, Grant::TokenExchange | Grant::Caller))
    }
}

fn authorization() -> String {
    "Authorization".into()
}

fn bearer() -> String {
    "Bearer ".into()
}
