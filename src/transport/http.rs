//! The HTTP server: routes, sizes, and an orderly end.

use std::{
    error::Error as _,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use axum::extract::{Extension, OriginalUri, Query, Request, State, rejection::QueryRejection};
use axum::{
    Router, body, middleware,
    response::Response,
    routing::{any, get, post},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{ACCEPT, ALLOW},
    request::Parts,
};
use http_body_util::LengthLimitError;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use url::Url;
use uuid::Uuid;

mod operator;

use super::access::Access;
use super::guard::{Guard, Prefix, Visitor, watch};
use super::reply::{self, Code};
use super::sdk::{self, Sdk};
use super::session::Owner;
use super::sse::Streams;
use super::strangers::Strangers;
use super::stream::Board;
use super::streamable::Streamable;
use super::{DeskAccess, HttpOptions, Shutdown, TransportError};
use super::{connect, home, listen, oauth};
use crate::auth::Auth;
use crate::caller::Caller;
use crate::catalog::view::{Asked, Unknown};
use crate::protocol::Server;

/// A client that sends its body slower than this is let go.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub(super) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// The request of 2026-07-28 whose answer lasts.
const LISTEN: &str = "subscriptions/listen";
/// So often a long stream is asked whether its caller may still be here.
const LOOK: Duration = Duration::from_secs(15);
/// Any of these makes a GET one of Streamable HTTP; without them it opens a legacy stream.
const STREAMABLE_MARKS: [HeaderName; 3] =
    [HeaderName::from_static("mcp-session-id"), LAST_EVENT, HeaderName::from_static("mcp-protocol-version")];

struct Front {
    streamable: Streamable,
    streams: Streams,
    max_body: usize,
    desk: DeskAccess,
    challenge: Option<String>,
    auth: Arc<Auth>,
    access: Access,
    /// What readers of the stream read.
    board: Board,
}

/// Serves MCP on `listener` until `shutdown`: Streamable HTTP and the legacy stream on `/mcp`.
pub async fn serve(
    server: Server,
    listener: TcpListener,
    options: HttpOptions,
    shutdown: Shutdown,
) -> Result<(), TransportError> {
    let tasks = TaskTracker::new();
    let streamable = Streamable::new(&server, &options, &shutdown.expired);
    let strangers = Arc::new(Strangers::new(options.strangers));
    let front = Arc::new(Front {
        streams: Streams::new(server.clone(), options.max_sessions, tasks.clone(), shutdown.expired.clone()),
        streamable: streamable.clone(),
        max_body: options.max_body,
        desk: options.desk.clone(),
        challenge: options.challenge.clone(),
        access: Access::new(Arc::clone(&options.auth), Arc::clone(&strangers), Arc::clone(server.gateway())),
        auth: Arc::clone(&options.auth),
        board: Board::new(shutdown.draining.clone()),
    });
    let sdk = Arc::new(Sdk {
        server: front.streamable.server().clone(),
        access: front.access.clone(),
        max_body: options.max_body,
        open: options.registry_open,
        started: Instant::now(),
        has_started: AtomicBool::default(),
        is_secret: options.secret_path.is_some(),
        draining: shutdown.draining.clone(),
    });
    tasks.spawn(front.board.clone().write(server));
    let guard = Arc::new(Guard::new(options.clone(), listener.local_addr()?.ip(), strangers));
    let router = router(front, sdk, &options)
        .layer(CatchPanicLayer::custom(|_| {
            reply::error(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "an internal error")
        }))
        .layer(middleware::from_fn_with_state(guard, watch));

    let trusted = options.trusted_proxies.clone();
    let connections = listen::serve(listener, router, options.connections, trusted, shutdown.clone());
    tokio::select! {
        ended = connections => ended?,
        () = streamable.end_idle_sessions(options.session_idle) => {}
    }
    shutdown.draining.cancel();
    shutdown.expired.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn router(front: Arc<Front>, sdk: Arc<Sdk>, options: &HttpOptions) -> Router {
    let endpoint = Router::new()
        .route("/mcp", any(mcp))
        // Some clients put a slash behind every address, and a redirect would lose their headers.
        .route("/mcp/", any(mcp))
        .route("/mcp/messages", post(messages).fallback(|| async { not_allowed("POST, OPTIONS") }))
        .merge(sdk::routes(Arc::clone(&sdk)).with_state(()));
    let endpoint = match &options.secret_path {
        Some(secret) => Router::new().nest(&format!("/{}", secret.expose_secret()), endpoint),
        None => endpoint,
    };
    let prefix = options.public_url.as_ref().map(|url: &Url| url.path().trim_end_matches('/')).unwrap_or_default();
    let issuer = options.auth.issuer().map(|issuer| oauth::routes(Arc::clone(issuer)).with_state(()));
    let routes = endpoint
        .merge(operator::routes(&front))
        .merge(sdk::watched(sdk).with_state(()))
        .merge(home::routes(front.streamable.server(), options).with_state(()))
        .merge(issuer.unwrap_or_default())
        .merge(connect::routes(front.streamable.server(), Arc::clone(&options.auth)));
    let all = if prefix.is_empty() {
        routes
    } else {
        // What stands at the root says of whom it speaks by the path behind it (RFC 9728).
        let at_root = format!("/.well-known/oauth-protected-resource{prefix}/mcp");
        let issuer = options.auth.issuer().map(|issuer| oauth::at_root(Arc::clone(issuer), prefix).with_state(()));
        routes.clone().nest(prefix, routes).route(&at_root, get(operator::metadata)).merge(issuer.unwrap_or_default())
    };
    all.fallback(nothing).method_not_allowed_fallback(other_method).with_state(front)
}

async fn nothing(request: Request) -> Response {
    reply::after(request.into_body(), unknown()).await
}

async fn other_method(request: Request) -> Response {
    let message = "this method is not allowed here";
    let refusal = reply::error(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidRequest, message);
    reply::after(request.into_body(), refusal).await
}

pub(super) fn unknown() -> Response {
    reply::error(StatusCode::NOT_FOUND, Code::InvalidRequest, "there is nothing here; the MCP endpoint is /mcp")
}

fn not_allowed(allowed: &'static str) -> Response {
    let mut response =
        reply::error(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidRequest, "this method is not allowed here");
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(allowed));
    response
}

async fn mcp(
    State(front): State<Arc<Front>>,
    Extension(prefix): Extension<Prefix>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
) -> Response {
    let version = request.version();
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::GET && is_browser(&parts.headers) && !is_streamable(&parts.headers) {
        return reply::text(StatusCode::OK, WELCOME);
    }
    let server = front.streamable.server();
    let caller = match front.access.caller(server, visitor, &parts.headers).await {
        Ok(caller) => caller,
        Err(refusal) => return reply::after(body, *refusal).await,
    };
    let view = match shown_at(server, &parts) {
        Ok(view) => view,
        Err(refusal) => return reply::after(body, *refusal).await,
    };
    if !view.is_nothing() {
        parts.extensions.insert(view.clone());
    }
    let lasts = parts.method == Method::GET || parts.headers.get(MCP_METHOD).is_some_and(|method| method == LISTEN);
    let asked = lasts.then(|| (parts.headers.clone(), caller.clone()));
    let mut response = match parts.method {
        Method::POST => match read(body, front.max_body).await {
            Ok(body) => front.streamable.post(caller, parts, body).await,
            Err(refusal) => refusal,
        },
        Method::GET if is_streamable(&parts.headers) => front.streamable.get(&caller, parts).await,
        Method::GET => {
            // Where to post is said by the address that was asked for, as its client sees it.
            let own = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |uri| uri.path());
            let before = own.trim_end_matches('/').strip_suffix("/mcp").unwrap_or_default();
            let before = before.strip_prefix(prefix.0.as_str()).unwrap_or(before);
            let prefix = format!("{}{before}", prefix.0);
            front.streams.open(&prefix, Owner::of(&caller, &parts.headers), view)
        }
        Method::DELETE => front.streamable.delete(&caller, parts).await,
        _ => not_allowed("GET, POST, DELETE, OPTIONS"),
    };
    let kind = response.headers().get(http::header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "text/event-stream") {
        reply::mark_stream(&mut response, version);
        if lasts {
            let counted = server.gateway().telemetry().metrics().stream("mcp");
            response = response.map(|body| {
                let data = body.into_data_stream();
                body::Body::from_stream(data.map(move |chunk| (chunk, &counted).0))
            });
        }
        // A stream that lasts as long as its client wants shall not outlast what let the client in.
        if let Some((headers, caller)) = asked {
            let (server, access) = (server.clone(), front.access.clone());
            return while_welcome(response, (server, access), headers, caller);
        }
    }
    response
}

