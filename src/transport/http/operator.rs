//! What stands beside `/mcp` for people and for what watches the server.

use std::{net::SocketAddr, sync::Arc};

use axum::extract::{ConnectInfo, Extension, Path, Request, State};
use axum::middleware::{self, Next};
use axum::{Router, response::Response, routing::get};
use http::{HeaderMap, Method, StatusCode, header};

use super::{Front, unknown};
use crate::transport::desk;
use crate::transport::guard::{Prefix, Visitor};
use crate::transport::reply::{self, Code};

/// The routes.
pub(super) fn routes(front: &Arc<Front>) -> Router<Arc<Front>> {
    let told = Router::new()
        .route("/apps/chatgpt-dashboard/", get(dashboard))
        .route("/v1/connectors/stream", get(stream))
        .route("/v1/connectors/service-map", get(service_map))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(Arc::clone(front), known_here));
    Router::new()
        .route("/.well-known/oauth-protected-resource", get(metadata))
        .route("/.well-known/oauth-protected-resource/mcp", get(metadata))
        .route("/.well-known/oauth-protected-resource/mcp/", get(metadata))
        .route("/status", get(status))
        .route("/apps/chatgpt-dashboard", get(to_dashboard))
        .route("/assets/{*address}", get(asset))
        .route("/.well-known/openai-apps-challenge", get(challenge))
        .merge(told)
}

/// How the connectors are, for the person at this machine: one that came here directly, and not by
/// way of a proxy or tunnel that ends here.
async fn status(
    State(front): State<Arc<Front>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if !desk::is_direct(peer, &headers) {
        return unknown();
    }
    reply::json(StatusCode::OK, front.streamable.server().status().to_string())
}

/// The page uses addresses relative to its own, which needs its slash.
async fn to_dashboard(Extension(prefix): Extension<Prefix>) -> Response {
    let mut response = reply::empty(StatusCode::PERMANENT_REDIRECT);
    if let Ok(target) = http::HeaderValue::try_from(format!("{}/apps/chatgpt-dashboard/", prefix.0)) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}

/// Lets nobody by who may not see how the connectors are.
async fn known_here(
    State(front): State<Arc<Front>>,
    Extension(visitor): Extension<Visitor>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match desk::refusal(&front.desk, &front.access, visitor, peer, request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

async fn dashboard(State(front): State<Arc<Front>>, Extension(prefix): Extension<Prefix>) -> Response {
    desk::dashboard(front.streamable.server(), &prefix.0)
}

async fn stream(State(front): State<Arc<Front>>, version: http::Version, headers: HeaderMap) -> Response {
    let access = (&front.desk, &front.access);
    let mut response = desk::stream(front.streamable.server(), access, &front.board, &headers);
    reply::mark_stream(&mut response, version);
    response
}

/// All numbers, as Prometheus reads them.
async fn metrics(State(front): State<Arc<Front>>) -> Response {
    match front.streamable.server().gateway().telemetry().prometheus() {
        None => unknown(),
        Some(Ok(text)) => reply::metrics(text),
        Some(Err(why)) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, &why),
    }
}

async fn service_map(State(front): State<Arc<Front>>) -> Response {
    desk::service_map(front.streamable.server())
}

async fn asset(State(front): State<Arc<Front>>, method: Method, Path(address): Path<String>) -> Response {
    desk::asset(front.streamable.server(), &method, &address).await
}

/// Who signs people in.
pub(super) async fn metadata(State(front): State<Arc<Front>>) -> Response {
    match front.auth.metadata() {
        Some(document) => reply::json(StatusCode::OK, document.to_string()),
        None => unknown(),
    }
}

/// Exactly the token, which is how `OpenAI` learns whose this address is.
async fn challenge(State(front): State<Arc<Front>>) -> Response {
    match &front.challenge {
        Some(token) => reply::text(StatusCode::OK, token.clone()),
        None => unknown(),
    }
}
