//! Requests of 2026-07-28 over HTTP, each on its own: no handshake, no session, no SDK between.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use rmcp::model::{ErrorCode, ErrorData};
use serde_json::Value;
use tokio::sync::mpsc;

use super::downstream::{trace_of, written};
use super::parcel::one_line;
use super::server::{CLIENT_INFO, Server};
use crate::call::{Downstream, Era, Notice, Way};
use crate::caller::Caller;
use crate::catalog::{Mirrored, mirror, view::View};
use crate::params::Params;

const META: &str = "_meta";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const VERSION_HEADER: &str = "mcp-protocol-version";

/// One request.
#[derive(Debug)]
pub struct Single {
    method: String,
    params: Params,
    meta: Params,
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
    pub fn new(method: &str, mut params: Params) -> Result<Self, ErrorData> {
        let meta = params.take(META).and_then(|meta| Params::parse(meta.get())).unwrap_or_default();
        let fits = [(VERSION, meta.text(VERSION).is_some()), (CAPABILITIES, meta.is_object(CAPABILITIES))];
        let missing: Vec<&str> = fits.into_iter().filter(|(_, fits)| !fits).map(|(key, _)| key).collect();
        if missing.is_empty() {
            return Ok(Self { method: method.to_owned(), params, meta });
        }
        let message = format!("request _meta is missing or has malformed required fields: {}", missing.join(", "));
        Err(ErrorData::invalid_params(message, None))
    }

    /// Whether there may be something to tell before the answer.
    pub fn is_talkative(&self) -> bool {
        self.meta.get("progressToken").is_some() || self.meta.get(LOG_LEVEL).is_some()
    }

    /// What it says, without `_meta`.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Which program its client says it is.
    pub fn client_name(&self) -> Option<String> {
        let info: Value = self.meta.read(CLIENT_INFO)?;
        info.get("name").and_then(Value::as_str).map(str::to_owned)
    }

    /// Checks that headers say what the body says, since others route by them.
    pub fn check_headers(
        &self,
        server: &Server,
        (caller, view): (&Caller, &View),
        headers: &HeaderMap,
    ) -> Result<(), ErrorData> {
        let live = server.gateway.live();
        let name = mirror::name(&self.method, &self.params);
        let tool = name.as_ref().filter(|_| self.method == "tools/call");
        // What a call through another tool is called with has no headers of its own.
        let tool = tool.filter(|name| server.front_of(name, caller, view).is_none());
        let entry = tool.and_then(|name| live.catalog.resolve_in(name, caller, view).ok());
        let mirrored: &[Mirrored] = entry.map_or(&[], |entry| &entry.mirrored);
        let mut wanted: Vec<(Cow<'static, str>, Option<String>)> =
            vec![(VERSION_HEADER.into(), self.meta.text(VERSION)), (mirror::METHOD.into(), Some(self.method.clone()))];
        wanted.extend(name.map(|name| (mirror::NAME.into(), Some(name))));
        if !mirrored.is_empty() {
            let arguments: Value = self.params.read("arguments").unwrap_or_default();
            let texts = mirrored.iter().map(|it| (format!("{}{}", mirror::PARAM, it.header), it.text(&arguments)));
            wanted.extend(texts.map(|(header, text)| (header.into(), text)));
        }
        for (header, body) in wanted {
            let mut values = headers.get_all(header.as_ref()).iter();
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
    pub fn downstream(&self, parts: &Parts, streaming: bool) -> (Downstream, Option<Notices>) {
        let token: Option<Value> = self.meta.read("progressToken");
        let (mut downstream, notices) = if streaming && self.is_talkative() {
            let (base, notices) = Downstream::listening();
            (base, Some(Notices { notices, token: token.clone() }))
        } else {
            (Downstream::default(), None)
        };
        downstream.request = parts.extensions.get().copied().unwrap_or_default();
        (downstream.way, downstream.trace) = (Way::Http, trace_of(&parts.headers));
        downstream.wants_progress = notices.is_some() && token.is_some();
        downstream.meta = Arc::new(self.meta.clone());
        downstream.era = Era::PerRequest;
        (downstream, notices)
    }
}

impl Server {
    /// Answers a request on its own; the result is one line.
    pub async fn answer_single(
        &self,
        caller: &Caller,
        single: Single,
        downstream: Downstream,
    ) -> Result<Bytes, ErrorData> {
        self.answer(caller, &single.method, single.params, downstream).await.map(one_line)
    }
}
