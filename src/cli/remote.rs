//! A running server, asked over its HTTP API.

use std::time::Duration;

use clap::Args;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use url::Url;

use super::Failure;
use crate::config::Config;
use crate::secret::Environment;
use crate::upstream::{Limit, Upstream};

/// The variable that holds the key to show.
const KEY: &str = "SWITCHBOARD_KEY";
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer, in bytes.
const LARGEST: Limit = Limit { bytes: 16 << 20, setting: "the command line" };

/// Which server is asked, and in whose name.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArgs {
    /// Address of the server, without `/mcp` [default: http://HOST:PORT of the settings]
    #[arg(long, value_name = "URL")]
    server: Option<Url>,
    /// Whose connectors are meant; the key's own tenant's when unsaid
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

/// Where a server with these settings is, for somebody at this machine.
pub(super) fn here(config: &Config) -> String {
    let host = if config.host.is_unspecified() { "127.0.0.1".into() } else { config.host.to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let secret = config.secret_path().map(|secret| format!("/{}", secret.expose_secret())).unwrap_or_default();
    format!("http://{host}:{}{secret}", config.port)
}

/// A running server.
#[derive(Debug)]
pub(super) struct Remote {
    base: String,
    tenant: Option<String>,
    key: Option<String>,
    upstream: Upstream,
}

impl Remote {
    pub(super) fn new(args: &ServerArgs, config: &Config, environment: &Environment) -> Self {
        let given = args.server.as_ref().map(|url| {
            let url = url.as_str().trim_end_matches('/');
            url.strip_suffix("/mcp").unwrap_or(url).to_owned()
        });
        Self {
            base: given.unwrap_or_else(|| here(config)),
            tenant: args.tenant.clone(),
            key: environment.get(KEY).map(str::to_owned),
            upstream: Upstream::default(),
        }
    }

    /// Asks for something below `/api/v1`; the server's words when it says no.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let unreachable = |why: String| {
            Failure::Usage(format!(
                "no server answers at {} ({why}); name another with --server, or start one with `switchboard serve`",
                self.base
            ))
        };
        let address = format!("{}/api/v1{path}", self.base);
        let url = address.parse().map_err(|_| Failure::Usage(format!("{} is no address", self.base)))?;
        let hop = self.upstream.hop(true, None).map_err(|error| unreachable(error.to_string()))?;
        let mut request = hop.request(method, url).timeout(PATIENCE);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("X-Tenant-ID", tenant);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let request = request.build().map_err(|_| Failure::Usage("the request cannot be made".into()))?;
        let response = hop.once(request).await.map_err(|error| unreachable(error.to_string()))?;
        let status = response.status();
        let body = LARGEST.read(response).await.map_err(|error| unreachable(error.to_string()))?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let words = value.get("error").and_then(Value::as_str).map(super::for_terminal);
        let words = words.unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
        let hint = match status {
            StatusCode::UNAUTHORIZED => format!(" ({KEY} holds the key that is shown)"),
            _ => String::new(),
        };
        Err(Failure::Usage(format!("{words}{hint}")))
    }
}
