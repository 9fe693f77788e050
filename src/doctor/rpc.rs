//! MCP's requests as the played client sends them, and what comes back.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, RequestBuilder, header::AUTHORIZATION};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::tour::Tour;
use super::wire::{Answer, Wanted, readable};
use super::{Guise, SignIn};
use crate::name::cut;

/// The version without a handshake.
pub(super) const MODERN: &str = "2026-07-28";
/// The version that is asked for with a handshake.
pub(super) const LEGACY: &str = "2025-11-25";
/// The media type of pages.
pub(super) const PAGE: &str = "text/html;profile=mcp-app";

/// What `ChatGPT` asks first, byte for byte as it was captured.
const CHATGPT_DISCOVER: &str = r#"{"jsonrpc":"2.0","id":"openai-mcp-discover","method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"openai-mcp","version":"1.0.0"},"io.modelcontextprotocol/clientCapabilities":{"experimental":{"openai/visibility":{"enabled":true}},"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}}}}"#;

/// Which generation of the protocol a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    Modern,
    Legacy,
}

/// What a request was answered.
#[derive(Debug)]
pub(super) enum Reply {
    Result(Value),
    /// JSON-RPC's error.
    Error {
        code: i64,
        message: String,
    },
    /// Something that is no answer to a JSON-RPC request.
    Foreign,
}

impl Guise {
    pub(super) fn user_agent(self) -> &'static str {
        match self {
            Self::ChatGpt => "openai-mcp/1.0.0",
            Self::Claude => "Claude-User/1.0",
        }
    }

    fn client_info(self) -> Value {
        match self {
            Self::ChatGpt => json!({ "name": "openai-mcp", "version": "1.0.0" }),
            Self::Claude => json!({ "name": "claude-ai", "version": "0.1.0" }),
        }
    }

    fn capabilities(self) -> Value {
        let ui = json!({ "io.modelcontextprotocol/ui": { "mimeTypes": [PAGE] } });
        match self {
            Self::ChatGpt => json!({ "experimental": { "openai/visibility": { "enabled": true } }, "extensions": ui }),
            Self::Claude => json!({ "extensions": ui }),
        }
    }

    /// What the client says of itself with each request.
    fn meta(self) -> Map<String, Value> {
        let mut meta = Map::from_iter([
            ("io.modelcontextprotocol/protocolVersion".to_owned(), json!(MODERN)),
            ("io.modelcontextprotocol/clientInfo".to_owned(), self.client_info()),
            ("io.modelcontextprotocol/clientCapabilities".to_owned(), self.capabilities()),
        ]);
        meta.extend(self.hints());
        meta
    }

    fn hints(self) -> Map<String, Value> {
        match self {
            Self::ChatGpt => Map::from_iter([
                ("openai/locale".to_owned(), json!("en-US")),
                ("openai/userAgent".to_owned(), json!("ChatGPT/1.2026 (switchboard doctor)")),
            ]),
            Self::Claude => Map::new(),
        }
    }

    /// The first request.
    pub(super) fn discover(self) -> String {
        match self {
            Self::ChatGpt => CHATGPT_DISCOVER.to_owned(),
            Self::Claude => {
                let params = json!({ "_meta": self.meta() });
                json!({ "jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": params }).to_string()
            }
        }
    }

    /// The handshake of older versions.
    pub(super) fn initialize(self) -> Value {
        json!({ "protocolVersion": LEGACY, "capabilities": self.capabilities(), "clientInfo": self.client_info() })
    }
}

/// Who shows what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof<'a> {
    /// What was learned on the way.
    Ours,
    Nothing,
    Token(&'a str),
}

