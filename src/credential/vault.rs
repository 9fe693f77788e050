//! Secrets from Vault or `OpenBao`: the key-value engine of version 2, over the HTTP API.
//!
//! One login for all connectors, renewed before it ends. Values are kept for a short while, so that Vault is not asked
//! for each call, and somewhat longer while it cannot be reached.

use std::{
    collections::HashMap,
    fmt, fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, StatusCode};
use moka::sync::Cache;
use reqwest::redirect::{Attempt, Policy};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use url::Url;

mod login;

use super::held::{Failure, Held, Lost, Timed};
use crate::secret::{Environment, VaultPlace};
use crate::upstream::{Limit, is_loopback};
use login::{Login, Session};

/// How long one exchange may take.
const TIME: Duration = Duration::from_secs(10);
/// The largest answer we read, in bytes.
const LARGEST: usize = 4 << 20;
/// Secrets kept at most, and how long one is kept that nobody asks for.
const MOST: u64 = 10_000;
const IDLE: Duration = Duration::from_hours(1);
/// A login is looked at this often, at least and at most, so that one nobody uses does not end unnoticed.
const LOOK: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));

/// How secrets of Vault are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VaultConfig {
    /// How long a value is used before Vault is asked again, in seconds.
    #[schemars(range(max = 86_400))]
    pub cache_seconds: u64,
    /// How much longer it is used while Vault cannot be reached, in seconds.
    #[schemars(range(max = 86_400))]
    pub stale_seconds: u64,
}

impl Default for VaultConfig {
    fn default() -> Self {
        Self { cache_seconds: 60, stale_seconds: 600 }
    }
}

/// Why Vault gives no secret. The words hold none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum VaultError {
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// Our login does not count, or not for this.
    #[error("it refuses our login (403): the login has ended, or its policy does not open this")]
    Forbidden,
    /// It cannot be asked now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Lost> for VaultError {
    fn from(_: Lost) -> Self {
        Self::Unavailable("the question was given up".into())
    }
}

impl Failure for VaultError {
    fn is_final(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

type Fields = Arc<HashMap<String, SecretString>>;

/// A Vault, and our login there.
pub(super) struct Vault {
    client: reqwest::Client,
    address: Url,
    namespace: Option<HeaderValue>,
    login: Login,
    session: Arc<Held<Session, VaultError>>,
    secrets: Cache<String, Arc<Held<Fields, VaultError>>>,
    config: VaultConfig,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("login", &self.login).finish_non_exhaustive()
    }
}

/// A variable by the name Vault gives it, or else `OpenBao`.
fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(&format!("VAULT_{name}")).or_else(|| environment.get(&format!("BAO_{name}")))
}

