//! The catalog within a view: names looked up, and lists cut and renamed.

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::View;
use crate::caller::Caller;
use crate::catalog::{Catalog, Entry, List, Viewer};
use crate::name::{ConnectorId, MAX_TOOL_NAME};

/// How much of a list of tools is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent<'a> {
    /// All of it.
    Whole,
    /// Pinned tools, but none whose name in the view is one of these.
    Pinned(&'a [&'a str]),
}

impl Catalog {
    /// The published name of what a view calls so. What the view has no name for keeps its own: pages call tools by
    /// the names their manifests give them.
    pub(in crate::catalog) fn own_name<'a>(&'a self, name: &'a str, view: &View) -> &'a str {
        let is_there = |own: &str| self.by_name.contains_key(own) || self.unavailable.contains_key(own);
        if view.prefix.is_none() {
            return name;
        }
        if let Some(own) = view.own_name(name).filter(|own| is_there(own)) {
            return own;
        }
        let mut known = self.by_name.keys().chain(self.unavailable.keys());
        let cut = (name.len() == MAX_TOOL_NAME).then(|| known.find(|own| view.public_name(own) == name)).flatten();
        cut.map_or(name, String::as_str)
    }

    /// A connector's category, as addresses write it.
    pub fn category(&self, connector: &ConnectorId) -> &str {
        self.categories.get(connector).map_or(super::super::GENERAL, AsRef::as_ref)
    }

    /// The tools of a view that are there for a caller.
    pub fn held<'a>(&'a self, view: &'a View, caller: &'a Caller) -> impl Iterator<Item = &'a Entry> {
        let entries = self.entries.iter().map(AsRef::as_ref);
        entries.filter(move |entry: &&Entry| view.holds(entry) && caller.sees(&entry.access))
    }

    /// The connectors that a view names, or has a tool of that is there for a caller.
    pub fn connectors_in<'a>(&'a self, view: &'a View, caller: &'a Caller) -> BTreeSet<&'a ConnectorId> {
        let named = |id: &ConnectorId| view.parts.as_ref().is_none_or(|parts| parts.name(id, self.category(id)));
        let named = self.categories.keys().filter(|id| named(id));
        named.chain(self.held(view, caller).map(|entry| &entry.connector)).collect()
    }

    /// Whether a view's list costs more than it may. Tokens are counted only where that is not plain to see.
    pub fn is_large(&self, view: &View, caller: &Caller) -> bool {
        let about: usize = self.held(view, caller).map(|entry| entry.tokens).sum();
        // No token is shorter than a byte, and in so much text they have far fewer than eight each.
        if about.saturating_mul(4) <= view.budget || about / 2 > view.budget {
            return about > view.budget;
        }
        let mut room = view.budget;
        self.held(view, caller).any(|entry| match room.checked_sub(entry.exact_tokens() + 1) {
            Some(rest) => {
                room = rest;
                false
            }
            None => true,
        })
    }

    /// A list as it goes out to this caller in this view: a JSON array. Of what is no tool, a view that names its
    /// parts shows what is of connectors that it holds something of.
    pub fn list_in(&self, list: List, viewer: Viewer, caller: &Caller, view: &View) -> Bytes {
        if list == List::Tools {
            return self.tools_in(caller, view, Extent::Whole);
        }
        let written = self.written(list, viewer);
        if view.parts.is_none() {
            return written.for_caller(caller);
        }
        let held = self.connectors_in(view, caller);
        written.cut(caller, |_, connector| held.contains(connector))
    }

    /// The tools of a view that are there for a caller: a JSON array.
    pub fn tools_in(&self, caller: &Caller, view: &View, extent: Extent<'_>) -> Bytes {
        if view.is_whole() && extent == Extent::Whole {
            return self.lists.tools.for_caller(caller);
        }
        let is_wanted = |entry: &Entry| {
            view.holds(entry)
                && match extent {
                    Extent::Whole => true,
                    Extent::Pinned(but) => view.pins(entry) && !but.contains(&view.public_name(&entry.name).as_str()),
                }
        };
        if view.prefix.is_some() {
            let wanted = self.entries.iter().filter(|entry| is_wanted(entry) && caller.sees(&entry.access));
            let renamed: Vec<Renamed<'_>> = wanted.map(|entry| Renamed::of(entry, view)).collect();
            return serde_json::to_vec(&renamed).map(Bytes::from).unwrap_or_default();
        }
        let wanted = |index: usize, _: &ConnectorId| self.entries.get(index).is_some_and(|entry| is_wanted(entry));
        self.lists.tools.cut(caller, wanted)
    }

    /// The names that may have been meant, of those that a caller sees in a view.
    pub(in crate::catalog) fn meant(&self, name: &str, caller: &Caller, view: &View) -> String {
        let known: Vec<Cow<'_, str>> = match view.prefix {
            Some(_) => self.held(view, caller).map(|entry| view.public_name(&entry.name).into()).collect(),
            None => self.held(view, caller).map(|entry| entry.name.as_str().into()).collect(),
        };
        crate::catalog::hint(name, known.iter().map(AsRef::as_ref))
    }
}

/// A tool's descriptor under its name in a view.
struct Renamed<'a> {
    name: String,
    descriptor: &'a Value,
}

impl<'a> Renamed<'a> {
    fn of(entry: &'a Entry, view: &View) -> Self {
        Self { name: view.public_name(&entry.name), descriptor: &entry.descriptor }
    }
}

impl Serialize for Renamed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.descriptor.as_object();
        let mut map = serializer.serialize_map(members.map(serde_json::Map::len))?;
        for (key, value) in members.into_iter().flatten() {
            if key == "name" {
                map.serialize_entry(key, &self.name)?;
            } else {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}
