//! Transports: bytes ↔ protocol, and no decisions. Each is a function that serves until told to stop.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::auth::Auth;

mod access;
mod connect;
mod desk;
mod guard;
mod home;
mod http;
mod listen;
mod oauth;
mod reply;
mod sdk;
mod session;
mod sse;
mod stdio;
mod strangers;
mod stream;
mod streamable;
mod under_way;

pub use self::http::serve as serve_http;
pub use connect::connect_here;
pub use oauth::routes as oauth_routes;
pub use stdio::serve as serve_stdio;

/// How the HTTP transport behaves.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where the world finds us, when that is not where we listen. Its path is the prefix that
    /// stands before `/mcp`.
    pub public_url: Option<Url>,
    /// Hosts that requests may name, besides this machine's own names and the public URL's.
    pub allowed_hosts: Vec<String>,
    /// Web origins that may call us, besides pages of this machine and of the public URL.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// Sessions of older protocols at once, of each kind.
    pub max_sessions: usize,
    /// A session nobody uses ends after this long.
    pub session_idle: Duration,
    /// Who may see how the connectors are.
    pub desk: DeskAccess,
    /// Whether requests of this machine itself may add connectors where nobody can prove anything.
    pub registry_open: bool,
    /// What shows `OpenAI` whose this address is.
    pub challenge: Option<String>,
    /// Who judges what callers show.
    pub auth: Arc<Auth>,
    /// Requests a minute of one kind from one address that has proved nothing.
    pub strangers: NonZeroU32,
    /// What connections may be.
    pub connections: ConnectionLimits,
    /// What stands before `/mcp`, so that nobody can guess it.
    pub secret_path: Option<SecretString>,
}

/// What connections may be.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// At once.
    pub all: usize,
    /// At once, from one address.
    pub per_address: usize,
    /// The headers of a request, in bytes.
    pub header_bytes: usize,
    /// How long the next request's headers may take to come.
    pub header_time: Duration,
}

/// Who may see how the connectors are, on the pages for people.
#[derive(Debug, Clone)]
pub enum DeskAccess {
    /// Nobody: no key is set, and who is at this machine cannot be told from others.
    Nobody,
    /// Who is at this machine.
    ThisMachine,
    /// Who shows a key that opens everything.
    Key,
    /// Everybody.
    Everybody,
}

/// When to stop: first nothing new is taken, then what is left is dropped.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take no more connections.
    pub draining: CancellationToken,
    /// Drop what is left.
    pub expired: CancellationToken,
}

/// Why a transport ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The socket failed.
    #[error("the listener failed: {0}")]
    Listener(#[from] std::io::Error),
    /// The peer spoke something else.
    #[error("the client did not speak MCP: {0}")]
    Protocol(String),
}
