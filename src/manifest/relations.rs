//! What a manifest says of tools that belong together.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::name::ConnectorId;

/// The tools a tool belongs together with: of its connector by their own names, of another as `connector.tool`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Relations {
    /// Those that are often called beside it.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(min = 1, max = 192)))]
    pub often_used_with: Vec<String>,
    /// Those without which it is of no use; who finds it finds them, too.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(min = 1, max = 192)))]
    pub depends_on: Vec<String>,
    /// Those that can do the same in another way.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(min = 1, max = 192)))]
    pub alternative_to: Vec<String>,
    /// Those that are called after it.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(min = 1, max = 192)))]
    pub precedes: Vec<String>,
}

/// The most names of one kind that a tool has, wherever they come from.
pub const MOST_RELATIONS: usize = 20;

impl Relations {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.named().next().is_none()
    }

    /// Every name, with where it stands below `relations`.
    pub fn named(&self) -> impl Iterator<Item = (String, &str)> {
        let kinds = [
            ("oftenUsedWith", &self.often_used_with),
            ("dependsOn", &self.depends_on),
            ("alternativeTo", &self.alternative_to),
            ("precedes", &self.precedes),
        ];
        kinds.into_iter().flat_map(|(kind, names)| {
            names.iter().enumerate().map(move |(index, name)| (format!("{kind}/{index}"), name.as_str()))
        })
    }

    /// The connector and the tool that a name means if it means a tool of a named connector.
    pub fn elsewhere(name: &str) -> Option<(ConnectorId, &str)> {
        let (connector, tool) = name.split_once('.')?;
        let connector = ConnectorId::try_from(connector.to_owned()).ok()?;
        (!tool.is_empty()).then_some((connector, tool))
    }
}
