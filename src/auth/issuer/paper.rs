//! What all pages for people are made of: one layout, one style, and no script.

use http::StatusCode;
use minijinja::{Environment, Value, value::Serde};
use serde::Serialize;

use super::answer::Page;
use crate::widget::hash_source;

const STYLE: &str = include_str!("pages/style.css");
const TEMPLATES: [(&str, &str); 2] =
    [("layout.html", include_str!("pages/layout.html")), ("message.html", include_str!("pages/message.html"))];

/// What a page says that asks nothing.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Message<'a> {
    /// What it is about.
    pub title: &'a str,
    /// What happened.
    pub text: &'a str,
    /// What to do.
    pub hint: &'a str,
    /// A way to go on: an address, and its name for people.
    pub link: Option<(&'a str, &'a str)>,
}

/// What pages are made of.
pub struct Paper {
    templates: Environment<'static>,
    /// Our one style, by its hash: no other, and no script, is ever run.
    style: String,
}

impl std::fmt::Debug for Paper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paper").finish_non_exhaustive()
    }
}

impl Paper {
    /// Paper for these pages. `server` is what people know this server by: its host.
    pub fn new(server: String, pages: &[(&'static str, &'static str)]) -> Result<Self, String> {
        let mut templates = Environment::new();
        for (name, source) in TEMPLATES.iter().chain(pages) {
            templates.add_template(name, source).map_err(|error| error.to_string())?;
        }
        templates.add_global("style", Value::from_safe_string(STYLE.to_owned()));
        templates.add_global("server", server);
        Ok(Self { templates, style: hash_source(STYLE) })
    }

    /// A page that asks nothing.
    pub fn message(&self, status: StatusCode, message: &Message<'_>) -> Page {
        self.page(status, "message.html", message, "")
    }

    /// A page whose forms may end up here and at the addresses of `target`.
    pub fn page(&self, status: StatusCode, template: &str, shown: &impl Serialize, target: &str) -> Page {
        let html =
            self.templates.get_template(template).and_then(|template| template.render(Value::from(Serde(shown))));
        let html = html.unwrap_or_else(|error| {
            tracing::error!("a page cannot be made: {error}");
            String::new()
        });
        let target = if target.is_empty() { String::new() } else { format!(" {target}") };
        let policy = format!(
            "default-src 'none'; style-src {}; img-src 'self' data:; form-action 'self'{target}; frame-ancestors 'none'; base-uri 'none'",
            self.style
        );
        Page { status, html, policy, cookie: None }
    }
}
