//! What has to be known of a message before it is sent the right way.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, StatusCode, header::ACCEPT};
use rmcp::model::{ErrorCode, ErrorData, ProtocolVersion};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::name::cut;
use crate::protocol::{REMOVED, Server};
use crate::transport::reply::{self, Code};

pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// As much is kept of what a client calls itself.
const LONGEST_NAME: usize = 128;

/// As much of a message as is needed to send it the right way.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    /// The version it picks for itself, as written.
    #[serde(skip)]
    version: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(rename = "_meta", borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", borrow)]
    version: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope, or says why the body is no message.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, (Code, String)> {
        let refuse = |message: &str| Err((Code::InvalidRequest, message.to_owned()));
        match serde_json::from_slice::<Self>(body) {
            Ok(envelope) if envelope.jsonrpc.as_deref() != Some("2.0") => {
                refuse("a message says `\"jsonrpc\": \"2.0\"`")
            }
            Ok(envelope) if envelope.method.is_none() && envelope.result.is_none() && envelope.error.is_none() => {
                refuse("the body is not a JSON-RPC message: it has no `method`")
            }
            Ok(mut envelope) => {
                envelope.version = envelope.picked();
                Ok(envelope)
            }
            Err(_) => match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
                Ok(_) => refuse("the body is not one JSON-RPC message"),
                Err(error) => Err((Code::Parse, format!("the body is not JSON: {error}"))),
            },
        }
    }

    /// Whether it wants an answer.
    pub(super) fn is_request(&self) -> bool {
        self.method.is_some() && self.id.is_some()
    }

    /// Which program the client of an `initialize` says it is.
    pub(super) fn client_name(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Introduced {
            client_info: Info,
        }
        #[derive(Deserialize)]
        struct Info {
            name: String,
        }
        let name = serde_json::from_str::<Introduced>(self.params?.get()).ok()?.client_info.name;
        Some(cut(&name, LONGEST_NAME))
    }

    fn picked(&self) -> Option<&'a RawValue> {
        serde_json::from_str::<Params<'_>>(self.params?.get()).ok()?.meta?.version
    }

    /// Whether it speaks 2026-07-28 or later: it says so in its own metadata, or at least beside.
    pub(super) fn is_modern(&self, headers: &HeaderMap) -> bool {
        let beside = || headers.get(PROTOCOL_VERSION).and_then(|version| version.to_str().ok());
        self.method.as_deref() == Some("server/discover")
            || self.version.is_some()
            || beside().is_some_and(|beside| Server::PER_REQUEST.iter().any(|version| version.as_str() == beside))
    }

    /// The refusal of a modern request that no version we offer has, if it is one. The SDK would
    /// name versions that `server/discover` does not, and check headers that do not belong there.
    pub(super) fn refusal(&self, headers: &HeaderMap) -> Option<axum::response::Response> {
        let picked: ProtocolVersion = serde_json::from_str(self.version?.get()).ok()?;
        let agrees = headers.get(PROTOCOL_VERSION).is_none_or(|header| header == picked.as_str());
        if !Server::PER_REQUEST.contains(&picked) {
            let error = ErrorData::unsupported_protocol_version(picked, Server::PER_REQUEST);
            return agrees.then(|| reply::error_to(StatusCode::BAD_REQUEST, self.id, &error));
        }
        let method = self.method.as_deref().filter(|method| REMOVED.contains(method) && self.is_request())?;
        let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method.to_owned(), None);
        Some(reply::error_to(StatusCode::NOT_FOUND, self.id, &error))
    }
}

/// Whether a body is one of the empty ones ChatGPT probes with before anything else; it gives up
/// on a 400.
pub(super) fn is_probe(body: &[u8]) -> bool {
    const LONGEST: usize = 64;
    let body = body.trim_ascii();
    let packed = || body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>();
    body.is_empty() || (body.len() <= LONGEST && matches!(packed().as_slice(), b"{}" | b"[]"))
}

/// What a client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Both,
    JsonOnly,
    StreamOnly,
}

impl Reads {
    /// What `Accept` lists, read leniently: absent or `*/*` means both.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let kinds: Vec<&str> = values
            .flat_map(|value| value.split(','))
            .map(|kind| kind.split(';').next().unwrap_or_default().trim())
            .collect();
        let takes =
            |wanted: &[&str]| kinds.iter().any(|kind| wanted.iter().any(|wanted| kind.eq_ignore_ascii_case(wanted)));
        let any = kinds.iter().all(|kind| kind.is_empty()) || takes(&["*/*"]);
        let json = any || takes(&["application/json", "application/*"]);
        let stream = any || takes(&["text/event-stream", "text/*"]);
        match (json, stream) {
            (true, false) => Self::JsonOnly,
            (false, true) => Self::StreamOnly,
            (true, true) | (false, false) => Self::Both,
        }
    }
}