impl<P> Tour<'_, P> {
    /// A POST to the server, with the headers the client always sends.
    pub(super) fn post(&self, body: String, proof: Proof<'_>) -> RequestBuilder {
        let request = self
            .wire
            .request(Method::POST, self.visit.url.clone())
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .body(body);
        self.dressed(request, proof)
    }

    /// A request with the client's name and proof.
    pub(super) fn dressed(&self, request: RequestBuilder, proof: Proof<'_>) -> RequestBuilder {
        let request = request.header("User-Agent", self.guise().user_agent());
        let bearer = |request: RequestBuilder, token: &str| request.header(AUTHORIZATION, format!("Bearer {token}"));
        match (proof, &self.learned.token, &self.visit.sign_in) {
            (Proof::Token(token), ..) => bearer(request, token),
            (Proof::Ours, Some(token), _) | (Proof::Ours, None, SignIn::Token(token)) => {
                bearer(request, token.expose_secret())
            }
            (Proof::Ours | Proof::Nothing, ..) => request,
        }
    }

    /// The client's first request.
    pub(super) async fn say_discover(&mut self, proof: Proof<'_>) -> Result<Answer, String> {
        let request = self.post(self.guise().discover(), proof);
        let request = request.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", "server/discover");
        self.wire.send(request, Wanted::All).await
    }

    /// A request of MCP, in the newest version that the server speaks.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Result<(Answer, Reply), String> {
        let era = if self.learned.modern { Era::Modern } else { Era::Legacy };
        self.ask_in(era, method, params, Proof::Ours).await
    }

    /// A request of MCP.
    pub(super) async fn ask_in(
        &mut self,
        era: Era,
        method: &str,
        mut params: Value,
        proof: Proof<'_>,
    ) -> Result<(Answer, Reply), String> {
        let name = ["name", "uri"].iter().find_map(|key| params.get(*key)?.as_str().map(header_value));
        let meta = if era == Era::Modern { self.guise().meta() } else { self.guise().hints() };
        if let Value::Object(params) = &mut params
            && (era == Era::Modern || method == "tools/call")
            && !meta.is_empty()
        {
            params.insert("_meta".into(), Value::Object(meta));
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.post(body.to_string(), proof);
        let request = match era {
            Era::Modern => {
                let request = request.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", method);
                match name.filter(|_| ["tools/call", "resources/read"].contains(&method)) {
                    Some(name) => request.header("Mcp-Name", name),
                    None => request,
                }
            }
            Era::Legacy if method == "initialize" => request,
            Era::Legacy => {
                let request = request.header("MCP-Protocol-Version", LEGACY);
                match &self.learned.session {
                    Some(session) => request.header("Mcp-Session-Id", session),
                    None => request,
                }
            }
        };
        let wanted = if method == "tools/call" { Wanted::InTime } else { Wanted::All };
        let answer = self.wire.send(request, wanted).await?;
        let reply = reply_in(&answer);
        Ok((answer, reply))
    }

    /// A request of MCP; what it gives, or what went wrong in words.
    pub(super) async fn want(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let (answer, reply) = self.ask(method, params).await?;
        match reply {
            Reply::Result(result) => Ok(result),
            Reply::Error { code, message } => Err(format!("error {code}, {message}")),
            Reply::Foreign => Err(answer.summary()),
        }
    }
}

/// A name as a header may carry it.
fn header_value(name: &str) -> String {
    let plain = name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && name.trim() == name;
    if plain { name.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(name)) }
}

/// The answer to the request, in an answer's body.
pub(super) fn reply_in(answer: &Answer) -> Reply {
    let message = if answer.kind().starts_with("text/event-stream") { in_stream(&answer.body) } else { answer.json() };
    let Some(Value::Object(mut message)) = message else { return Reply::Foreign };
    if message.get("jsonrpc").is_none_or(|version| version != "2.0") {
        return Reply::Foreign;
    }
    if let Some(result) = message.remove("result") {
        return Reply::Result(result);
    }
    let Some(error) = message.get("error") else { return Reply::Foreign };
    let Some(code) = error.get("code").and_then(Value::as_i64) else { return Reply::Foreign };
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    Reply::Error { code, message: readable(&cut(message, 200)) }
}

/// The message of an event stream that answers a request.
pub(super) fn in_stream(stream: &str) -> Option<Value> {
    let stream = stream.replace("\r\n", "\n");
    let mut events = stream.split("\n\n").filter_map(|event| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        let data: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        serde_json::from_str::<Value>(&data.join("\n")).ok()
    });
    events.find(|message| message.get("result").is_some() || message.get("error").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_in_a_stream() {
        let stream = ": hello\r\n\r\nevent: message\r\ndata: {\"method\":\"notifications/progress\"}\r\n\r\n\
                      data: {\"jsonrpc\":\"2.0\",\"id\":1,\r\ndata: \"result\":{\"a\":1}}\r\n\r\n";
        assert_eq!(in_stream(stream).unwrap()["result"]["a"], 1);
        assert!(in_stream("data: {\"method\":\"ping\"}\n\n").is_none());
    }

    #[test]
    fn chatgpts_first_request_is_json() {
        let discover: Value = serde_json::from_str(CHATGPT_DISCOVER).unwrap();
        assert_eq!(
            discover["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"],
            Guise::ChatGpt.capabilities()
        );
    }
}
