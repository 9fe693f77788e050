//! What a schema says, wherever it says it: references followed, `allOf` put together.

use std::collections::{HashSet, VecDeque};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{
    body::{Form, form, is_short},
    dialect::Dialect,
    node::{Documents, Node},
};

/// Parts of one schema; a schema of more is said to be anything.
const MOST_PARTS: usize = 64;
/// Members of one object; an object of more is said to be any object.
const MOST_PROPERTIES: usize = 1_000;
/// Values one may choose from.
const MOST_OPTIONS: usize = 300;
/// The same, in bytes of texts.
const LONGEST_OPTIONS: usize = 16 << 10;
/// Variants of one schema.
const MOST_VARIANTS: usize = 50;

/// Where a schema is read.
#[derive(Clone, Copy)]
pub(super) struct View<'d, 'a> {
    pub(super) documents: &'d Documents<'a>,
    pub(super) dialect: Dialect,
    /// The operation, a JSON pointer, for remarks.
    pub(super) place: &'d str,
}

/// A set of JSON's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    /// Numbers that need not be whole; every whole one is a number too.
    pub(super) const NUMBER: Self = Self(8 | 4);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ANY: Self = Self(127);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both allow; what this allows when that is nothing.
    fn and(self, other: Self) -> Self {
        if self.0 & other.0 == 0 { self } else { Self(self.0 & other.0) }
    }

    /// The type's own name, and what generators write for it.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" | "bool" => Self::BOOLEAN,
            "integer" | "int" | "long" | "int32" | "int64" => Self::INTEGER,
            "number" | "float" | "double" | "decimal" => Self::NUMBER,
            "string" | "file" | "date" | "datetime" | "date-time" | "uuid" | "text" => Self::STRING,
            "array" | "list" => Self::ARRAY,
            "object" | "map" => Self::OBJECT,
            _ => return None,
        })
    }

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_f64() => Self::NUMBER,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// Their names, for `type`; none when everything is allowed.
    pub(super) fn names(self) -> Vec<&'static str> {
        let all = [
            (Self::STRING, "string"),
            (Self::NUMBER, "number"),
            (Self::INTEGER, "integer"),
            (Self::BOOLEAN, "boolean"),
            (Self::ARRAY, "array"),
            (Self::OBJECT, "object"),
            (Self::NULL, "null"),
        ];
        let names =
            all.into_iter().filter(|(kind, _)| self.has(*kind) && !(*kind == Self::INTEGER && self.has(Self::NUMBER)));
        if self == Self::ANY { Vec::new() } else { names.map(|(_, name)| name).collect() }
    }
}

/// What an object may have besides its properties.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Additional {
    Unsaid,
    Open,
    Closed,
    Of,
}

/// What a schema says.
#[expect(clippy::struct_excessive_bools, reason = "each is something a schema says or does not say")]
#[derive(Debug, Clone)]
pub(super) struct Facts<'a> {
    pub(super) kinds: Kinds,
    pub(super) description: Option<&'a str>,
    /// The name it is referred to by.
    pub(super) name: Option<&'a str>,
    /// Each member's schemas; all of them hold.
    pub(super) properties: IndexMap<&'a str, Vec<Node<'a>>>,
    pub(super) required: HashSet<&'a str>,
    pub(super) items: Vec<Node<'a>>,
    pub(super) prefix: Vec<Node<'a>>,
    pub(super) additional: Additional,
    pub(super) additional_of: Vec<Node<'a>>,
    /// Of each, one variant holds.
    pub(super) unions: Vec<Vec<Node<'a>>>,
    pub(super) options: Option<Vec<&'a Value>>,
    /// Where its other keywords stand, the outermost first.
    pub(super) parts: Vec<&'a Map<String, Value>>,
    pub(super) read_only: bool,
    pub(super) write_only: bool,
    pub(super) deprecated: bool,
    /// The references that were followed.
    pub(super) opened: Vec<usize>,
    /// It stands within itself.
    pub(super) circular: bool,
    /// It is larger than anybody wants to see.
    pub(super) vast: bool,
    /// Nothing is allowed.
    pub(super) never: bool,
    /// Members may be called by patterns.
    pub(super) patterned: bool,
    nullable: bool,
    structured: usize,
}

