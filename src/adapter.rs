//! Adapters: one per kind of connector, each speaking for what stands behind it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

mod command;
mod http;
mod launch;

pub use launch::{LAUNCH, launch};

use crate::call::{CallContext, Invocation, Output};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{AdapterSettings, Checked};
use crate::secret::Environment;
use crate::upstream::Upstream;

/// One kind of connector. Adapters do IO; they never retry, cache, authorize or log arguments:
/// the road does.
#[async_trait]
pub trait Adapter: fmt::Debug + Send + Sync {
    /// Makes one call. The arguments fit the tool's schema. Dropping the future cancels the call
    /// and frees what it holds, processes included. Progress may be reported any number of times.
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Output>;
}

/// The adapter of a connector, or the reason why it cannot be used on this machine.
pub fn build(checked: &Checked, environment: &Environment, upstream: &Upstream) -> Result<Arc<dyn Adapter>, String> {
    match &checked.connector.adapter {
        AdapterSettings::Http(settings) => {
            Ok(Arc::new(http::HttpAdapter::new(checked, settings, environment, upstream)?))
        }
        AdapterSettings::Command(settings) => {
            Ok(Arc::new(command::CommandAdapter::new(checked, settings, environment)?))
        }
        AdapterSettings::Mcp(_) => Err("it is an MCP server, which this version cannot connect to".into()),
    }
}

/// How much a call may give, and the setting that says so.
#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: usize,
    setting: &'static str,
}

impl Limit {
    /// The manifest's own limit, or the one for all results when that is smaller.
    fn smaller(bytes: usize, setting: &'static str, cx: &CallContext) -> Self {
        if bytes <= cx.max_result {
            Self { bytes, setting }
        } else {
            Self { bytes: cx.max_result, setting: "limits.resultBytes" }
        }
    }

    fn exceeded(self, what: &str) -> Error {
        let Self { bytes, setting } = self;
        Error::new(
            ErrorKind::TooLarge,
            format!("{what} is larger than {bytes} bytes (`{setting}`); ask for less at a time"),
        )
    }
}

/// `text` without any of the secrets, for words that come from outside.
fn redact(text: &str, secrets: &[(String, secrecy::SecretString)]) -> String {
    use secrecy::ExposeSecret as _;
    let mut text = text.to_owned();
    for (_, secret) in secrets {
        // `Bearer x`: an upstream may repeat the token without the word before it.
        for part in secret.expose_secret().split_whitespace().filter(|part| part.len() >= 6) {
            text = text.replace(part, "[secret]");
        }
    }
    text
}
