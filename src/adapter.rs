//! Adapters: one per kind of connector, each speaking for what stands behind it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};

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

/// What was shown to an upstream and must not come back in its words.
struct Secrets<'a>(Vec<&'a SecretString>);

impl<'a> Secrets<'a> {
    fn of(named: impl IntoIterator<Item = &'a (String, SecretString)>) -> Self {
        let secrets = named.into_iter().map(|(_, secret)| secret);
        // An optional credential may be empty, and nothing stands between any two characters.
        Self(secrets.filter(|secret| !secret.expose_secret().is_empty()).collect())
    }

    /// `text` without them. To be asked before a text is cut.
    fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            let secret = secret.expose_secret();
            text = text.replace(secret, "[secret]");
            // `Bearer x`: an upstream may repeat the token without the word before it.
            for part in secret.split_whitespace().filter(|part| part.len() >= 6) {
                text = text.replace(part, "[secret]");
            }
        }
        text
    }
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.len()).finish()
    }
}