/// What a request's address asks to be shown. Who ends a session need not say that right.
fn shown_at(server: &Server, parts: &Parts) -> Result<Asked, Box<Response>> {
    let Some(query) = parts.uri.query().filter(|_| parts.method != Method::DELETE) else { return Ok(Asked::default()) };
    let asked = Asked::read(url::form_urlencoded::parse(query.as_bytes()));
    asked.and_then(|asked| server.views().check(&asked).map(|()| asked)).map_err(|unknown| {
        let status = match unknown {
            Unknown::Profile(_) => StatusCode::NOT_FOUND,
            Unknown::Word(_) => StatusCode::BAD_REQUEST,
        };
        Box::new(reply::error(status, Code::InvalidRequest, unknown.message()))
    })
}

/// A stream that ends when what it was opened with counts no longer.
fn while_welcome(
    response: Response,
    (server, access): (Server, Access),
    headers: HeaderMap,
    caller: Caller,
) -> Response {
    if !matches!(caller, Caller::Known(_)) {
        return response;
    }
    response.map(|body| {
        let mut data = body.into_data_stream();
        let mut look = tokio::time::interval(LOOK);
        body::Body::from_stream(async_stream::stream! {
            loop {
                tokio::select! {
                    chunk = data.next() => match chunk {
                        Some(chunk) => yield chunk,
                        None => return,
                    },
                    _ = look.tick() => if !access.is_still(&server, &caller, &headers).await {
                        return;
                    },
                }
            }
        })
    })
}

