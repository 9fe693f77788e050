//! Connectors that nobody has to write: the tools `search` and `fetch`, as soon as some connector feeds them.

use std::path::Path;
use std::sync::Arc;

use super::{Document, GatewayOperation, Manifests, Operation};

/// The folder, which is none on any disk, where these stand.
pub(super) const FOLDER: &str = "<built-in>";
const SEARCH: &str = include_str!("built_in/search.json");

impl Manifests {
    /// These, with the connectors that follow from them.
    #[must_use]
    pub fn with_built_in(mut self) -> Self {
        let feeds = self.connectors.iter().any(|it| it.connector.enabled && it.connector.feeds.is_some());
        let search = Some(Operation::Gateway(GatewayOperation::Search));
        let mut tools = self.connectors.iter().flat_map(|it| &it.connector.tools);
        let has_its_own = tools.any(|tool| tool.operation == search);
        if !feeds || has_its_own {
            return self;
        }
        match Document::parse(&Path::new(FOLDER).join("search.json"), SEARCH) {
            Ok(document) => self.add_document(&Arc::new(document)),
            Err(problem) => self.problems.push(problem),
        }
        self.drop_duplicates();
        self
    }
}
