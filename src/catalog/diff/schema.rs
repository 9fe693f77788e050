//! Two JSON schemas: does what fitted the one fit the other?
//!
//! Told from what is written, keyword by keyword. What cannot be told counts as breaking, so that nobody is reassured
//! for nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Class, Found, brief, step, visible_line};

/// Schemas within schemas that are compared; deeper ones are equal or not.
const DEEPEST: usize = 16;

/// Which way values go that a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the tool: what callers send today must still be taken.
    In,
    /// From the tool: what it gives tomorrow must still be understood.
    Out,
}

impl Flow {
    /// What it means that a schema takes less.
    fn narrower(self) -> Class {
        match self {
            Self::In => Class::Breaking,
            Self::Out => Class::Harmless,
        }
    }

    /// What a property of such a schema is called.
    fn what(self) -> &'static str {
        match self {
            Self::In => "argument",
            Self::Out => "member",
        }
    }

    /// What it means that it takes more.
    fn wider(self) -> Class {
        match self {
            Self::In => Class::Harmless,
            Self::Out => Class::Breaking,
        }
    }
}

/// Keywords that say something to readers and nothing to what checks.
const WORDS: &[&str] = &["title", "description", "default", "examples", "example", "$comment", "format"];
/// Keywords that say nothing anybody has to know.
const SILENT: &[&str] = &["$schema", "$id", "$anchor", "deprecated", "readOnly", "writeOnly"];
/// Keywords looked at together with others.
const TOGETHER: &[&str] =
    &["properties", "patternProperties", "required", "additionalProperties", "type", "enum", "const"];
/// Lower and upper bounds.
const LOWER: &[&str] = &["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"];
const UPPER: &[&str] = &["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"];
/// Every kind of value there is; `integer` is a number.
const KINDS: &[&str] = &["null", "boolean", "object", "array", "number", "string"];

/// What changed from one schema to another.
pub(super) fn compare(found: &mut Found, flow: Flow, at: &str, old: &Value, new: &Value) {
    Walk { found, flow }.schemas(at, old, new, 0);
}

struct Walk<'a> {
    found: &'a mut Found,
    flow: Flow,
}

