//! Who is calling: from what a request shows to a [`Caller`](crate::caller::Caller).

mod config;

pub use config::{AuthConfig, BuiltInConfig, Introspection, Mode, OAuthConfig, PredefinedClient};

/// Why what a caller shows does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It proves nothing; the words are for the client.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be checked now; the words are for the log.
    #[error("{0}")]
    Unavailable(String),
}
