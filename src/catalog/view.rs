//! What one client is shown of the catalog, and how.

use std::{collections::BTreeSet, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::name::{ConnectorId, prefixed, slug};

mod choice;
mod within;

pub use choice::{Asked, Profile, Unknown, Views};
pub use within::Extent;

/// What a list of tools may cost, in tokens, when nobody says it.
pub const USUAL_BUDGET: usize = 20_000;

/// What one client is shown of the catalog, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The profile it comes from.
    pub profile: Option<Arc<str>>,
    /// What it holds. None holds everything.
    pub parts: Option<Arc<Parts>>,
    /// What stands before every tool's name.
    pub prefix: Option<Arc<str>>,
    /// Which tools are listed.
    pub exposure: Exposure,
    /// The tools that are listed whatever the exposure, by their published names.
    pub pinned: Arc<Parts>,
    /// What the list may cost under [`Exposure::Auto`], in tokens.
    pub budget: usize,
}

/// Which tools of a view are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Exposure {
    /// All.
    #[default]
    All,
    /// Those to search, describe and call the others by, and the pinned ones.
    Search,
    /// All while they cost little, else those to search by.
    Auto,
}

impl Exposure {
    /// The exposure of this name.
    pub fn named(name: &str) -> Option<Self> {
        [("all", Self::All), ("search", Self::Search), ("auto", Self::Auto)]
            .into_iter()
            .find_map(|(known, exposure)| name.eq_ignore_ascii_case(known).then_some(exposure))
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            profile: None,
            parts: None,
            prefix: None,
            exposure: Exposure::All,
            pinned: Arc::default(),
            budget: USUAL_BUDGET,
        }
    }
}

impl View {
    /// Whether a tool is in the view.
    pub fn holds(&self, entry: &Entry) -> bool {
        self.takes(&entry.connector, &entry.category, &entry.name)
    }

    /// Whether a tool of this published name would be in the view, were there one.
    pub fn takes(&self, connector: &ConnectorId, category: &str, name: &str) -> bool {
        self.parts.as_ref().is_none_or(|parts| parts.fit(name) || parts.name(connector, category))
    }

    /// Whether a tool is listed whatever the exposure.
    pub fn pins(&self, entry: &Entry) -> bool {
        entry.pinned || self.pinned.fit(&entry.name)
    }

    /// The name of a tool in the view, by its published one.
    pub fn public_name(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => prefixed(prefix, name),
            None => name.to_owned(),
        }
    }

    /// The published name of what the view calls so, if that is one of its names. Those that were too long for a
    /// prefix are known to [`Catalog::resolve_in`](super::Catalog::resolve_in) only.
    pub fn own_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        match &self.prefix {
            Some(prefix) => name.strip_prefix(prefix.as_ref()),
            None => Some(name),
        }
    }

    /// Whether it shows every tool under its published name.
    fn is_whole(&self) -> bool {
        self.parts.is_none() && self.prefix.is_none()
    }
}

/// Names of connectors, tools and categories. `*` in one stands for any text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    words: BTreeSet<String>,
    patterns: Vec<String>,
    /// The words as categories are written in addresses.
    slugs: BTreeSet<String>,
}

impl Parts {
    /// These names, each without the spaces around it; empty ones are left out.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let mut parts = Self::default();
        for name in names {
            let name = name.as_ref().trim();
            if name.contains('*') {
                parts.patterns.push(name.to_owned());
            } else if !name.is_empty() {
                parts.slugs.insert(slug(name));
                parts.words.insert(name.to_owned());
            }
        }
        parts
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.patterns.is_empty()
    }

    /// How many are named.
    pub fn len(&self) -> usize {
        self.words.len() + self.patterns.len()
    }

    /// The names, as they were given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.words.iter().chain(&self.patterns).map(String::as_str)
    }

    /// Whether one of them is this name, or stands for it.
    pub fn fit(&self, name: &str) -> bool {
        self.words.contains(name) || self.patterns.iter().any(|pattern| fits(pattern, name))
    }

    /// Whether one of them is this connector or its category.
    pub fn name(&self, connector: &ConnectorId, category: &str) -> bool {
        self.fit(connector.as_str()) || self.slugs.contains(category)
    }
}

/// Whether a pattern stands for a text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        // The first place is as good as any: what stands after it is longest.
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}
