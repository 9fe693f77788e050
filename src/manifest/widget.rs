//! What a manifest says about how tools show themselves.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::widget::Csp;

/// How a tool shows itself in clients with a user interface.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Widget {
    /// The page to show its results with: the name of one that ships with the server, or the path of an HTML file
    /// beside the manifest.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub page: Option<String>,
    /// The `ui://` resource to show its results with, instead of a page of ours.
    #[serde(default)]
    #[schemars(regex(pattern = r"^ui://.+"))]
    pub template: Option<String>,
    /// Shown while it runs, 64 characters at most.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub invoking: Option<String>,
    /// Shown when it has run, 64 characters at most.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub invoked: Option<String>,
    /// Whether the widget itself may call it.
    #[serde(default)]
    pub accessible: Option<bool>,
    /// Who may call it: `model`, `app` (the widget), or both. Wins over `accessible`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub visibility: Option<Vec<Audience>>,
}

/// Who may call a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// The model.
    Model,
    /// The widget.
    App,
}

impl Widget {
    /// This widget, with what it leaves open taken from `defaults`.
    #[must_use]
    pub fn or(self, defaults: Option<&Self>) -> Self {
        let Some(defaults) = defaults.cloned() else { return self };
        // A tool that names a template of its own does not want the connector's page, nor the other way round.
        let shows_itself = self.page.is_some() || self.template.is_some();
        let defaults = if shows_itself { Self { page: None, template: None, ..defaults } } else { defaults };
        Self {
            page: self.page.or(defaults.page),
            template: self.template.or(defaults.template),
            invoking: self.invoking.or(defaults.invoking),
            invoked: self.invoked.or(defaults.invoked),
            accessible: self.accessible.or(defaults.accessible),
            visibility: self.visibility.or(defaults.visibility),
        }
    }

    /// Who may call the tool, when anything is said about that.
    pub fn audience(&self) -> Option<Vec<Audience>> {
        let shows = self.page.is_some() || self.template.is_some();
        let by_default = || match self.accessible {
            Some(true) => Some(vec![Audience::Model, Audience::App]),
            Some(false) => Some(vec![Audience::Model]),
            None => shows.then(|| vec![Audience::Model]),
        };
        self.visibility.clone().or_else(by_default)
    }
}

/// What a page is, and what it may load.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageOptions {
    /// Its name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// What it shows, for the model, so that it does not repeat it.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether the client should draw a border around it.
    #[serde(default)]
    pub prefers_border: bool,
    /// Where it loads from and connects to. Everything else is forbidden to it.
    #[serde(default)]
    pub csp: Csp,
    /// The origin it wants to run on; clients want different ones.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// Browser features it asks for, such as `{"clipboardWrite": {}}`.
    #[serde(default)]
    pub permissions: Map<String, Value>,
}

/// The origin a page wants to run on.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Domain {
    /// The same for every client; `auto` is what ChatGPT and Claude each want for this server's public address.
    All(#[schemars(regex(pattern = "^[A-Za-z0-9.:/-]+$"))] String),
    /// By client: `chatgpt`, `claude`, `default`.
    ByClient(IndexMap<ClientName, String>),
}

/// A client that has a word about a page's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientName {
    /// `ChatGPT`, which wants an origin of the author's.
    Chatgpt,
    /// Claude, which wants a host it derives from the server's address.
    Claude,
    /// Every other.
    Default,
}
