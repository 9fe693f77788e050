//! A document's schema → JSON Schema 2020-12 that every client takes, within bounds.

use std::collections::HashSet;

use indexmap::IndexSet;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    facts::{Additional, Facts, Kinds, View},
    name::is_argument,
    node::Node,
    pattern::Patterns,
};

/// What a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// What a model may give.
    Input,
    /// What an API answers, as services do: with members left out, added and null.
    Loose,
    /// What an API answers, to the letter.
    Strict,
}

/// How much is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Schemas within schemas.
    pub(super) depth: usize,
    /// Schemas in all.
    pub(super) nodes: usize,
    /// The longest description below the first level, in characters.
    pub(super) description: usize,
}

/// Formats of JSON Schema 2020-12.
const FORMATS: &[&str] = &[
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];
/// Members told of whose names clients refuse.
const MOST_UNNAMED: usize = 10;
/// The options that are named, in bytes.
const LONGEST_OPTIONS: usize = 3_000;

/// Writes schemas for one tool.
pub(super) struct Writer<'w, 'd, 'a> {
    pub(super) view: &'w View<'d, 'a>,
    aim: Aim,
    bounds: Bounds,
    left: usize,
    around: Vec<usize>,
    patterns: &'w mut Patterns,
    /// More was asked for than is allowed: what was written is of no use.
    pub(super) overrun: bool,
}

impl<'w, 'd, 'a> Writer<'w, 'd, 'a> {
    pub(super) fn new(view: &'w View<'d, 'a>, aim: Aim, bounds: Bounds, patterns: &'w mut Patterns) -> Self {
        Self { view, aim, bounds, left: bounds.nodes, around: Vec::new(), patterns, overrun: false }
    }

