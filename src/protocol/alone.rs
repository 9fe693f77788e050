//! Requests of 2026-07-28 over HTTP, each on its own: no handshake, no session, no SDK between.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::downstream::written;
use super::parcel::one_line;
use super::server::Server;
use crate::call::{Downstream, Era, Notice};
use crate::catalog::{Mirrored, mirror};

const META: &str = "_meta";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const VERSION_HEADER: &str = "mcp-protocol-version";

/// One request.
#[derive(Debug)]
pub struct Single {
    method: String,
    params: Map<String, Value>,
    meta: Map<String, Value>,
}

/// What is told before the answer, as messages.
#[derive(Debug)]
pub struct Notices {
    notices: mpsc::Receiver<Notice>,
    token: Option<Value>,
}

impl Notices {
    /// A message that waits already.
    pub fn waiting(&mut self) -> Option<String> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).find_map(|notice| written(&notice, self.token.as_ref()))
    }

    /// The next message; nothing when the request is over.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let notice = self.notices.recv().await?;
            if let Some(message) = written(&notice, self.token.as_ref()) {
                return Some(message);
            }
        }
    }
}

impl Single {
    /// A request, when it says for itself what it has to.
    pub fn new(method: &str, mut params: Map<String, Value>) -> Result<Self, ErrorData> {
        let meta = match params.remove(META) {
            Some(Value::Object(meta)) => meta,
            _ => Map::new(),
        };
        let missing: Vec<&str> = [(VERSION, Value::is_string as fn(&Value) -> bool), (CAPABILITIES, Value::is_object)]
            .into_iter()
            .filter(|(key, fits)| !meta.get(*key).is_some_and(fits))
            .map(|(key, _)| key)
            .collect();
        if missing.is_empty() {
            return Ok(Self { method: method.to_owned(), params, meta });
        }
        let message = format!("request _meta is missing or has malformed required fields: {}", missing.join(", "));
        Err(ErrorData::invalid_params(message, None))
    }

    /// Whether there may be something to tell before the answer.
    pub fn is_talkative(&self) -> bool {
        self.meta.contains_key("progressToken") || self.meta.contains_key(LOG_LEVEL)
    }

    /// Checks that headers say what the body says, since others route by them.
    pub fn check_headers(&self, server: &Server, headers: &HeaderMap) -> Result<(), ErrorData> {
        let live = server.gateway.live();
        let name = mirror::name(&self.method, &self.params);
        let entry = name.filter(|_| self.method == "tools/call").and_then(|name| live.catalog.resolve(name).ok());
        let mirrored: &[Mirrored] = entry.map_or(&[], |entry| &entry.mirrored);
        let version = self.meta.get(VERSION).and_then(Value::as_str);
        let mut wanted = vec![
            (VERSION_HEADER.to_owned(), version.map(str::to_owned)),
            (mirror::METHOD.to_owned(), Some(self.method.clone())),
        ];
        wanted.extend(name.map(|name| (mirror::NAME.to_owned(), Some(name.to_owned()))));
        let arguments = self.params.get("arguments").and_then(Value::as_object);
        let texts = mirrored.iter().map(|it| (format!("{}{}", mirror::PARAM, it.header), it.text(arguments)));
        wanted.extend(texts);
        for (header, body) in wanted {
            let mut values = headers.get_all(&header).iter();
            let value = values.next();
            let said = value.map(|value| value.to_str().ok().and_then(mirror::decode));
            let fault = match (said, body) {
                _ if values.next().is_some() => "stands there twice",
                (None, None) => continue,
                (Some(Some(said)), Some(body)) if said == body => continue,
                (Some(None), _) => "cannot be read",
                (Some(Some(_)), Some(_)) => "does not match the body",
                (Some(Some(_)), None) => "stands for an argument that is not given",
                (None, Some(_)) => "is missing",
            };
            return Err(ErrorData::new(ErrorCode::HEADER_MISMATCH, format!("the header {header} {fault}"), None));
        }
        Ok(())
    }

    /// The way back, and what comes out of it. Only a talkative request that takes a stream has one.
    pub fn downstream(&self, streaming: bool) -> (Downstream, Option<Notices>) {
        let token = self.meta.get("progressToken").cloned();
        let (mut downstream, notices) = if streaming && self.is_talkative() {
            let (base, notices) = Downstream::listening();
            (base, Some(Notices { notices, token: token.clone() }))
        } else {
            (Downstream::default(), None)
        };
        downstream.wants_progress = notices.is_some() && token.is_some();
        downstream.meta = Arc::new(self.meta.clone());
        downstream.era = Era::PerRequest;
        (downstream, notices)
    }
}

impl Server {
    /// Answers a request on its own; the result is one line.
    pub async fn answer_single(&self, single: Single, downstream: Downstream) -> Result<Bytes, ErrorData> {
        self.answer(&single.method, single.params, downstream).await.map(one_line)
    }
}
