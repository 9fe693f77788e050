//! What the issuer answers, before it is HTTP.

use std::fmt;

use http::StatusCode;
use serde_json::{Value, json};

/// An answer of the issuer.
#[derive(Clone)]
pub enum Answer {
    /// A page for a person.
    Page(Page),
    /// The browser goes somewhere else, by a GET.
    Go {
        /// Where to.
        to: String,
        /// A cookie to set.
        cookie: Option<String>,
    },
    /// An answer for a program.
    Json {
        /// Its status.
        status: StatusCode,
        /// Its body.
        body: Value,
        /// Whether the client is asked to show who it is by HTTP Basic, because it tried to.
        basic: bool,
    },
}

/// A page for a person.
#[derive(Clone)]
pub struct Page {
    /// Its status.
    pub status: StatusCode,
    /// The whole document.
    pub html: String,
    /// Its content security policy.
    pub policy: String,
    /// A cookie to set.
    pub cookie: Option<String>,
}

// Pages and addresses hold codes and words nobody else may know.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(page) => page.fmt(f),
            Self::Go { .. } => f.debug_struct("Go").finish_non_exhaustive(),
            Self::Json { status, .. } => f.debug_struct("Json").field("status", status).finish_non_exhaustive(),
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why a client does not get what it asks for, in OAuth's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) error: &'static str,
    pub(super) description: String,
}

impl Refusal {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }

    pub(super) fn request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    pub(super) fn grant(description: impl Into<String>) -> Self {
        Self::new("invalid_grant", description)
    }

    pub(super) fn client(description: impl Into<String>) -> Self {
        Self::new("invalid_client", description)
    }

    /// The answer to a program; `basic` says that it tried HTTP Basic.
    pub(super) fn answer(&self, basic: bool) -> Answer {
        let status = match self.error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({ "error": self.error, "error_description": self.description });
        Answer::Json { status, body, basic: basic && status == StatusCode::UNAUTHORIZED }
    }
}
