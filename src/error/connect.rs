//! What a caller has to agree to before a connector acts for them.

use std::fmt;

/// What a caller has to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The connector's id.
    pub connector: String,
    /// What people call it.
    pub name: String,
    /// Where they do that.
    pub invitation: Option<Invitation>,
}

/// A way to connect that is open to one caller.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Names it; opens nothing.
    pub id: String,
    /// The address to open in a browser, for their eyes only.
    pub link: String,
}

// Whoever has the link may connect in the caller's place.
impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("id", &self.id).finish_non_exhaustive()
    }
}
