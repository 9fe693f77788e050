//! A JSON or YAML document with the place of every value, and its check against a schema.

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
};

use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use serde_saphyr::Spanned;

use super::{schema::Part, template::escape};
use crate::error::{Place, Problem, Severity};
use crate::name::{did_you_mean, shown};

/// A parsed document that knows where each of its values stands.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file it came from.
    pub file: PathBuf,
    /// What it says.
    pub value: Value,
    text: String,
    places: Node,
}

/// Where a value and its members stand.
#[derive(Debug, Clone)]
struct Node {
    at: At,
    members: Vec<(String, Node)>,
}

/// A position; one in bytes is counted out only for the few that are shown.
#[derive(Debug, Clone, Copy)]
enum At {
    Byte(usize),
    Place(Place),
}

impl At {
    fn place(self, text: &str) -> Place {
        let offset = match self {
            Self::Byte(offset) => offset,
            Self::Place(place) => return place,
        };
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
        }
    }
}

impl Document {
    /// Reads `text` as the file's ending says: YAML for `.yaml` and `.yml`, else JSON.
    /// Keys that stand twice in one object are refused, because one of them would be lost.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Problem> {
        let yaml = file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parsed = if yaml { parse_yaml(text) } else { parse_json(text) };
        let (value, places) =
            parsed.map_err(|(place, message)| Problem { place, ..Problem::in_file(file, message) })?;
        Ok(Self { file: file.into(), value, text: text.to_owned(), places })
    }

    /// A problem with the value at `pointer`, or with the nearest one above it that exists.
    pub fn problem(&self, severity: Severity, pointer: &str, message: impl Into<String>) -> Problem {
        let mut node = &self.places;
        for step in pointer.split('/').skip(1) {
            match node.members.iter().find(|(key, _)| escape(key) == step) {
                Some((_, member)) => node = member,
                None => break,
            }
        }
        Problem {
            severity,
            pointer: pointer.into(),
            place: Some(node.at.place(&self.text)),
            ..Problem::in_file(&self.file, message)
        }
    }

    /// An error at `pointer`.
    pub fn error(&self, pointer: &str, message: impl Into<String>) -> Problem {
        self.problem(Severity::Error, pointer, message)
    }

    /// The part at `pointer` as a `T`, once the schema finds nothing wrong with it.
    pub fn read<T: DeserializeOwned>(&self, pointer: &str, part: &Part) -> Result<T, Vec<Problem>> {
        let value = self.value.pointer(pointer).unwrap_or(&Value::Null);
        let problems: Vec<Problem> = part
            .validator
            .iter_errors(value)
            .flat_map(|error| explain(&error, &part.schema))
            .map(|(below, message)| self.error(&format!("{pointer}{below}"), message))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        T::deserialize(value).map_err(|error| vec![self.error(pointer, error.to_string())])
    }
}

/// Unknown names explained in one object; whoever writes more has made one mistake many times.
const MOST_UNKNOWN: usize = 20;

/// What a schema violation means, in our words: pointer and message, one for each wrong name.
/// `schema` knows the right names; `Null` when there is none to ask.
pub fn explain(error: &ValidationError<'_>, schema: &Value) -> Vec<(String, String)> {
    let at = error.instance_path().as_str().to_owned();
    let one = |message: String| vec![(at.clone(), message)];
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library words the rest well enough")]
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = known_properties(error, schema);
            let message = |name: &String| {
                let suggestion = did_you_mean(name, known.iter().map(String::as_str));
                (format!("{at}/{}", escape(name)), format!("unknown field `{}`{suggestion}", shown(name)))
            };
            unexpected.iter().take(MOST_UNKNOWN).map(message).collect()
        }
        ValidationErrorKind::Required { property } => {
            one(format!("`{}` is missing", property.as_str().unwrap_or_default()))
        }
        ValidationErrorKind::Enum { options } => {
            one(one_of(error.instance(), options.as_array().into_iter().flatten().map(bare)))
        }
        ValidationErrorKind::FalseSchema => one("does not belong here".into()),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            explain_branches(error, context, schema)
        }
        ValidationErrorKind::MaxLength { limit } => {
            let length = error.instance().as_str().map_or(0, |text| text.chars().count());
            one(format!("is {length} characters long, {limit} at most"))
        }
        // The value is masked: it may be a secret that stands in the wrong place.
        _ => one(error.masked_with("the value").to_string()),
    }
}