    /// A schema that stands this deep; all of `schemas` hold.
    pub(super) fn schema(&mut self, schemas: &[Node<'a>], depth: usize) -> Map<String, Value> {
        if self.overrun {
            return Map::new();
        }
        let facts = Facts::gather(self.view, schemas, &self.around);
        self.write(&facts, depth)
    }

    pub(super) fn write(&mut self, facts: &Facts<'a>, depth: usize) -> Map<String, Value> {
        let Some(left) = self.left.checked_sub(1) else {
            self.overrun = true;
            return Map::new();
        };
        self.left = left;
        if facts.circular || facts.vast || (depth >= self.bounds.depth && facts.is_deep()) {
            return self.stub(facts);
        }
        let before = self.around.len();
        self.around.extend(&facts.opened);
        let mut schema = Map::new();
        let kinds = self.kinds(facts, depth);
        set_type(&mut schema, kinds);
        if let Some(description) = facts.description.filter(|_| self.bounds.description > 0) {
            let description = self.view.documents.line(description, self.bounds.description);
            if !description.is_empty() {
                schema.insert("description".into(), description.into());
            }
        }
        if let Some(unnamed) = self.unnamed(facts) {
            let before = schema.get("description").and_then(Value::as_str).map(|it| format!("{it} "));
            schema.insert("description".into(), format!("{}{unnamed}", before.unwrap_or_default()).into());
        }
        if self.aim != Aim::Loose {
            Self::options(&mut schema, facts, kinds);
            self.bounds_of(&mut schema, facts, kinds);
        }
        if kinds.has(Kinds::ARRAY) && kinds != Kinds::ANY {
            self.array(&mut schema, facts, depth);
        }
        if kinds.has(Kinds::OBJECT) {
            self.object(&mut schema, facts, depth);
        }
        self.variants(&mut schema, facts, depth);
        self.around.truncate(before);
        schema
    }

    fn kinds(&self, facts: &Facts<'a>, depth: usize) -> Kinds {
        if self.aim == Aim::Loose && depth > 0 { facts.kinds.with(Kinds::NULL) } else { facts.kinds }
    }

    /// What is left of a schema that is not written out.
    fn stub(&self, facts: &Facts<'a>) -> Map<String, Value> {
        let mut schema = Map::new();
        let kinds = if self.aim == Aim::Loose { facts.kinds.with(Kinds::NULL) } else { facts.kinds };
        set_type(&mut schema, kinds);
        if kinds.has(Kinds::ARRAY) && kinds != Kinds::ANY {
            schema.insert("items".into(), json!({}));
        }
        if self.bounds.description > 0 {
            let what = facts.description.map(|it| self.view.documents.line(it, 80)).filter(|it| !it.is_empty());
            let name =
                facts.name.map(|name| format!("nested {}, ", self.view.documents.line(name, 60))).unwrap_or_default();
            let what = what.map(|what| format!("{what} ")).unwrap_or_default();
            schema.insert("description".into(), format!("{what}({name}any JSON)").into());
        }
        schema
    }

    fn options(schema: &mut Map<String, Value>, facts: &Facts<'a>, kinds: Kinds) {
        let Some(options) = &facts.options else { return };
        let (mut written, mut seen): (Vec<Value>, HashSet<Value>) = Default::default();
        for option in options {
            // YAML reads `1.0` and `true` where people meant texts.
            let is_text = !(option.is_number() || option.is_boolean());
            let option = if only_text(kinds) && !is_text { option.to_string().into() } else { (*option).clone() };
            if kinds.has(Kinds::of(&option)) && seen.insert(option.clone()) {
                written.push(option);
            }
        }
        if kinds.has(Kinds::NULL) && kinds != Kinds::ANY && !written.contains(&Value::Null) {
            written.push(Value::Null);
        }
        let length: usize = written.iter().map(|option| option.to_string().len() + 1).sum();
        if written.iter().any(|option| !option.is_null()) && length <= LONGEST_OPTIONS {
            schema.insert("enum".into(), Value::Array(written));
        }
    }

    fn bounds_of(&mut self, schema: &mut Map<String, Value>, facts: &Facts<'a>, kinds: Kinds) {
        if kinds == Kinds::ANY {
            return;
        }
        if kinds.has(Kinds::STRING) {
            lengths(schema, facts, "minLength", "maxLength");
            if let Some(pattern) =
                facts.word("pattern").filter(|pattern| self.patterns.takes(pattern, self.view.documents))
            {
                schema.insert("pattern".into(), pattern.into());
            }
            let format = facts.word("format").unwrap_or_default();
            if facts.is_binary() || facts.is_encoded() {
                schema.insert("contentEncoding".into(), "base64".into());
                // Those count bytes, or letters of what is not text.
                for keyword in ["minLength", "maxLength", "pattern"] {
                    schema.remove(keyword);
                }
            } else if FORMATS.contains(&format) {
                schema.insert("format".into(), format.into());
            }
        }
        if kinds.has(Kinds::INTEGER) {
            numbers(schema, facts);
        }
        if kinds.has(Kinds::ARRAY) {
            lengths(schema, facts, "minItems", "maxItems");
            if facts.keyword("uniqueItems") == Some(&Value::Bool(true)) {
                schema.insert("uniqueItems".into(), true.into());
            }
        }
        if self.aim == Aim::Input
            && let Some(default) = facts.keyword("default").filter(|it| !it.is_null() && kinds.has(Kinds::of(it)))
            && size(default, 80) <= 80
        {
            schema.insert("default".into(), default.clone());
        }
    }

    fn array(&mut self, schema: &mut Map<String, Value>, facts: &Facts<'a>, depth: usize) {
        if self.aim != Aim::Loose && !facts.prefix.is_empty() {
            let prefix: Vec<Value> =
                facts.prefix.iter().map(|item| Value::Object(self.schema(&[*item], depth + 1))).collect();
            schema.insert("prefixItems".into(), Value::Array(prefix));
        }
        let items = if facts.items.is_empty() || self.aim == Aim::Loose && !facts.prefix.is_empty() {
            Map::new()
        } else {
            self.schema(&facts.items, depth + 1)
        };
        schema.insert("items".into(), Value::Object(items));
    }

    fn object(&mut self, schema: &mut Map<String, Value>, facts: &Facts<'a>, depth: usize) {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        let mut unwritten = false;
        for (name, schemas) in &facts.properties {
            if self.overrun {
                return;
            }
            let member = Facts::gather(self.view, schemas, &self.around);
            let needed = facts.required.contains(name);
            if !self.is_shown(&member, needed) {
                continue;
            }
            if !is_argument(name) {
                unwritten = true;
                continue;
            }
            properties.insert((*name).to_owned(), Value::Object(self.write(&member, depth + 1)));
            if needed && self.aim != Aim::Loose {
                required.push(Value::from(*name));
            }
        }
        if !properties.is_empty() {
            schema.insert("properties".into(), Value::Object(properties));
        }
        if !required.is_empty() {
            schema.insert("required".into(), Value::Array(required));
        }
        match facts.additional {
            Additional::Closed if !unwritten && self.aim != Aim::Loose => {
                schema.insert("additionalProperties".into(), false.into());
            }
            Additional::Of => {
                let additional = self.schema(&facts.additional_of, depth + 1);
                if !additional.is_empty() {
                    schema.insert("additionalProperties".into(), Value::Object(additional));
                }
            }
            Additional::Closed | Additional::Open | Additional::Unsaid => {}
        }
    }

    /// Words for members whose names clients refuse: they may be given all the same.
    pub(super) fn unnamed(&self, facts: &Facts<'a>) -> Option<String> {
        if self.aim != Aim::Input {
            return None;
        }
        let refused = facts.properties.iter().filter(|(name, _)| !is_argument(name));
        let shown = refused.filter_map(|(name, schemas)| {
            let needed = facts.required.contains(name);
            let member = Facts::gather(self.view, schemas, &self.around);
            let need = if needed { " (required)" } else { "" };
            self.is_shown(&member, needed).then(|| format!("`{}`{need}", self.view.documents.line(name, 60)))
        });
        let names: Vec<String> = shown.take(MOST_UNNAMED).collect();
        (!names.is_empty()).then(|| format!("Also takes {}.", names.join(", ")))
    }

    /// Whether a member is for this side.
    pub(super) fn is_shown(&self, member: &Facts<'a>, needed: bool) -> bool {
        match self.aim {
            Aim::Input => !member.read_only && !member.never && (needed || !member.deprecated),
            Aim::Loose | Aim::Strict => !member.write_only && !member.never,
        }
    }

    fn variants(&mut self, schema: &mut Map<String, Value>, facts: &Facts<'a>, depth: usize) {
        // What a second union forbids is for the API to say.
        let Some(union) = facts.unions.first() else { return };
        let mut variants: Vec<Value> = Vec::new();
        for variant in union {
            let mut variant = self.schema(&[*variant], depth + 1);
            // A closed variant would refuse the members that stand beside it.
            if schema.contains_key("properties") && variant.get("additionalProperties") == Some(&Value::Bool(false)) {
                variant.remove("additionalProperties");
            }
            let variant = Value::Object(variant);
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
        if variants.iter().any(is_anything) {
            return;
        }
        if let Some(options) = merged_options(&variants) {
            schema.extend(options);
            return;
        }
        let null = json!({ "type": "null" });
        if facts.kinds.has(Kinds::NULL) && facts.kinds != Kinds::ANY && !variants.contains(&null) {
            variants.push(null);
        }
        if let [Value::Object(only)] = variants.as_slice() {
            for (key, value) in only {
                schema.entry(key).or_insert_with(|| value.clone());
            }
        } else {
            schema.insert("anyOf".into(), Value::Array(variants));
        }
    }
}

fn set_type(schema: &mut Map<String, Value>, kinds: Kinds) {
    let names = kinds.names();
    match names.as_slice() {
        [] => {}
        [only] => drop(schema.insert("type".into(), (*only).into())),
        _ => drop(schema.insert("type".into(), names.into())),
    }
}

/// Whether it may be a text and nothing else, but null.
pub(super) fn only_text(kinds: Kinds) -> bool {
    kinds == Kinds::STRING || kinds == Kinds::STRING.with(Kinds::NULL)
}

fn is_anything(schema: &Value) -> bool {
    schema.as_object().is_some_and(|schema| schema.keys().all(|key| key == "description"))
}

/// One list of options for variants that are nothing but options of one type.
fn merged_options(variants: &[Value]) -> Option<Map<String, Value>> {
    let kind = variants.first()?.get("type")?;
    let mut options: IndexSet<&Value> = IndexSet::new();
    for variant in variants {
        let members = variant.as_object()?;
        let bare = members.keys().all(|key| matches!(key.as_str(), "type" | "enum" | "description"));
        if !bare || members.get("type") != Some(kind) {
            return None;
        }
        options.extend(members.get("enum")?.as_array()?);
    }
    let options = options.into_iter().cloned().collect();
    Some(Map::from_iter([("type".into(), kind.clone()), ("enum".into(), Value::Array(options))]))
}

/// Two bounds that count; left out when they contradict each other.
fn lengths(schema: &mut Map<String, Value>, facts: &Facts<'_>, least: &str, most: &str) {
    let count = |name: &str| facts.keyword(name).and_then(Value::as_u64).filter(|count| *count < 1 << 53);
    let (low, high) = (count(least), count(most));
    if low.zip(high).is_some_and(|(low, high)| low > high) {
        return;
    }
    if let Some(low) = low.filter(|low| *low > 0) {
        schema.insert(least.into(), low.into());
    }
    if let Some(high) = high {
        schema.insert(most.into(), high.into());
    }
}

fn numbers(schema: &mut Map<String, Value>, facts: &Facts<'_>) {
    let number = |name: &str| facts.keyword(name).filter(|value| value.is_number());
    let mut limit = |inclusive: &str, exclusive: &str| {
        // Up to 3.0 the exclusive bound is a truth value beside the other.
        let shut = facts.keyword(exclusive) == Some(&Value::Bool(true));
        if let Some(bound) = number(inclusive) {
            schema.insert(if shut { exclusive } else { inclusive }.to_owned(), bound.clone());
        }
        if let Some(bound) = number(exclusive) {
            schema.insert(exclusive.to_owned(), bound.clone());
        }
    };
    let (low, high) = (number("minimum").and_then(Value::as_f64), number("maximum").and_then(Value::as_f64));
    if low.zip(high).is_none_or(|(low, high)| low <= high) {
        limit("minimum", "exclusiveMinimum");
        limit("maximum", "exclusiveMaximum");
    }
    if let Some(step) = number("multipleOf").filter(|step| step.as_f64().is_some_and(|step| step > 0.0)) {
        schema.insert("multipleOf".into(), step.clone());
    }
}

/// How many bytes a schema or a value is; more than `most` are not counted to the end.
pub(super) fn size(schema: &impl Serialize, most: usize) -> usize {
    /// Counts what is written to it.
    struct Count(usize, usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            if self.0 > self.1 { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0, most);
    // It fails when there is too much, and then the count says so.
    drop(serde_json::to_writer(&mut count, schema));
    count.0
}
