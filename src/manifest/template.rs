//! Templates: text and JSON with `{argument}` placeholders, in the spirit of RFC 6570.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A tool's arguments.
pub type Arguments = Map<String, Value>;

/// Text with placeholders: `{name}`, `{name*}` (an array, item by item), `{+name}` (a path that
/// keeps its slashes), `{{` and `}}` for braces. Parsed once; a fault is kept for `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Result<Vec<Part>, String>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Text(String),
    /// An argument's place.
    Argument(String, Expansion),
}

/// How an argument is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expansion {
    /// `{name}`: one text; an array's items joined by commas.
    Plain,
    /// `{name*}`: an array, each item on its own.
    Explode,
    /// `{+name}`: one text that may hold `/`.
    Reserved,
}

impl Template {
    /// Parses `source`.
    pub fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        let parts = parse(&source);
        Self { source, parts }
    }

    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<&str> {
        self.parts.as_ref().err().map(String::as_str)
    }

    /// Its pieces; none when it is faulty, which `check` refuses beforehand.
    pub fn parts(&self) -> &[Part] {
        self.parts.as_deref().unwrap_or_default()
    }

    /// The arguments it names.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, Expansion)> {
        self.parts().iter().filter_map(|part| match part {
            Part::Argument(name, expansion) => Some((name.as_str(), *expansion)),
            Part::Text(_) => None,
        })
    }

    /// Whether it begins with an argument, so that a caller decides its first character.
    pub fn begins_with_argument(&self) -> bool {
        matches!(self.parts().first(), Some(Part::Argument(..)))
    }

    /// The text as written, when it has no placeholder.
    pub fn literal(&self) -> Option<&str> {
        match self.parts() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with every argument in it, or nothing when one is absent.
    pub fn render(&self, arguments: &Arguments) -> Option<String> {
        self.render_with(arguments, |text, _| Cow::Borrowed(text))
    }

    /// Like [`Template::render`], each argument's text through `encode` first.
    pub fn render_with(
        &self,
        arguments: &Arguments,
        encode: impl Fn(&str, Expansion) -> Cow<'_, str>,
    ) -> Option<String> {
        let mut out = String::new();
        for part in self.parts() {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Argument(name, expansion) => {
                    let text = text_of(present(arguments, name)?);
                    out.push_str(&encode(&text, *expansion));
                }
            }
        }
        Some(out)
    }

    /// Every text it stands for: one, or one per item for a lone `{name*}`; none when an
    /// argument is absent.
    pub fn render_each(&self, arguments: &Arguments) -> Vec<String> {
        if let [Part::Argument(name, Expansion::Explode)] = self.parts() {
            return match present(arguments, name) {
                Some(Value::Array(items)) => items.iter().map(|item| text_of(item).into_owned()).collect(),
                Some(value) => vec![text_of(value).into_owned()],
                None => Vec::new(),
            };
        }
        self.render(arguments).into_iter().collect()
    }
}

/// The argument, unless it is absent or null.
pub fn present<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a Value> {
    arguments.get(name).filter(|value| !value.is_null())
}

/// A value as it stands in text: strings bare, arrays joined by commas, objects as JSON. A whole
/// number is written whole, because JSON Schema takes `2.0` for an integer and programs do not.
pub fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(items) => {
            let texts: Vec<_> = items.iter().map(text_of).collect();
            Cow::Owned(texts.join(","))
        }
        Value::Number(number) => {
            let text = number.to_string();
            Cow::Owned(text.strip_suffix(".0").map(str::to_owned).unwrap_or(text))
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

fn parse(source: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                text.push(c);
            }
            '{' => {
                let mut inside = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some(c) => inside.push(c),
                        None => {
                            return Err(format!("`{{{inside}` has no closing brace; write `{{{{` for a literal one"));
                        }
                    }
                }
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(placeholder(&inside)?);
            }
            '}' => return Err("`}` without its `{`; write `}}` for a literal one".into()),
            _ => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    if parts.len() > 1 && parts.iter().any(|part| matches!(part, Part::Argument(_, Expansion::Explode))) {
        return Err("`{name*}` must stand alone, because it becomes several values".into());
    }
    Ok(parts)
}

fn placeholder(inside: &str) -> Result<Part, String> {
    let (name, expansion) = if let Some(name) = inside.strip_prefix('+') {
        (name, Expansion::Reserved)
    } else if let Some(name) = inside.strip_suffix('*') {
        (name, Expansion::Explode)
    } else {
        (inside, Expansion::Plain)
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(format!("`{{{inside}}}` names no argument; write `{{{{` for a literal brace"));
    }
    Ok(Part::Argument(name.into(), expansion))
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Text with `{argument}` placeholders; `{name*}` for an array item by item, `{{` and `}}` for braces."
        })
    }
}

/// JSON in which a string that is exactly `{name}` becomes that argument with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonTemplate {
    /// A string.
    Text(Template),
    /// An array; items with absent arguments are left out.
    Array(Vec<JsonTemplate>),
    /// An object; members with absent arguments are left out.
    Object(Vec<(String, JsonTemplate)>),
    /// A number, boolean or null, as written.
    Other(Value),
}

impl JsonTemplate {
    fn new(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(Template::new(text)),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::new).collect()),
            Value::Object(members) => {
                Self::Object(members.into_iter().map(|(key, value)| (key, Self::new(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Other(value),
        }
    }

    /// The JSON with every argument in it, or nothing when it is one absent argument.
    pub fn render(&self, arguments: &Arguments) -> Option<Value> {
        match self {
            Self::Text(template) => match template.parts() {
                [Part::Argument(name, _)] => present(arguments, name).cloned(),
                _ => template.render(arguments).map(Value::String),
            },
            Self::Array(items) => Some(items.iter().filter_map(|item| item.render(arguments)).collect()),
            Self::Object(members) => {
                let members = members.iter().filter_map(|(key, value)| Some((key.clone(), value.render(arguments)?)));
                Some(Value::Object(members.collect()))
            }
            Self::Other(value) => Some(value.clone()),
        }
    }

    /// Its text templates, each with its JSON pointer below `pointer`.
    pub fn templates(&self, pointer: &str) -> Vec<(String, &Template)> {
        match self {
            Self::Text(template) => vec![(pointer.to_owned(), template)],
            Self::Array(items) => items
                .iter()
                .enumerate()
                .flat_map(|(index, item)| item.templates(&format!("{pointer}/{index}")))
                .collect(),
            Self::Object(members) => {
                members.iter().flat_map(|(key, value)| value.templates(&format!("{pointer}/{}", escape(key)))).collect()
            }
            Self::Other(_) => Vec::new(),
        }
    }
}

/// A key as it stands in a JSON pointer (RFC 6901).
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl<'de> Deserialize<'de> for JsonTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for JsonTemplate {
    fn schema_name() -> Cow<'static, str> {
        "JsonTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "Any JSON; a string that is exactly `{argument}` becomes that argument with its type."
        })
    }
}
