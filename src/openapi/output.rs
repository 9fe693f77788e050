//! What an operation answers: media types, and the form of its results.

use serde_json::{Map, Value, json};

use super::{
    body::{Form, form, is_short},
    dialect::Dialect,
    facts::{Facts, Kinds, View},
    node::Node,
    operation::Operation,
    pattern::Patterns,
    schema::{Aim, Bounds, Writer, size},
};
use crate::manifest::OutputPromise;

/// The largest schema, in bytes; what is larger is not promised.
const LARGEST: usize = 8 << 10;
/// Answers and media types that are looked at.
const MOST: usize = 50;

/// What is known of an operation's answers.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    /// Media types, best first.
    pub(super) accept: Vec<String>,
    /// The JSON that comes when all is well; several when several may come.
    schemas: Vec<Node<'a>>,
    /// Whether an answer may come without any JSON.
    pub(super) mixed: bool,
    /// What comes when all is well.
    pub(super) responses: Vec<Node<'a>>,
}

impl<'a> Answer<'a> {
    /// The schema of the first JSON answer.
    pub(super) fn json(&self) -> Option<Node<'a>> {
        self.schemas.first().copied()
    }

    /// Which schemas its JSON has: operations that answer alike have the same.
    pub(super) fn identity(&self, view: &View<'_, 'a>) -> Vec<usize> {
        let bare = |it: &Node<'a>| it.object().is_some_and(|members| members.len() == 1);
        let target = |it: &Node<'a>| view.documents.follow(*it).ok().filter(|_| bare(it)).unwrap_or(*it);
        self.schemas.iter().map(|schema| target(schema).identity()).collect()
    }
}

/// What is promised of a tool's results.
#[derive(Debug, Clone, Default)]
pub(super) struct Promise {
    pub(super) schema: Option<Map<String, Value>>,
    /// The result stands under `result`.
    pub(super) wrapped: bool,
}

/// What the document says of an operation's answers.
pub(super) fn answer<'a>(view: &View<'_, 'a>, operation: &Operation<'a>) -> Answer<'a> {
    let mut answer = Answer::default();
    let mut types: Vec<&str> = Vec::new();
    for response in fine(view, operation) {
        let before = answer.schemas.len();
        match view.dialect {
            Dialect::Swagger2 => {
                let root = view.documents.root();
                let produces =
                    [Some(operation.node), root].into_iter().flatten().find(|it| it.get("produces").is_some());
                types.extend(
                    produces.into_iter().flat_map(|it| it.texts("produces")).take(MOST).filter(|it| is_short(it)),
                );
                let schema = response.get("schema").filter(|it| it.text("type") != Some("file"));
                answer
                    .schemas
                    .extend(schema.filter(|_| types.is_empty() || types.iter().any(|it| form(it) == Form::Json)));
            }
            Dialect::OpenApi30 | Dialect::OpenApi31 => {
                let contents: Vec<(&str, Node<'a>)> =
                    response.get("content").into_iter().flat_map(Node::members).take(MOST).collect();
                let contents: Vec<_> = contents.into_iter().filter(|(it, _)| is_short(it)).collect();
                types.extend(contents.iter().map(|(media_type, _)| *media_type));
                let json = contents.iter().filter(|(media_type, _)| form(media_type) == Form::Json);
                let best = json.min_by_key(|(media_type, _)| *media_type != "application/json");
                answer.schemas.extend(best.and_then(|(_, media)| media.get("schema")));
            }
        }
        answer.mixed |= answer.schemas.len() == before;
        answer.responses.push(response);
    }
    if operation.verb == "head" {
        // Only its headers come.
        answer.schemas.clear();
    }
    view.documents.spend(types.len());
    types.sort_by_cached_key(|media_type| form(media_type));
    for media_type in types {
        let media_type = media_type.trim();
        let plain = media_type.is_ascii() && media_type.contains('/') && !media_type.contains(char::is_control);
        if plain && !answer.accept.iter().any(|other| other == media_type) && answer.accept.len() < 8 {
            answer.accept.push(media_type.to_owned());
        }
    }
    answer
}

