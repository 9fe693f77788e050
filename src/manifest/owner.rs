//! Whose a connector is that no file holds.

use std::sync::Arc;

/// Who added a connector while the server ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The tenant for which it is there; nobody's when there is none.
    pub tenant: Option<Arc<str>>,
    /// What they call it. Its id is unique among all tenants, and this among theirs.
    pub name: String,
    /// The deployment it comes from.
    pub deployment: Arc<str>,
}
