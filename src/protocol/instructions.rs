//! What the server says it is for, when a client comes.

use std::fmt::Write as _;

use super::server::Server;
use crate::adapter::Phase;
use crate::caller::Caller;
use crate::catalog::view::{Parts, View};
use crate::gateway::{Connector, Live, State};

/// ChatGPT reads the first 512 characters of the instructions most carefully.
const LONGEST_SUMMARY: usize = 512;
/// A purpose in fewer characters says nothing.
const LEAST_SAID: usize = 24;
/// Everything they may hold, in characters.
const LONGEST_INSTRUCTIONS: usize = 8192;
/// What a view holds is said in so many characters.
const LONGEST_PARTS: usize = 120;
/// How tools are found that are not listed.
const SEARCHED: &str = "Most tools are not listed: find them with search_tools, one short query for each step of the \
    task, and call them by name with call_read_tool or call_write_tool.";

impl Server {
    /// What the server is for, the most important first: how tools are found and which there are, where not all are
    /// listed, the connectors in as many words as find room, then what their manifests say about their use.
    pub(super) fn instructions(&self, caller: &Caller, view: &View) -> String {
        let live = self.gateway.live();
        let held = view.parts.is_some().then(|| live.catalog.connectors_in(view, caller));
        let is_held = |it: &Connector| held.as_ref().is_none_or(|held| held.contains(&it.checked.connector.id));
        let shown = |it: &Connector| is_held(it) && live.shows(it, caller);
        let in_use = || live.connectors.values().filter(|it| is_in_use(&it.state()) && shown(it));
        let mut text = String::new();
        if self.is_searched(caller, view) {
            let _ = write!(text, "{SEARCHED} ");
        }
        if let Some(said) = said(view) {
            let _ = write!(text, "{said} ");
        }
        let names: Vec<&str> = in_use().map(|connector| connector.checked.connector.name.as_str()).collect();
        let _ = write!(text, "Switchboard gives one list of tools from many connectors: {}.", names.join(", "));
        let purposes: Vec<(&str, String)> = in_use()
            .filter_map(|connector| Some((connector.checked.connector.name.as_str(), purpose(&live, connector)?)))
            .collect();
        // Each has the same room, and what one does not need the next ones get.
        for (index, (name, purpose)) in purposes.iter().enumerate() {
            let room = LONGEST_SUMMARY.saturating_sub(text.chars().count()) / (purposes.len() - index);
            if let Some(room) = room.checked_sub(name.chars().count() + 3).filter(|room| *room >= LEAST_SAID) {
                let _ = write!(text, "\n{name}: {}", cut(purpose.clone(), room));
            }
        }
        let mut text = cut(text, LONGEST_SUMMARY);
        for connector in in_use() {
            let manifest = &connector.checked.connector;
            if let Some(more) = &manifest.instructions {
                let _ = write!(text, "\n\n{}: {more}", manifest.name);
            }
        }
        cut(text, LONGEST_INSTRUCTIONS)
    }
}

/// Which view this is, unless it is the whole.
fn said(view: &View) -> Option<String> {
    let names = |parts: &Parts| cut(parts.names().collect::<Vec<_>>().join(", "), LONGEST_PARTS);
    let parts = view.parts.as_ref().map(|parts| format!("only the tools of {}", names(parts)));
    let profile = view.profile.as_ref().map(|profile| format!("the profile {profile}"));
    let prefix = view.prefix.as_ref().map(|prefix| format!("`{prefix}` before every name"));
    let said: Vec<String> = [profile, parts, prefix].into_iter().flatten().collect();
    (!said.is_empty()).then(|| format!("This view shows {}.", said.join(", ")))
}

/// What a connector is for, in its manifest's words or its server's.
fn purpose(live: &Live, connector: &Connector) -> Option<String> {
    let manifest = &connector.checked.connector;
    manifest.description.clone().or_else(|| live.instructions(&manifest.id))
}

fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
        None => text,
    }
}

/// Whether a connector is worth mentioning: it works, or will in a moment.
fn is_in_use(state: &State) -> bool {
    matches!(state, State::Live(status) if status.phase != Phase::Down)
}
