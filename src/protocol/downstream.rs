//! The way back to a client while its request runs, and while its session lasts.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::HeaderMap;
use rmcp::model::{
    CustomNotification, CustomRequest, ProgressNotificationParam, ProgressToken, ServerNotification, ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext, ServiceError};
use rmcp::{Peer, RoleServer};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::era::era_of;
use super::server::OverHttp;
use crate::adapter::Watching;
use crate::call::{Client, Downstream, Era, Notice, Session, Way};
use crate::error::Rejection;
use crate::params::Params;
use crate::telemetry::TraceContext;

/// How long one client may take to be told something. A client that does not read misses it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last notices of a finished call may take to leave.
const FLUSH: Duration = Duration::from_secs(1);
/// How long a person may think about a question.
const QUESTION: Duration = Duration::from_mins(10);
/// Questions of one request waiting to be asked.
const QUESTIONS: usize = 16;
/// Where a 2026-07-28 request says that it wants log messages.
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// What lasts as long as a client's session does.
pub(super) struct Cell {
    id: Uuid,
    session: OnceLock<Session>,
    level: watch::Sender<Option<String>>,
    watches: Mutex<HashMap<String, Watching>>,
    gone: CancellationToken,
    _gone: DropGuard,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cell").field(&self.id).finish()
    }
}

impl Default for Cell {
    fn default() -> Self {
        let gone = CancellationToken::new();
        Self {
            id: Uuid::new_v4(),
            session: OnceLock::new(),
            level: watch::Sender::default(),
            watches: Mutex::default(),
            _gone: gone.clone().drop_guard(),
            gone,
        }
    }
}

impl Cell {
    /// The session, once its client has introduced itself.
    pub(super) fn session(&self, peer: &Peer<RoleServer>) -> Option<Session> {
        let info = peer.peer_info()?;
        let make = || Session {
            id: self.id,
            capabilities: Arc::new(serde_json::to_value(&info.capabilities).unwrap_or_default()),
            info: Arc::new(serde_json::to_value(&info.client_info).unwrap_or_default()),
            client: Arc::new(Outside(peer.clone())),
            log_level: self.level.subscribe(),
            gone: self.gone.clone(),
        };
        Some(self.session.get_or_init(make).clone())
    }

    pub(super) fn set_level(&self, level: String) {
        self.level.send_replace(Some(level));
    }

    /// The resources it wants to hear of.
    pub(super) fn watches(&self) -> MutexGuard<'_, HashMap<String, Watching>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client outside any request.
#[derive(Debug)]
struct Outside(Peer<RoleServer>);

#[async_trait]
impl Client for Outside {
    async fn ask(&self, method: &str, params: Option<Value>) -> Result<Value, Rejection> {
        ask(&self.0, method, params).await
    }

