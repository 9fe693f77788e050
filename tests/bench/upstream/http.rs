//! The upstream MCP server over Streamable HTTP and the older SSE transport, on one path.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{
    body::Answer,
    server::{Kind, Server},
    session::Sessions,
};

const SESSION: &str = "mcp-session-id";

/// The server and its sessions.
#[derive(Debug, Clone)]
pub(super) struct Http {
    server: Arc<Server>,
    sessions: Sessions,
    options: super::McpHttp,
}

impl Http {
    pub(super) fn new(server: Server, options: super::McpHttp) -> Self {
        Self { server: Arc::new(server), sessions: Sessions::default(), options }
    }

    pub(super) async fn answer(self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let legacy_sse = request.uri().path() == "/mcp/messages";
        let session = request.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let versioned = request.headers().contains_key("mcp-protocol-version");
        Ok(match (request.method(), session) {
            (&Method::GET, None) if !versioned => self.legacy_stream(),
            (&Method::GET, Some(id)) if self.sessions.knows(&id) => {
                let (_, events) = self.sessions.stream(&id);
                events_of(Answer::Events { events, _leave: None })
            }
            (&Method::POST, _) if legacy_sse => self.legacy_message(request).await,
            (&Method::POST, session) => self.message(request, session).await,
            (&Method::DELETE, Some(id)) => {
                self.sessions.close(&id);
                empty(StatusCode::NO_CONTENT)
            }
            _ => empty(StatusCode::METHOD_NOT_ALLOWED),
        })
    }

    async fn message(&self, request: Request<Incoming>, session: Option<String>) -> Response<Answer> {
        let Some((kind, answer)) = self.read(request).await else { return empty(StatusCode::BAD_REQUEST) };
        let known = self.options.no_sessions || session.is_some_and(|id| self.sessions.knows(&id));
        match kind {
            Kind::Modern => json(StatusCode::OK, answer),
            Kind::Unknown => json(StatusCode::NOT_FOUND, answer),
            Kind::Handshake => {
                let mut response = self.legacy_answer(answer);
                if !self.options.no_sessions
                    && let Ok(id) = HeaderValue::try_from(self.sessions.open())
                {
                    response.headers_mut().insert(SESSION, id);
                }
                response
            }
            // A notification of 2026-07-28 has no session either, so none is asked for.
            Kind::Notification => empty(StatusCode::ACCEPTED),
            Kind::Legacy if known => self.legacy_answer(answer),
            Kind::Legacy => empty(StatusCode::NOT_FOUND),
        }
    }

    /// An answer of the handshake era: an event stream, as most servers send it, unless told otherwise.
    fn legacy_answer(&self, answer: String) -> Response<Answer> {
        if self.options.json {
            return json(StatusCode::OK, answer);
        }
        events_of(Answer::Chunk(Some(event(&answer))))
    }

    fn legacy_stream(&self) -> Response<Answer> {
        let id = self.sessions.open();
        let (sender, events) = self.sessions.stream(&id);
        let _ = sender.try_send(Bytes::from(format!("event: endpoint\ndata: /mcp/messages?sessionId={id}\n\n")));
        events_of(Answer::Events { events, _leave: Some(self.sessions.leave(id)) })
    }

    async fn legacy_message(&self, request: Request<Incoming>) -> Response<Answer> {
        let id = request.uri().query().and_then(|query| query.strip_prefix("sessionId=")).unwrap_or_default();
        let Some(sender) = self.sessions.sender(id) else { return empty(StatusCode::NOT_FOUND) };
        let Some((kind, answer)) = self.read(request).await else { return empty(StatusCode::BAD_REQUEST) };
        if kind != Kind::Notification && sender.send(event(&answer)).await.is_err() {
            return empty(StatusCode::GONE);
        }
        empty(StatusCode::ACCEPTED)
    }

    async fn read(&self, request: Request<Incoming>) -> Option<(Kind, String)> {
        let body = request.into_body().collect().await.ok()?.to_bytes();
        self.server.answer(&body)
    }
}

fn event(message: &str) -> Bytes {
    Bytes::from(format!("event: message\ndata: {message}\n\n"))
}

fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = status;
    response
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn events_of(body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
