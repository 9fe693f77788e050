//! An operation's parameters, in the form all dialects share.

use std::collections::HashSet;

use http::HeaderName;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Encode, Location, Proof, Style, dialect::Dialect, facts::View, node::Node, operation::Operation, text};
use crate::manifest::Mend;

/// Parameters of one operation; with more it becomes no tool.
const MOST: usize = 400;

/// A name that is longer is none.
const LONGEST_NAME: usize = 500;

/// Where an argument goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    At(Location),
    Body,
}

impl Spot {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::At(location) => location.name(),
            Self::Body => "body",
        }
    }
}

impl Location {
    fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// Something a request is made of.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    /// Its name on the wire.
    pub(super) wire: String,
    pub(super) spot: Spot,
    /// Its schemas; all of them hold, and without any it is a text.
    pub(super) schemas: Vec<Node<'a>>,
    pub(super) description: Option<&'a str>,
    pub(super) required: bool,
    /// What the document itself fixes.
    pub(super) value: Option<Value>,
    /// How it is written, for parameters.
    pub(super) encode: Option<Encode>,
    /// How it is written when it is the whole body and no JSON.
    pub(super) raw: Option<Raw>,
}

/// How a whole body is written that is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// The argument is text of this media type.
    Text(String),
    /// The argument is bytes in base64.
    Bytes,
}

/// Headers that follow from the request, or are not for a model.
const HEADERS: &[&str] = &[
    "accept",
    "authorization",
    "connection",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Parameters that are credentials, though the document has no scheme that says so.
const KEYS: &[&str] = &[
    "access_token",
    "access-token",
    "api_key",
    "api-key",
    "apikey",
    "app_key",
    "auth_token",
    "auth-token",
    "client_secret",
    "x-access-token",
    "x-api-key",
    "x-auth-token",
];

/// The parameters a model or the document decides on, and the path without what was added to it.
pub(super) fn fields<'a>(
    view: &View<'_, 'a>,
    operation: &Operation<'a>,
    proofs: &IndexMap<String, Proof>,
    mend: Option<&Mend>,
) -> Result<(Vec<Field<'a>>, String), String> {
    let mut declared: IndexMap<(&str, &str), Node<'a>> = IndexMap::new();
    for holder in [operation.item, operation.node] {
        for parameter in holder.items("parameters") {
            // A list may name one parameter over and over.
            view.documents.spend(1);
            view.documents.within()?;
            let node = view.documents.follow(parameter).map_err(|error| format!("a parameter's {error}"))?;
            let name = node.text("name").filter(|name| name.len() <= LONGEST_NAME);
            let (Some(name), Some(location)) = (name, node.text("in")) else {
                if node.text("in") != Some("body") {
                    view.documents.remark(view.place, "a parameter has no name or no place, and is left out");
                }
                continue;
            };
            if matches!(location, "body" | "formData") {
                continue;
            }
            if location == "querystring" {
                return Err(format!("its parameter `{name}` is a whole query string, which nobody writes here yet"));
            }
            declared.insert((location, name), node);
            if declared.len() > MOST {
                return Err(format!("it has more than {MOST} parameters"));
            }
        }
    }
    let (path, mut fields) = split_path(operation.path);
    let in_path: HashSet<&str> = names_in(&path).collect();
    for (key, node) in &declared {
        fields.extend(field(view, *key, *node, (proofs, mend), &in_path));
    }
    for name in names_in(&path).collect::<HashSet<_>>() {
        if !declared.contains_key(&("path", name)) {
            view.documents.remark(view.place, format!("`{{{name}}}` stands in the path and is not declared"));
        }
    }
    let mut seen = HashSet::new();
    let undeclared = names_in(&path).filter(|name| !declared.contains_key(&("path", *name)) && seen.insert(*name));
    let undeclared: Vec<Field<'a>> = undeclared
        .map(|name| Field {
            wire: name.to_owned(),
            spot: Spot::At(Location::Path),
            schemas: Vec::new(),
            description: None,
            required: true,
            value: None,
            encode: Some(Encode::Style { style: Style::Simple, explode: false, allow_reserved: false }),
            raw: None,
        })
        .collect();
    fields.splice(0..0, undeclared);
    Ok((fields, path))
}

/// A path, and the query that some documents write behind it.
fn split_path<'a>(path: &str) -> (String, Vec<Field<'a>>) {
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let fixed = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !name.is_empty()).take(20);
    let fixed = fixed.filter(|(_, value)| !value.contains('{')).map(|(name, value)| Field {
        wire: name.into_owned(),
        spot: Spot::At(Location::Query),
        schemas: Vec::new(),
        description: None,
        required: true,
        value: Some(Value::String(value.into_owned())),
        encode: Some(Encode::Style { style: Style::Form, explode: true, allow_reserved: false }),
        raw: None,
    });
    let slash = if path.starts_with('/') { "" } else { "/" };
    (format!("{slash}{path}"), fixed.collect())
}

/// The names in braces.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'))
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty())
}

