//! Outcomes → wire. The one place where an error becomes an answer.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rmcp::model::{CallToolResult, ContentBlock, ErrorData, Implementation, MetaObject, ResourceContents};
use serde_json::{Value, json};

use super::era::Era;
use crate::call::{Content, Output};
use crate::error::{Error, ErrorKind};

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
pub(super) fn present(outcome: Result<Output, Error>, era: Era) -> Result<CallToolResult, ErrorData> {
    let output = match outcome {
        Ok(output) => output,
        Err(error) => match error.kind() {
            ErrorKind::UnknownTool => return Err(ErrorData::invalid_params(error.message().to_owned(), None)),
            ErrorKind::Internal => return Err(ErrorData::internal_error(error.message().to_owned(), None)),
            ErrorKind::InvalidArguments
            | ErrorKind::Forbidden
            | ErrorKind::Unavailable
            | ErrorKind::Busy
            | ErrorKind::Timeout
            | ErrorKind::Cancelled
            | ErrorKind::Upstream
            | ErrorKind::Unreachable
            | ErrorKind::TooLarge => Output::failure(error.message()),
        },
    };
    let content = output.content.into_iter().map(block).collect();
    let mut result = if output.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = output.structured;
    if let Some(Value::Object(meta)) = result_meta(era) {
        result.meta = Some(MetaObject::from(meta));
    }
    Ok(result)
}

/// A result as clients get it, for those who print one.
pub fn to_json(output: Output) -> Value {
    let presented = present(Ok(output), Era::Handshake).ok();
    presented.and_then(|result| serde_json::to_value(result).ok()).unwrap_or_default()
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