impl Vault {
    /// The one that the environment names; the error says what is missing.
    pub(super) fn new(environment: &Environment, config: VaultConfig) -> Result<Self, String> {
        let address = variable(environment, "ADDR").ok_or("VAULT_ADDR is not set")?;
        let address = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let address = address.ok_or("VAULT_ADDR is no http or https address")?;
        let namespace = variable(environment, "NAMESPACE").map(HeaderValue::try_from).transpose();
        let namespace = namespace.map_err(|_| "VAULT_NAMESPACE cannot stand in a header")?;
        if address.scheme() == "http" && !is_loopback(&address) {
            tracing::warn!("VAULT_ADDR is http, so that whoever is on the way reads our login and every secret");
        }
        let own_ca = variable(environment, "CACERT").is_some();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(move |attempt| follow(attempt, own_ca)))
            .no_proxy()
            .timeout(TIME);
        if let Some(file) = variable(environment, "CACERT") {
            let pem = fs::read(file).map_err(|error| format!("VAULT_CACERT cannot be read: {error}"))?;
            let roots =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| "VAULT_CACERT holds no certificates")?;
            builder = builder.tls_certs_only(roots);
        }
        let client = builder.build().map_err(|_| "this machine has no usable TLS roots")?;
        let login = Login::of(environment)?;
        let secrets = Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build();
        Ok(Self { client, address, namespace, login, session: Arc::default(), secrets, config })
    }

    /// A field of a secret.
    pub(super) async fn read(
        self: &Arc<Self>,
        place: VaultPlace<'_>,
        tasks: &TaskTracker,
    ) -> Result<SecretString, VaultError> {
        let path = Self::path(place);
        let held = self.secrets.get_with(path.clone(), Arc::default);
        let (me, own) = (Arc::clone(self), tasks.clone());
        let fields = held.get(tasks, async move { me.fetch(&path, &own).await }).await?;
        let missing = || VaultError::Refused(format!("the secret has no field `{}` that is a text", place.field));
        fields.get(place.field).cloned().ok_or_else(missing)
    }

    /// Where the secret of a place is read.
    pub(super) fn path(place: VaultPlace<'_>) -> String {
        format!("{}/data/{}", place.mount, place.path)
    }

    /// Asks again for a secret that is kept, in case it changed.
    pub(super) async fn renew(self: &Arc<Self>, path: String, tasks: &TaskTracker) {
        let Some(held) = self.secrets.get(&path) else { return };
        let Some(seen) = held.last() else { return };
        let (me, own) = (Arc::clone(self), tasks.clone());
        held.renew(tasks, |now| Arc::ptr_eq(now, &seen), async move { me.fetch(&path, &own).await }).await;
    }

    async fn fetch(self: Arc<Self>, path: &str, tasks: &TaskTracker) -> Result<Timed<Fields>, VaultError> {
        let session = self.session(tasks).await?;
        let mut answer = self.exchange(Method::GET, path, Some(&session), None).await;
        // A login may have been taken back, or have ended with Vault itself. One that counts and does not open this is
        // kept: the next would not, either.
        if matches!(answer, Err(VaultError::Forbidden)) && self.has_ended(&session).await {
            self.session.drop_if(|now| now.token.expose_secret() == session.token.expose_secret());
            let session = self.session(tasks).await?;
            answer = self.exchange(Method::GET, path, Some(&session), None).await;
        }
        let answer = answer?;
        let data = answer.pointer("/data/data").and_then(Value::as_object);
        let gone = || VaultError::Refused("there is no such secret in a key-value engine of version 2".into());
        let fields = data.ok_or_else(gone)?.iter().filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            (!text.is_empty()).then(|| (name.clone(), SecretString::from(text)))
        });
        let fields = Arc::new(fields.collect());
        let kept = Duration::from_secs(self.config.cache_seconds);
        let lease = answer.get("lease_duration").and_then(Value::as_u64).filter(|lease| *lease > 0);
        let kept = lease.map_or(kept, |lease| kept.min(Duration::from_secs(lease)));
        let fresh = SystemTime::now() + kept;
        let good = fresh + Duration::from_secs(self.config.stale_seconds);
        Ok(Timed { value: fields, fresh: Some(fresh), good: Some(good) })
    }

    /// Whether a login does not even say what it is, which every one may that counts, by Vault's own policy.
    async fn has_ended(&self, session: &Session) -> bool {
        let said = self.exchange(Method::GET, "auth/token/lookup-self", Some(session), None).await;
        matches!(said, Err(VaultError::Forbidden))
    }

    /// Our login.
    async fn session(self: &Arc<Self>, tasks: &TaskTracker) -> Result<Session, VaultError> {
        let me = Arc::clone(self);
        let known = self.session.last();
        self.session.get(tasks, async move { me.login.session(&me, known).await }).await
    }

    /// Keeps the login alive, also while nobody needs it.
    pub(super) async fn tend(self: Arc<Self>, tasks: TaskTracker) {
        let mut wait = LOOK.0;
        loop {
            tokio::time::sleep(wait).await;
            wait = LOOK.1;
            let Some(session) = self.session.last() else { continue };
            if let Err(error) = self.session(&tasks).await {
                tracing::warn!("the login at Vault cannot be renewed: {error}");
            }
            wait = session.life.map_or(LOOK.1, |life| (life / 6).clamp(LOOK.0, LOOK.1));
        }
    }

    /// One exchange; what comes back is JSON.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        session: Option<&Session>,
        body: Option<&Value>,
    ) -> Result<Value, VaultError> {
        let unavailable = |words: &str| VaultError::Unavailable(words.to_owned());
        let mut url = self.address.clone();
        url.path_segments_mut()
            .map_err(|()| unavailable("VAULT_ADDR is no address with paths"))?
            .pop_if_empty()
            .push("v1")
            .extend(path.split('/'));
        let mut request = self.client.request(method, url).header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace.clone());
        }
        if let Some(session) = session {
            let token = HeaderValue::try_from(session.token.expose_secret());
            let mut token = token.map_err(|_| VaultError::Refused("our token cannot stand in a header".into()))?;
            token.set_sensitive(true);
            request = request.header("X-Vault-Token", token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| {
            unavailable(if error.is_timeout() { "it did not answer in time" } else { "it cannot be reached" })
        })?;
        let status = response.status();
        let body = Limit { bytes: LARGEST, setting: "" }.read(response).await;
        let body = body.map_err(|error| unavailable(error.message()))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        Err(refusal(status, &answer, path))
    }
}

