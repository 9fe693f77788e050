//! `OpenAPI` documents → tools, and a tool's arguments → the request they mean. Values in, values out.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use url::Url;

mod plan;
mod request;

pub use plan::{
    Body, Draft, DraftBody, DraftPart, Encode, Location, Member, Parameter, PartEncode, Plan, Shape, Style, Upload,
};
pub use request::is_text;

use crate::manifest::{Response, Tool};

/// What became of a document.
#[derive(Debug, Clone, Default)]
pub struct Converted {
    /// Its name.
    pub title: String,
    /// Its own version.
    pub version: String,
    /// What it is for.
    pub description: Option<String>,
    /// Which form it has: `2.0`, `3.0` or `3.1`.
    pub dialect: &'static str,
    /// Where every path begins, or why that cannot be said.
    pub base: Option<Result<Url, String>>,
    /// How many operations it has, whatever became of them.
    pub operations: usize,
    /// The tools.
    pub tools: Vec<ApiTool>,
    /// What became no tool, and why.
    pub skipped: Vec<Skipped>,
    /// What is odd but harmless: a JSON pointer into the document and words.
    pub remarks: Vec<(String, String)>,
    /// What callers must show the API, by the document's name for it.
    pub security: IndexMap<String, Proof>,
    /// Operations by tag.
    pub tags: BTreeMap<String, usize>,
}

/// One operation as a tool.
#[derive(Debug, Clone)]
pub struct ApiTool {
    /// Its `operationId`, else `GET /path`.
    pub id: String,
    /// Its place in the document, a JSON pointer.
    pub place: String,
    /// What clients see, and what is checked.
    pub tool: Tool,
    /// How it is called.
    pub plan: Plan,
    /// How its answer is read, when the manifest says.
    pub response: Option<Response>,
    /// Alternatives; of each, all have to be shown: names in [`Converted::security`] with their scopes. None asks nothing.
    pub security: Vec<Vec<(String, Vec<String>)>>,
}

/// An operation that became no tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// `GET /path`.
    pub operation: String,
    /// Its place in the document, a JSON pointer.
    pub place: String,
    /// Why, in words for a person.
    pub reason: String,
    /// Whether somebody wanted it so, by a choice in the manifest or because it is deprecated.
    pub wanted: bool,
}

/// What an API wants to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A value in a header.
    Header(String),
    /// A value in a query parameter.
    Query(String),
    /// A value in a cookie.
    Cookie(String),
    /// A user name and a password.
    Basic,
    /// A bearer token.
    Bearer,
    /// A token of an OAuth 2.0 issuer.
    OAuth2(OAuth2Proof),
    /// A token of an issuer that its discovery document describes.
    OpenIdConnect(String),
    /// Something nobody can show from here, such as a client certificate.
    Other(String),
}

/// How a token is had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OAuth2Proof {
    /// Where people agree, for the authorization code flow.
    pub authorization_url: Option<String>,
    /// Where tokens are.
    pub token_url: Option<String>,
    /// Whether a client may ask in its own name.
    pub client_credentials: bool,
    /// Scopes and what they are for.
    pub scopes: BTreeMap<String, String>,
}
