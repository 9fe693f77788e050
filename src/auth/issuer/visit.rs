//! What is known of a visit to one of our pages, besides its parameters.

/// A request of a browser.
#[derive(Clone, Copy, Default)]
pub struct Visit<'a> {
    /// Its cookies.
    pub cookies: &'a str,
    /// Stands for where it comes from: who comes from elsewhere has another one.
    pub address: &'a str,
    /// Whether a person goes to the page, rather than another page fetching it as an image, say.
    pub navigates: bool,
}

// Cookies open sessions.
impl std::fmt::Debug for Visit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("navigates", &self.navigates).finish_non_exhaustive()
    }
}
