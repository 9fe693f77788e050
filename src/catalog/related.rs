//! Tools that the relations of others name, and that nobody has.

use std::{collections::HashSet, sync::Arc};

use super::{Catalog, Offered};
use crate::error::{Problem, Severity};
use crate::manifest::{AdapterSettings, Checked, Document, Relations, Tool};
use crate::name::{ConnectorId, did_you_mean, shown};

/// What relations name, and what of it can be looked up by now.
#[derive(Debug, Default)]
pub(super) struct Related {
    named: Vec<Named>,
    /// Connectors all of whose tools are known.
    known: HashSet<ConnectorId>,
}

/// A name, and where it is written.
#[derive(Debug)]
struct Named {
    own: ConnectorId,
    name: String,
    document: Arc<Document>,
    pointer: String,
}

impl Related {
    pub(super) fn meet(&mut self, offered: &Offered<'_>) {
        let learns = matches!(offered.checked.connector.adapter, AdapterSettings::Mcp(_) | AdapterSettings::OpenApi(_));
        let is_whole = match &offered.offer {
            Some(offer) => offer.withheld.is_empty(),
            None => !learns,
        };
        if is_whole && offered.unavailable.is_none() {
            self.known.insert(offered.checked.connector.id.clone());
        }
    }

    /// Notes what a tool's relations name. `at` is where the manifest speaks of the tool.
    pub(super) fn note(&mut self, checked: &Checked, at: &str, tool: &Tool) {
        // Where a document links its operations, nobody wrote a name.
        if at == "/adapter/spec" {
            return;
        }
        for (place, name) in tool.relations.named() {
            self.named.push(Named {
                own: checked.connector.id.clone(),
                name: name.to_owned(),
                document: Arc::clone(&checked.document),
                pointer: format!("{}{at}/relations/{place}", checked.pointer),
            });
        }
    }

    /// A warning for each name that nobody has. What is still to come is not missed.
    pub(super) fn missing(&mut self, catalog: &Catalog) -> Vec<Problem> {
        let named = std::mem::take(&mut self.named);
        if named.is_empty() {
            return Vec::new();
        }
        let all: HashSet<(&ConnectorId, &str)> =
            catalog.entries.iter().map(|entry| (&entry.connector, entry.tool.as_str())).collect();
        let missing = |named: &Named| {
            let elsewhere = Relations::elsewhere(&named.name);
            let (connector, tool) = match &elsewhere {
                _ if all.contains(&(&named.own, named.name.as_str())) => return None,
                Some((connector, tool)) => (connector, *tool),
                None => (&named.own, named.name.as_str()),
            };
            if !self.known.contains(connector) || all.contains(&(connector, tool)) {
                return None;
            }
            let theirs = all.iter().filter(|(of, _)| *of == connector).map(|(_, tool)| *tool);
            let meant = did_you_mean(tool, theirs);
            Some(format!("{connector} has no tool `{}`{meant}", shown(tool)))
        };
        let warn = |named: &Named| Some(named.document.problem(Severity::Warning, &named.pointer, missing(named)?));
        named.iter().filter_map(warn).collect()
    }
}
