//! `OpenAPI` documents → tools, and a tool's arguments → the request they mean. Values in, values out.

use std::{collections::BTreeMap, sync::Arc};

use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

mod argument;
mod body;
mod choice;
mod convert;
mod dialect;
mod facts;
mod more;
mod name;
mod node;
mod operation;
mod output;
mod overlay;
mod parameter;
mod pattern;
mod plan;
mod read;
mod refer;
mod request;
mod schema;
mod security;
mod server;
mod slots;
mod text;

pub use convert::convert;
pub use overlay::overlay;
pub use plan::{
    Body, Draft, DraftBody, DraftPart, Encode, Location, Member, Parameter, PartEncode, Plan, Shape, Style, Upload,
};
pub use read::parse;
pub use refer::references;
pub use request::is_text;
pub use slots::{Slot, slots, unfilled};

use crate::manifest::{Response, Tool};

/// A document, and what it refers to.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The document, overlays applied.
    pub document: &'a Value,
    /// Where it was had; its relative addresses begin there.
    pub at: Option<&'a Url>,
    /// The documents it refers to: by the text [`references`] gave. One that another refers to is known by its own
    /// address when `at` is known, and else by its path beside the first (`schemas/pet.yaml` that refers to
    /// `owner.yaml` means `schemas/owner.yaml`). One document may have several names.
    pub others: &'a BTreeMap<String, Arc<Value>>,
}

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
    /// The name under which the manifest mends it.
    pub mend: Option<String>,
    /// Where its path begins, when that is not where the others begin.
    pub base: Option<Url>,
    /// Whether a document from the net says so, which the first refers to.
    pub base_from_afar: bool,
    /// Whether `structuredContent` is `{"result": …}`, because what the document promises is no object.
    pub wrapped: bool,
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
