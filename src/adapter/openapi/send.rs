//! Draft → request on the wire, and the reading of what comes back.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Request, RequestBuilder, Response, multipart};
use serde_json::json;
use url::{Url, form_urlencoded};

use super::fit::fit;
use crate::adapter::http::method;
use crate::call::{Content, Invocation, Output};
use crate::catalog::Entry;
use crate::credential::Credential;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Method, OutputPromise};
use crate::openapi::{Draft, DraftBody, DraftPart};
use crate::upstream::{Hop, Limit, broken};

/// What is left of a call's time when a stream that does not end is cut.
const SPARE: Duration = Duration::from_secs(1);

/// The request with its credentials.
pub(super) fn request(hop: &Hop, draft: Draft, plain: &HeaderMap, invocation: &Invocation) -> Result<Request> {
    let Draft { method: verb, mut url, headers: said, body } = draft;
    let mut headers = plain.clone();
    for (name, value) in said {
        // What the operator wants to be answered with goes before what the document names.
        if name == "accept" && plain.contains_key(ACCEPT) {
            continue;
        }
        let unfit = |_| invalid(format!("the value for the header {name} holds a character that no header can have"));
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(unfit)?;
        let header = HeaderName::try_from(&name);
        headers.insert(
            header.map_err(|error| Error::new(ErrorKind::Internal, "a bad header name").because(error))?,
            value,
        );
    }
    invocation.name_in(&mut headers);
    leave_room(&invocation.credential, &mut url, &mut headers);
    invocation.credential.apply(&mut url, &mut headers)?;
    let builder = hop.request(method(verb), url).headers(headers);
    let mut kind = None;
    let builder = match body {
        // Some servers want to hear that there is none where there might be one.
        DraftBody::None if matches!(verb, Method::Post | Method::Put | Method::Patch) => {
            builder.header(CONTENT_LENGTH, 0)
        }
        DraftBody::None => builder,
        DraftBody::Bytes(media_type, bytes) => builder.header(CONTENT_TYPE, media_type).body(bytes),
        DraftBody::Multipart(media_type, parts) => {
            let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if parts.is_empty() {
                // A form of no parts has an end all the same.
                let kind = format!("{essence}; boundary=end");
                return built(builder.header(CONTENT_TYPE, kind).body("--end--\r\n"));
            }
            let form = form(parts)?;
            let other = essence != "multipart/form-data";
            kind = other.then(|| format!("{essence}; boundary={}", form.boundary()));
            builder.multipart(form)
        }
    };
    let mut request = built(builder)?;
    if let Some(kind) = kind.and_then(|kind| HeaderValue::try_from(kind).ok()) {
        request.headers_mut().insert(CONTENT_TYPE, kind);
    }
    Ok(request)
}

/// Takes out what a credential is called: of two that are called alike, some servers read the first.
fn leave_room(credential: &Credential, url: &mut Url, headers: &mut HeaderMap) {
    let Credential { query, cookies, .. } = credential;
    let taken = |name: &str| query.iter().any(|(taken, _)| taken == name);
    if url.query_pairs().any(|(name, _)| taken(&name)) {
        let name = |pair: &str| form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned());
        let pairs = url.query().unwrap_or_default().split('&');
        let left: Vec<&str> = pairs.filter(|pair| !name(pair).is_some_and(|name| taken(&name))).collect();
        let left = left.join("&");
        url.set_query(Some(left.as_str()).filter(|left| !left.is_empty()));
    }
    let Some(said) = headers.get(COOKIE).and_then(|said| said.to_str().ok()).filter(|_| !cookies.is_empty()) else {
        return;
    };
    let taken = |pair: &&str| cookies.iter().any(|(name, _)| pair.split('=').next() == Some(name));
    let left: Vec<&str> = said.split("; ").filter(|pair| !taken(pair)).collect();
    match HeaderValue::try_from(left.join("; ")) {
        Ok(left) if !left.is_empty() => drop(headers.insert(COOKIE, left)),
        _ => drop(headers.remove(COOKIE)),
    }
}

fn built(builder: RequestBuilder) -> Result<Request> {
    builder.build().map_err(|error| {
        Error::new(ErrorKind::InvalidArguments, "the arguments make no valid request").because(error.without_url())
    })
}

fn form(parts: Vec<DraftPart>) -> Result<multipart::Form> {
    // Servers know names by their bytes, not by the form that RFC 5987 gives them.
    let mut form = multipart::Form::new().percent_encode_noop();
    let quoted = |text: String| text.replace(['\r', '\n'], " ").replace('"', "%22");
    for DraftPart { name, file_name, media_type, bytes } in parts {
        let length = bytes.len() as u64;
        let mut part = multipart::Part::stream_with_length(bytes, length);
        if let Some(file_name) = file_name {
            part = part.file_name(quoted(file_name));
        }
        if let Some(kind) = media_type {
            part = part.mime_str(&kind).map_err(|_| invalid(format!("`{kind}` is no media type")))?;
        }
        form = form.part(quoted(name), part);
    }
    Ok(form)
}

/// What is said of a stream of events that went on.
const WENT_ON: &str = "(the stream of events went on; this is what came first)";

/// A stream of events. Of one that does not end, what came in time and fits, and a word that it went on.
pub(super) async fn stream(
    response: Response,
    limit: Limit,
    deadline: Instant,
) -> Result<(Bytes, Option<&'static str>)> {
    let end = deadline.checked_sub(SPARE).unwrap_or(deadline);
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    loop {
        match tokio::time::timeout_at(end.into(), chunks.next()).await {
            Ok(None) => return Ok((body.freeze(), None)),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() <= limit.bytes => body.extend_from_slice(&chunk),
            Ok(Some(Err(error))) => return Err(broken(error)),
            Err(_) if body.is_empty() => {
                let message = "the upstream began a stream of events, and none came in time";
                return Err(Error::new(ErrorKind::Timeout, message).of_exchange(crate::error::Again::MAYBE));
            }
            Ok(Some(Ok(_))) | Err(_) => return Ok((body.freeze(), Some(WENT_ON))),
        }
    }
}

/// Clients refuse a result that breaks the tool's output schema, and real services do not keep to their documents. So
/// `structuredContent` is cut to what the document promises, unless the manifest holds the service to it; the text has
/// everything.
pub(super) fn kept_promise(entry: &Entry, mut output: Output, promise: OutputPromise, wrapped: bool) -> Output {
    let schema = entry.descriptor.get("outputSchema").filter(|_| promise == OutputPromise::Loose && !output.is_error);
    let Some(schema) = schema else { return output };
    let mut structured = output.structured.take().unwrap_or_else(|| match output.content.first() {
        Some(Content::Text(text)) if wrapped => json!({ "result": text }),
        Some(Content::Text(_) | Content::Image(..) | Content::Audio(..) | Content::Blob { .. }) | None => json!({}),
    });
    let broken = entry.check_output(Some(&structured));
    if !broken.is_empty() {
        tracing::debug!(tool = entry.name, places = broken.len(), "the answer differs from what the document promises");
        // Whatever else a schema may say one day: no answer is a failure because of it.
        if !fit(&mut structured, schema) || !entry.check_output(Some(&structured)).is_empty() {
            structured = json!({});
        }
    }
    output.structured = Some(structured);
    output
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArguments, message)
}
