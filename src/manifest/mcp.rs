//! What a manifest says about another MCP server.

use std::{collections::BTreeMap, num::NonZeroU64};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Text;

/// Another MCP server: a program on this machine that speaks MCP over its standard input and
/// output, or an address.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpSettings {
    /// The program, by name (looked up in `PATH`) or path. Never run through a shell.
    #[serde(default)]
    pub program: Option<Text>,
    /// The program's arguments.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Where the program runs, relative to the manifest's folder.
    #[serde(default)]
    pub cwd: Option<Text>,
    /// Variables the program gets.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Variables of ours the program may see besides `PATH`.
    #[serde(default)]
    pub inherit_env: Vec<String>,
    /// The server's address, instead of a program.
    #[serde(default)]
    pub url: Option<Text>,
    /// Lets the address be private, loopback or link-local.
    #[serde(default)]
    pub allow_private: bool,
    /// Headers of every request that are no secret.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// How the address is spoken to.
    #[serde(default)]
    pub transport: McpTransport,
    /// The version of MCP to speak.
    #[serde(default)]
    pub protocol: McpProtocol,
    /// When it is started.
    #[serde(default)]
    pub start: McpStart,
    /// How long it may take to start and to list what it has.
    #[serde(default = "thirty_seconds")]
    pub start_timeout_ms: NonZeroU64,
    /// A connection nobody uses is closed after this long, when it can be: one of a caller's own,
    /// or any one of a `lazy` connector.
    #[serde(default = "five_minutes")]
    pub idle_seconds: NonZeroU64,
    /// Connections at once, callers' own included.
    #[serde(default = "thirty_two")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_connections: usize,
}

/// How an MCP server's address is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum McpTransport {
    /// Streamable HTTP, and the older SSE transport where there is no such thing.
    #[default]
    Auto,
    /// Streamable HTTP.
    Streamable,
    /// The SSE transport of 2024-11-05.
    Sse,
}

/// The version of MCP spoken to an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum McpProtocol {
    /// 2026-07-28 when it is offered, else a handshake.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// A handshake.
    #[serde(rename = "2025-11-25")]
    Handshake,
    /// Every request for itself.
    #[serde(rename = "2026-07-28")]
    PerRequest,
}

/// When an upstream is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum McpStart {
    /// At once, and kept running.
    #[default]
    Eager,
    /// At once to learn what it has, then only while it is used.
    Lazy,
}

fn thirty_seconds() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(29_999)
}

fn five_minutes() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(299)
}

fn thirty_two() -> usize {
    32
}

impl McpSettings {
    /// The server at an address, with everything else as it is by default.
    pub fn at(url: String, headers: BTreeMap<String, Text>) -> Self {
        Self {
            program: None,
            args: Vec::new(),
            cwd: None,
            env: BTreeMap::new(),
            inherit_env: Vec::new(),
            url: Some(Text(url)),
            allow_private: false,
            headers,
            transport: McpTransport::Auto,
            protocol: McpProtocol::Auto,
            start: McpStart::Eager,
            start_timeout_ms: thirty_seconds(),
            idle_seconds: five_minutes(),
            max_connections: thirty_two(),
        }
    }
}
