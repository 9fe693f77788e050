//! The catalog: every tool of every connector, as one immutable snapshot.
//!
//! A change builds the next snapshot; readers keep theirs. Descriptors are rendered once per
//! snapshot, and the order is always the same: connectors by id, tools as their manifest has them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

mod build;
mod tool;

pub use build::Offered;
pub use tool::Entry;

use crate::error::{Error, ErrorKind, Problem, Result};
use crate::name::{ConnectorId, nearest, shown};

/// All tools at one moment.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: Vec<Arc<Entry>>,
    by_name: BTreeMap<String, usize>,
    unavailable: BTreeMap<String, Unavailable>,
    renames: Vec<Rename>,
    tools: Arc<Value>,
}

/// A tool that cannot be called now, with its connector's reason.
#[derive(Debug, Clone)]
struct Unavailable {
    connector: ConnectorId,
    reason: String,
}

/// A tool whose published name differs from what its manifest would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// Its connector.
    pub connector: ConnectorId,
    /// Its name in the manifest.
    pub tool: String,
    /// The name clients see.
    pub public: String,
}

impl Catalog {
    /// Builds the snapshot of these connectors and says which tools had to be left out.
    pub fn build(offered: &[Offered<'_>]) -> (Self, Vec<Problem>) {
        build::build(offered)
    }

    /// The tools callers see, in order.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// The tools whose published name is not `<connector>_<tool>` to the letter.
    pub fn renames(&self) -> &[Rename] {
        &self.renames
    }

    /// The descriptors, `{"tools": […]}`.
    pub fn tools(&self) -> &Arc<Value> {
        &self.tools
    }

    /// The tool of this name. An unknown name is answered with the nearest ones, a tool of a
    /// connector that is unavailable with the reason as its cause: it may name files and variables.
    pub fn resolve(&self, name: &str) -> Result<&Arc<Entry>> {
        if let Some(entry) = self.by_name.get(name).and_then(|index| self.entries.get(*index)) {
            return Ok(entry);
        }
        if let Some(Unavailable { connector, reason }) = self.unavailable.get(name) {
            let message =
                format!("the connector {connector} is unavailable; its operator sees why with `switchboard check`");
            return Err(Error::new(ErrorKind::Unavailable, message).because(reason.clone()));
        }
        let near = nearest(name, self.by_name.keys().map(String::as_str));
        let hint = if near.is_empty() { String::new() } else { format!("; the nearest are {}", near.join(", ")) };
        Err(Error::new(ErrorKind::UnknownTool, format!("unknown tool `{}`{hint}", shown(name))))
    }

    /// Whether both offer the same tools with the same descriptors.
    pub fn lists_the_same(&self, other: &Self) -> bool {
        self.tools == other.tools
    }
}

fn render(entries: &[Arc<Entry>]) -> Arc<Value> {
    let tools: Vec<&Value> = entries.iter().map(|entry| &entry.descriptor).collect();
    Arc::new(json!({ "tools": tools }))
}
