//! The arguments of a tool: what a model sees of parameters and body, and what is fixed.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    Location,
    facts::{Facts, Kinds, View},
    name,
    parameter::{Field, Raw, Spot},
    pattern::Patterns,
    schema::{Aim, Bounds, Writer, only_text},
};
use crate::manifest::{Mend, MendParameter};
use crate::name::did_you_mean;

/// The longest description of an argument, in characters.
const LONGEST_DESCRIPTION: usize = 300;
/// The largest schema, in bytes.
const LARGEST: usize = 16 << 10;
/// Schemas in one tool's schema.
const MOST_NODES: usize = 200;
/// What is tried until the schema is small enough: depth, nodes, and the length of descriptions below the first level.
const TRIES: &[(usize, usize, usize)] = &[
    (8, MOST_NODES, 160),
    (6, MOST_NODES, 120),
    (5, MOST_NODES, 100),
    (4, MOST_NODES, 80),
    (3, MOST_NODES, 80),
    (2, MOST_NODES, 60),
    (1, MOST_NODES * 4, 60),
    (1, MOST_NODES * 4, 0),
];

/// A field with the argument it is taken from.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) field: Field<'a>,
    pub(super) argument: String,
    pub(super) value: Option<Value>,
}

/// What a tool takes.
#[derive(Debug)]
pub(super) struct Arranged<'a> {
    pub(super) schema: Map<String, Value>,
    pub(super) placed: Vec<Placed<'a>>,
    /// The arguments' names on the wire.
    pub(super) names: Vec<(String, String)>,
}

/// What is known of one field.
struct Known<'a, 'm> {
    field: Field<'a>,
    facts: Facts<'a>,
    mend: Option<&'m MendParameter>,
    argument: String,
}

/// Decides which fields are arguments, names them and writes their schema.
pub(super) fn arrange<'a>(
    view: &View<'_, 'a>,
    fields: Vec<Field<'a>>,
    mend: Option<&Mend>,
    patterns: &mut Patterns,
) -> Result<Arranged<'a>, String> {
    misnamed(view, &fields, mend);
    let (mut fixed, mut seen) = (Vec::new(), Vec::new());
    for field in fields {
        let facts = Facts::gather(view, &field.schemas, &[]);
        let mend = mend.and_then(|mend| mend.parameters.get(&field.wire));
        if field.required && mend.is_some_and(|mend| mend.hidden && mend.default.is_none() && mend.value.is_none()) {
            let words = format!("`{}` is hidden and has no `default`, and the API wants it", field.wire);
            view.documents.remark(view.place, words);
        }
        match fate(&field, &facts, mend)? {
            Fate::Fixed(value) => {
                fixed.push(Placed { argument: field.wire.clone(), value: Some(value), field });
            }
            Fate::Gone => {}
            Fate::Seen => {
                let argument = mend.and_then(|mend| mend.name.clone());
                let argument = argument.unwrap_or_else(|| name::argument(&field.wire));
                seen.push(Known { field, facts, mend, argument });
            }
        }
    }
    distinguish(&mut seen);
    let schema = schema(view, &seen, patterns)?;
    let names = seen.iter().map(|known| (known.argument.clone(), known.field.wire.clone())).collect();
    let seen = seen.into_iter().map(|known| Placed { argument: known.argument, value: None, field: known.field });
    Ok(Arranged { schema, placed: seen.chain(fixed).collect(), names })
}

