//! Connectors that nobody has to write: the tools `search` and `fetch`, as soon as some connector feeds them, the one
//! that says who signed in, and those that add connectors while the server runs.

use std::path::Path;
use std::sync::Arc;

use super::{Document, GatewayOperation, Manifests, Operation};

/// The folder, which is none on any disk, where these stand.
pub(super) const FOLDER: &str = "<built-in>";
const SEARCH: &str = include_str!("built_in/search.json");
const PROFILE: &str = include_str!("built_in/profile.json");
const REGISTRY: &str = include_str!("built_in/registry.json");

/// Which of them there are reasons for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Callers sign in, and clients want to know as whom.
    pub profile: bool,
    /// Callers can prove that they may add connectors.
    pub registry: bool,
}

impl Manifests {
    /// These, with the connectors that follow from them, and those that are wanted beside them.
    #[must_use]
    pub fn with_built_in(mut self, wanted: BuiltIn) -> Self {
        let feeds = self.connectors.iter().any(|it| it.connector.enabled && it.connector.feeds.is_some());
        if feeds && !self.has(GatewayOperation::Search) {
            self.add_built_in("search.json", SEARCH);
        }
        if wanted.profile && !self.has(GatewayOperation::Profile) {
            self.add_built_in("profile.json", PROFILE);
        }
        if wanted.registry && !self.has(GatewayOperation::ConnectorAdd) {
            self.add_built_in("registry.json", REGISTRY);
        }
        self.drop_duplicates();
        self
    }

    /// Whether somebody wrote a tool that does this.
    fn has(&self, operation: GatewayOperation) -> bool {
        let mut tools = self.connectors.iter().flat_map(|it| &it.connector.tools);
        tools.any(|tool| tool.operation == Some(Operation::Gateway(operation)))
    }

    fn add_built_in(&mut self, name: &str, text: &str) {
        match Document::parse(&Path::new(FOLDER).join(name), text) {
            Ok(document) => self.add_document(&Arc::new(document)),
            Err(problem) => self.problems.push(problem),
        }
    }
}
