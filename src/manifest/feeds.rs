//! What a manifest says about finding things in a connector by the tools `search` and `fetch`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use super::model::Ordered;
use super::template::{Arguments, Part, Template, text_of};

/// How the tools `search` and `fetch` use a connector.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feeds {
    /// How it is searched.
    pub search: SearchFeed,
    /// How one thing is fetched.
    pub fetch: FetchFeed,
}

/// How a connector is searched.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchFeed {
    /// The tool that searches, by its own name.
    pub tool: String,
    /// The argument that takes the query.
    #[serde(default = "query")]
    pub query: String,
    /// Other arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// JSON pointer to the array of what was found.
    #[serde(default)]
    #[schemars(regex(pattern = "^(/.*)?$"))]
    pub results: String,
    /// What names an item, for `fetch`.
    pub id: Field,
    /// Its title.
    #[serde(default)]
    pub title: Option<Field>,
    /// Where a person can see it.
    #[serde(default)]
    pub url: Option<Field>,
}

/// How one thing is fetched.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchFeed {
    /// The tool that fetches, by its own name.
    pub tool: String,
    /// The argument that takes the id, or a template that takes it apart: `{owner}/{repo}`.
    pub id: Template,
    /// Other arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// Its title.
    #[serde(default)]
    pub title: Option<Field>,
    /// Its whole text; the result's own text when unsaid.
    #[serde(default)]
    pub text: Option<Field>,
    /// Where a person can see it.
    #[serde(default)]
    pub url: Option<Field>,
    /// Anything else worth knowing.
    #[serde(default)]
    pub metadata: Ordered<Field>,
}

fn query() -> String {
    "query".into()
}

/// Where a value is found: a JSON pointer (`/name`), or a template over an item's members.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A JSON pointer.
    At(String),
    /// A template.
    Made(Template),
}

impl Field {
    /// The text found in a value; nothing when there is none.
    pub fn read(&self, value: &Value) -> Option<String> {
        let text = match self {
            Self::At(pointer) => {
                value.pointer(pointer).filter(|found| !found.is_null()).map(|found| text_of(found).into_owned())
            }
            Self::Made(template) => template.render(value.as_object()?),
        };
        text.filter(|text| !text.is_empty())
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text.is_empty() || text.starts_with('/') { Self::At(text) } else { Self::Made(Template::new(text)) })
    }
}

impl JsonSchema for Field {
    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A JSON pointer (`/name`), or a template over an item's members (`https://example.com/{id}`)."
        })
    }
}

impl FetchFeed {
    /// The arguments for this id, of the types the tool's schema declares; nothing when the id is not of the form
    /// `id` says.
    pub fn arguments_for(&self, id: &str, schema: &Value) -> Option<Arguments> {
        let mut arguments = self.arguments.clone();
        let typed = |name: &str, text: &str| {
            let kind = schema.get("properties").and_then(|properties| properties.get(name)?.get("type")?.as_str());
            let number = || text.parse::<Number>().ok().map(Value::Number);
            if matches!(kind, Some("integer" | "number")) { number() } else { Some(text.into()) }
        };
        if let Some(name) = self.id.literal() {
            arguments.insert(name.to_owned(), typed(name, id)?);
            return Some(arguments);
        }
        let mut rest = id;
        let mut parts = self.id.parts().iter().peekable();
        while let Some(part) = parts.next() {
            match (part, parts.peek()) {
                (Part::Text(text), _) => rest = rest.strip_prefix(text.as_str())?,
                (Part::Argument(name, _), Some(Part::Text(end))) => {
                    let (value, after) = rest.split_once(end.as_str())?;
                    arguments.insert(name.clone(), typed(name, value)?);
                    // The text itself is taken off in the next round.
                    rest = rest.get(rest.len() - after.len() - end.len()..)?;
                }
                (Part::Argument(name, _), None) => {
                    arguments.insert(name.clone(), typed(name, std::mem::take(&mut rest))?);
                }
                (Part::Argument(..), Some(Part::Argument(..))) => return None,
            }
        }
        rest.is_empty().then_some(arguments)
    }
}
