//! How a call fails, and what is wrong with what a person wrote.
//!
//! [`Error`] travels on the road of one call and becomes wire in one place
//! (`protocol/present.rs`). [`Problem`]s are collected at start-up and shown all at once.

use std::{error, fmt, result};

mod problem;

pub use problem::{Place, Problem, Severity};

/// The result of a step on the road of a call.
pub type Result<T, E = Error> = result::Result<T, E>;

/// What a failure means to whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No tool of this name.
    UnknownTool,
    /// The arguments do not fit the tool; the model can mend them.
    InvalidArguments,
    /// The caller has to sign in, or lacks a scope.
    Forbidden,
    /// The connector cannot be used now: not configured, or down.
    Unavailable,
    /// Too many calls at once.
    Busy,
    /// The deadline passed.
    Timeout,
    /// The caller gave up.
    Cancelled,
    /// The upstream answered with a failure of its own.
    Upstream,
    /// The upstream could not be reached, or spoke nonsense.
    Unreachable,
    /// The answer is larger than its cap.
    TooLarge,
    /// A fault of ours.
    Internal,
}

/// A failed call: `kind` decides, `message` is for the client, `source` is for the log.
///
/// A message holds no secret and no address of ours, is lower case without a full stop,
/// and says what to do when there is something to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of this kind, in words for the client.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps what caused it, for the log only.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// What it means to whoever called.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The words for the client.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
