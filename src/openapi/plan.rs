//! How an operation is called: which argument stands where, and how it is written there.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::manifest::Method;

/// How an operation is called.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Its method.
    pub method: Method,
    /// Its path as the document writes it, e.g. `/pets/{petId}`.
    pub path: String,
    /// Its parameters, in the document's order.
    pub parameters: Vec<Parameter>,
    /// Its body.
    pub body: Option<Body>,
    /// The media types it answers with, best first.
    pub accept: Vec<String>,
}

impl Plan {
    /// `GET /path`.
    pub fn request(&self) -> String {
        let method = match self.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        };
        format!("{method} {}", self.path)
    }
}

/// A parameter beside the body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// The argument it is taken from.
    pub argument: String,
    /// Its name on the wire.
    pub wire: String,
    /// Where it stands.
    pub location: Location,
    /// How it is written.
    pub encode: Encode,
    /// What it always is; no argument is looked at then.
    pub value: Option<Value>,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Location {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
    /// In a cookie.
    Cookie,
}

/// How a value is written (`OpenAPI` 3.1, "Style Values").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Encode {
    /// By style.
    Style {
        /// The style.
        style: Style,
        /// Whether each item or member stands for itself.
        explode: bool,
        /// Whether RFC 3986's reserved characters stay as they are.
        allow_reserved: bool,
    },
    /// As text of this media type, JSON as a rule.
    Content(String),
}

/// A style of writing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Style {
    /// `a=1,2` or `a=1&a=2`.
    Form,
    /// `1,2`.
    Simple,
    /// `;a=1,2`.
    Matrix,
    /// `.1.2`.
    Label,
    /// `a=1%202`.
    SpaceDelimited,
    /// `a=1|2`.
    PipeDelimited,
    /// `1\t2`, Swagger 2.0's `tsv`.
    TabDelimited,
    /// `a[b]=1`.
    DeepObject,
}

/// A request's body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Body {
    /// Its media type.
    pub media_type: String,
    /// Whether one has to be sent.
    pub required: bool,
    /// What it is made from.
    pub shape: Shape,
    /// How members are written, for forms and multipart, by their name on the wire.
    pub parts: BTreeMap<String, PartEncode>,
}

/// What a body is made from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Shape {
    /// One argument is the whole.
    Whole(String),
    /// Each argument is a member: the argument, the member's name, and what it always is if it is no argument.
    Spread(Vec<Member>),
}

/// A member of a body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// The argument it is taken from.
    pub argument: String,
    /// Its name on the wire.
    pub wire: String,
    /// What it always is; no argument is looked at then.
    pub value: Option<Value>,
}

/// How one member of a form or multipart body is written (`OpenAPI` 3.1, "Encoding Object").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartEncode {
    /// Its media type.
    pub content_type: Option<String>,
    /// Its style, for forms.
    pub style: Option<(Style, bool)>,
    /// Whether it is bytes: the argument is base64, or a file's object.
    pub binary: bool,
}

/// A request that can be sent, without credentials.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its method.
    pub method: Method,
    /// Its address.
    pub url: Url,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: DraftBody,
}

/// A body that can be sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum DraftBody {
    /// None.
    #[default]
    None,
    /// Bytes of a media type.
    Bytes(String, Bytes),
    /// Parts, as `multipart/form-data` or the media type that is named.
    Multipart(String, Vec<DraftPart>),
}

/// One part of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftPart {
    /// Its name.
    pub name: String,
    /// The file's name, when it is a file.
    pub file_name: Option<String>,
    /// Its media type, when that has to be said.
    pub media_type: Option<String>,
    /// What it holds.
    pub bytes: Bytes,
}

/// A file that stands for an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its contents.
    pub bytes: Bytes,
    /// Its name, without folders.
    pub name: String,
    /// Its media type.
    pub media_type: String,
}
