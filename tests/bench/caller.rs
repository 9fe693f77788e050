//! A client that makes one call after the other and looks at every answer.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    answer::{Miss, Text, check_call, check_list, is_said_unasked, start_of},
    events::{Event, Events},
    link::{Link, PATIENCE},
};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

const META: &str = concat!(
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"},"#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
);
const INITIALIZE: &str =
    r#""protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1.0.0"}"#;

/// How a client speaks MCP over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// 2026-07-28: every request on its own.
    Stateless,
    /// The same, each with a token or key.
    Signed(&'static str),
    /// 2025-11-25: a session of Streamable HTTP.
    Session,
    /// 2024-11-05: answers on the event stream of a GET, messages by POST.
    Sse,
}

impl Speech {
    fn is_stateless(self) -> bool {
        matches!(self, Self::Stateless | Self::Signed(_))
    }
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    /// A tool that sends a text back.
    Call(&'static str, Text),
    /// All pages of a list of so many tools; 0 when the number does not matter.
    List(usize),
}

/// A client with its connection, and its session if it has one.
#[derive(Debug)]
pub(crate) struct Caller {
    address: SocketAddr,
    speech: Speech,
    /// Tells its calls from those of all others.
    name: String,
    link: Link,
    path: Uri,
    headers: HeaderMap,
    stream: Option<Stream>,
    /// Every client counts from here, so that the same ids are under way everywhere at once; all
    /// have six digits, so that all answers are as long.
    next: u64,
}

/// A session with nothing going on but its open event stream.
#[derive(Debug)]
pub(crate) struct Parked {
    address: SocketAddr,
    headers: HeaderMap,
    stream: Stream,
}

/// The event stream of a GET.
#[derive(Debug)]
struct Stream {
    body: Incoming,
    events: Events,
    _link: Link,
}

impl Caller {
    /// Connects, and does what the way of speaking wants before the first call.
    pub(crate) async fn open(address: SocketAddr, speech: Speech, name: String) -> Result<Self, Miss> {
        let link = Link::open(address).await.map_err(|error| Miss::Failed(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(address.to_string())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let path = Uri::from_static("/mcp");
        let mut caller = Self { address, speech, name, link, path, headers, stream: None, next: 100_000 };
        timeout(PATIENCE, caller.shake_hands()).await??;
        Ok(caller)
    }

    /// The same client on a new connection and in a new session.
    pub(crate) async fn again(&self) -> Result<Self, Miss> {
        Self::open(self.address, self.speech, self.name.clone()).await
    }

    async fn shake_hands(&mut self) -> Result<(), Miss> {
        if let Speech::Signed(proof) = self.speech {
            self.headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {proof}"))?);
        }
        if self.speech.is_stateless() {
            self.headers.insert(VERSION, HeaderValue::from_static("2026-07-28"));
            return Ok(());
        }
        if self.speech == Speech::Sse {
            let mut stream = self.open_stream().await?;
            let endpoint = stream.next().await?;
            if endpoint.name != "endpoint" {
                return Err(Miss::Failed(format!("the stream began with {endpoint:?}")));
            }
            self.path = Uri::try_from(endpoint.data)?;
            self.stream = Some(stream);
        }
        let (_, message) = self.ask("initialize", None, INITIALIZE).await?;
        if is_said_unasked(&message) || !start_of(&message).contains("\"result\"") {
            return Err(Miss::Failed(start_of(&message)));
        }
        self.headers.insert(VERSION, HeaderValue::from_static("2025-11-25"));
        let response = self.post(Bytes::from(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)).await?;
        let status = response.status();
        response.into_body().collect().await?;
        if status.is_success() { Ok(()) } else { Err(Miss::Failed(format!("initialized: {status}"))) }
    }

    /// Opens an event stream with a GET, of the session if there is one, on a connection of its own.
    async fn open_stream(&self) -> Result<Stream, Miss> {
        let mut link = Link::open(self.address).await.map_err(|error| Miss::Failed(error.to_string()))?;
        let mut request = Request::new(Full::default());
        *request.uri_mut() = Uri::from_static("/mcp");
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let response = timeout(PATIENCE, link.send(request)).await??;
        if response.status() != StatusCode::OK {
            return Err(Miss::Failed(format!("GET: {}", response.status())));
        }
        Ok(Stream { body: response.into_body(), events: Events::default(), _link: link })
    }

    /// Keeps of a session only what an idle client keeps: its event stream.
    pub(crate) async fn park(mut self) -> Result<Parked, Miss> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open_stream().await?,
        };
        Ok(Parked { address: self.address, headers: self.headers, stream })
    }

    /// Ends the session if it has one, then hangs up.
    pub(crate) async fn close(mut self) -> Result<(), Miss> {
        if self.speech == Speech::Session { delete(&mut self.link, self.headers).await } else { Ok(()) }
    }