/// The responses that mean success, the least number first; `default` when there is no other.
fn fine<'a>(view: &View<'_, 'a>, operation: &Operation<'a>) -> Vec<Node<'a>> {
    let responses = operation.node.get("responses");
    let all: Vec<(&str, Node<'a>)> = responses.into_iter().flat_map(Node::members).take(MOST * 2).collect();
    let mut fine: Vec<(&str, Node<'a>)> =
        all.iter().copied().filter(|(status, _)| status.len() == 3 && status.starts_with('2')).collect();
    fine.sort_by_key(|(status, _)| *status);
    if fine.is_empty() {
        fine.extend(all.iter().copied().filter(|(status, _)| *status == "default"));
    }
    let followed = fine.into_iter().filter_map(|(_, response)| match view.documents.follow(response) {
        Ok(response) => Some(response),
        Err(error) => {
            view.documents.remark(view.place, format!("a response's {error}"));
            None
        }
    });
    followed.collect()
}

/// What may be promised of the results.
pub(super) fn promise<'a>(
    view: &View<'_, 'a>,
    answer: &Answer<'a>,
    promise: OutputPromise,
    patterns: &mut Patterns,
) -> Promise {
    let aim = match promise {
        OutputPromise::None => return Promise::default(),
        OutputPromise::Loose => Aim::Loose,
        OutputPromise::Strict => Aim::Strict,
    };
    let schemas = variants(view, answer, aim);
    if schemas.is_empty() {
        return Promise::default();
    }
    for description in [100, 0] {
        let bounds = Bounds { depth: 8, nodes: 200, description };
        let mut writer = Writer::new(view, aim, bounds, patterns);
        let Some(made) = root(view, &mut writer, &schemas, aim) else { return Promise::default() };
        let fits = made.schema.as_ref().is_none_or(|schema| size(schema, LARGEST) <= LARGEST);
        if !writer.overrun && fits {
            return made;
        }
        // Shorter words do not make fewer schemas.
        if writer.overrun {
            break;
        }
    }
    if aim == Aim::Strict {
        view.documents.remark(view.place, "its answers are too large to describe, so nothing is promised of them");
    }
    Promise::default()
}

/// Everything a result may be: each of the answers, and each variant of one whose root is a union.
fn variants<'a>(view: &View<'_, 'a>, answer: &Answer<'a>, aim: Aim) -> Vec<Vec<Node<'a>>> {
    let mut variants: Vec<Vec<Node<'a>>> = Vec::new();
    for schema in answer.schemas.iter().take(8) {
        let facts = Facts::gather(view, &[*schema], &[]);
        match facts.unions.first() {
            // A root holds no union, so loosely it has the members of all; to the letter nothing can be said.
            Some(union) if aim == Aim::Loose => variants.extend(union.iter().map(|variant| vec![*variant])),
            Some(_) => return Vec::new(),
            None => variants.push(vec![*schema]),
        }
    }
    variants
}

fn root<'a>(
    view: &View<'_, 'a>,
    writer: &mut Writer<'_, '_, 'a>,
    variants: &[Vec<Node<'a>>],
    aim: Aim,
) -> Option<Promise> {
    let facts: Vec<Facts<'a>> = variants.iter().map(|schemas| Facts::gather(view, schemas, &[])).collect();
    let object = |facts: &Facts<'a>| facts.kinds == Kinds::OBJECT && !facts.vast && facts.unions.is_empty();
    if let [only] = facts.as_slice() {
        let mut schema = writer.write(only, 0);
        schema.remove("description");
        if object(only) {
            // That it is an object says nothing.
            let schema_says = schema.len() > 1;
            return schema_says.then_some(Promise { schema: Some(schema), wrapped: false });
        }
        if only.kinds.names().is_empty() || only.kinds.has(Kinds::OBJECT) {
            return None;
        }
        let mut wrapped = json!({ "type": "object", "properties": { "result": schema } });
        if let Some(wrapped) = wrapped.as_object_mut().filter(|_| aim == Aim::Strict) {
            wrapped.insert("required".into(), json!(["result"]));
        }
        let Value::Object(wrapped) = wrapped else { return None };
        return Some(Promise { schema: Some(wrapped), wrapped: true });
    }
    if aim == Aim::Strict || !facts.iter().all(object) {
        return None;
    }
    let mut merged = Map::new();
    for variant in &facts {
        let Some(Value::Object(properties)) = writer.write(variant, 0).remove("properties") else { continue };
        for (name, property) in properties {
            let both = merged.entry(name).or_insert_with(|| property.clone());
            if *both != property {
                *both = json!({});
            }
        }
    }
    let schema = Map::from_iter([("type".into(), "object".into()), ("properties".into(), Value::Object(merged))]);
    Some(Promise { schema: Some(schema), wrapped: false })
}
