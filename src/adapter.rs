//! Adapters: one per kind of connector, each speaking for what stands behind it.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use url::Url;

mod collection;
mod command;
mod errand;
mod http;
mod launch;
mod mcp;
mod openapi;
mod process;
mod status;

pub use errand::{Errand, is_installed};
pub use launch::{LAUNCH, launch};
pub use mcp::{McpAdapter, Watching};
pub use status::{Phase, Status};

use crate::call::{CallContext, Invocation, Outcome};
use crate::catalog::Offer;
use crate::credential::{CredentialSource, Keyring};
use crate::error::{Error, Problem, Result};
use crate::manifest::{AdapterSettings, Checked};
use crate::secret::{Environment, Text};
use crate::store::Store;
use crate::upstream::Upstream;

/// One kind of connector. Adapters do IO; they never retry what may have been executed, cache,
/// authorize or log arguments: the road does.
#[async_trait]
pub trait Adapter: fmt::Debug + Send + Sync {
    /// Makes one call. The arguments fit the tool's schema. Dropping the future cancels the call
    /// and frees what it holds, processes included. Progress may be reported any number of times.
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Outcome>;

    /// Keeps running what it needs until `stop` fires, and leaves nothing behind then.
    async fn tend(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    /// A cheap check that what is behind it answers, for health. It shows no credential, starts nothing, and
    /// ends by itself in a few seconds.
    async fn probe(&self) -> Result<()> {
        Ok(())
    }

    /// The host it reaches, when it reaches one.
    fn endpoint(&self) -> Option<String> {
        None
    }

    /// How it is now.
    fn status(&self) -> Status {
        Status::now(Phase::Up, None)
    }

    /// What is behind it, as far as that is learned and not declared. Kept while it is down.
    fn offer(&self) -> Option<Arc<Offer>> {
        None
    }

    /// Whether what is behind it has to be learned, so that [`Self::offer`] says nothing at first.
    fn learns(&self) -> bool {
        false
    }

    /// Another number each time that calls may do something else than before.
    fn edition(&self) -> u64 {
        0
    }

    /// Why calls fail now, if they do.
    fn refusal(&self) -> Option<Error> {
        None
    }

    /// What is wrong with what it learned, for the person who wrote the manifest.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// The files beside the manifest that it reads.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Some file changed, perhaps one of those. Never waits.
    fn look_again(&self) {}

    /// Goes on offering what the connector offered until an edit of its manifest, while it has nothing of its own.
    fn inherit(&self, _before: Arc<Offer>) {}

    /// Another MCP server, which has more than tools.
    fn mcp(self: Arc<Self>) -> Option<Arc<McpAdapter>> {
        None
    }
}

/// What adapters tell everybody. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bulletin {
    /// Notified when an adapter's offer changed.
    pub changed: Arc<Notify>,
    /// Told when how an adapter is changed.
    pub states: watch::Sender<()>,
    /// The published URIs of resources that changed. A slow reader loses the oldest.
    pub updates: broadcast::Sender<Arc<str>>,
}

/// What an adapter is built in.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Variables that manifests refer to, and secrets.
    pub keyring: &'a Arc<Keyring>,
    /// The way out.
    pub upstream: &'a Upstream,
    /// Where to tell of changes.
    pub bulletin: &'a Bulletin,
    /// What outlives the process, or why there is none.
    pub store: &'a Result<Arc<dyn Store>, String>,
    /// The most bytes a result may have.
    pub max_result: usize,
}

impl<'a> Surroundings<'a> {
    /// Variables that manifests refer to.
    pub fn environment(&self) -> &'a Environment {
        self.keyring.environment()
    }
}

/// The adapter of a connector, or the reason why it cannot be used on this machine. `source` is where its credentials
/// come from, for connections that outlive calls.
pub fn build(
    checked: &Checked,
    source: &Arc<dyn CredentialSource>,
    around: Surroundings<'_>,
) -> Result<Arc<dyn Adapter>, String> {
    match &checked.connector.adapter {
        AdapterSettings::Http(settings) => {
            Ok(Arc::new(http::HttpAdapter::new(checked, settings, around.environment(), around.upstream)?))
        }
        AdapterSettings::Command(settings) => {
            Ok(Arc::new(command::CommandAdapter::new(checked, settings, around.environment())?))
        }
        AdapterSettings::Mcp(settings) => Ok(Arc::new(McpAdapter::new(checked, settings, source, around)?)),
        AdapterSettings::Collection(settings) => {
            Ok(Arc::new(collection::CollectionAdapter::new(checked, settings, around)?))
        }
        AdapterSettings::OpenApi(settings) => Ok(Arc::new(openapi::OpenApiAdapter::new(checked, settings, around)?)),
        AdapterSettings::Gateway(_) => Err("the gateway speaks for itself".into()),
    }
}

fn connect_timeout(checked: &Checked) -> Option<Duration> {
    checked.connector.timeouts.connect_ms.map(|ms| Duration::from_millis(ms.get()))
}

/// A web address from the setting `name`; the reason when it is none.
fn web_address(name: &str, address: &Text, environment: &Environment) -> Result<Url, String> {
    let address = address.resolve(environment).map_err(|missing| missing.to_string())?;
    let plain =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let address = Url::parse(&address).ok().filter(plain);
    address.ok_or_else(|| format!("its {name} is no http or https address without a user name"))
}

/// An address below a base address.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Headers that are no secret; the reason when one has no value.
fn plain_headers(headers: &BTreeMap<String, Text>, environment: &Environment) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = value.resolve(environment).map_err(|missing| missing.to_string())?;
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (name, value) = header.ok_or_else(|| format!("its header {name} has a value that no header can have"))?;
        map.insert(name, value);
    }
    Ok(map)
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

    /// The same, for every text in a value.
    fn hide_in(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.hide(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.len()).finish()
    }
}
