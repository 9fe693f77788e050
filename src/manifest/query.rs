//! `JSONPath` queries (RFC 9535): which parts of an answer are meant.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json_path::JsonPath;

/// The longest query, in bytes.
const LONGEST: usize = 1000;
/// Brackets within brackets; the parser of queries goes down as far as they do.
const DEEPEST: usize = 32;

/// A query. Parsed once; a fault is kept for `check`.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    source: String,
    path: Result<JsonPath, String>,
}

impl Query {
    /// Parses `source`.
    pub fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        let path = parse(&source);
        Self { source, path }
    }

    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<&str> {
        self.path.as_ref().err().map(String::as_str)
    }

    /// The query as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether it means one place and no other, so that what stands there is the result and not a list of it.
    pub fn is_singular(&self) -> bool {
        let (mut quote, mut before) = (None, ' ');
        let mut letters = self.source.chars();
        while let Some(letter) = letters.next() {
            if let Some(end) = quote {
                if letter == '\\' {
                    letters.next();
                } else if letter == end {
                    quote = None;
                }
            } else if matches!(letter, '\'' | '"') {
                quote = Some(letter);
            } else if matches!(letter, '*' | ',' | ':' | '?') || (letter == '.' && before == '.') {
                return false;
            }
            before = letter;
        }
        true
    }

    /// What it finds, in the document's order.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.path.as_ref().map(|path| path.query(value).all()).unwrap_or_default()
    }

    /// Where it finds something: JSON pointers.
    pub fn places(&self, value: &Value) -> Vec<String> {
        let Ok(path) = &self.path else { return Vec::new() };
        path.query_located(value).locations().map(serde_json_path::NormalizedPath::to_json_pointer).collect()
    }

    /// Takes out what it finds.
    pub fn remove(&self, value: &mut Value) {
        let places = self.places(value);
        // From within, so that no place is moved before its turn, and all of one list or object at once.
        let mut within: BTreeMap<(Reverse<usize>, &str), HashSet<String>> = BTreeMap::new();
        for (parent, last) in places.iter().filter_map(|place| place.rsplit_once('/')) {
            let last = last.replace("~1", "/").replace("~0", "~");
            within.entry((Reverse(parent.matches('/').count()), parent)).or_default().insert(last);
        }
        for ((_, parent), gone) in within {
            match value.pointer_mut(parent) {
                Some(Value::Object(members)) => members.retain(|name, _| !gone.contains(name)),
                Some(Value::Array(items)) => {
                    let mut indexes = 0_usize..;
                    items.retain(|_| indexes.next().is_none_or(|index| !gone.contains(&index.to_string())));
                }
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
            }
        }
    }
}

fn parse(source: &str) -> Result<JsonPath, String> {
    if source.len() > LONGEST {
        return Err(format!("a query is {LONGEST} bytes long at most"));
    }
    let mut depth = 0_usize;
    for letter in source.bytes() {
        match letter {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!("a query has {DEEPEST} brackets within brackets at most"));
        }
    }
    let explain = |error: serde_json_path::ParseError| {
        format!("no JSONPath query, at character {}: {}", error.position(), error.message())
    };
    JsonPath::parse(source).map_err(explain)
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Query {
    fn schema_name() -> Cow<'static, str> {
        "Query".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^\\$",
            "description": "A JSONPath query (RFC 9535), e.g. `$.items[*].name`."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn a_query_that_can_find_one_value_only_is_singular() {
        for source in ["$", "$.a.b", "$['a']", "$[0]", "$.a[-1]", "$['a,b']", "$[\"..\"]", "$['it\\'s, so']", "$['?']"]
        {
            assert!(Query::new(source).is_singular(), "{source}");
        }
        for source in ["$.*", "$..a", "$[*]", "$[0,1]", "$['a','b']", "$[1:2]", "$[?@.a]", "$['a']..b", "$['a\"b']..c"]
        {
            let query = Query::new(source);
            assert_eq!((query.is_singular(), query.fault()), (false, None), "{source}");
        }
    }

    #[test]
    fn a_query_that_is_none_says_where() {
        assert!(Query::new("$.a[").fault().unwrap().contains("at character"), "{:?}", Query::new("$.a["));
        assert!(Query::new("a.b").fault().is_some());
        assert!(Query::new(format!("$[?{}1==1{}]", "(".repeat(100), ")".repeat(100))).fault().is_some());
        assert!(Query::new(format!("$.{}", "a".repeat(1000))).fault().is_some());
    }
}