    async fn tell(&self, method: &str, params: Option<Value>) {
        let notification = custom(method, params);
        let _ = tokio::time::timeout(PATIENCE, self.0.send_notification(notification)).await;
    }
}

/// A notification as it was sent. One without parameters gets empty ones: the SDK would write null.
fn custom(method: &str, params: Option<Value>) -> ServerNotification {
    let params = params.unwrap_or_else(|| json!({}));
    ServerNotification::CustomNotification(CustomNotification::new(method, Some(params)))
}

/// Puts a question to a client and takes it back when dropped.
async fn ask(peer: &Peer<RoleServer>, method: &str, params: Option<Value>) -> Result<Value, Rejection> {
    let refused = |code: i32, message: String| Rejection { code, message, data: None };
    let request = ServerRequest::CustomRequest(CustomRequest::new(method, Some(params.unwrap_or_else(|| json!({})))));
    let sent = peer.send_cancellable_request(request, PeerRequestOptions::with_timeout(QUESTION)).await;
    let handle = sent.map_err(|_| refused(-32000, "the client is gone".into()))?;
    match handle.await_response().await {
        Ok(result) => Ok(serde_json::to_value(result).unwrap_or_default()),
        Err(ServiceError::McpError(error)) => {
            Err(Rejection { code: error.code.0, message: error.message.into_owned(), data: error.data })
        }
        Err(_) => Err(refused(-32000, "the client did not answer".into())),
    }
}

/// A client by way of a request under way: what is asked goes by the request's own stream, which
/// only the task that handles the request can do.
#[derive(Debug)]
struct Within(mpsc::Sender<Question>);

#[derive(Debug)]
struct Question {
    method: String,
    params: Option<Value>,
    answer: oneshot::Sender<Result<Value, Rejection>>,
}

#[async_trait]
impl Client for Within {
    async fn ask(&self, method: &str, params: Option<Value>) -> Result<Value, Rejection> {
        let gone = || Rejection { code: -32000, message: "the call is over".into(), data: None };
        let (sender, answer) = oneshot::channel();
        let question = Question { method: method.to_owned(), params, answer: sender };
        self.0.send(question).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn tell(&self, _: &str, _: Option<Value>) {}
}

/// Where an HTTP request stands in a trace.
pub fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    TraceContext::read(text("traceparent")?, text("tracestate"))
}

/// Does `work` for a request and, meanwhile, passes on what is told and asked. Ends with the
/// request: nothing when it is cancelled, or its session over.
pub(super) async fn converse<T, F: Future<Output = T>>(
    cell: Option<&Cell>,
    cx: &RequestContext<RoleServer>,
    meta: Params,
    work: impl FnOnce(Downstream) -> F,
) -> Option<T> {
    let era = era_of(cx);
    let session = cell.and_then(|cell| cell.session(&cx.peer));
    let over = OverHttp::of(cx);
    let gone = over.map(|over| over.gone.clone()).unwrap_or_default();
    // A client that takes JSON only cannot be sent anything before the answer.
    let one_answer = over.is_some_and(|over| over.json_only);
    let token = cx.meta.get_progress_token().filter(|_| !one_answer);
    let hears_logs = era == Era::Handshake && session.is_some() || meta.get(LOG_LEVEL).is_some();
    let (asking, questions) = mpsc::channel(QUESTIONS);
    let (mut downstream, notices) = if !one_answer && (token.is_some() || hears_logs) {
        let (downstream, notices) = Downstream::listening();
        (downstream, Some(notices))
    } else {
        (Downstream::default(), None)
    };
    downstream.request = OverHttp::request(cx);
    downstream.meta = Arc::new(meta);
    downstream.era = era;
    downstream.client = session.as_ref().map(|_| Arc::new(Within(asking)) as Arc<dyn Client>);
    downstream.session = session;
    downstream.agent = OverHttp::agent(cx);
    if let Some(headers) = OverHttp::headers(cx) {
        (downstream.way, downstream.trace) = (Way::Http, trace_of(headers));
    }
    downstream.wants_progress = token.is_some();
    let work = pin!(work(downstream));
    tokio::select! {
        done = talk(work, &cx.peer, token, notices, questions) => Some(done),
        () = cx.ct.cancelled() => None,
        () = gone.cancelled() => None,
    }
}

async fn talk<T>(
    work: impl Future<Output = T>,
    peer: &Peer<RoleServer>,
    token: Option<ProgressToken>,
    mut notices: Option<mpsc::Receiver<Notice>>,
    mut questions: mpsc::Receiver<Question>,
) -> T {
    tokio::pin!(work);
    let mut asked = FuturesUnordered::new();
    let done = loop {
        tokio::select! {
            biased;
            Some(notice) = next(&mut notices) => {
                // A client that does not read shall at least not hold up its own call.
                if !pass_on(peer, token.as_ref(), notice).await {
                    notices = None;
                }
            }
            Some(question) = questions.recv() => asked.push(put(peer, question)),
            Some(()) = asked.next() => {}
            done = &mut work => break done,
        }
    };
    if let Some(notices) = &mut notices {
        let rest = async {
            while let Ok(notice) = notices.try_recv() {
                pass_on(peer, token.as_ref(), notice).await;
            }
        };
        let _ = tokio::time::timeout(FLUSH, rest).await;
    }
    done
}

async fn next(notices: &mut Option<mpsc::Receiver<Notice>>) -> Option<Notice> {
    notices.as_mut()?.recv().await
}

async fn put(peer: &Peer<RoleServer>, question: Question) {
    let Question { method, params, mut answer } = question;
    let answered = tokio::select! {
        answered = ask(peer, &method, params) => answered,
        () = answer.closed() => return,
    };
    let _ = answer.send(answered);
}

/// Whether the client takes notices.
async fn pass_on(peer: &Peer<RoleServer>, token: Option<&ProgressToken>, notice: Notice) -> bool {
    let notification = match (notice, token) {
        (Notice::Progress(step), Some(token)) => {
            let mut report = ProgressNotificationParam::new(token.clone(), step.progress);
            report.total = step.total;
            report.message = step.message;
            ServerNotification::ProgressNotification(rmcp::model::ProgressNotification::new(report))
        }
        (Notice::Progress(_), None) => return true,
        (Notice::Other(method, params), _) => custom(&method, params),
    };
    tokio::time::timeout(PATIENCE, peer.send_notification(notification)).await.is_ok()
}

/// A notice as it goes out where no SDK stands between.
pub(super) fn written(notice: &Notice, token: Option<&Value>) -> Option<String> {
    let (method, params) = match notice {
        Notice::Progress(step) => {
            let mut params = Map::from_iter([
                ("progressToken".to_owned(), token?.clone()),
                ("progress".to_owned(), json!(step.progress)),
            ]);
            params.extend(step.total.map(|total| ("total".to_owned(), json!(total))));
            params.extend(step.message.as_ref().map(|message| ("message".to_owned(), json!(message))));
            ("notifications/progress", Some(Value::Object(params)))
        }
        Notice::Other(method, params) => (method.as_str(), params.clone()),
    };
    let mut message = json!({ "jsonrpc": "2.0", "method": method });
    if let (Value::Object(message), Some(params)) = (&mut message, params) {
        message.insert("params".into(), params);
    }
    Some(message.to_string())
}
