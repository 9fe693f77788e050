//! What one client is shown of the catalog, and how.

use super::Entry;

/// What one client is shown of the catalog, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Which tools are listed.
    pub exposure: Exposure,
}

/// Which tools of a view are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exposure {
    /// All.
    #[default]
    All,
    /// Those to search, describe and call the others by, and the pinned ones.
    Search,
    /// All while they cost little, else those to search by.
    Auto,
}

impl View {
    /// Whether a tool is in the view.
    pub fn holds(&self, _entry: &Entry) -> bool {
        true
    }

    /// The name of a tool in the view.
    pub fn public_name(&self, name: &str) -> String {
        name.to_owned()
    }

    /// The published name of what the view calls so, if that is one of its names.
    pub fn own_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        Some(name)
    }
}
