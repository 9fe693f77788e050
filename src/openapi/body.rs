//! An operation's body: which media type, and whether its members are arguments of their own.

use std::collections::BTreeMap;

use super::{
    PartEncode, Style,
    dialect::Dialect,
    facts::{Additional, Facts, Kinds, View},
    node::Node,
    operation::Operation,
    parameter::{Field, Raw, Spot},
    request::is_text,
};
use crate::manifest::Mend;

/// With more members, a body is one argument.
const MOST_MEMBERS: usize = 20;
/// The same when the manifest mends some of them.
const MOST_MENDED: usize = 300;
const BYTES: &str = "application/octet-stream";
/// Media types that are looked at.
const MOST_TYPES: usize = 50;

/// What a request's body is made from.
pub(super) struct Content<'a> {
    pub(super) media_type: String,
    pub(super) required: bool,
    /// One argument is the whole; otherwise each field is a member.
    pub(super) whole: bool,
    pub(super) fields: Vec<Field<'a>>,
    pub(super) parts: BTreeMap<String, PartEncode>,
}

/// How a media type is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Json,
    Pairs,
    Multipart,
    Text,
    Bytes,
}

/// The essence of a media type, and how it is written.
pub(super) fn form(media_type: &str) -> Form {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-www-form-urlencoded" => Form::Pairs,
        "*/*" | "application/*" | "" => Form::Json,
        it if it == "application/json" || it == "text/json" || it.ends_with("+json") => Form::Json,
        it if it.starts_with("multipart/") => Form::Multipart,
        it if is_text(it) => Form::Text,
        _ => Form::Bytes,
    }
}

/// Whether it may be a media type; none is longer (RFC 6838).
pub(super) fn is_short(media_type: &str) -> bool {
    media_type.len() <= 255
}

/// How much a media type is liked; the least is the best.
fn rank(media_type: &str) -> (Form, u8) {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let rank = match essence {
        "application/json" => 0,
        // A patch of operations is harder to write than a document with the changes in it.
        "application/merge-patch+json" => 1,
        "application/json-patch+json" => 3,
        it if it.contains('*') => 4,
        _ => 2,
    };
    let form = form(media_type);
    if form == Form::Bytes && essence == "application/octet-stream" { (Form::Multipart, 9) } else { (form, rank) }
}

/// The body of an operation, when it has one.
pub(super) fn content<'a>(
    view: &View<'_, 'a>,
    operation: &Operation<'a>,
    mend: Option<&Mend>,
) -> Result<Option<Content<'a>>, String> {
    let content = match view.dialect {
        Dialect::Swagger2 => swagger(view, operation, mend)?,
        Dialect::OpenApi30 | Dialect::OpenApi31 => openapi(view, operation, mend)?,
    };
    if content.is_some() && matches!(operation.verb, "get" | "head") {
        view.documents.remark(view.place, "a GET request has no body, so it is left out");
        return Ok(None);
    }
    Ok(content)
}

fn openapi<'a>(
    view: &View<'_, 'a>,
    operation: &Operation<'a>,
    mend: Option<&Mend>,
) -> Result<Option<Content<'a>>, String> {
    let Some(body) = operation.node.get("requestBody") else { return Ok(None) };
    let body = view.documents.follow(body).map_err(|error| format!("its body's {error}"))?;
    let types = body.get("content").into_iter().flat_map(Node::members).take(MOST_TYPES).filter(|(it, _)| is_short(it));
    let Some((media_type, media)) = types.min_by_key(|(media_type, _)| rank(media_type)) else { return Ok(None) };
    let schemas: Vec<Node<'a>> = media.get("schema").into_iter().collect();
    let mut content = Content::new(media_type, body.says("required"));
    content.fill(view, schemas, body.text("description"), mend);
    content.encode(view, media.get("encoding"));
    Ok(Some(content))
}

/// What a media type that leaves something open is sent as. What kind of picture it is, a file says itself.
fn concrete(media_type: &str, schema: &Facts<'_>) -> String {
    let said = media_type.trim();
    match said.split_once("/*").map(|(kind, _)| kind) {
        Some("text") => "text/plain".into(),
        Some("multipart") => "multipart/form-data".into(),
        Some("*" | "application") if schema.is_binary() => BYTES.into(),
        Some("*" | "application") => "application/json".into(),
        Some(_) | None => said.to_owned(),
    }
}

