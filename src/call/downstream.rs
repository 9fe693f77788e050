//! The client a request came from, and the way back to it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Era;
use crate::caller::Principal;
use crate::catalog::view::View;
use crate::error::Rejection;
use crate::params::Params;
use crate::telemetry::TraceContext;

/// Notices waiting to be sent; one more is dropped, because only the newest matter.
const NOTICES: usize = 64;

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

impl From<RequestId> for Uuid {
    fn from(id: RequestId) -> Self {
        id.0
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
    /// How it reaches us.
    pub way: Way,
    /// Where its HTTP request says it stands in a trace.
    pub trace: Option<TraceContext>,
    notices: Option<mpsc::Sender<Notice>>,
}

/// How a client reaches us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// It started us, or is the command line.
    #[default]
    Stdio,
    /// MCP over HTTP.
    Http,
    /// The HTTP API beside it.
    Api,
}

impl Way {
    /// It in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Api => "api",
        }
    }
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

    /// Where the request stands in a trace: what it says itself goes before what its HTTP request says, which may carry
    /// several.
    pub fn trace(&self) -> Option<TraceContext> {
        let own = self.meta.text("traceparent");
        let own = own.and_then(|parent| TraceContext::read(&parent, self.meta.text("tracestate").as_deref()));
        own.or_else(|| self.trace.clone())
    }

    /// The same client, for a request that stands there in a trace, whatever its own says.
    #[must_use]
    pub fn traced(mut self, trace: TraceContext) -> Self {
        if TraceContext::NAMES.iter().any(|name| self.meta.get(name).is_some()) {
            Arc::make_mut(&mut self.meta).retain(|name| !TraceContext::NAMES.contains(&name));
        }
        self.trace = Some(trace);
        self
    }

    /// The same client for a call that its own call makes: it is told and asked nothing on the way.
    #[must_use]
    pub fn quiet(&self) -> Self {
        let owner = self.owner.clone();
        let (meta, agent, trace) = (Arc::clone(&self.meta), self.agent.clone(), self.trace.clone());
        Self { request: self.request, meta, era: self.era, way: self.way, agent, owner, trace, ..Self::default() }
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
