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
const TOGETHER: &[&str] = &["properties", "required", "additionalProperties", "type", "enum", "const"];
/// Lower and upper bounds.
const LOWER: &[&str] = &["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"];
const UPPER: &[&str] = &["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"];

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
            let number = |value: Option<&Value>| value.and_then(Value::as_f64);
            let tighter = match (number(old), number(new)) {
                (None, Some(_)) => true,
                (Some(old), Some(new)) => (new > old) == LOWER.contains(&keyword),
                (_, None) => false,
            };
            let class = if tighter { self.flow.narrower() } else { self.flow.wider() };
            return self.found.add(class, &at, format!("{keyword} was {} and is {}", brief(old), brief(new)));
        }
        match (keyword, old, new) {
            ("items", ..) => {
                let anything = Value::Bool(true);
                self.schemas(&at, old.unwrap_or(&anything), new.unwrap_or(&anything), depth + 1);
            }
            ("$defs" | "definitions" | "patternProperties", Some(Value::Object(old)), Some(Value::Object(new))) => {
                // One that came or went matters where it is referred to, and that changed too.
                for (name, old) in old {
                    if let Some(new) = new.get(name) {
                        self.schemas(&format!("{at}/{}", step(name)), old, new, depth + 1);
                    }
                }
            }
            ("$defs" | "definitions", ..) => {}
            ("anyOf" | "oneOf", Some(Value::Array(old)), Some(Value::Array(new))) => self.any_of(&at, old, new, depth),
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
            (Some(_), None) => false,
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
                    let class = if self.flow == Flow::Out { Class::Risky } else { class };
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
        let what = match self.flow {
            Flow::In => "argument",
            Flow::Out => "member",
        };
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            let closed = new.get("additionalProperties") == Some(&Value::Bool(false));
            let class = match self.flow {
                Flow::In if closed => Class::Breaking,
                Flow::In => Class::Risky,
                Flow::Out => Class::Breaking,
            };
            let words = if closed { "is refused now" } else { "is gone" };
            self.found.add(
                class,
                &format!("{at}/properties/{}", step(name)),
                format!("the {what} `{}` {words}", visible_line(name)),
            );
        }
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
                // What it asks for is for the model to read.
                None if self.flow == Flow::In && property.get("description").is_some() => {
                    let reason = format!("the argument `{shown}` is new: {}", brief(property.get("description")));
                    self.found.add(Class::Risky, &here, reason);
                }
                None => self.found.add(Class::Harmless, &here, format!("the {what} `{shown}` is new")),
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
                self.found.add(self.flow.wider(), at, format!("{} more ways to fit it", added.len()));
            }
            (gone, []) if !gone.is_empty() => {
                self.found.add(self.flow.narrower(), at, format!("{} ways to fit it are gone", gone.len()));
            }
            ([], []) => {}
            _ => self.found.add(Class::Breaking, at, "the ways to fit it are others"),
        }
    }
}