impl Walk<'_> {
    fn schemas(&mut self, at: &str, old: &Value, new: &Value, depth: usize) {
        if old == new {
            return;
        }
        let anything = Map::new();
        let (old, new) = match (old, new) {
            (Value::Object(old), Value::Object(new)) => (old, new),
            (Value::Object(old), Value::Bool(true)) => (old, &anything),
            (Value::Bool(true), Value::Object(new)) => (&anything, new),
            (_, Value::Bool(false)) => return self.found.add(self.flow.narrower(), at, "nothing fits it any longer"),
            (Value::Bool(false), _) => return self.found.add(self.flow.wider(), at, "something fits it now"),
            _ => return self.found.add(Class::Breaking, at, "it is no schema any longer, or was none"),
        };
        if depth > DEEPEST {
            return self.found.add(Class::Breaking, at, "it is another, and too deep to say how");
        }
        self.kinds(at, old, new);
        self.choices(at, old, new);
        self.properties(at, old, new, depth);
        self.patterns(at, old, new, depth);
        self.others(at, old, new, depth);
        let keywords: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for keyword in keywords {
            self.keyword(at, keyword, (old.get(keyword), new.get(keyword)), depth);
        }
    }

    fn keyword(&mut self, at: &str, keyword: &str, (old, new): (Option<&Value>, Option<&Value>), depth: usize) {
        let at = format!("{at}/{}", step(keyword));
        if old == new || TOGETHER.contains(&keyword) || SILENT.contains(&keyword) {
            return;
        }
        if WORDS.contains(&keyword) {
            let reason = match (old, new) {
                (None, new) => format!("there is a {keyword} now: {}", brief(new)),
                (Some(_), None) => format!("there is no {keyword} any longer"),
                (old, new) => format!("the {keyword} was {} and is {}", brief(old), brief(new)),
            };
            return self.found.add(Class::Risky, &at, reason);
        }
        if LOWER.contains(&keyword) || UPPER.contains(&keyword) {
            return self.bound(&at, keyword, old, new);
        }
        match (keyword, old, new) {
            ("items", ..) => {
                let anything = Value::Bool(true);
                self.schemas(&at, old.unwrap_or(&anything), new.unwrap_or(&anything), depth + 1);
            }
            ("uniqueItems", ..) => self.unique(&at, old, new),
            ("$defs" | "definitions", Some(Value::Object(old)), Some(Value::Object(new))) => {
                // One that came or went matters where it is referred to, and that changed too.
                for (name, old) in old {
                    if let Some(new) = new.get(name) {
                        self.schemas(&format!("{at}/{}", step(name)), old, new, depth + 1);
                    }
                }
            }
            ("$defs" | "definitions", ..) => {}
            ("anyOf", Some(Value::Array(old)), Some(Value::Array(new))) => self.any_of(&at, old, new, depth),
            ("oneOf", Some(Value::Array(old)), Some(Value::Array(new))) => {
                self.any_of(&at, old, new, depth);
                if new.len() > old.len() && !are_apart(new) {
                    self.found.add(Class::Breaking, &at, "what fits a new way and an old one fits it no longer");
                }
            }
            (_, None, Some(_)) => {
                self.found.add(self.flow.narrower(), &at, format!("`{}` is asked for now", visible_line(keyword)));
            }
            (_, Some(_), None) => self.found.add(
                self.flow.wider(),
                &at,
                format!("`{}` is not asked for any longer", visible_line(keyword)),
            ),
            _ => {
                let reason = format!("{} was {} and is {}", visible_line(keyword), brief(old), brief(new));
                self.found.add(Class::Breaking, &at, reason);
            }
        }
    }

    /// A lower or upper bound.
    fn bound(&mut self, at: &str, keyword: &str, old: Option<&Value>, new: Option<&Value>) {
        // What is meant where nothing is said.
        let unsaid = match keyword {
            "minContains" => Some(1.0),
            "minLength" | "minItems" | "minProperties" => Some(0.0),
            _ => None,
        };
        let number = |value: Option<&Value>| value.map_or(unsaid, Value::as_f64);
        let tighter = match (number(old), number(new)) {
            (None, Some(_)) => true,
            (Some(old), Some(new)) if old.total_cmp(&new).is_eq() => return,
            (Some(old), Some(new)) => (new > old) == LOWER.contains(&keyword),
            (_, None) => false,
        };
        let class = if tighter { self.flow.narrower() } else { self.flow.wider() };
        self.found.add(class, at, format!("{keyword} was {} and is {}", brief(old), brief(new)));
    }

    /// Whether an item may be there twice.
    fn unique(&mut self, at: &str, old: Option<&Value>, new: Option<&Value>) {
        let is_asked = |value: Option<&Value>| value == Some(&Value::Bool(true));
        match (is_asked(old), is_asked(new)) {
            (false, true) => self.found.add(self.flow.narrower(), at, "no item may be there twice now"),
            (true, false) => self.found.add(self.flow.wider(), at, "an item may be there twice now"),
            (true, true) | (false, false) => {}
        }
    }

    /// The kinds of values.
    fn kinds(&mut self, at: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let kinds = |schema: &Map<String, Value>| -> Option<BTreeSet<String>> {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let kinds = schema.get("type")?;
            let many = kinds.as_array().into_iter().flatten().filter_map(text);
            Some(many.chain(text(kinds)).collect())
        };
        let said = |kinds: &Option<BTreeSet<String>>| match kinds {
            None => "of any kind".to_owned(),
            Some(kinds) => kinds.iter().map(|kind| visible_line(kind)).collect::<Vec<_>>().join(" or "),
        };
        let (old, new) = (kinds(old), kinds(new));
        if old == new {
            return;
        }
        let holds = |all: &Option<BTreeSet<String>>, some: &Option<BTreeSet<String>>| match (all, some) {
            (None, _) => true,
            (Some(all), None) => KINDS.iter().all(|kind| all.contains(*kind)),
            (Some(all), Some(some)) => {
                some.iter().all(|kind| all.contains(kind) || (kind == "integer" && all.contains("number")))
            }
        };
        let class = match (holds(&old, &new), holds(&new, &old)) {
            (true, true) => Class::Harmless,
            (true, false) => self.flow.narrower(),
            (false, true) => self.flow.wider(),
            (false, false) => Class::Breaking,
        };
        self.found.add(class, &format!("{at}/type"), format!("it was {} and is {}", said(&old), said(&new)));
    }

    /// Values that are listed.
    fn choices(&mut self, at: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let listed = |schema: &Map<String, Value>| match (schema.get("enum"), schema.get("const")) {
            (_, Some(only)) => Some(vec![only.clone()]),
            (Some(Value::Array(values)), None) => Some(values.clone()),
            _ => None,
        };
        let at = format!("{at}/enum");
        match (listed(old), listed(new)) {
            (None, Some(values)) => {
                let reason = format!("only listed values are taken now: {}", brief(Some(&Value::Array(values))));
                self.found.add(self.flow.narrower(), &at, reason);
            }
            (Some(_), None) => self.found.add(self.flow.wider(), &at, "more than listed values is taken now"),
            (Some(old), Some(new)) => {
                for gone in old.iter().filter(|value| !new.contains(value)) {
                    let reason = format!("the value {} is gone", brief(Some(gone)));
                    self.found.add(self.flow.narrower(), &at, reason);
                }
                for added in new.iter().filter(|value| !old.contains(value)) {
                    // A value is text for the model too.
                    let class = self.flow.wider().max(if added.is_string() { Class::Risky } else { Class::Harmless });
                    self.found.add(class, &at, format!("the value {} is new", brief(Some(added))));
                }
            }
            (None, None) => {}
        }
    }

    fn properties(&mut self, at: &str, old: &Map<String, Value>, new: &Map<String, Value>, depth: usize) {
        let properties = |schema: &Map<String, Value>| {
            schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let required = |schema: &Map<String, Value>| -> BTreeSet<String> {
            let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
        };
        let (before, after) = (properties(old), properties(new));
        let (needed, needs) = (required(old), required(new));
        let what = self.flow.what();
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        self.gone(&format!("{at}/properties"), gone, new.get("additionalProperties"));
        for (name, property) in &after {
            let here = format!("{at}/properties/{}", step(name));
            let shown = visible_line(name);
            match before.get(name) {
                Some(old) => self.schemas(&here, old, property, depth + 1),
                None if self.flow == Flow::In && needs.contains(name) && property.get("default").is_none() => {
                    self.found.add(
                        Class::Breaking,
                        &here,
                        format!("the argument `{shown}` is new and has to be given"),
                    );
                }
                None => {
                    // A name asks for something already, and whatever else it says is for the model to read.
                    let class = if self.flow == Flow::In { Class::Risky } else { class_of_words(property) };
                    let said = property.get("description").map(|said| format!(": {}", brief(Some(said))));
                    let reason = format!("the {what} `{shown}` is new{}", said.unwrap_or_default());
                    self.found.add(class, &here, reason);
                }
            }
        }
        for name in needs.iter().filter(|name| !needed.contains(*name)) {
            let known = before.contains_key(name);
            if known || self.flow == Flow::Out || !after.contains_key(name) {
                let reason = format!("the {what} `{}` has to be there now", visible_line(name));
                self.found.add(self.flow.narrower(), &format!("{at}/required"), reason);
            }
        }
        for name in needed.iter().filter(|name| !needs.contains(*name)) {
            if after.contains_key(name) {
                let reason = format!("the {what} `{}` may be left out now", visible_line(name));
                self.found.add(self.flow.wider(), &format!("{at}/required"), reason);
            }
        }
    }

    /// Properties that are named no longer; `others` is what those that are not named have to fit.
    fn gone<'a>(&mut self, at: &str, gone: impl Iterator<Item = &'a String>, others: Option<&Value>) {
        let closed = others == Some(&Value::Bool(false));
        // Others that have to fit something are not what this one was.
        let open = others.is_none_or(|others| *others == Value::Bool(true));
        let class = match self.flow {
            Flow::In if open => Class::Risky,
            Flow::In | Flow::Out => Class::Breaking,
        };
        let words = if closed { "is refused now" } else { "is gone" };
        for name in gone {
            let reason = format!("the {} `{}` {words}", self.flow.what(), visible_line(name));
            self.found.add(class, &format!("{at}/{}", step(name)), reason);
        }
    }

    /// What is named by a pattern.
    fn patterns(&mut self, at: &str, old: &Map<String, Value>, new: &Map<String, Value>, depth: usize) {
        let patterns = |schema: &Map<String, Value>| {
            schema.get("patternProperties").and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let is_closed = |schema: &Map<String, Value>| schema.get("additionalProperties") == Some(&Value::Bool(false));
        let (before, after) = (patterns(old), patterns(new));
        let at = format!("{at}/patternProperties");
        for pattern in before.keys().filter(|pattern| !after.contains_key(*pattern)) {
            let class = if is_closed(new) { self.flow.narrower() } else { self.flow.wider() };
            self.found.add(class, &at, format!("the pattern {} is gone", visible_line(pattern)));
        }
        for (pattern, schema) in &after {
            if let Some(old) = before.get(pattern) {
                self.schemas(&format!("{at}/{}", step(pattern)), old, schema, depth + 1);
                continue;
            }
            let class = if is_closed(old) { self.flow.wider() } else { self.flow.narrower() };
            let class = class.max(class_of_words(schema));
            self.found.add(class, &at, format!("the pattern {} is new", visible_line(pattern)));
        }
    }

    /// What is not named.
    fn others(&mut self, at: &str, old: &Map<String, Value>, new: &Map<String, Value>, depth: usize) {
        let anything = Value::Bool(true);
        let (old, new) = (old.get("additionalProperties"), new.get("additionalProperties"));
        let (old, new) = (old.unwrap_or(&anything), new.unwrap_or(&anything));
        let at = format!("{at}/additionalProperties");
        match (old, new) {
            (old, new) if old == new => {}
            // Results with more in them than was promised harm nobody who knows what they look for.
            (Value::Bool(false), _) if self.flow == Flow::Out => {
                self.found.add(Class::Harmless, &at, "more than what is named may be there now");
            }
            (Value::Bool(false), _) => self.found.add(Class::Harmless, &at, "more than what is named is taken now"),
            (_, Value::Bool(false)) => {
                self.found.add(self.flow.narrower(), &at, "only what is named is taken now");
            }
            (old, new) => self.schemas(&at, old, new, depth + 1),
        }
    }

    /// Several ways to fit.
    fn any_of(&mut self, at: &str, old: &[Value], new: &[Value], depth: usize) {
        let gone: Vec<&Value> = old.iter().filter(|way| !new.contains(way)).collect();
        let added: Vec<&Value> = new.iter().filter(|way| !old.contains(way)).collect();
        match (gone.as_slice(), added.as_slice()) {
            // One that changed.
            ([old], [new]) => self.schemas(at, old, new, depth + 1),
            ([], added) if !added.is_empty() => {
                let words = added.iter().map(|way| class_of_words(way)).max().unwrap_or_default();
                self.found.add(self.flow.wider().max(words), at, format!("{} more ways to fit it", added.len()));
            }
            (gone, []) if !gone.is_empty() => {
                self.found.add(self.flow.narrower(), at, format!("{} ways to fit it are gone", gone.len()));
            }
            ([], []) => {}
            _ => self.found.add(Class::Breaking, at, "the ways to fit it are others"),
        }
    }
}

/// What it means that a schema is new, as far as that follows from the words in it: a model reads them.
fn class_of_words(schema: &Value) -> Class {
    if speaks(schema) { Class::Risky } else { Class::Harmless }
}

/// Whether a schema says anything in words, be it by what it calls its members.
fn speaks(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(keyword, value)| match keyword.as_str() {
            "type" | "format" | "pattern" | "$ref" | "$schema" | "$id" => false,
            "properties" => value.as_object().is_some_and(|properties| !properties.is_empty()),
            _ => speaks(value),
        }),
        Value::Array(items) => items.iter().any(speaks),
        Value::String(_) => true,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether nothing fits two of these schemas, as their kinds tell.
fn are_apart(ways: &[Value]) -> bool {
    let mut kinds = BTreeSet::new();
    ways.iter().all(|way| {
        let kind = way.get("type").and_then(Value::as_str);
        kind.is_some_and(|kind| kinds.insert(if kind == "integer" { "number" } else { kind }))
    })
}
