//! Streamable HTTP for every version of MCP on one path.
//!
//! This front decides which of the SDK's services gets a request: one with sessions, one that
//! answers each request on its own. No client needs a session; one that opens a session gets it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT},
    request::Parts,
};
use http_body_util::{BodyExt as _, Full};
use rmcp::transport::streamable_http_server::session::{
    SessionManager, local::LocalSessionManager, never::NeverSessionManager,
};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::value::RawValue;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

mod envelope;
mod single;

use super::HttpOptions;
use super::access::step_up;
use super::reply::{self, Code};
use super::session::{Owner, Sessions, Use};
use crate::caller::Caller;
use crate::params::Params;
use crate::protocol::{ASKED_ABOUT, OURS, OverHttp, Server};
use envelope::{Envelope, PROTOCOL_VERSION, Reads, is_probe};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// Messages in one batch (2025-03-26 only); they are answered one after the other.
const LARGEST_BATCH: usize = 20;

/// How often idle sessions are looked for, at the least.
const SWEEP: Duration = Duration::from_secs(15);

/// Whether a message came on its own, and not with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    Yes,
    No,
}

/// The services behind `/mcp`.
#[derive(Clone)]
pub(super) struct Streamable {
    /// Handshake era, with sessions. Answers are event streams.
    with_sessions: StreamableHttpService<Server, LocalSessionManager>,
    /// Any era, each request on its own. One JSON answer, or a stream when there is more to say.
    alone: StreamableHttpService<Server, NeverSessionManager>,
    /// The same for clients that take event streams only.
    alone_streaming: StreamableHttpService<Server, NeverSessionManager>,
    manager: Arc<LocalSessionManager>,
    sessions: Sessions,
    most_sessions: usize,
    server: Server,
}

impl Streamable {
    pub(super) fn new(server: &Server, options: &HttpOptions, stop: &CancellationToken) -> Self {
        let config = |sessions: bool, json: bool| {
            let mut config = StreamableHttpServerConfig::default();
            config.legacy_session_mode = sessions;
            config.json_response = json;
            // The guard before every route has checked the host, and the front the size.
            config.allowed_hosts = Vec::new();
            config.max_request_body_bytes = usize::MAX;
            config.cancellation_token = stop.clone();
            config
        };
        let factory = |server: &Server| {
            let server = server.clone();
            move || Ok(server.for_request())
        };
        let session_factory = {
            let server = server.clone();
            move || Ok(server.for_session())
        };
        let mut manager = LocalSessionManager::default();
        // Sessions end by `Sessions::take_idle`, which knows of calls under way.
        manager.session_config.keep_alive = None;
        let manager = Arc::new(manager);
        let never = Arc::new(NeverSessionManager::default());
        Self {
            with_sessions: StreamableHttpService::new(session_factory, Arc::clone(&manager), config(true, false)),
            alone: StreamableHttpService::new(factory(server), Arc::clone(&never), config(false, true)),
            alone_streaming: StreamableHttpService::new(factory(server), never, config(false, false)),
            manager,
            sessions: Sessions::new(server.gateway().telemetry().metrics().clone()),
            most_sessions: options.max_sessions,
            server: server.clone(),
        }
    }