/// Of several forms a value may have, only the one it seems to be meant as is worth explaining:
/// the one of its type, with its discriminating constant.
fn explain_branches(
    error: &ValidationError<'_>,
    branches: &[Vec<ValidationError<'static>>],
    schema: &Value,
) -> Vec<(String, String)> {
    let at = error.instance_path().as_str();
    let other_type = |violation: &ValidationError<'_>| {
        violation.instance_path().as_str() == at && matches!(violation.kind(), ValidationErrorKind::Type { .. })
    };
    let constant = |violation: &ValidationError<'static>| {
        let ValidationErrorKind::Constant { expected_value } = violation.kind() else { return None };
        let at = violation.instance_path().as_str().to_owned();
        Some((at, violation.instance().clone().into_owned(), bare(expected_value)))
    };
    let alike: Vec<_> = branches.iter().filter(|violations| !violations.iter().any(other_type)).collect();
    let of_other_kind = |violations: &[ValidationError<'static>]| violations.iter().any(|it| constant(it).is_some());
    let meant: Vec<_> = alike.iter().copied().filter(|violations| !of_other_kind(violations)).collect();
    if let ([only], _) | (_, [only]) = (alike.as_slice(), meant.as_slice()) {
        return only.iter().flat_map(|violation| explain(violation, schema)).collect();
    }
    let constants: Vec<_> = alike.iter().flat_map(|violations| violations.iter().filter_map(constant)).collect();
    if let Some((at, written, _)) = constants.first() {
        let options = constants.iter().map(|(_, _, value)| value.clone());
        return vec![(at.clone(), one_of(written, options))];
    }
    vec![(at.to_owned(), error.masked_with("the value").to_string())]
}

/// Which values are right, and which of them a wrong one is like.
fn one_of(written: &Value, options: impl Iterator<Item = String>) -> String {
    let options: Vec<String> = options.collect();
    let suggestion = did_you_mean(written.as_str().unwrap_or_default(), options.iter().map(String::as_str));
    format!("must be one of {}{suggestion}", options.join(", "))
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn known_properties(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    let keyword = error.schema_path().as_str();
    let parent = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(&format!("{parent}/properties")).and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// Lays `over` upon `base`: objects member by member, anything else replaced.
pub fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

type Parsed = Result<(Value, Node), (Option<Place>, String)>;

fn parse_json(text: &str) -> Parsed {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let place = Place { line: error.line(), column: error.column().max(1) };
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        (Some(place), format!("no valid JSON: {message}"))
    })?;
    let places = json_places(text, text.trim())?;
    Ok((value, places))
}

/// The places in `part`, a slice of `text` that holds one JSON value.
fn json_places(text: &str, part: &str) -> Result<Node, (Option<Place>, String)> {
    let at = At::Byte(part.as_ptr().addr() - text.as_ptr().addr());
    let failed = |error: serde_json::Error| (Some(at.place(text)), error.to_string());
    let mut members: Vec<(String, Node)> = Vec::new();
    if part.starts_with('{') {
        let mut seen = HashSet::new();
        for (key, value) in serde_json::from_str::<Members<'_>>(part).map_err(failed)?.0 {
            let node = json_places(text, value.get())?;
            if !seen.insert(key.clone()) {
                return Err((Some(node.at.place(text)), format!("`{key}` stands here twice")));
            }
            members.push((key, node));
        }
    } else if part.starts_with('[') {
        for (index, value) in serde_json::from_str::<Vec<&RawValue>>(part).map_err(failed)?.iter().enumerate() {
            members.push((index.to_string(), json_places(text, value.get())?));
        }
    }
    Ok(Node { at, members })
}

/// An object's members in order, doubles included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn parse_yaml(text: &str) -> Parsed {
    let failed = |error: serde_saphyr::Error| {
        let place = error.location().map(|at| place(&at));
        let message = error.without_snippet().to_string();
        (place, format!("no valid YAML: {message}"))
    };
    let value: Value = serde_saphyr::from_str_with_options(text, options()).map_err(failed)?;
    let tree: Spanned<YamlTree> = serde_saphyr::from_str_with_options(text, options()).map_err(failed)?;
    Ok((value, yaml_places(tree)))
}

/// YAML 1.2: `no` and `n` are words, only `true` and `false` are truth values.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true }
}

fn place(location: &serde_saphyr::Location) -> Place {
    let number = |n| usize::try_from(n).unwrap_or(usize::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

/// The shape of a YAML value, for its places only.
struct YamlTree(Vec<(String, Spanned<YamlTree>)>);

fn yaml_places(tree: Spanned<YamlTree>) -> Node {
    Node {
        at: At::Place(place(&tree.referenced)),
        members: tree.value.0.into_iter().map(|(key, member)| (key, yaml_places(member))).collect(),
    }
}

impl<'de> Deserialize<'de> for YamlTree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        macro_rules! leaves {
            ($($visit:ident: $type:ty),*) => {
                $(fn $visit<E>(self, _: $type) -> Result<YamlTree, E> { Ok(YamlTree(Vec::new())) })*
            };
        }
        impl<'de> Visitor<'de> for Collect {
            type Value = YamlTree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
            fn visit_unit<E>(self) -> Result<YamlTree, E> {
                Ok(YamlTree(Vec::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<YamlTree, A::Error> {
                let mut members = Vec::new();
                while let Some((key, member)) = map.next_entry()? {
                    members.push((key, member));
                }
                Ok(YamlTree(members))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<YamlTree, A::Error> {
                let mut members = Vec::new();
                while let Some(item) = seq.next_element()? {
                    members.push((members.len().to_string(), item));
                }
                Ok(YamlTree(members))
            }
        }
        deserializer.deserialize_any(Collect)
    }
}