impl<'a> Facts<'a> {
    /// What these schemas say when all of them hold; `around` are the references they stand in.
    pub(super) fn gather(view: &View<'_, 'a>, schemas: &[Node<'a>], around: &[usize]) -> Self {
        let mut facts = Self::nothing();
        let mut waiting: VecDeque<Node<'a>> = schemas.iter().copied().collect();
        let mut seen = 0;
        while let Some(node) = waiting.pop_front() {
            seen += 1;
            if seen > MOST_PARTS || !view.documents.spend(1) {
                facts.vast = true;
                break;
            }
            match node.value {
                Value::Bool(false) => facts.never = true,
                Value::Object(_) if node.text("$ref").is_some() => facts.refer(view, node, around, &mut waiting),
                Value::Object(part) => facts.absorb(view, node, part, &mut waiting),
                Value::Null | Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
            }
        }
        facts.conclude();
        facts
    }

    fn nothing() -> Self {
        Self {
            kinds: Kinds::ANY,
            description: None,
            name: None,
            properties: IndexMap::new(),
            required: HashSet::new(),
            items: Vec::new(),
            prefix: Vec::new(),
            additional: Additional::Unsaid,
            additional_of: Vec::new(),
            unions: Vec::new(),
            options: None,
            parts: Vec::new(),
            read_only: false,
            write_only: false,
            deprecated: false,
            opened: Vec::new(),
            circular: false,
            vast: false,
            never: false,
            nullable: false,
            patterned: false,
            structured: 0,
        }
    }

    /// Reads what stands beside a reference, and lets what it leads to be read.
    fn refer(&mut self, view: &View<'_, 'a>, node: Node<'a>, around: &[usize], waiting: &mut VecDeque<Node<'a>>) {
        let reference = node.text("$ref").unwrap_or_default();
        if view.dialect.has_siblings() {
            if let Some(part) = node.object().filter(|part| part.len() > 1) {
                self.absorb(view, node, part, waiting);
            }
        } else {
            // What people write beside a reference, though 3.0 does not read it.
            self.manner(node);
        }
        let Some(target) = view.documents.resolve(node, reference) else {
            if view.documents.within().is_ok() {
                let words = format!("`$ref` {reference:?} leads nowhere, so anything is taken there");
                view.documents.remark(view.place, words);
            }
            return;
        };
        self.name = self.name.or_else(|| reference.rsplit(['/', '#']).next().filter(|name| !name.is_empty()));
        let identity = target.identity();
        if around.contains(&identity) {
            self.circular = true;
            self.kinds = self.kinds.and(kinds_of(target));
        } else if !self.opened.contains(&identity) {
            self.opened.push(identity);
            waiting.push_back(target);
        }
    }

    /// What is said about a value besides its form.
    fn manner(&mut self, node: Node<'a>) {
        self.description = self.description.or_else(|| node.text("description"));
        self.nullable |= node.says("nullable") || node.says("x-nullable");
        self.read_only |= node.says("readOnly");
        self.write_only |= node.says("writeOnly");
        self.deprecated |= node.says("deprecated");
    }

    fn absorb(
        &mut self,
        view: &View<'_, 'a>,
        node: Node<'a>,
        part: &'a Map<String, Value>,
        waiting: &mut VecDeque<Node<'a>>,
    ) {
        self.manner(node);
        self.kinds = self.kinds.and(kinds_of(node));
        self.choose(view, part);
        if let Some(Value::Object(properties)) = part.get("properties") {
            self.structured += 1;
            for (name, property) in properties {
                if self.properties.len() >= MOST_PROPERTIES || !view.documents.read(name) {
                    self.vast = true;
                    break;
                }
                self.properties.entry(name).or_default().push(node.with(property));
            }
        }
        let within = |name: &&str| view.documents.read(name);
        self.required.extend(node.texts("required").take(MOST_PROPERTIES).take_while(within));
        match part.get("items") {
            Some(Value::Array(items)) => self.prefix = items.iter().take(20).map(|item| node.with(item)).collect(),
            Some(items) => self.items.push(node.with(items)),
            None => {}
        }
        if self.prefix.is_empty() {
            self.prefix = node.items("prefixItems").take(20).collect();
        }
        match part.get("additionalProperties") {
            Some(Value::Bool(false)) if self.additional == Additional::Unsaid => self.additional = Additional::Closed,
            Some(Value::Object(schema)) if !schema.is_empty() => {
                self.additional = Additional::Of;
                self.additional_of.extend(node.get("additionalProperties"));
            }
            Some(Value::Bool(true) | Value::Object(_)) if self.additional != Additional::Of => {
                self.additional = Additional::Open;
            }
            _ => {}
        }
        self.patterned |= part.get("patternProperties").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
        for key in ["oneOf", "anyOf"] {
            self.vary(node, key, waiting);
        }
        waiting.extend(node.items("allOf").take(MOST_PARTS));
        self.parts.push(part);
    }

    fn choose(&mut self, view: &View<'_, 'a>, part: &'a Map<String, Value>) {
        let options: Vec<&Value> = match (part.get("const"), part.get("enum")) {
            (Some(only), _) => vec![only],
            (None, Some(Value::Array(options))) if (1..=MOST_OPTIONS).contains(&options.len()) => {
                options.iter().collect()
            }
            _ => return,
        };
        // A longer list is not named, and nobody chooses from what has members.
        let length = |option: &&Value| match option {
            Value::String(text) => text.len(),
            Value::Array(_) | Value::Object(_) => LONGEST_OPTIONS,
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        let length: usize = options.iter().map(length).sum();
        if length >= LONGEST_OPTIONS || !view.documents.spend(options.len()) {
            return;
        }
        self.nullable |= options.iter().any(|option| option.is_null());
        let both = match &self.options {
            None => options,
            Some(before) => {
                let named: HashSet<&Value> = options.iter().copied().collect();
                let both: Vec<&Value> = before.iter().copied().filter(|option| named.contains(option)).collect();
                if both.is_empty() { options } else { both }
            }
        };
        self.options = Some(both);
    }

    fn vary(&mut self, node: Node<'a>, key: &str, waiting: &mut VecDeque<Node<'a>>) {
        let is_null =
            |it: &Node<'_>| it.text("type") == Some("null") || it.get("const").is_some_and(|it| it.value.is_null());
        let all: Vec<Node<'a>> = node.items(key).take(MOST_VARIANTS + 1).collect();
        if all.len() > MOST_VARIANTS {
            self.vast = true;
            return;
        }
        let variants: Vec<Node<'a>> = all.iter().copied().filter(|variant| !is_null(variant)).collect();
        self.nullable |= variants.len() < all.len();
        // Which members go together is for the API to say.
        let bare = |it: &Node<'_>| {
            it.object().is_some_and(|part| {
                !part.is_empty()
                    && part.keys().all(|key| matches!(key.as_str(), "required" | "not" | "title" | "description"))
            })
        };
        match variants.as_slice() {
            [] => {}
            [only] => waiting.push_back(*only),
            several if several.iter().all(bare) => {}
            _ => self.unions.push(variants),
        }
    }

    fn conclude(&mut self) {
        if self.kinds == Kinds::ANY {
            if !self.properties.is_empty() || matches!(self.additional, Additional::Of | Additional::Closed) {
                self.kinds = Kinds::OBJECT;
            } else if !self.items.is_empty() || !self.prefix.is_empty() {
                self.kinds = Kinds::ARRAY;
            } else if let Some(options) = &self.options {
                let kinds = options.iter().map(|option| Kinds::of(option)).reduce(Kinds::with);
                self.kinds = kinds.unwrap_or(Kinds::ANY);
            }
        }
        if self.nullable {
            self.kinds = self.kinds.with(Kinds::NULL);
        }
        // Two closed objects put together allow nothing, and nobody means that.
        if self.additional == Additional::Closed && (self.structured > 1 || self.patterned || !self.unions.is_empty()) {
            self.additional = Additional::Unsaid;
        }
    }

    /// A keyword's value, where it is said first.
    pub(super) fn keyword(&self, name: &str) -> Option<&'a Value> {
        self.parts.iter().find_map(|part| part.get(name))
    }

