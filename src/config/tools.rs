//! What clients are shown of the tools.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Config;
use crate::catalog::view::{Exposure, Parts, Profile, USUAL_BUDGET, View, Views};
use crate::error::{Problem, Severity};
use crate::gateway::Live;
use crate::name::shown;

/// What clients are shown of the tools.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ToolsConfig {
    /// Which tools are listed: `all`, `search` (those by which the others are found and called, and the pinned ones),
    /// or `auto` (all while their list costs no more than `listBudget`).
    pub exposure: Exposure,
    /// What the list may cost under `auto`, in tokens.
    #[schemars(range(min = 1))]
    pub list_budget: usize,
    /// Tools that are listed whatever the exposure, by their names; `*` stands for any text.
    #[schemars(inner(regex(pattern = "^[A-Za-z0-9_*-]{1,64}$")))]
    pub pinned: Vec<String>,
    /// Whether tools that are used together are suggested together.
    pub learn: bool,
    /// Views with names: `/mcp?profile=NAME`, `stdio --profile NAME`.
    #[schemars(extend("propertyNames" = json!({ "pattern": "^[A-Za-z0-9_.-]{1,64}$" })))]
    pub profiles: BTreeMap<String, ProfileConfig>,
}

/// A view with a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// What it holds: connectors, tools and categories; `*` stands for any text. Nothing holds everything.
    #[schemars(inner(regex(pattern = "^[^,]{1,128}$")))]
    pub tools: Vec<String>,
    /// What stands before every tool's name.
    #[schemars(with = "Option<String>", extend("pattern" = "^[A-Za-z0-9_-]{1,16}$"))]
    pub prefix: Option<String>,
    /// Which of its tools are listed, instead of `tools.exposure`.
    pub exposure: Option<Exposure>,
    /// Tools that are listed whatever the exposure, besides `tools.pinned`.
    #[schemars(inner(regex(pattern = "^[A-Za-z0-9_*-]{1,64}$")))]
    pub pinned: Vec<String>,
    /// The clients that have it without asking, by the names they give themselves; `*` at the end stands for any text.
    #[schemars(inner(regex(pattern = "^[^*]{1,128}[*]?$")))]
    pub clients: Vec<String>,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self {
            exposure: Exposure::All,
            list_budget: USUAL_BUDGET,
            pinned: Vec::new(),
            learn: true,
            profiles: BTreeMap::new(),
        }
    }
}

impl ToolsConfig {
    /// What contradicts itself: pointers and messages.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, profile) in &self.profiles {
            for (index, client) in profile.clients.iter().enumerate() {
                if let Some(first) = owners.insert(client.to_lowercase(), name) {
                    let message = format!(
                        "the client `{}` is named already by the profile `{first}`; a client has one",
                        shown(client)
                    );
                    faults.push((format!("/tools/profiles/{name}/clients/{index}"), message));
                }
            }
        }
        faults
    }

    /// The views there are.
    fn views(&self) -> Views {
        let usual = View {
            exposure: self.exposure,
            pinned: Arc::new(Parts::new(&self.pinned)),
            budget: self.list_budget,
            ..View::default()
        };
        let profile = |(name, profile): (&String, &ProfileConfig)| {
            let view = View {
                profile: Some(name.as_str().into()),
                parts: (!profile.tools.is_empty()).then(|| Arc::new(Parts::new(&profile.tools))),
                prefix: profile.prefix.as_deref().map(Arc::from),
                exposure: profile.exposure.unwrap_or(self.exposure),
                pinned: Arc::new(Parts::new(self.pinned.iter().chain(&profile.pinned))),
                budget: self.list_budget,
            };
            let clients = profile.clients.iter().map(|client| client.to_lowercase()).collect();
            (name.clone(), Profile { view: Arc::new(view), clients })
        };
        let profiles = self.profiles.iter().map(profile).collect();
        Views { usual: Arc::new(usual), profiles }
    }

    /// The names that are nobody's now. That is no fault: their connectors may come later.
    fn unmatched(&self, live: &Live) -> Vec<(String, String)> {
        let is_tool = |name: &String| {
            let named = Parts::new([name]);
            live.catalog.entries().iter().any(|entry| named.fit(&entry.name))
        };
        let is_part = |name: &String| {
            let named = Parts::new([name]);
            is_tool(name) || live.connectors.keys().any(|id| named.name(id, live.catalog.category(id)))
        };
        let mut found = Vec::new();
        let mut look = |at: String, names: &[String], what: &str, is_there: &dyn Fn(&String) -> bool| {
            let gone = names.iter().enumerate().filter(|(_, name)| !is_there(name));
            found.extend(gone.map(|(index, name)| (format!("{at}/{index}"), format!("no {what} is `{name}` now"))));
        };
        look("/tools/pinned".into(), &self.pinned, "tool", &is_tool);
        for (name, profile) in &self.profiles {
            let at = |list: &str| format!("/tools/profiles/{name}/{list}");
            look(at("tools"), &profile.tools, "connector, tool or category", &is_part);
            look(at("pinned"), &profile.pinned, "tool", &is_tool);
        }
        found
    }
}

impl Config {
    /// The views there are.
    pub fn views(&self) -> Views {
        self.tools.views()
    }

    /// Names in the settings for views that are nobody's now.
    pub fn unmatched(&self, live: &Live) -> Vec<Problem> {
        let warning = |(pointer, message)| Problem {
            severity: Severity::Warning,
            pointer,
            ..Problem::in_file("settings", message)
        };
        self.tools.unmatched(live).into_iter().map(warning).collect()
    }
}