/// For the person who opens the address in a browser.
const WELCOME: &str = "This is an MCP endpoint. Give its address to an MCP client:\n\
    ChatGPT (developer mode), Claude, Cursor, VS Code or the MCP Inspector.\n";

fn is_streamable(headers: &HeaderMap) -> bool {
    STREAMABLE_MARKS.iter().any(|mark| headers.contains_key(mark))
}

fn is_browser(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && !accept.contains("text/event-stream")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionQuery {
    session_id: Option<String>,
}

async fn messages(
    State(front): State<Arc<Front>>,
    Extension(visitor): Extension<Visitor>,
    query: Result<Query<SessionQuery>, QueryRejection>,
    parts: Parts,
    body: body::Body,
) -> Response {
    let caller = match front.access.caller(front.streamable.server(), visitor, &parts.headers).await {
        Ok(caller) => caller,
        Err(refusal) => return reply::after(body, *refusal).await,
    };
    let id = query.ok().and_then(|query| Uuid::parse_str(query.session_id.as_deref()?).ok());
    match read(body, front.max_body).await {
        Ok(body) => front.streams.post(id, caller, &body, parts),
        Err(refusal) => refusal,
    }
}

pub(super) async fn read(body: body::Body, limit: usize) -> Result<Bytes, Response> {
    match tokio::time::timeout(BODY_TIMEOUT, body::to_bytes(body, limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.source().and_then(|cause| cause.downcast_ref::<LengthLimitError>()).is_some() => {
            let message = format!("the body is larger than {limit} bytes");
            Err(reply::error(StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidRequest, &message))
        }
        Ok(Err(_)) => Err(reply::error(StatusCode::BAD_REQUEST, Code::InvalidRequest, "the body broke off")),
        Err(_) => {
            Err(reply::error(StatusCode::REQUEST_TIMEOUT, Code::InvalidRequest, "the body did not arrive in time"))
        }
    }
}
