//! A call on its way: the checked invocation, its surroundings, and what came out.

use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

mod downstream;

pub use downstream::{Client, Downstream, Notice, RequestId, Session, Step, Way};

use crate::caller::Caller;
use crate::catalog::Entry;
use crate::credential::Credential;
use crate::error::{Again, Executed};
use crate::manifest::Arguments;
use crate::params::Params;
use crate::telemetry::TraceContext;

/// The protocol generation a request or a connection speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Era {
    /// Sessions with an `initialize` handshake (to 2025-11-25).
    #[default]
    Handshake,
    /// Every request says for itself what it needs (2026-07-28).
    PerRequest,
}

impl Era {
    /// It in a word: the first or the last version of the protocol that it has.
    pub fn word(self) -> &'static str {
        match self {
            Self::Handshake => "2025-11-25",
            Self::PerRequest => "2026-07-28",
        }
    }
}

/// A call as it came in.
#[derive(Debug, Clone, Default)]
pub struct ToolCall {
    /// The tool's published name.
    pub name: String,
    /// Everything the client sent, `arguments` among it.
    pub params: Params,
}

/// A call whose arguments fit its tool.
#[derive(Debug)]
pub struct Invocation {
    /// The tool.
    pub entry: Arc<Entry>,
    /// What it is called with, defaults filled in. Empty for a tool of another MCP server.
    pub arguments: Arguments,
    /// Everything the client sent, for another MCP server.
    pub sent: Params,
    /// The files among the arguments, by the argument's name.
    pub files: HashMap<String, File>,
    /// What to show the upstream.
    pub credential: Credential,
    /// Names the call for an upstream that may be sent it twice.
    pub key: Option<Key>,
    /// Where the request that is made now stands in a trace.
    pub trace: Option<TraceContext>,
}

/// Names a call, the same in all its tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The header it stands in.
    pub header: HeaderName,
    /// What stands there.
    pub value: HeaderValue,
}

impl Invocation {
    /// Puts the call's name and its place in a trace among a request's headers, unless the caller gave one.
    pub fn name_in(&self, headers: &mut HeaderMap) {
        for (name, value) in self.trace.iter().flat_map(TraceContext::pairs) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.entry(name).or_insert(value);
            }
        }
        if let Some(Key { header, value }) = &self.key {
            headers.entry(header).or_insert_with(|| value.clone());
        }
    }
}

/// A file somebody gave to the client, fetched from there.
#[derive(Clone)]
pub struct File {
    /// Its contents.
    pub bytes: Bytes,
    /// Its name, without folders.
    pub name: String,
    /// Its media type.
    pub media_type: String,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.bytes.len()).finish()
    }
}

/// What surrounds a call while it runs.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who is calling.
    pub caller: Caller,
    /// The way back to the client.
    pub downstream: Downstream,
    /// When the call is stopped.
    pub deadline: Instant,
    /// The most bytes a result may have.
    pub max_result: usize,
}

/// How a call ended well.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With a result of our making.
    Made(Output),
    /// With another MCP server's result, as it was sent.
    Sent(Sent),
}

/// Another MCP server's result, as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// A JSON value.
    pub json: Bytes,
    /// Whether it says that the tool failed.
    pub is_error: bool,
    /// The generation it is written for.
    pub era: Era,
}

impl Outcome {
    /// Whether the tool failed.
    pub fn is_error(&self) -> bool {
        match self {
            Self::Made(output) => output.is_error,
            Self::Sent(sent) => sent.is_error,
        }
    }

    /// Whether the upstream refused the credential, so that nothing was done.
    pub fn is_refused(&self) -> bool {
        self.again().is_some_and(|again| again.executed == Executed::Unproven)
    }

    /// Whether it says of its upstream that it does not work.
    pub fn is_ill(&self) -> bool {
        matches!(self, Self::Made(output) if output.is_ill)
    }

    /// About how many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            Self::Made(output) => output.size(),
            Self::Sent(sent) => sent.json.len(),
        }
    }

    /// What is known of the exchange that failed, if it may be made again.
    pub fn again(&self) -> Option<Again> {
        match self {
            Self::Made(output) => output.again,
            Self::Sent(_) => None,
        }
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self::Made(output)
    }
}

/// What a tool gave.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// For the model and people.
    pub content: Vec<Content>,
    /// For programs: always an object.
    pub structured: Option<Value>,
    /// For the client and its widgets; a model never sees it.
    pub meta: Map<String, Value>,
    /// Whether the tool failed, in words the model can act on.
    pub is_error: bool,
    /// Whether the upstream says that it does not work, whatever the call was.
    pub is_ill: bool,
    /// What is known of the exchange that failed, if it may be made again.
    pub again: Option<Again>,
}

/// One piece of a result.
#[derive(Debug, Clone)]
pub enum Content {
    /// Text.
    Text(String),
    /// An image of this media type.
    Image(Bytes, String),
    /// Sound of this media type.
    Audio(Bytes, String),
    /// Any other bytes.
    Blob {
        /// A name for them.
        uri: String,
        /// Their media type.
        media_type: String,
        /// The bytes.
        data: Bytes,
    },
}

impl Content {
    /// How many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Image(data, _) | Self::Audio(data, _) | Self::Blob { data, .. } => data.len(),
        }
    }
}

impl Output {
    /// A result that is this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::Text(text.into())], ..Self::default() }
    }

    /// A failed result that is this text.
    pub fn failure(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// A result that is this JSON, mirrored as text. `structuredContent` is an object in every
    /// version of MCP, so another value is wrapped as `{"result": …}`.
    pub fn json(value: Value) -> Self {
        let structured = if value.is_object() { value } else { serde_json::json!({ "result": value }) };
        let text = structured.to_string();
        Self { structured: Some(structured), ..Self::text(text) }
    }

    /// About how many bytes it has.
    pub fn size(&self) -> usize {
        self.content.iter().map(Content::size).sum()
    }
}