    /// Ends sessions that nobody uses, for as long as it is polled. A session whose client left
    /// in the middle of `initialize` was never noted; it ends when it is found unnoted twice.
    pub(super) async fn end_idle_sessions(&self, idle: Duration) {
        let mut ticks = tokio::time::interval((idle / 4).min(SWEEP));
        let mut strays: HashSet<Arc<str>> = HashSet::new();
        loop {
            ticks.tick().await;
            let all: Vec<Arc<str>> = self.manager.sessions.read().await.keys().cloned().collect();
            let unnoted = all.into_iter().filter(|id| !self.sessions.knows(id));
            let (again, new): (HashSet<_>, HashSet<_>) = unnoted.partition(|id| strays.contains(id));
            strays = new;
            for id in self.sessions.take_idle(idle).into_iter().chain(again) {
                let _ = self.manager.close_session(&id).await;
            }
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// `POST /mcp`.
    pub(super) async fn post(&self, caller: Caller, parts: Parts, body: Bytes) -> Response {
        if is_probe(&body) {
            return reply::empty(StatusCode::OK);
        }
        if body.trim_ascii_start().starts_with(b"[") {
            return self.batch(&caller, &parts, &body).await;
        }
        let reads = Reads::of(&parts.headers);
        self.one(&caller, parts, &body, (reads, Alone::Yes)).await
    }

    /// Sends one message the right way.
    async fn one(&self, caller: &Caller, mut parts: Parts, body: &Bytes, (reads, alone): (Reads, Alone)) -> Response {
        let envelope = match Envelope::parse(body) {
            Ok(envelope) => envelope,
            Err((code, message)) => return reply::error(StatusCode::BAD_REQUEST, code, &message),
        };
        if let Some(refusal) = envelope.refusal(&parts.headers) {
            return refusal;
        }
        let method = envelope.method.as_deref();
        let modern = envelope.is_modern(&parts.headers);
        if let Some(method) = method.filter(|method| modern && OURS.contains(method))
            && envelope.is_request()
        {
            return single::answer(&self.server, caller, &parts, &envelope, (method, reads)).await;
        }
        // In a batch a status would be all messages'.
        if alone == Alone::Yes
            && let Some(refusal) = self.step_up(caller, &parts, &envelope)
        {
            return refusal;
        }
        let body = self.server.parcels().wrap(body);
        let initializes = method == Some("initialize");
        if modern || initializes {
            // Neither belongs to a session, whatever the client sends along.
            parts.headers.remove(SESSION_ID);
        }
        if initializes && reads != Reads::JsonOnly && self.sessions.len() < self.most_sessions {
            let owner = Owner::of(caller, &parts.headers);
            let client = envelope.client_name().filter(|_| self.server.views().know_clients());
            let response = ask(&self.with_sessions, request(caller, parts, body, reads, None)).await;
            return self.opened(response, (owner, client));
        }
        if let Some(id) = session_id(&parts.headers) {
            let Some(used) = self.sessions.enter(&id, &Owner::of(caller, &parts.headers)) else {
                return unknown_session();
            };
            // What wants no answer can go to the session whatever the client reads.
            if reads != Reads::JsonOnly || !envelope.is_request() {
                let response = ask(&self.with_sessions, request(caller, parts, body, reads, Some(&used))).await;
                return self.hold(response, used);
            }
            parts.headers.remove(SESSION_ID);
        }
        let service = if reads == Reads::StreamOnly { &self.alone_streaming } else { &self.alone };
        self.filled(ask(service, request(caller, parts, body, reads, None)).await, None)
    }

    /// The answer to a caller who lacks what a request takes and could get it.
    fn step_up(&self, caller: &Caller, parts: &Parts, envelope: &Envelope<'_>) -> Option<Response> {
        let method = envelope.method.as_deref().filter(|method| ASKED_ABOUT.contains(method))?;
        if caller.is_unlimited() {
            return None;
        }
        let params = Params::parse(envelope.params?.get())?;
        let named = || {
            let agent = || parts.headers.get(USER_AGENT)?.to_str().ok().map(str::to_owned);
            session_id(&parts.headers).and_then(|id| self.sessions.client(&id)).or_else(agent)
        };
        let view = self.server.view(parts.extensions.get(), named);
        step_up(&self.server, (caller, &view), &parts.headers, envelope.id, (method, &params))
    }

    /// Notes the session that an `initialize` opened.
    fn opened(&self, response: Response, (owner, client): (Owner, Option<String>)) -> Response {
        match session_id(response.headers()) {
            Some(id) => self.hold(response, self.sessions.open(&id, owner, client)),
            None => response,
        }
    }

    /// `GET /mcp` of a session: its stream of messages that answer no request.
    pub(super) async fn get(&self, caller: &Caller, parts: Parts) -> Response {
        let reads = Reads::of(&parts.headers);
        let Some(id) = session_id(&parts.headers) else {
            return reply::error(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::InvalidRequest,
                "a GET stream belongs to a session; post requests instead",
            );
        };
        match self.sessions.enter(&id, &Owner::of(caller, &parts.headers)) {
            None => unknown_session(),
            Some(used) => {
                let asked = request(caller, parts, Bytes::new(), reads, Some(&used));
                self.hold(ask(&self.with_sessions, asked).await, used)
            }
        }
    }

    /// `DELETE /mcp`: the client is done with its session.
    pub(super) async fn delete(&self, caller: &Caller, parts: Parts) -> Response {
        let Some(id) = session_id(&parts.headers) else {
            return reply::error(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidRequest, "there is no session to delete");
        };
        if self.sessions.enter(&id, &Owner::of(caller, &parts.headers)).is_none() {
            return unknown_session();
        }
        self.sessions.close(&id);
        let _ = self.manager.close_session(&id.into()).await;
        reply::empty(StatusCode::NO_CONTENT)
    }

    /// A batch, as 2025-03-26 has it: each message on its own, the answers together.
    async fn batch(&self, caller: &Caller, parts: &Parts, body: &Bytes) -> Response {
        let version = parts.headers.get(PROTOCOL_VERSION);
        let messages = match serde_json::from_slice::<Vec<&RawValue>>(body) {
            Err(error) => {
                return reply::error(StatusCode::BAD_REQUEST, Code::Parse, &format!("the body is not JSON: {error}"));
            }
            Ok(_) if version.is_some_and(|version| version != "2025-03-26") => {
                let message = "batches exist in MCP 2025-03-26 only; send one message";
                return reply::error(StatusCode::BAD_REQUEST, Code::InvalidRequest, message);
            }
            Ok(messages) if messages.len() > LARGEST_BATCH => {
                let message = format!("a batch has {LARGEST_BATCH} messages at most");
                return reply::error(StatusCode::BAD_REQUEST, Code::InvalidRequest, &message);
            }
            Ok(messages) => messages,
        };
        let mut answers: Vec<String> = Vec::new();
        for message in messages {
            let message = Bytes::copy_from_slice(message.get().as_bytes());
            let response = self.one(caller, parts.clone(), &message, (Reads::JsonOnly, Alone::No)).await;
            if let Ok(answer) = response.into_body().collect().await {
                let answer = answer.to_bytes();
                answers
                    .extend(std::str::from_utf8(&answer).ok().filter(|answer| !answer.is_empty()).map(str::to_owned));
            }
        }
        if answers.is_empty() {
            return reply::empty(StatusCode::ACCEPTED);
        }
        reply::json(StatusCode::OK, format!("[{}]", answers.join(",")))
    }

    /// Keeps a session in use until the body is sent or the client is gone.
    fn hold(&self, response: Response, used: Use) -> Response {
        self.filled(response, Some(used))
    }

    /// A response in which results stand for their labels. What is of a session may be asked for
    /// again; anything else leaves once.
    fn filled(&self, mut response: Response, used: Option<Use>) -> Response {
        response.headers_mut().remove(CONTENT_LENGTH);
        let parcels = self.server.parcels().clone();
        response.map(|body| {
            let mut data = body.into_data_stream();
            Body::from_stream(async_stream::stream! {
                let last = used.is_none();
                let _used = used;
                while let Some(chunk) = data.next().await {
                    yield chunk.map(|chunk| parcels.fill(chunk, last));
                }
            })
        })
    }
}

/// The SDK's answer. Its plain-text refusals get a JSON-RPC body, and a session of its that died gives a 404, so that
/// clients open a new one.
async fn ask<M: SessionManager>(service: &StreamableHttpService<Server, M>, request: Request<Full<Bytes>>) -> Response {
    // What it takes is large, and would be copied for each hand that it goes through on the way to here.
    let response = Box::pin(service.handle(request)).await;
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if status.is_success() || kind.starts_with("application/json") {
        return response.map(Body::new);
    }
    let said = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    if status == StatusCode::INTERNAL_SERVER_ERROR && said.contains("Session") {
        return unknown_session();
    }
    let code = if status.is_server_error() { Code::Internal } else { Code::InvalidRequest };
    reply::error(status, code, if said.is_empty() { "refused" } else { said.trim() })
}

fn request(caller: &Caller, mut parts: Parts, body: Bytes, reads: Reads, used: Option<&Use>) -> Request<Full<Bytes>> {
    parts.headers.insert(ACCEPT, BOTH);
    if parts.method == Method::POST {
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let gone = used.map(|used| used.gone.clone()).unwrap_or_default();
    parts.extensions.insert(OverHttp { json_only: reads == Reads::JsonOnly, gone, caller: caller.clone() });
    Request::from_parts(parts, Full::new(body))
}

fn session_id(headers: &HeaderMap) -> Option<String> {
    headers.get(SESSION_ID).and_then(|id| id.to_str().ok()).map(str::to_owned)
}

fn unknown_session() -> Response {
    reply::error(StatusCode::NOT_FOUND, Code::InvalidRequest, "unknown session; send `initialize` again")
}