    /// Asks and checks the answer; gives the bytes of the messages that answered.
    pub(crate) async fn perform(&mut self, ask: Ask) -> Result<usize, Miss> {
        match ask {
            Ask::Call(tool, text) => self.call(tool, text).await,
            Ask::List(tools) => self.list(tools).await,
        }
    }

    async fn call(&mut self, tool: &'static str, text: Text) -> Result<usize, Miss> {
        // Sixty bytes, so that an answer of 2026-07-28 has 162; none that a URL would write differently.
        let sent = format!("{:.<60}", format!("{}-{}-", self.name, self.next));
        let params = format!(r#""name":"{tool}","arguments":{{"text":"{sent}"}}"#);
        let (id, message) = self.ask("tools/call", Some(tool), &params).await?;
        check_call(&message, id, &sent, text)?;
        Ok(message.len())
    }

    async fn list(&mut self, tools: usize) -> Result<usize, Miss> {
        let (mut bytes, mut found, mut cursor) = (0, 0, None::<String>);
        loop {
            let params = cursor.map(|cursor| format!(r#""cursor":"{cursor}""#)).unwrap_or_default();
            let (id, message) = self.ask("tools/list", None, &params).await?;
            let (here, next) = check_list(&message, id)?;
            bytes += message.len();
            found += here;
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        if tools > 0 && found != tools {
            return Err(Miss::Failed(format!("{found} tools are listed, not {tools}")));
        }
        Ok(bytes)
    }

    /// Sends a request and gives its id and the message that answers it.
    async fn ask(
        &mut self,
        method: &'static str,
        name: Option<&'static str>,
        params: &str,
    ) -> Result<(u64, Bytes), Miss> {
        let id = self.next;
        self.next += 1;
        let mut meta = "";
        if self.speech.is_stateless() {
            meta = META;
            self.headers.insert(MCP_METHOD, HeaderValue::from_static(method));
            match name {
                Some(name) => self.headers.insert(MCP_NAME, HeaderValue::from_static(name)),
                None => self.headers.remove(MCP_NAME),
            };
        }
        let comma = if params.is_empty() || meta.is_empty() { "" } else { "," };
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}{meta}}}}}"#);
        let response = self.post(Bytes::from(body)).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        if !head.status.is_success() {
            return Err(Miss::Failed(format!("{}: {}", head.status, start_of(&body))));
        }
        if let Some(stream) = &mut self.stream {
            return Ok((id, stream.message().await?));
        }
        if let Some(session) = head.headers.get(SESSION)
            && method == "initialize"
        {
            self.headers.insert(SESSION, session.clone());
        }
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if !kind.starts_with(b"text/event-stream") {
            return Ok((id, body));
        }
        let mut answers = Events::all(&body).into_iter().filter(Event::is_answer);
        match (answers.next(), answers.next()) {
            (Some(answer), None) => Ok((id, answer.data.into())),
            (None, _) => Err(Miss::Failed("the event stream ended without an answer".to_owned())),
            (_, Some(more)) => Err(Miss::Wrong(format!("more than one answer: {}", start_of(&more.data)))),
        }
    }

    async fn post(&mut self, body: Bytes) -> Result<Response<Incoming>, Miss> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        request.headers_mut().clone_from(&self.headers);
        Ok(self.link.send(request).await?)
    }
}

impl Parked {
    /// Ends the session, then hangs up.
    pub(crate) async fn close(self) -> Result<(), Miss> {
        if self.headers.contains_key(SESSION) {
            let mut link = Link::open(self.address).await.map_err(|error| Miss::Failed(error.to_string()))?;
            delete(&mut link, self.headers).await?;
        }
        drop(self.stream);
        Ok(())
    }
}

/// Ends a session of Streamable HTTP as clients do.
async fn delete(link: &mut Link, headers: HeaderMap) -> Result<(), Miss> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::DELETE;
    *request.uri_mut() = Uri::from_static("/mcp");
    *request.headers_mut() = headers;
    timeout(PATIENCE, link.send(request)).await??.into_body().collect().await?;
    Ok(())
}

impl Stream {
    async fn next(&mut self) -> Result<Event, Miss> {
        loop {
            if let Some(event) = self.events.take() {
                return Ok(event);
            }
            let Some(frame) = self.body.frame().await else {
                return Err(Miss::Failed("the event stream ended".to_owned()));
            };
            self.events.feed(frame?.data_ref().map(AsRef::as_ref).unwrap_or_default());
        }
    }

    /// The next answer.
    async fn message(&mut self) -> Result<Bytes, Miss> {
        loop {
            let event = self.next().await?;
            if event.is_answer() {
                return Ok(event.data.into());
            }
        }
    }
}

impl Event {
    /// Whether it is an answer, not a keep-alive or something the server says on its own.
    fn is_answer(&self) -> bool {
        !self.data.is_empty() && !is_said_unasked(&self.data)
    }
}