    /// A keyword's value that is a text.
    pub(super) fn word(&self, name: &str) -> Option<&'a str> {
        self.keyword(name).and_then(Value::as_str)
    }

    /// Whether there is more to it than one line.
    pub(super) fn is_deep(&self) -> bool {
        !self.properties.is_empty()
            || !self.items.is_empty()
            || !self.prefix.is_empty()
            || !self.unions.is_empty()
            || !self.additional_of.is_empty()
    }

    /// Whether it is bytes.
    pub(super) fn is_binary(&self) -> bool {
        self.kinds.has(Kinds::STRING)
            && (self.word("format") == Some("binary")
                || self.word("type") == Some("file")
                || self.word("contentMediaType").is_some_and(|it| self.is_bytes(it)))
            || self.word("type") == Some("file")
    }

    /// Whether texts of this media type are bytes; with an encoding they say themselves which.
    fn is_bytes(&self, media_type: &str) -> bool {
        let said = self.word("contentEncoding").is_some();
        media_type == "application/octet-stream" || !said && is_short(media_type) && form(media_type) == Form::Bytes
    }

    /// Whether it is bytes that are written in base64, on the wire too.
    pub(super) fn is_encoded(&self) -> bool {
        matches!(self.word("format"), Some("byte" | "base64")) || self.word("contentEncoding") == Some("base64")
    }
}

fn kinds_of(node: Node<'_>) -> Kinds {
    match node.value.get("type") {
        Some(Value::String(name)) => Kinds::named(name).unwrap_or(Kinds::ANY),
        Some(Value::Array(names)) => {
            let kinds = names.iter().take(10).filter_map(Value::as_str).filter_map(Kinds::named);
            kinds.reduce(Kinds::with).unwrap_or(Kinds::ANY)
        }
        _ => Kinds::ANY,
    }
}
