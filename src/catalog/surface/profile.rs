//! Clients, as far as it matters what they are shown: names they take, numbers they bear, when they look again.

use serde::Serialize;

use super::{Count, Fate, Surface, ToolChange};

/// Descriptions longer than this are cut or refused where tools are passed on as functions.
const FUNCTION_DESCRIPTION: usize = 1024;
/// Names that are told in one warning.
const NAMED: usize = 5;

/// A client.
#[derive(Debug)]
pub struct Profile {
    /// Its name here.
    pub id: &'static str,
    /// The longest name of a tool it takes.
    name: usize,
    /// How many tools it bears, and what happens beyond.
    most: Option<(usize, &'static str)>,
    /// The longest description, in characters.
    description: Option<usize>,
    /// What people have to do before they see a change, if anything.
    refresh: Option<&'static str>,
}

/// The clients that are known. Numbers are what their makers or users report; where none is, there is none here.
pub const PROFILES: &[Profile] = &[
    Profile {
        id: "chatgpt",
        name: 64,
        most: None,
        description: None,
        refresh: Some("it keeps the list from when the connector was added: refresh it in its settings"),
    },
    Profile {
        id: "claude",
        name: 64,
        most: None,
        description: None,
        refresh: Some("it may keep the list for a day: remove and add the connector to see the change now"),
    },
    Profile {
        id: "claude-code",
        // It puts `mcp__switchboard__` before each.
        name: 46,
        most: None,
        description: None,
        refresh: None,
    },
    Profile { id: "codex", name: 64, most: None, description: None, refresh: Some("it reads the list when it starts") },
    Profile {
        id: "copilot",
        name: 64,
        most: Some((128, "it takes no more tools in one request")),
        description: Some(FUNCTION_DESCRIPTION),
        refresh: None,
    },
    Profile {
        id: "cursor",
        name: 64,
        most: Some((40, "it is reported to leave out what lies beyond")),
        description: None,
        refresh: None,
    },
];

/// What a client makes of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Tools it can use.
    pub tools: Count,
    /// What is new trouble.
    pub warnings: Vec<String>,
}

impl Profile {
    /// The client of this name.
    pub fn named(id: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.id == id)
    }

    pub(super) fn sees(&self, old: &Surface, new: &Surface, changes: &[ToolChange]) -> Seen {
        let fits = |surface: &Surface| {
            let count = surface.tools.iter().filter(|tool| tool.name().chars().count() <= self.name).count();
            self.most.map_or(count, |(most, _)| count.min(most))
        };
        let mut warnings = Vec::new();
        let long = |surface: &Surface| -> Vec<String> {
            let long = surface.tools.iter().filter(|tool| tool.name().chars().count() > self.name);
            long.map(|tool| tool.name().to_owned()).collect()
        };
        let before = long(old);
        let names: Vec<String> = long(new).into_iter().filter(|name| !before.contains(name)).collect();
        if !names.is_empty() {
            warnings.push(format!("names longer than {} characters: {}", self.name, some(&names)));
        }
        if let Some((most, beyond)) = self.most.filter(|(most, _)| new.tools.len() > *most) {
            warnings.push(format!("{} tools, and {most} is its most: {beyond}", new.tools.len()));
        }
        if let Some(longest) = self.description {
            let is_touched = |name: &str| changes.iter().any(|change| change.tool == name);
            let text = |tool: &&super::Facade| {
                let text = tool.descriptor.get("description").and_then(serde_json::Value::as_str);
                text.is_some_and(|text| text.chars().count() > longest)
            };
            let long = new.tools.iter().filter(text).map(|tool| tool.name().to_owned());
            let long: Vec<String> = long.filter(|name| is_touched(name)).collect();
            if !long.is_empty() {
                warnings.push(format!("descriptions longer than {longest} characters: {}", some(&long)));
            }
        }
        let called_by_old_name = changes.iter().any(|it| matches!(it.change, Fate::Removed | Fate::Renamed));
        if let Some(refresh) = self.refresh.filter(|_| !changes.is_empty()) {
            let fails = if called_by_old_name { ", and calls of what is gone fail until then" } else { "" };
            warnings.push(format!("{refresh}{fails}"));
        }
        Seen { tools: Count { before: fits(old), after: fits(new) }, warnings }
    }
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMED);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
