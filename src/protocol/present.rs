//! Outcomes → wire. The one place where an error becomes an answer.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use indexmap::IndexMap;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode, ErrorData, Implementation, MetaObject, ResourceContents};
use serde_json::{Value, json, value::RawValue};

use crate::call::{Content, Era, Outcome, Output, RequestId, Sent};
use crate::error::{Connect, Error, ErrorKind, Invitation};
use crate::gateway::QUESTION;

/// Where a 2026-07-28 result says who answered.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Who we are.
pub(super) fn implementation() -> Implementation {
    let mut this = Implementation::new("switchboard", env!("CARGO_PKG_VERSION"));
    this.title = Some("Switchboard".into());
    this
}

/// Result metadata: who answered, in the era that wants to know.
pub(super) fn result_meta(era: Era) -> Option<Value> {
    (era == Era::PerRequest).then(|| json!({ SERVER_INFO: implementation() }))
}

/// The answer to a `tools/call`. Whatever the model or its person can act on is a result with
/// `isError`; only a call that makes no sense as a call is a JSON-RPC error.
pub(super) fn present(outcome: Result<Outcome, Error>, era: Era, helps: &Helps<'_>) -> Result<Bytes, ErrorData> {
    let output = match outcome {
        Ok(Outcome::Sent(sent)) => return Ok(dressed(sent, era, false)),
        Ok(Outcome::Made(output)) => output,
        Err(error) => match error.kind() {
            ErrorKind::UnknownTool | ErrorKind::UnknownResource | ErrorKind::Rejected | ErrorKind::Internal => {
                return Err(from_error(&error, era, None));
            }
            ErrorKind::NotConnected => match link_of(&error).filter(|_| helps.opens_links) {
                Some((connect, link)) => return ask_to_open(&error, (connect, link), era, helps),
                None => refused(&error, helps.sign_in_at),
            },
            ErrorKind::InvalidArguments
            | ErrorKind::Forbidden
            | ErrorKind::Unavailable
            | ErrorKind::Busy
            | ErrorKind::Timeout
            | ErrorKind::Cancelled
            | ErrorKind::Upstream
            | ErrorKind::Unreachable
            | ErrorKind::TooLarge => refused(&error, helps.sign_in_at),
        },
    };
    let mut meta = output.meta.clone();
    if output.is_error {
        meta.extend(helps.request.map(|request| (REQUEST_ID.to_owned(), json!(request.to_string()))));
    }
    let mut result = made(output);
    if let Some(Value::Object(ours)) = result_meta(era) {
        meta.extend(ours);
    }
    result.meta = (!meta.is_empty()).then(|| MetaObject::from(meta));
    if era == Era::Handshake {
        result.result_type = None;
    }
    serde_json::to_vec(&result).map(Bytes::from).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// Where a failed result says by what its request is found in the log.
const REQUEST_ID: &str = "switchboard/requestId";

/// How a caller can be helped on.
#[derive(Debug, Clone, Default)]
pub(super) struct Helps<'a> {
    /// By what the request is found in the log.
    pub(super) request: Option<RequestId>,
    /// Where they learn how to sign in.
    pub(super) sign_in_at: Option<&'a str>,
    /// Whether their client opens links for them.
    pub(super) opens_links: bool,
    /// What the client was to bring back with its next try, as it sent it.
    pub(super) state: Option<Value>,
}

/// The link by which a caller can connect.
fn link_of(error: &Error) -> Option<(&Connect, &Invitation)> {
    let connect = error.connect()?;
    Some((connect, connect.invitation.as_ref()?))
}

/// Has a client open a link for its person: in the handshake era by the error that is made for that, later by a
/// question that comes instead of the result.
fn ask_to_open(
    error: &Error,
    (connect, invitation): (&Connect, &Invitation),
    era: Era,
    helps: &Helps<'_>,
) -> Result<Bytes, ErrorData> {
    let message = format!("Connect {}: {}", connect.name, error.message());
    let mut question = json!({ "mode": "url", "url": invitation.link, "message": message });
    if era == Era::Handshake {
        if let Some(question) = question.as_object_mut() {
            question.insert("elicitationId".into(), json!(invitation.id));
        }
        return Err(ErrorData::new(
            URL_ELICITATION_REQUIRED,
            error.told(),
            Some(json!({ "elicitations": [question] })),
        ));
    }
    let request = json!({ "method": "elicitation/create", "params": question });
    let mut result = json!({ "resultType": "input_required", "inputRequests": { QUESTION: request } });
    if let Some(result) = result.as_object_mut() {
        result.extend(helps.state.clone().map(|state| ("requestState".to_owned(), state)));
        result.extend(result_meta(era).map(|meta| ("_meta".to_owned(), meta)));
    }
    Ok(result.to_string().into())
}

