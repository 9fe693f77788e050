//! A call on its way: the checked invocation, its surroundings, and what came out.

use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::caller::{Caller, Principal};
use crate::catalog::{Entry, view::View};
use crate::credential::Credential;
use crate::error::{Again, Executed, Rejection};
use crate::manifest::Arguments;
use crate::params::Params;

/// Notices waiting to be sent; one more is dropped, because only the newest matter.
const NOTICES: usize = 64;

/// The protocol generation a request or a connection speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Era {
    /// Sessions with an `initialize` handshake (to 2025-11-25).
    #[default]
    Handshake,
    /// Every request says for itself what it needs (2026-07-28).
    PerRequest,
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
    /// Puts the call's name among a request's headers, unless the caller gave one.
    pub fn name_in(&self, headers: &mut HeaderMap) {
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

/// A client that can be asked things and told things.
#[async_trait]
pub trait Client: fmt::Debug + Send + Sync {
    /// Asks it (sampling, elicitation, roots) and waits for its answer. Dropping the future
    /// takes the question back.
    async fn ask(&self, method: &str, params: Option<Value>) -> Result<Value, Rejection>;
    /// Sends it a notification. One that does not read misses it.
    async fn tell(&self, method: &str, params: Option<Value>);
}

/// A client that stays connected, by a session of the handshake era.
#[derive(Debug, Clone)]
pub struct Session {
    /// Names it, for as long as it lives.
    pub id: Uuid,
    /// What it declared it can do.
    pub capabilities: Arc<Value>,
    /// Who it says it is.
    pub info: Arc<Value>,
    /// The client itself, outside any request.
    pub client: Arc<dyn Client>,
    /// The least severe log messages it wants, once it said so.
    pub log_level: watch::Receiver<Option<String>>,
    /// Fires when it is over.
    pub gone: CancellationToken,
}

/// What a client can be asked, and the capability by which it says so.
const QUESTIONS: &[(&str, &str)] =
    &[("sampling/createMessage", "sampling"), ("elicitation/create", "elicitation"), ("roots/list", "roots")];

impl Session {
    /// Whether the client can be asked this.
    pub fn answers(&self, method: &str) -> bool {
        let capability = QUESTIONS.iter().find(|(question, _)| *question == method);
        capability.is_some_and(|(_, capability)| self.capabilities.get(capability).is_some())
    }

    /// Whether an upstream may have reason to talk to this very client: it can be asked things,
    /// or it wants to hear log messages.
    pub fn is_talked_to(&self) -> bool {
        QUESTIONS.iter().any(|(question, _)| self.answers(question)) || self.log_level.borrow().is_some()
    }
}

/// Names a request, at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl Default for RequestId {
    fn default() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The client a request came from, as far as an upstream may talk back while the request runs.
#[derive(Debug, Clone, Default)]
pub struct Downstream {
    /// Names the request, for people who look for it in the log.
    pub request: RequestId,
    /// The request's `_meta`, as sent.
    pub meta: Arc<Params>,
    /// The generation it speaks.
    pub era: Era,
    /// The session it belongs to, if any.
    pub session: Option<Session>,
    /// The client, through the stream of this request. None cannot be asked anything.
    pub client: Option<Arc<dyn Client>>,
    /// Who it proved to be, if it did: whose tasks come of the request.
    pub owner: Option<Arc<Principal>>,
    /// What its HTTP requests say it is, where nothing better does.
    pub agent: Option<Arc<str>>,
    /// Whether it wants to hear of progress.
    pub wants_progress: bool,
    /// What it is shown of the catalog.
    pub view: Arc<View>,
    notices: Option<mpsc::Sender<Notice>>,
}

/// What is told while a request runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// How far it is.
    Progress(Step),
    /// Any other notification: its method and parameters.
    Other(String, Option<Value>),
}

/// One report of progress.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// How far it is; grows with each report.
    pub progress: f64,
    /// How far it can get, if that is known.
    pub total: Option<f64>,
    /// What is happening.
    pub message: Option<String>,
}

impl Downstream {
    /// A way back that hears notices, and the end where they come out.
    pub fn listening() -> (Self, mpsc::Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(NOTICES);
        (Self { notices: Some(sender), ..Self::default() }, receiver)
    }

    /// The same client, with other metadata.
    #[must_use]
    pub fn with_meta(&self, meta: Params) -> Self {
        Self { meta: Arc::new(meta), ..self.clone() }
    }

    /// The same client for a call that its own call makes: it is told and asked nothing on the way.
    #[must_use]
    pub fn quiet(&self) -> Self {
        let owner = self.owner.clone();
        Self { meta: Arc::clone(&self.meta), era: self.era, agent: self.agent.clone(), owner, ..Self::default() }
    }

    /// What the client says it is.
    pub fn client_name(&self) -> Option<String> {
        let named = |info: &Value| info.get("name").and_then(Value::as_str).map(str::to_owned);
        let own = self.meta.read::<Value>("io.modelcontextprotocol/clientInfo");
        let session = || self.session.as_ref().and_then(|session| named(&session.info));
        own.as_ref().and_then(named).or_else(session).or_else(|| self.agent.as_deref().map(str::to_owned))
    }

    /// Whether anybody listens at all.
    pub fn listens(&self) -> bool {
        self.notices.is_some()
    }

    /// Tells something. Never waits: when the listener is slow, it is dropped.
    pub fn tell(&self, notice: Notice) {
        if let Some(notices) = &self.notices {
            let _ = notices.try_send(notice);
        }
    }
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
