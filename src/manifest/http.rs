//! What a manifest says about an HTTP API.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    model::Ordered,
    query::Query,
    template::{JsonTemplate, Template},
};
use crate::secret::Text;

/// An HTTP API.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpSettings {
    /// Where every path begins: scheme, host and an optional path.
    pub base_url: Text,
    /// Lets it be on a private, loopback or link-local address.
    #[serde(default)]
    pub allow_private: bool,
    /// Headers of every request that are no secret.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// How to read its answers.
    #[serde(default)]
    pub response: Response,
    /// A path below `baseUrl` that answers well while the API is well; without one, any answer will do.
    #[serde(default)]
    #[schemars(regex(pattern = "^/[^?#]*$"))]
    pub probe: Option<String>,
    /// The largest answer to take, in bytes.
    #[serde(default = "two_mebibytes")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_response_bytes: usize,
}

fn two_mebibytes() -> usize {
    2 << 20
}

/// One request, made from a tool's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path below the base URL, e.g. `/repos/{owner}/{repo}`. Arguments are percent-encoded;
    /// `{+path}` keeps its slashes.
    #[schemars(extend("pattern" = "^/"))]
    pub path: Template,
    /// Query parameters; left out when their argument is absent.
    #[serde(default)]
    pub query: Ordered<Template>,
    /// Headers; left out when their argument is absent.
    #[serde(default)]
    pub headers: Ordered<Template>,
    /// The body.
    #[serde(default)]
    pub body: Option<Body>,
    /// How to read the answer, instead of the adapter's way.
    #[serde(default)]
    pub response: Option<Response>,
}

/// A request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Reads headers.
    Head,
    /// Makes or does something.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

/// A request's body: exactly one of its forms.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Body {
    /// JSON.
    #[serde(default)]
    pub json: Option<JsonTemplate>,
    /// `application/x-www-form-urlencoded`.
    #[serde(default)]
    pub form: Option<Ordered<Template>>,
    /// Text as it is.
    #[serde(default)]
    pub text: Option<Template>,
    /// The text's media type, `text/plain; charset=utf-8` when unsaid.
    #[serde(default)]
    pub content_type: Option<String>,
    /// `multipart/form-data`.
    #[serde(default)]
    pub multipart: Option<Multipart>,
    /// One of the tool's `files`, as it is.
    #[serde(default)]
    pub file: Option<String>,
}

/// The parts of a multipart body.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Multipart {
    /// Plain fields.
    #[serde(default)]
    pub fields: Ordered<Template>,
    /// Files.
    #[serde(default)]
    pub files: Ordered<FilePart>,
}

/// A file in a multipart body.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilePart {
    /// Its contents.
    #[serde(default)]
    pub data: Option<Template>,
    /// One of the tool's `files`, instead of `data`.
    #[serde(default)]
    pub file: Option<String>,
    /// How `data` is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// The name it is sent under.
    #[serde(default)]
    pub filename: Option<Template>,
    /// Its media type, `application/octet-stream` when unsaid.
    #[serde(default)]
    pub content_type: Option<Template>,
}

/// How bytes are written in an argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Encoding {
    /// Base64.
    #[default]
    Base64,
    /// The text itself.
    Text,
}

/// How an answer is read, and how much of it becomes the result.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Response {
    /// JSON pointer to the part to keep.
    #[serde(default)]
    #[schemars(regex(pattern = "^(/.*)?$"))]
    pub pick: Option<String>,
    /// What to keep, of the part that was picked: one value where the query can only mean one, else a list of all that
    /// it finds.
    #[serde(default)]
    pub select: Option<Query>,
    /// What to leave out of what was kept.
    #[serde(default)]
    pub drop: Vec<Query>,
    /// The most bytes a result may have; of a larger one, whole items of its longest list are left out first, then the
    /// ends of long texts, and words say how much is missing.
    #[serde(default)]
    #[schemars(range(min = 256, max = 1_073_741_824))]
    pub max_bytes: Option<usize>,
    /// What in the body means failure, whatever the status.
    #[serde(default)]
    pub failure: Vec<FailureMark>,
    /// JSON pointers to the upstream's own words for a failure, best first.
    #[serde(default)]
    pub message: Vec<String>,
}

impl Response {
    /// Whether a result is smaller than the answer it is made of.
    pub fn reduces(&self) -> bool {
        self.pick.is_some() || self.select.is_some() || !self.drop.is_empty() || self.max_bytes.is_some()
    }
}

/// Something in a body that means failure.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureMark {
    /// JSON pointer.
    pub at: String,
    /// The value that means failure; when unsaid, any but null, `false` and `""`.
    #[serde(default)]
    pub is: Option<Value>,
}
