//! HTTP answers that are not the protocol's own: every error body is JSON-RPC.

use std::time::Duration;

use axum::{body::Body, response::Response};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use rmcp::model::ErrorData;
use serde_json::{json, value::RawValue};

/// As much is heard of somebody who is refused, in bytes.
const HEARD: usize = 256 << 10;
/// And for so long.
const HEARING: Duration = Duration::from_secs(2);

/// JSON-RPC's codes for what can be wrong before a method is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Code {
    Parse = -32700,
    InvalidRequest = -32600,
    Internal = -32603,
}

/// An error answer: HTTP status and a JSON-RPC body without an id, because none was understood.
pub(super) fn error(status: StatusCode, code: Code, message: &str) -> Response {
    let code = rmcp::model::ErrorCode(code as i32);
    error_to(status, None, &ErrorData::new(code, message.to_owned(), None))
}

/// An error answer to the request of this id, written as the client wrote it.
pub(super) fn error_to(status: StatusCode, id: Option<&RawValue>, error: &ErrorData) -> Response {
    json(status, json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string())
}

/// A refusal, given once the little that a client may have to say was heard: a connection that is closed in the middle
/// of a request looks like a fault of ours.
pub(super) async fn after(body: Body, mut refusal: Response) -> Response {
    let heard = tokio::time::timeout(HEARING, axum::body::to_bytes(body, HEARD)).await;
    if !matches!(heard, Ok(Ok(_))) {
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    refusal
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = body.into();
    response
}

/// A plain text answer.
pub(super) fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    *response.body_mut() = body.into();
    response
}

/// Numbers in the text form of Prometheus.
pub(super) fn metrics(body: impl Into<Body>) -> Response {
    let mut response = text(StatusCode::OK, body);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page for a person. It is kept nowhere, because what it may show depends on who asks.
pub(super) fn html(body: impl Into<Body>) -> Response {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    *response.body_mut() = body.into();
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Makes a stream pass through proxies at once, with the headers ChatGPT's guide names.
pub(super) fn mark_stream(response: &mut Response, version: http::Version) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if version < http::Version::HTTP_2 {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("keep-alive"));
    }
}