/// What an answer means that is no success.
fn refusal(status: StatusCode, answer: &Value, path: &str) -> VaultError {
    match status {
        StatusCode::FORBIDDEN => VaultError::Forbidden,
        StatusCode::NOT_FOUND if answer.pointer("/data/metadata").is_some() => {
            VaultError::Refused("its newest version was deleted".into())
        }
        StatusCode::NOT_FOUND => {
            VaultError::Refused("there is no such secret in a key-value engine of version 2".into())
        }
        StatusCode::SERVICE_UNAVAILABLE => VaultError::Unavailable("it is sealed or being looked after (503)".into()),
        status
            if status.is_server_error()
                || status.as_u16() == 429
                || status.as_u16() >= 472
                || status.as_u16() == 412 =>
        {
            VaultError::Unavailable(format!("it answers {}", status.as_u16()))
        }
        status if status.is_redirection() => {
            let there = "where our login is not shown; VAULT_ADDR should name the node that answers";
            VaultError::Refused(format!("it leads to another place ({}), {there}", status.as_u16()))
        }
        // What it says of a login may repeat what we showed.
        status if path.starts_with("auth/") => {
            VaultError::Refused(format!("it refuses our login ({})", status.as_u16()))
        }
        status => VaultError::Refused(format!("it refuses ({})", status.as_u16())),
    }
}

/// What comes after the first name of a host.
fn domain(url: &Url) -> Option<&str> {
    url.domain()?.split_once('.').map(|(_, rest)| rest)
}

/// A standby leads to the active node, once, and never to where nothing is encrypted. Our login goes along, so that
/// node has to be of the same host or domain, or to prove itself by the certificates that were named.
fn follow(attempt: Attempt<'_>, own_ca: bool) -> reqwest::redirect::Action {
    let to = attempt.url();
    let is_ours = |from: &Url| {
        let is_same_host = from.host_str() == to.host_str();
        let is_same_domain = domain(from).is_some_and(|it| it.contains('.') && domain(to) == Some(it));
        let is_encrypted = to.scheme() == "https";
        (is_encrypted || from.scheme() == "http") && (is_same_host || is_same_domain || (own_ca && is_encrypted))
    };
    let follows = matches!(attempt.previous(), [from] if is_ours(from));
    if follows { attempt.follow() } else { attempt.stop() }
}

/// A login with something to show.
fn login_body(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().fold(json!({}), |mut body, (name, value)| {
        if let Some(body) = body.as_object_mut() {
            body.insert((*name).to_owned(), (*value).into());
        }
        body
    })
}
