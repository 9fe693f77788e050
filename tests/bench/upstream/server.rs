//! What the upstream MCP server says to each method, in both eras, whatever carries it.

use std::{borrow::Cow, fmt::Write as _};

use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of text in the answer of `big`.
pub(crate) const BIG: usize = 1 << 20;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
    #[serde(borrow)]
    cursor: Option<Cow<'a, str>>,
    #[serde(rename = "_meta", borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", borrow)]
    version: Option<&'a RawValue>,
}

/// How a message has to be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `initialize`, which may open a session.
    Handshake,
    /// A request of the handshake era.
    Legacy,
    /// A request of 2026-07-28, which belongs to no session.
    Modern,
    /// A request of 2026-07-28 for a method there is not.
    Unknown,
    /// No request, so nothing is answered.
    Notification,
}

/// An MCP server with the tools `echo` and `big`, and as many more as are wanted.
#[derive(Debug)]
pub(super) struct Server {
    /// The tools of each page of `tools/list`, as JSON without the brackets.
    pages: Vec<String>,
    filler: String,
}

impl Server {
    /// A server with `tools` tools, listed `page` at a time; all at once when that is 0.
    pub(super) fn new(tools: usize, page: usize) -> Self {
        let names = ["echo", "big"].into_iter().map(str::to_owned).chain((2..tools).map(|n| format!("tool_{n:05}")));
        let tools: Vec<String> = names.map(|name| descriptor(&name)).collect();
        let page = if page == 0 { tools.len() } else { page };
        Self { pages: tools.chunks(page).map(|tools| tools.join(",")).collect(), filler: "x".repeat(BIG) }
    }

    /// How the message has to be carried, and the answer. A body that is no message is `None`.
    pub(super) fn answer(&self, message: &[u8]) -> Option<(Kind, String)> {
        let request = serde_json::from_slice::<Request<'_>>(message).ok()?;
        let Some(id) = request.id else { return Some((Kind::Notification, String::new())) };
        let params = request.params.unwrap_or_default();
        let modern = params.meta.as_ref().is_some_and(|meta| meta.version.is_some());
        let mut kind = if modern { Kind::Modern } else { Kind::Legacy };
        let result = match request.method.as_ref() {
            "initialize" => {
                kind = Kind::Handshake;
                Ok(HANDSHAKE.to_owned())
            }
            "server/discover" => {
                kind = Kind::Modern;
                Ok(DISCOVERED.to_owned())
            }
            "ping" => Ok("{}".to_owned()),
            "tools/list" => self.list(params.cursor.as_deref(), modern),
            "tools/call" => self.call(&params, modern),
            _ => {
                kind = if modern { Kind::Unknown } else { kind };
                Err((-32601, "there is no such method"))
            }
        };
        let answer = match result {
            Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
            Err((code, message)) => {
                format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
            }
        };
        Some((kind, answer))
    }

    fn list(&self, cursor: Option<&str>, modern: bool) -> Result<String, (i32, &'static str)> {
        let at = cursor.map_or(Ok(0), |cursor| cursor.parse::<usize>().map_err(|_| (-32602, "unknown cursor")))?;
        let tools = self.pages.get(at).ok_or((-32602, "unknown cursor"))?;
        let mut result = format!(r#"{{{}"tools":[{tools}]"#, complete(modern));
        if at + 1 < self.pages.len() {
            let _ = write!(result, r#","nextCursor":"{}""#, at + 1);
        }
        result.push_str(if modern { r#","ttlMs":60000,"cacheScope":"private"}"# } else { "}" });
        Ok(result)
    }

    /// Every tool answers with its argument `text`; `big` with as much behind it as makes 1 MiB.
    fn call(&self, params: &Params<'_>, modern: bool) -> Result<String, (i32, &'static str)> {
        let text = params.arguments.as_ref().and_then(|arguments| arguments.text).map_or(r#""""#, RawValue::get);
        let (Some(text), Some(name)) = (text.strip_suffix('"'), params.name.as_deref()) else {
            return Err((-32602, "a tool is called with its name and a text"));
        };
        let filler = if name == "big" { self.filler.get(text.len() - 1..).unwrap_or_default() } else { "" };
        Ok(format!(r#"{{{}"content":[{{"type":"text","text":{text}{filler}"}}]}}"#, complete(modern)))
    }
}

fn complete(modern: bool) -> &'static str {
    if modern { r#""resultType":"complete","# } else { "" }
}

const HANDSHAKE: &str = concat!(
    r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"#,
    r#""serverInfo":{"name":"bench","version":"1.0.0"}}"#
);
const DISCOVERED: &str = concat!(
    r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"#,
    r#""ttlMs":60000,"cacheScope":"private","#,
    r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bench","version":"1.0.0"}}}"#
);

/// A tool as servers usually describe theirs: some 400 bytes.
fn descriptor(name: &str) -> String {
    format!(
        concat!(
            r#"{{"name":"{name}","title":"Tool {name}","#,
            r#""description":"Use this when a text should come back as it was sent, to see how long the way is.","#,
            r#""inputSchema":{{"type":"object","properties":{{"#,
            r#""text":{{"type":"string","description":"What to send back."}},"#,
            r#""times":{{"type":"integer","minimum":1,"description":"Ignored."}}}},"required":["text"]}},"#,
            r#""annotations":{{"readOnlyHint":true,"destructiveHint":false,"openWorldHint":false}}}}"#
        ),
        name = name
    )
}
