//! How a call fails, and what is wrong with what a person wrote.
//!
//! [`Error`] travels on the road of one call and becomes wire in one place
//! (`protocol/present.rs`). [`Problem`]s are collected at start-up and shown all at once.

use std::{error, fmt, result};

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod again;
mod challenge;
mod connect;
mod problem;

pub use again::{Again, Executed};
pub use challenge::Challenge;
pub use connect::{Connect, Invitation};
pub use problem::{Place, Problem, Severity};

/// The result of a step on the road of a call.
pub type Result<T, E = Error> = result::Result<T, E>;

/// What a failure means to whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No tool, prompt or task of this name.
    UnknownTool,
    /// No resource of this URI.
    UnknownResource,
    /// The arguments do not fit the tool; the model can mend them.
    InvalidArguments,
    /// The caller has to sign in, or lacks a scope.
    Forbidden,
    /// The caller has to let the connector act for them first.
    NotConnected,
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
    /// Another MCP server refused the request in JSON-RPC's own words, which are passed on as sent.
    Rejected,
    /// The answer is larger than its cap.
    TooLarge,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// It in a word, for logs, numbers and records.
    pub fn word(self) -> &'static str {
        match self {
            Self::UnknownTool => "unknown_tool",
            Self::UnknownResource => "unknown_resource",
            Self::InvalidArguments => "invalid_arguments",
            Self::Forbidden => "forbidden",
            Self::NotConnected => "not_connected",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Upstream => "upstream",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::Internal => "internal",
        }
    }
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
    detail: Option<Box<Detail>>,
    again: Option<Again>,
}

/// What else an error says.
#[derive(Debug, Clone)]
enum Detail {
    Rejection(Rejection),
    Challenge(Challenge),
    Connect(Connect),
}

/// A JSON-RPC error, as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    /// What kind it is.
    pub code: i32,
    /// What it is about.
    #[serde(default)]
    pub message: String,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl Error {
    /// A failure of this kind, in words for the client.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, detail: None, again: None }
    }

    /// Keeps what caused it, for the log only.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Says what is known of a failed exchange with an upstream.
    #[must_use]
    pub fn of_exchange(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

    /// What is known of the exchange that failed, if it may be made again.
    pub fn again(&self) -> Option<Again> {
        self.again
    }

    /// The same failure once more, for another who waited for the same thing.
    #[must_use]
    pub fn copy(&self) -> Self {
        let source = self.source.as_ref().map(|source| source.to_string().into());
        Self { kind: self.kind, message: self.message.clone(), source, detail: self.detail.clone(), again: self.again }
    }

    /// Adds to the words for the client.
    #[must_use]
    pub fn adding(mut self, words: &str) -> Self {
        self.message.push_str(words);
        self
    }

    /// The JSON-RPC error of another MCP server.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self.detail.as_deref()? {
            Detail::Rejection(rejection) => Some(rejection),
            Detail::Challenge(_) | Detail::Connect(_) => None,
        }
    }

    /// Says what the caller has to show.
    #[must_use]
    pub fn asking(mut self, challenge: Challenge) -> Self {
        self.detail = Some(Box::new(Detail::Challenge(challenge)));
        self
    }

    /// What the caller has to show, if that would help.
    pub fn challenge(&self) -> Option<&Challenge> {
        match self.detail.as_deref()? {
            Detail::Challenge(challenge) => Some(challenge),
            Detail::Rejection(_) | Detail::Connect(_) => None,
        }
    }

    /// Says what the caller has to connect.
    #[must_use]
    pub fn connecting(mut self, connect: Connect) -> Self {
        self.detail = Some(Box::new(Detail::Connect(connect)));
        self
    }

    /// What the caller has to connect, if that would help.
    pub fn connect(&self) -> Option<&Connect> {
        match self.detail.as_deref()? {
            Detail::Connect(connect) => Some(connect),
            Detail::Rejection(_) | Detail::Challenge(_) => None,
        }
    }

    /// The words for a client that shows nothing else: with the link by which the caller can connect, if there is one.
    pub fn told(&self) -> String {
        match self.connect().and_then(|connect| connect.invitation.as_ref()) {
            Some(invitation) => format!("{}: {}", self.message, invitation.link),
            None => self.message.clone(),
        }
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

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        let error = Self::new(ErrorKind::Rejected, rejection.message.clone());
        Self { detail: Some(Box::new(Detail::Rejection(rejection))), ..error }
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
