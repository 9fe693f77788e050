//! What a manifest says about an HTTP API that an `OpenAPI` document describes.

use std::{collections::BTreeMap, num::NonZeroU64, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    audit::Audited,
    file::FileArgument,
    http::{Method, Response},
    model::{Annotations, Ordered, SecurityScheme},
    relations::Relations,
    retries::Retries,
    widget::Widget,
};
use crate::secret::{Reference, Text};

/// An HTTP API that an `OpenAPI` document describes: one tool for each of its operations.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenApiSettings {
    /// The document (Swagger 2.0, `OpenAPI` 3.0 or 3.1; JSON or YAML): a file, relative to the manifest's folder, or
    /// a web address.
    pub spec: Text,
    /// Headers that are shown to the document's own address, and nobody else.
    #[serde(default)]
    pub spec_headers: BTreeMap<String, Reference>,
    /// A document at an address is asked for again after this long.
    #[serde(default = "an_hour")]
    pub refresh_seconds: NonZeroU64,
    /// Origins besides the document's own that it may refer to, such as `https://schemas.example.com`.
    #[serde(default)]
    pub allow_refs: Vec<String>,
    /// `OpenAPI` Overlay 1.0 documents beside the manifest, applied in this order before anything is read.
    #[serde(default)]
    pub overlays: Vec<PathBuf>,
    /// Where every path begins, instead of what the document says.
    #[serde(default)]
    pub base_url: Option<Text>,
    /// Values for the variables in the document's server address.
    #[serde(default)]
    pub server_variables: BTreeMap<String, String>,
    /// Lets the API, and the document, be on a private, loopback or link-local address.
    #[serde(default)]
    pub allow_private: bool,
    /// Headers of every request that are no secret.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// How to read its answers.
    #[serde(default)]
    pub response: Response,
    /// A path below the base address that answers well while the API is well; without one, any answer will do.
    #[serde(default)]
    #[schemars(regex(pattern = "^/[^?#]*$"))]
    pub probe: Option<String>,
    /// The largest answer to take, in bytes.
    #[serde(default = "two_mebibytes")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_response_bytes: usize,
    /// Only the operations that one of these chooses; without any, all.
    #[serde(default)]
    pub include: Vec<Choice>,
    /// None of the operations that one of these chooses.
    #[serde(default)]
    pub exclude: Vec<Choice>,
    /// Whether deprecated operations become tools.
    #[serde(default)]
    pub deprecated: bool,
    /// What tools promise of their results.
    #[serde(default)]
    pub output: OutputPromise,
    /// What is mended in single operations, by their `operationId` or as `GET /path`.
    #[serde(default)]
    pub operations: Ordered<Mend>,
}

/// Chooses operations: everything that is given has to fit, and of a list one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
// Programs' arguments have a `Choice`, too, and the schema of manifests knows its parts by name.
#[schemars(rename = "OperationChoice")]
pub struct Choice {
    /// One of their tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Their path as the document writes it; `*` stands for one segment's text, `**` for any text.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Their method.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Their `operationId`, or `GET /path`.
    #[serde(default)]
    pub operations: Vec<String>,
}

/// What tools promise of their results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OutputPromise {
    /// The form of what the document says, and no more: real services leave members out and add others.
    #[default]
    Loose,
    /// To the letter; an answer that differs is an error.
    Strict,
    /// Nothing.
    None,
}

/// What is mended in one operation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mend {
    /// `false` leaves it out.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// The tool's name.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub name: Option<String>,
    /// Its name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// When to use it, for the model.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub description: Option<String>,
    /// What it does to the world, where the method tells it wrong: `{"readOnly": true}` for a POST that searches.
    #[serde(default)]
    pub annotations: Annotations,
    /// What callers must show.
    #[serde(default)]
    pub security_schemes: Option<Vec<SecurityScheme>>,
    /// Scopes a caller needs beyond the connector's.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Anything a client understands.
    #[serde(rename = "_meta", default)]
    pub meta: Map<String, Value>,
    /// How it shows itself.
    #[serde(default)]
    pub widget: Option<Widget>,
    /// Whether it is listed to clients that search for tools, too.
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
    /// Its parameters and the members of its body, by the name the document gives them.
    #[serde(default)]
    pub parameters: Ordered<MendParameter>,
    /// How to read its answers, instead of the adapter's way.
    #[serde(default)]
    pub response: Option<Response>,
    /// The tools it belongs together with, beside those that the document links it to.
    #[serde(default)]
    pub relations: Relations,
    /// What is recorded of its calls.
    #[serde(default)]
    pub audit: Audited,
}

/// What is mended in one parameter.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MendParameter {
    /// The name the model sees.
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"))]
    pub name: Option<String>,
    /// What it is, for the model.
    #[serde(default)]
    pub description: Option<String>,
    /// Its schema, instead of the document's.
    #[serde(default)]
    pub schema: Option<Map<String, Value>>,
    /// What is sent when the model says nothing.
    #[serde(default)]
    pub default: Option<Value>,
    /// What is always sent; the model does not see the parameter.
    #[serde(default)]
    pub value: Option<Value>,
    /// `true` takes it from the model's sight; it is not sent unless it has a `default`.
    #[serde(default)]
    pub hidden: bool,
    /// Whether it has to be given.
    #[serde(default)]
    pub required: Option<bool>,
    /// It is a file of the person who asks, which is fetched from the client and sent on.
    #[serde(default)]
    pub file: Option<FileArgument>,
}

fn an_hour() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(3599)
}

fn two_mebibytes() -> usize {
    2 << 20
}
