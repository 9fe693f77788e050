//! Connectors that nobody has to write: the tools `search` and `fetch`, as soon as some connector feeds them.

use std::path::Path;
use std::sync::Arc;

use super::{AdapterSettings, Document, Manifests, Operation};

const SEARCH: &str = include_str!("built_in/search.json");

impl Manifests {
    /// These, with the connectors that follow from them.
    #[must_use]
    pub fn with_built_in(mut self) -> Self {
        let feeds = self.connectors.iter().any(|it| it.connector.enabled && it.connector.feeds.is_some());
        let searches = |operation: &Option<Operation>| *operation == Some(Operation::Search);
        let has_its_own = self.connectors.iter().any(|it| {
            let connector = &it.connector;
            matches!(connector.adapter, AdapterSettings::Gateway(_))
                && connector.tools.iter().any(|tool| searches(&tool.operation))
        });
        if !feeds || has_its_own {
            return self;
        }
        match Document::parse(Path::new("built-in/search.json"), SEARCH) {
            Ok(document) => self.add_document(&Arc::new(document)),
            Err(problem) => self.problems.push(problem),
        }
        self.drop_duplicates();
        self
    }
}