/// How an argument is written that is the whole body and no JSON.
fn raw(media_type: &str, facts: &Facts<'_>) -> Option<Raw> {
    // Nobody but the API knows how an object is written in XML.
    let is_text = facts.kinds != Kinds::ANY && !facts.kinds.has(Kinds::OBJECT) && !facts.kinds.has(Kinds::ARRAY);
    match form(media_type) {
        Form::Bytes if !facts.is_encoded() => Some(Raw::Bytes),
        Form::Text if !is_text => Some(Raw::Text(media_type.split(';').next().unwrap_or_default().trim().to_owned())),
        Form::Json | Form::Pairs | Form::Multipart | Form::Text | Form::Bytes => None,
    }
}

fn swagger<'a>(
    view: &View<'_, 'a>,
    operation: &Operation<'a>,
    mend: Option<&Mend>,
) -> Result<Option<Content<'a>>, String> {
    let mut members: Vec<(&str, Node<'a>)> = Vec::new();
    let mut whole = None;
    // The operation's own come later and win.
    for holder in [operation.item, operation.node] {
        for parameter in holder.items("parameters").take(500) {
            let node = view.documents.follow(parameter).map_err(|error| format!("a parameter's {error}"))?;
            view.documents.spend(members.len());
            match (node.text("in"), node.text("name")) {
                (Some("body"), _) => whole = Some(node),
                (Some("formData"), Some(name)) => {
                    members.retain(|(other, _)| *other != name);
                    members.push((name, node));
                }
                _ => {}
            }
        }
    }
    let root = view.documents.root();
    let consumes = [Some(operation.node), root].into_iter().flatten().find(|it| it.get("consumes").is_some());
    let consumes = consumes.into_iter().flat_map(|it| it.texts("consumes")).take(MOST_TYPES);
    let consumes: Vec<&str> = consumes.filter(|it| is_short(it)).collect();
    if let Some(node) = whole {
        let media_type = consumes.iter().copied().min_by_key(|it| rank(it)).unwrap_or("application/json");
        let mut content = Content::new(media_type, node.says("required"));
        content.fill(view, node.get("schema").into_iter().collect(), node.text("description"), mend);
        return Ok(Some(content));
    }
    if members.is_empty() {
        return Ok(None);
    }
    let is_file = |node: &Node<'_>| node.text("type") == Some("file");
    let forms = consumes.iter().any(|it| form(it) == Form::Pairs);
    let multipart = members.iter().any(|(_, node)| is_file(node))
        || !forms && consumes.iter().any(|it| form(it) == Form::Multipart);
    let media_type = if multipart { "multipart/form-data" } else { "application/x-www-form-urlencoded" };
    let parts = members.iter().map(|(name, node)| {
        let style = match node.text("collectionFormat") {
            Some("multi") => Some((Style::Form, true)),
            Some("ssv") => Some((Style::SpaceDelimited, false)),
            Some("tsv") => Some((Style::TabDelimited, false)),
            Some("pipes") => Some((Style::PipeDelimited, false)),
            _ => (node.text("type") == Some("array")).then_some((Style::Form, false)),
        };
        ((*name).to_owned(), PartEncode { content_type: None, style, binary: is_file(node) })
    });
    let parts = parts.filter(|(_, part)| *part != PartEncode::default()).collect();
    let required = members.iter().any(|(_, node)| node.says("required"));
    let fields = members.iter().map(|(name, node)| Field {
        wire: (*name).to_owned(),
        spot: Spot::Body,
        schemas: vec![*node],
        description: node.text("description"),
        required: node.says("required"),
        value: None,
        encode: None,
        raw: None,
    });
    Ok(Some(Content { media_type: media_type.into(), required, whole: false, fields: fields.collect(), parts }))
}

impl<'a> Content<'a> {
    fn new(media_type: &str, required: bool) -> Self {
        let (fields, parts) = (Vec::new(), BTreeMap::new());
        Self { media_type: media_type.to_owned(), required, whole: true, fields, parts }
    }