/// MCP's code for a request that takes that its person opens a link first.
const URL_ELICITATION_REQUIRED: ErrorCode = ErrorCode(-32042);

/// A failure as a result, with the way to sign in where that would help: `ChatGPT` shows it only when it finds both an
/// error and its description.
fn refused(error: &Error, sign_in_at: Option<&str>) -> Output {
    let mut output = match link_of(error) {
        Some((_, invitation)) => {
            let way = "Show the person this link, which is for them alone and good for ten minutes; they open it in a browser, agree, and you call again";
            Output::failure(format!("{}. {way}:\n{}", error.message(), invitation.link))
        }
        None => Output::failure(error.message()),
    };
    if let (Some(challenge), Some(metadata)) = (error.challenge(), sign_in_at) {
        let header = challenge.header(Some(metadata), Some((INSUFFICIENT_SCOPE, error.message())));
        output.meta.insert("mcp/www_authenticate".into(), json!([header]));
    }
    output
}

/// The code of RFC 6750 for who shows too little.
pub const INSUFFICIENT_SCOPE: &str = "insufficient_scope";

/// An error as a JSON-RPC error. `about` is the resource it is about.
pub(super) fn from_error(error: &Error, era: Era, about: Option<&str>) -> ErrorData {
    if let Some(rejection) = error.rejection() {
        let code = ErrorCode(rejection.code);
        return ErrorData::new(code, rejection.message.clone(), rejection.data.clone());
    }
    let message = error.told();
    match error.kind() {
        ErrorKind::UnknownResource => {
            let data = about.map(|uri| json!({ "uri": uri }));
            match era {
                Era::PerRequest => ErrorData::invalid_params(message, data),
                Era::Handshake => ErrorData::resource_not_found(message, data),
            }
        }
        ErrorKind::UnknownTool | ErrorKind::InvalidArguments => ErrorData::invalid_params(message, None),
        ErrorKind::Forbidden | ErrorKind::NotConnected => ErrorData::invalid_request(message, None),
        ErrorKind::Unavailable
        | ErrorKind::Busy
        | ErrorKind::Timeout
        | ErrorKind::Cancelled
        | ErrorKind::Upstream
        | ErrorKind::Unreachable
        | ErrorKind::Rejected
        | ErrorKind::TooLarge
        | ErrorKind::Internal => ErrorData::internal_error(message, None),
    }
}

/// Another MCP server's result in the words of the caller's generation; nothing else is touched.
pub(super) fn dressed(sent: Sent, era: Era, cacheable: bool) -> Bytes {
    match (sent.era, era) {
        (Era::Handshake, Era::PerRequest) => {
            let mut added = String::from("{\"resultType\":\"complete\"");
            if cacheable {
                added.push_str(&member("ttlMs", &json!(0)));
                added.push_str(&member("cacheScope", &json!("private")));
            }
            let rest = sent.json.trim_ascii_start().strip_prefix(b"{").unwrap_or(b"}");
            if !rest.trim_ascii_start().starts_with(b"}") {
                added.push(',');
            }
            [added.as_bytes(), rest].concat().into()
        }
        (Era::PerRequest, Era::Handshake) => undressed(&sent.json).unwrap_or(sent.json),
        (Era::Handshake, Era::Handshake) | (Era::PerRequest, Era::PerRequest) => sent.json,
    }
}

/// A result without what clients of the handshake era do not know.
fn undressed(json: &Bytes) -> Option<Bytes> {
    let mut members: IndexMap<&str, &RawValue> = serde_json::from_slice(json).ok()?;
    members.shift_remove("resultType").filter(|kind| kind.get() == "\"complete\"")?;
    serde_json::to_vec(&members).ok().map(Bytes::from)
}

/// One more member of an object, with the comma before it.
pub(super) fn member(name: &str, value: &Value) -> String {
    format!(",\"{name}\":{value}")
}

/// A result as clients get it, for those who print one.
pub fn to_json(outcome: Outcome) -> Value {
    let presented = present(Ok(outcome), Era::Handshake, &Helps::default()).ok();
    presented.and_then(|result| serde_json::from_slice(&result).ok()).unwrap_or_default()
}

fn made(output: Output) -> CallToolResult {
    let content = output.content.into_iter().map(block).collect();
    let mut result = if output.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = output.structured;
    result
}

fn block(content: Content) -> ContentBlock {
    match content {
        Content::Text(text) => ContentBlock::text(text),
        Content::Image(data, media_type) => ContentBlock::image(BASE64_STANDARD.encode(data), media_type),
        Content::Audio(data, media_type) => ContentBlock::audio(BASE64_STANDARD.encode(data), media_type),
        Content::Blob { uri, media_type, data } => {
            ContentBlock::resource(ResourceContents::blob(BASE64_STANDARD.encode(data), uri).with_mime_type(media_type))
        }
    }
}
