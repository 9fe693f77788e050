//! Requests of 2026-07-28, each answered on its own: one JSON body, or a stream when there is more to say.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{json, value::RawValue};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, interval_at};

use super::envelope::{Envelope, Reads};
use crate::caller::Caller;
use crate::params::Params;
use crate::protocol::{Notices, Server, Single};
use crate::transport::access::step_up;
use crate::transport::reply;

/// A stream with nothing to say shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A result from this size on is sent in parts, in bytes.
const LARGE: usize = 64 << 10;

/// Answers a request. Dropping the future, or the stream it gives, cancels it.
pub(super) async fn answer(
    server: &Server,
    caller: &Caller,
    parts: &Parts,
    envelope: &Envelope<'_>,
    (method, reads): (&str, Reads),
) -> Response {
    let refuse = |error: &ErrorData| reply::error_to(StatusCode::BAD_REQUEST, envelope.id, error);
    let params = envelope.params.map_or(Some(Params::default()), |params| Params::parse(params.get()));
    let Some(params) = params else {
        return refuse(&ErrorData::invalid_params(format!("{method} wants an object"), None));
    };
    let single = match Single::new(method, params) {
        Ok(single) => single,
        Err(error) => return refuse(&error),
    };
    let headers = &parts.headers;
    let view = server.view(parts.extensions.get(), || single.client_name());
    if let Err(error) = single.check_headers(server, (caller, &view), headers) {
        return refuse(&error);
    }
    if let Some(refusal) = step_up(server, (caller, &view), headers, envelope.id, (method, single.params())) {
        return refusal;
    }
    let streaming = reads == Reads::StreamOnly || (reads == Reads::Both && single.is_talkative());
    let (mut downstream, mut notices) = single.downstream(parts, streaming);
    downstream.view = view;
    let id = envelope.id.map_or(RawValue::NULL, |id| id).to_owned();
    // What a call takes is large, and would be copied for each hand that it goes through on the way to here.
    if !streaming {
        let answered = Box::pin(server.answer_single(caller, single, downstream)).await;
        return match answered {
            Ok(result) if result.len() > LARGE => large(&id, result),
            answered => reply::json(status(&answered), message(&id, answered)),
        };
    }
    let (server, caller) = (server.clone(), caller.clone());
    let events = async_stream::stream! {
        let mut answered = Box::pin(server.answer_single(&caller, single, downstream));
        let mut alive = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        let answered = loop {
            tokio::select! {
                biased;
                Some(notice) = async { notices.as_mut()?.next().await } => yield Ok::<_, Infallible>(event(notice.as_bytes())),
                answered = &mut answered => break answered,
                _ = alive.tick() => yield Ok(Bytes::from_static(b":\n\n")),
            }
        };
        while let Some(notice) = notices.as_mut().and_then(Notices::waiting) {
            yield Ok(event(notice.as_bytes()));
        }
        yield Ok(event(&message(&id, answered)));
    };
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn event(message: &[u8]) -> Bytes {
    [b"event: message\ndata: ", message, b"\n\n"].concat().into()
}

/// An answer whose result is not copied once more.
fn large(id: &RawValue, result: Bytes) -> Response {
    let start = Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":", id.get()));
    let parts = [start, result, Bytes::from_static(b"}")];
    let length = parts.iter().map(Bytes::len).sum::<usize>();
    let mut response =
        reply::json(StatusCode::OK, Body::from_stream(tokio_stream::iter(parts.map(Ok::<_, Infallible>))));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The whole message; the result's bytes are not read.
fn message(id: &RawValue, answered: Result<Bytes, ErrorData>) -> Vec<u8> {
    match answered {
        Ok(result) => [b"{\"jsonrpc\":\"2.0\",\"id\":", id.get().as_bytes(), b",\"result\":", &result, b"}"].concat(),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().into_bytes(),
    }
}

/// The status MCP gives errors that concern the exchange rather than the request.
fn status(answered: &Result<Bytes, ErrorData>) -> StatusCode {
    match answered.as_ref().err().map(|error| error.code) {
        Some(
            ErrorCode::UNSUPPORTED_PROTOCOL_VERSION
            | ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY
            | ErrorCode::HEADER_MISMATCH,
        ) => StatusCode::BAD_REQUEST,
        Some(ErrorCode::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(_) | None => StatusCode::OK,
    }
}
