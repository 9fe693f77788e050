//! How values are written in paths, queries, headers and forms (`OpenAPI` 3.1, "Style Values"; RFC 6570).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::super::plan::Style;
use crate::manifest::text_of;

/// All but RFC 3986's unreserved characters.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same less the reserved characters that change nothing in a query: `&`, `#` and `+` would.
const RESERVED: &AsciiSet = &SEGMENT
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b';')
    .remove(b'=');
/// For names: `$filter` stays readable, and for servers that decode no names right.
const NAME: &AsciiSet = &SEGMENT.remove(b'$').remove(b':').remove(b'@').remove(b'!').remove(b'*').remove(b',');

/// How a text is kept from being more than a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// It is taken as it is.
    None,
    /// As a part of a path or a query.
    Segment,
    /// As a part of a query with reserved characters.
    Reserved,
    /// As a name in a query.
    Name,
}

impl Escape {
    pub(super) fn apply(self, text: &str) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::Segment => escaped(text, SEGMENT),
            Self::Reserved => escaped(text, RESERVED),
            Self::Name => escaped(text, NAME),
        }
    }

    fn value(self, value: &Value) -> String {
        self.apply(&plain(value))
    }
}

pub(super) fn escaped(text: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(text, set).to_string()
}

/// A value as text: what has members is JSON, wherever no style knows better.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string(),
        Value::Null => String::new(),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => text_of(value).into_owned(),
    }
}

/// A value as text of a media type.
pub(super) fn content(media_type: &str, value: &Value) -> String {
    if super::body::is_json(media_type) { value.to_string() } else { plain(value) }
}

/// `1,2` and `k,v`, or `k=v` when exploded, as it is; between items stands what the style says.
pub(super) fn simple(value: &Value, (style, explode): (Style, bool)) -> String {
    let comma = match style {
        Style::SpaceDelimited => " ",
        Style::PipeDelimited => "|",
        Style::TabDelimited => "\t",
        Style::Form | Style::Simple | Style::Matrix | Style::Label | Style::DeepObject => ",",
    };
    joined(value, explode, Escape::None, comma)
}

/// Items between `comma`s; members as `k,v`, or as `k=v` when exploded.
fn joined(value: &Value, explode: bool, escape: Escape, comma: &str) -> String {
    match value {
        Value::Array(items) => items.iter().map(|item| escape.value(item)).collect::<Vec<_>>().join(comma),
        Value::Object(members) => {
            let between = if explode { "=" } else { comma };
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let members = members.map(|(key, value)| format!("{}{between}{}", escape.apply(key), escape.value(value)));
            members.collect::<Vec<_>>().join(comma)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => escape.value(value),
    }
}

/// What stands in a path for `{name}`.
pub(super) fn in_path(name: &str, value: &Value, (style, explode): (Style, bool), escape: Escape) -> String {
    match style {
        Style::Label => format!(".{}", joined(value, explode, escape, if explode { "." } else { "," })),
        Style::Matrix => {
            let name = Escape::Segment.apply(name);
            match value {
                Value::Array(items) if explode => {
                    items.iter().flat_map(|item| [";".into(), name.clone(), "=".into(), escape.value(item)]).collect()
                }
                Value::Object(_) if explode => format!(";{}", joined(value, true, escape, ";")),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => format!(";{name}={}", joined(value, false, escape, ",")),
            }
        }
        Style::Form
        | Style::Simple
        | Style::SpaceDelimited
        | Style::PipeDelimited
        | Style::TabDelimited
        | Style::DeepObject => {
            let comma = match style {
                Style::SpaceDelimited => "%20",
                Style::PipeDelimited => "%7C",
                Style::TabDelimited => "%09",
                Style::Form | Style::Simple | Style::DeepObject | Style::Label | Style::Matrix => ",",
            };
            joined(value, explode, escape, comma)
        }
    }
}

/// What stands in a query, a cookie or a form for a name and its value: pairs `name=value`, escaped. An empty list says
/// nothing.
pub(super) fn pairs(name: &str, value: &Value, (style, explode): (Style, bool), escape: Escape) -> Vec<String> {
    let pair = |name: &str, text: String| format!("{}={text}", Escape::Name.apply(name));
    if style == Style::DeepObject {
        let mut pairs = Vec::new();
        deep(name, value, &mut |name, text| pairs.push(pair(name, escape.apply(text))));
        return pairs;
    }
    let comma = match style {
        Style::SpaceDelimited => "%20",
        Style::PipeDelimited => "%7C",
        Style::TabDelimited => "%09",
        Style::Form | Style::Simple | Style::Matrix | Style::Label | Style::DeepObject => ",",
    };
    match value {
        Value::Array(items) if items.is_empty() => Vec::new(),
        Value::Object(members) if members.is_empty() => Vec::new(),
        Value::Array(items) if explode => items.iter().map(|item| pair(name, escape.value(item))).collect(),
        Value::Object(members) if explode => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            members.map(|(key, value)| pair(key, escape.value(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            vec![pair(name, joined(value, false, escape, comma))]
        }
    }
}

/// `a[b]=1`, and `a[b][0]=1` for what the specification leaves open.
fn deep(name: &str, value: &Value, found: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                deep(&format!("{name}[{key}]"), value, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                deep(&format!("{name}[{index}]"), item, found);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => found(name, &plain(value)),
    }
}