fn field<'a>(
    view: &View<'_, 'a>,
    (location, name): (&str, &'a str),
    node: Node<'a>,
    (proofs, mend): (&IndexMap<String, Proof>, Option<&Mend>),
    in_path: &HashSet<&str>,
) -> Option<Field<'a>> {
    // What the manifest speaks of, it wants to be there.
    let mended = mend.is_some_and(|mend| mend.parameters.contains_key(name));
    let location = match location {
        "path" if in_path.contains(name) => Location::Path,
        "path" => {
            let words = format!("`{}` does not stand in the path, and is left out", text::line(name, 60));
            view.documents.remark(view.place, words);
            return None;
        }
        "query" => Location::Query,
        "header" => Location::Header,
        "cookie" => Location::Cookie,
        other => {
            view.documents.remark(view.place, format!("nobody knows where {:?} is", text::line(other, 40)));
            return None;
        }
    };
    if location == Location::Header && is_taken(name) {
        return None;
    }
    if !can_stand(name, location) {
        view.documents.remark(view.place, format!("no {} can be called {name:?}, so it is left out", location.name()));
        return None;
    }
    if !mended && is_key(name, location, node, proofs) {
        return None;
    }
    let (schemas, encode) = match view.dialect {
        Dialect::Swagger2 => (vec![node], collection(node, location)),
        Dialect::OpenApi30 | Dialect::OpenApi31 => written(node, location),
    };
    let required = location == Location::Path || node.says("required");
    if !required && !mended && node.says("deprecated") {
        return None;
    }
    Some(Field {
        wire: name.to_owned(),
        spot: Spot::At(location),
        schemas,
        description: node.text("description"),
        required,
        value: None,
        encode: Some(encode),
        raw: None,
    })
}

/// Whether a name may stand there at all: those of headers and cookies are tokens (RFC 9110, RFC 6265).
fn can_stand(name: &str, location: Location) -> bool {
    !matches!(location, Location::Header | Location::Cookie) || HeaderName::try_from(name).is_ok()
}

fn is_taken(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HEADERS.contains(&name.as_str()) || name.starts_with("content-")
}

/// Whether it is a credential: those are the gateway's to show.
fn is_key(name: &str, location: Location, node: Node<'_>, proofs: &IndexMap<String, Proof>) -> bool {
    let named = proofs.values().any(|proof| match proof {
        Proof::Header(header) => location == Location::Header && header.eq_ignore_ascii_case(name),
        Proof::Query(query) => location == Location::Query && query == name,
        Proof::Cookie(cookie) => location == Location::Cookie && cookie == name,
        Proof::Basic | Proof::Bearer | Proof::OAuth2(_) | Proof::OpenIdConnect(_) | Proof::Other(_) => false,
    });
    let lower = name.to_ascii_lowercase();
    let words = || text::head(node.text("description").unwrap_or_default()).to_ascii_lowercase();
    let sounds = || {
        lower == "token" && ["authentication token", "access token", "api token"].iter().any(|it| words().contains(it))
    };
    named || location != Location::Path && (KEYS.contains(&lower.as_str()) || sounds())
}

/// How 2.0 writes lists.
fn collection(node: Node<'_>, location: Location) -> Encode {
    let style = |style, explode| Encode::Style { style, explode, allow_reserved: false };
    let plain = match location {
        Location::Query | Location::Cookie => Style::Form,
        Location::Path | Location::Header => Style::Simple,
    };
    match (node.text("collectionFormat"), location) {
        (Some("multi"), Location::Query) => style(Style::Form, true),
        (Some("ssv"), _) => style(Style::SpaceDelimited, false),
        (Some("tsv"), _) => style(Style::TabDelimited, false),
        (Some("pipes"), _) => style(Style::PipeDelimited, false),
        _ => style(plain, false),
    }
}

/// What 3.x says of a parameter's schema and how it is written.
fn written(node: Node<'_>, location: Location) -> (Vec<Node<'_>>, Encode) {
    if let Some((media_type, content)) = node.get("content").and_then(|content| content.members().next()) {
        return (content.get("schema").into_iter().collect(), Encode::Content(media_type.to_owned()));
    }
    let style = match (node.text("style"), location) {
        (Some("label"), Location::Path) => Style::Label,
        (Some("matrix"), Location::Path) => Style::Matrix,
        (Some("spaceDelimited"), Location::Query) => Style::SpaceDelimited,
        (Some("pipeDelimited"), Location::Query) => Style::PipeDelimited,
        (Some("deepObject"), Location::Query) => Style::DeepObject,
        (_, Location::Path | Location::Header) => Style::Simple,
        (_, Location::Query | Location::Cookie) => Style::Form,
    };
    let explode = node.get("explode").and_then(|it| it.value.as_bool());
    let explode = explode.unwrap_or(matches!(style, Style::Form | Style::DeepObject));
    // Elsewhere it means nothing; in a path it would let an argument change the path's structure.
    let allow_reserved = location == Location::Query && node.says("allowReserved");
    let encode = Encode::Style { style, explode, allow_reserved };
    (node.get("schema").into_iter().collect(), encode)
}