/// Says which mended parameters there are none of.
fn misnamed(view: &View<'_, '_>, fields: &[Field<'_>], mend: Option<&Mend>) {
    for wrong in mend.into_iter().flat_map(|mend| mend.parameters.keys()) {
        if !fields.iter().any(|field| field.wire == *wrong) {
            let near = did_you_mean(wrong, fields.iter().map(|field| field.wire.as_str()));
            view.documents
                .remark(view.place, format!("`operations` mends the parameter `{wrong}`, and there is none{near}"));
        }
    }
}

/// What becomes of a field.
enum Fate {
    /// The model decides.
    Seen,
    /// It is always this.
    Fixed(Value),
    /// It is not sent.
    Gone,
}

fn fate(field: &Field<'_>, facts: &Facts<'_>, mend: Option<&MendParameter>) -> Result<Fate, String> {
    if let Some(value) = mend.and_then(|mend| mend.value.clone()).or_else(|| field.value.clone()) {
        return Ok(Fate::Fixed(value));
    }
    if let Some(mend) = mend.filter(|mend| mend.hidden) {
        return match &mend.default {
            Some(value) => Ok(Fate::Fixed(value.clone())),
            None if field.spot == Spot::At(Location::Path) => {
                Err(format!("`{}` stands in the path, so when it is hidden it needs a `default`", field.wire))
            }
            None => Ok(Fate::Gone),
        };
    }
    if mend.is_some() {
        return Ok(Fate::Seen);
    }
    if field.spot == Spot::Body && (facts.read_only || facts.never || facts.deprecated && !field.required) {
        return Ok(Fate::Gone);
    }
    // Where there is nothing to decide, nobody is asked.
    match facts.options.as_deref() {
        Some([only]) if field.required && !only.is_null() && !facts.kinds.has(Kinds::NULL) && is_scalar(only) => {
            let text = only_text(facts.kinds) && !only.is_string();
            Ok(Fate::Fixed(if text { only.to_string().into() } else { (*only).clone() }))
        }
        _ => Ok(Fate::Seen),
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Names that are equal say where their argument goes; a body's member keeps its own.
fn distinguish(known: &mut [Known<'_, '_>]) {
    let same: [&dyn Fn(&Known<'_, '_>) -> String; 2] =
        [&|it| name::argument(&format!("{}_{}", it.argument, it.field.spot.name())), &|it| {
            name::hashed(&it.argument, &format!("{} {}", it.field.spot.name(), it.field.wire))
        }];
    for other in same {
        let mut times: HashMap<String, usize> = HashMap::new();
        for it in known.iter() {
            *times.entry(it.argument.clone()).or_default() += 1;
        }
        let bodies: Vec<String> =
            known.iter().filter(|it| it.field.spot == Spot::Body).map(|it| it.argument.clone()).collect();
        for it in known.iter_mut().filter(|it| times.get(&it.argument).is_some_and(|times| *times > 1)) {
            let alone = bodies.iter().filter(|body| **body == it.argument).count() == 1;
            if it.field.spot != Spot::Body || !alone {
                it.argument = other(it);
            }
        }
    }
}

/// The schema of all arguments, with as much in it as there is room for.
fn schema<'a>(
    view: &View<'_, 'a>,
    seen: &[Known<'a, '_>],
    patterns: &mut Patterns,
) -> Result<Map<String, Value>, String> {
    for (depth, nodes, description) in TRIES {
        let bounds = Bounds { depth: *depth, nodes: *nodes, description: *description };
        let mut writer = Writer::new(view, Aim::Input, bounds, patterns);
        let mut properties = Map::new();
        let mut required = Vec::new();
        for known in seen {
            let property = property(&mut writer, known, *description > 0);
            if writer.overrun {
                break;
            }
            if is_required(known) {
                required.push(Value::from(known.argument.clone()));
            }
            properties.insert(known.argument.clone(), Value::Object(property));
        }
        if writer.overrun {
            continue;
        }
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), Value::Object(properties));
        if !required.is_empty() {
            schema.insert("required".into(), Value::Array(required));
        }
        schema.insert("additionalProperties".into(), false.into());
        if super::schema::size(&schema, LARGEST) <= LARGEST {
            return Ok(schema);
        }
    }
    Err(format!("its arguments need more than {} KiB to describe: hide some in `operations`", LARGEST >> 10))
}

fn is_required(known: &Known<'_, '_>) -> bool {
    let mended = known.mend.and_then(|mend| mend.required);
    let is_given = known.mend.is_some_and(|mend| mend.default.is_some());
    let path = known.field.spot == Spot::At(Location::Path);
    (path || mended.unwrap_or(known.field.required)) && !is_given
}

fn property<'a>(writer: &mut Writer<'_, '_, 'a>, known: &Known<'a, '_>, nested: bool) -> Map<String, Value> {
    let mut property = match known.mend.and_then(|mend| mend.schema.clone()) {
        Some(schema) => schema,
        None => written(writer, known),
    };
    let own = known.mend.and_then(|mend| mend.description.clone());
    let said = known.field.description.or(known.facts.description);
    let longest = if nested { LONGEST_DESCRIPTION } else { LONGEST_DESCRIPTION / 3 };
    let description = own.or_else(|| said.map(|said| writer.view.documents.line(said, longest)));
    // A default that is in the schema would be filled in and sent, and overwrite what somebody chose before.
    let default = property.remove("default").filter(is_scalar);
    let mut words: Vec<String> = description.into_iter().filter(|words| !words.is_empty()).collect();
    let is_said = |default: &Value| {
        let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        words.iter().any(|words| words.to_ascii_lowercase().contains("default") && words.contains(&text))
    };
    match known.mend.and_then(|mend| mend.default.clone()) {
        Some(default) => drop(property.insert("default".into(), default)),
        None => {
            if let Some(default) = default.filter(|default| !is_said(default)) {
                words.push(format!("Default: {default}."));
            }
        }
    }
    match &known.field.raw {
        Some(Raw::Text(kind)) => words.push(format!("The whole body as text, {kind}.")),
        Some(Raw::Bytes) => words.push("Base64.".into()),
        None if known.facts.is_binary() && !known.facts.is_deep() => words.push("Base64.".into()),
        None => {}
    }
    words.extend(writer.unnamed(&known.facts));
    if !words.is_empty() {
        property.insert("description".into(), words.join(" ").into());
    }
    property
}

fn written<'a>(writer: &mut Writer<'_, '_, 'a>, known: &Known<'a, '_>) -> Map<String, Value> {
    if known.field.schemas.is_empty() && known.field.spot != Spot::Body {
        return Map::from_iter([("type".into(), "string".into())]);
    }
    match known.field.raw {
        Some(Raw::Text(_)) => return Map::from_iter([("type".into(), "string".into())]),
        Some(Raw::Bytes) => {
            return Map::from_iter([("type".into(), "string".into()), ("contentEncoding".into(), "base64".into())]);
        }
        None => {}
    }
    let mut property = writer.write(&known.facts, 1);
    // What stands in an address is text, however little is said about it.
    if known.field.spot != Spot::Body
        && let Some(Value::Object(items)) = property.get_mut("items").filter(|_| known.facts.items.is_empty())
    {
        items.entry("type").or_insert_with(|| "string".into());
    }
    property
}
