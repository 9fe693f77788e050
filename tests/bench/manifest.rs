//! The manifests the gateway is measured with.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::{Value, json};

use crate::Fault;

/// The API's two tools and as many more as make `tools`, as connector number `number`.
pub(crate) fn http(api: SocketAddr, number: usize, tools: usize) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "text": { "type": "string", "minLength": 1, "maxLength": 4096, "description": "What to send back." },
            "times": { "type": "integer", "minimum": 1, "maximum": 9, "description": "Ignored." },
            "style": { "enum": ["plain", "fancy"], "description": "Ignored." }
        },
        "required": ["text"]
    });
    let description = "Use this when a text should come back as it was sent, to see how long the way is.";
    let tool = |name: &str, request: Value| json!({ "name": name, "description": description, "inputSchema": schema, "request": request });
    let echo = json!({ "method": "POST", "path": "/echo", "body": { "json": { "text": "{text}" } } });
    let big = json!({ "method": "GET", "path": "/big", "query": { "text": "{text}" } });
    let first = [tool("echo", echo.clone()), tool("big", big)];
    let more = (2..tools.max(2)).map(|n| tool(&format!("tool_{n:05}"), echo.clone()));
    json!({
        "id": format!("bench-{number}"), "name": "Bench", "version": "1.0.0", "description": "A plain API.",
        "prefix": number > 0, "quotas": { "concurrent": 256 },
        "adapter": { "kind": "http", "baseUrl": format!("http://{api}"), "allowPrivate": true },
        "tools": first.into_iter().chain(more).take(tools).collect::<Vec<_>>()
    })
}

/// An MCP server at an address, spoken to in one version of the protocol.
pub(crate) fn mcp_http(server: SocketAddr, number: usize, protocol: &str) -> Value {
    let adapter = json!({
        "kind": "mcp", "url": format!("http://{server}/mcp"), "allowPrivate": true, "transport": "streamable",
        "protocol": protocol, "maxConnections": 256
    });
    mcp(number, &adapter)
}

/// This program as an MCP server over standard input and output.
pub(crate) fn mcp_stdio() -> Result<Value, Fault> {
    let program = std::env::current_exe()?;
    let adapter =
        json!({ "kind": "mcp", "program": program, "args": ["__upstream", "mcp-stdio"], "protocol": "2026-07-28" });
    Ok(mcp(0, &adapter))
}

fn mcp(number: usize, adapter: &Value) -> Value {
    json!({
        "id": format!("bench-{number}"), "name": "Bench", "version": "1.0.0", "description": "An MCP server.",
        "prefix": number > 0, "quotas": { "concurrent": 256 }, "adapter": adapter
    })
}

/// Writes manifests into an empty folder.
pub(crate) fn write(folder: &Path, manifests: &[Value]) -> Result<(), Fault> {
    fs::create_dir(folder)?;
    for (number, manifest) in manifests.iter().enumerate() {
        fs::write(folder.join(format!("bench-{number}.json")), serde_json::to_vec(manifest)?)?;
    }
    Ok(())
}