    /// One argument, or one for each member.
    fn fill(&mut self, view: &View<'_, 'a>, schemas: Vec<Node<'a>>, description: Option<&'a str>, mend: Option<&Mend>) {
        let facts = Facts::gather(view, &schemas, &[]);
        self.media_type = concrete(&self.media_type, &facts);
        let form = form(&self.media_type);
        let spreads = matches!(form, Form::Json | Form::Pairs | Form::Multipart) && spreads(view, &facts, mend);
        if spreads {
            self.whole = false;
            self.fields = facts
                .properties
                .iter()
                .map(|(name, schemas)| Field {
                    wire: (*name).to_owned(),
                    spot: Spot::Body,
                    schemas: schemas.clone(),
                    description: None,
                    // A document that requires members of a body and does not say whether the body is required, which is
                    // as good as saying that it is not, forgot to: one member alone would be no valid body.
                    required: facts.required.contains(name),
                    value: None,
                    encode: None,
                    raw: None,
                })
                .collect();
        } else {
            self.fields = vec![Field {
                wire: "body".into(),
                spot: Spot::Body,
                schemas,
                description,
                required: self.required,
                value: None,
                encode: None,
                raw: raw(&self.media_type, &facts),
            }];
        }
        if form == Form::Bytes {
            self.parts.insert("body".into(), PartEncode { binary: !facts.is_encoded(), ..PartEncode::default() });
        }
        if form == Form::Multipart {
            for (name, schemas) in &facts.properties {
                let part = part(view, schemas);
                if part != PartEncode::default() {
                    self.parts.insert((*name).to_owned(), part);
                }
            }
        }
    }

    /// What the document says of single members' writing.
    fn encode(&mut self, view: &View<'_, 'a>, encoding: Option<Node<'a>>) {
        let form = form(&self.media_type);
        if !matches!(form, Form::Pairs | Form::Multipart) {
            return;
        }
        for (name, said) in
            encoding.into_iter().flat_map(Node::members).take(200).filter(|(name, _)| view.documents.read(name))
        {
            let Ok(said) = view.documents.follow(said) else { continue };
            let part = self.parts.entry(name.to_owned()).or_default();
            if let Some(content_type) = said.text("contentType") {
                let first = content_type.split(',').next().unwrap_or_default().trim();
                part.content_type =
                    (!first.is_empty() && is_short(first) && !first.contains('*')).then(|| first.to_owned());
            }
            let style = match said.text("style") {
                Some("form") => Some(Style::Form),
                Some("spaceDelimited") => Some(Style::SpaceDelimited),
                Some("pipeDelimited") => Some(Style::PipeDelimited),
                Some("deepObject") => Some(Style::DeepObject),
                _ => None,
            };
            let explode = said.get("explode").and_then(|it| it.value.as_bool());
            if style.is_some() || explode.is_some() {
                let style = style.unwrap_or(Style::Form);
                part.style = Some((style, explode.unwrap_or(matches!(style, Style::Form | Style::DeepObject))));
            }
        }
        self.parts.retain(|_, part| *part != PartEncode::default());
    }
}

/// Whether each member of a body is an argument of its own.
fn spreads<'a>(view: &View<'_, 'a>, facts: &Facts<'a>, mend: Option<&Mend>) -> bool {
    let plain = facts.kinds.has(Kinds::OBJECT)
        && facts.unions.is_empty()
        && !facts.vast
        && !facts.patterned
        && !facts.properties.is_empty()
        && matches!(facts.additional, Additional::Unsaid | Additional::Closed);
    if !plain {
        return false;
    }
    let mended = mend.is_some_and(|mend| facts.properties.keys().any(|name| mend.parameters.contains_key(*name)));
    let most = if mended { MOST_MENDED } else { MOST_MEMBERS };
    let shown = facts.properties.iter().filter(|(name, schemas)| {
        let member = Facts::gather(view, schemas, &facts.opened);
        !member.read_only && (!member.deprecated || facts.required.contains(*name))
    });
    shown.take(most + 1).count() <= most
}

/// How a part of a multipart body is written by its schema alone.
fn part<'a>(view: &View<'_, 'a>, schemas: &[Node<'a>]) -> PartEncode {
    let facts = Facts::gather(view, schemas, &[]);
    let items = (!facts.items.is_empty()).then(|| Facts::gather(view, &facts.items, &facts.opened));
    let each = items.as_ref().unwrap_or(&facts);
    let json = !each.kinds.names().is_empty() && each.kinds.has(Kinds::OBJECT) && !each.kinds.has(Kinds::STRING);
    let media_type = each.word("contentMediaType").filter(|it| !it.is_empty() && is_short(it));
    let content_type = media_type.map(str::to_owned).or_else(|| json.then(|| "application/json".into()));
    PartEncode { content_type, style: None, binary: each.is_binary() }
}
