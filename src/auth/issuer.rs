//! Our own issuer of tokens: clients ask, a person signs in and agrees, and the client gets tokens for this one
//! resource (OAuth 2.1, as MCP's authorization wants it).
//!
//! | in the store under `auth/` | what | ends |
//! |---|---|---|
//! | `signing` | the keys | |
//! | `user/<name>`, `owner` | who may sign in | |
//! | `client/<id>` | clients that registered | |
//! | `newcomer/<id>` | those that nobody let in yet | after 7 days, or when too many come after |
//! | `flow/<…>`, `session/<…>` | what goes on in browsers | after 10 minutes, 12 hours |
//! | `consent/<subject>/<…>` | what people agreed to | after a year |
//! | `code/<…>`, `assertion/<…>` | what counts once | after minutes; a used code after a day |
//! | `grant/<subject>/<…>` | who lets which client act for them | when unused for `idleDays` |
//!
//! `<…>` is a SHA-256 of what the other side holds, so that nobody who reads the store can show it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

mod answer;
mod authorize;
mod browser;
mod client;
mod consent;
mod exchange;
mod flow;
mod grant;
mod own;
mod pages;
mod paper;
mod parameters;
mod password;
mod pauses;
mod people;
mod random;
mod redirect;
mod shelf;
mod sign_in;
mod signing;
mod token;
mod user;
mod visit;
mod vouch;

pub use answer::{Answer, Page};
pub use paper::{Message, Paper};
pub use parameters::Parameters;
pub use user::{Connected, NewUser, User, UserError, Users};
pub use visit::Visit;

use super::config::BuiltInConfig;
use crate::audit::Audit;
use crate::store::{Store, StoreError};
use crate::upstream::{Fetcher, Upstream};
use client::{Client, Documents, Kind, Proof, Proofs, Redirects, Registry};
use grant::Grants;
use pages::Pages;
use pauses::{Codes, Pauses};
use people::People;
use shelf::Shelf;
use signing::Signing;

/// The scope every client gets: to speak with this server.
pub(super) const MCP: &str = "mcp";
/// The scope of clients that want to stay connected, which all may.
const OFFLINE: &str = "offline_access";
/// Scopes that open no connector, so nobody is asked about them.
const ALWAYS: [&str; 2] = [MCP, OFFLINE];

/// Shows the person at the terminal a line.
pub type Announce = Arc<dyn Fn(&str) + Send + Sync>;

/// Says what there is to open, at the moment.
pub type Offering = Arc<dyn Fn() -> Offers + Send + Sync>;

/// What an issuer is made of.
pub struct IssuerOptions {
    /// The issuer: where clients find us, without a slash at its end.
    pub base: String,
    /// What its tokens are for: the address of the MCP endpoint.
    pub resource: String,
    /// Its settings.
    pub settings: BuiltInConfig,
    /// The secret of the client that the settings name, if it has one.
    pub client_secret: Option<SecretString>,
    /// Where it keeps everything.
    pub store: Arc<dyn Store>,
    /// What there is to open.
    pub offers: Offering,
    /// Shows one-time codes to the person at the terminal, while there are no users.
    pub announce: Announce,
}

/// What a person is asked to open, in names for people.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    /// Connectors that need no scope.
    pub open: Vec<String>,
    /// Scopes, and the connectors each opens something of.
    pub scoped: BTreeMap<String, Vec<String>>,
}

/// Why the issuer could not do its part. The words are for the log, or for who is at the command line.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too much at once, or somebody else was first; later it may work.
    #[error("busy; try again")]
    Busy,
    /// Something is broken.
    #[error("{0}")]
    Broken(String),
}

impl Trouble {
    fn log(&self) {
        match self {
            Self::Busy => tracing::info!("the issuer is busy"),
            Self::Store(_) | Self::Broken(_) => tracing::error!("the issuer cannot do its part: {self}"),
        }
    }
}

/// Our own issuer of tokens.
pub struct Issuer {
    base: String,
    /// The path of `base`, before those of our pages.
    prefix: String,
    resource: String,
    settings: BuiltInConfig,
    offers: Offering,
    announce: Announce,
    shelf: Shelf,
    signing: Signing,
    people: People,
    pauses: Pauses,
    codes: Codes,
    grants: Grants,
    registry: Registry,
    documents: Documents,
    proofs: Proofs,
    predefined: Option<Arc<Client>>,
    pages: Pages,
    revocations: watch::Sender<u64>,
    audit: OnceLock<Audit>,
}

impl fmt::Debug for IssuerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerOptions").field("base", &self.base).finish_non_exhaustive()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Opens the issuer: reads its keys, or makes them. The error says what is wrong.
    pub async fn open(options: IssuerOptions, upstream: &Upstream) -> Result<Arc<Self>, String> {
        let IssuerOptions { base, resource, settings, client_secret, store, offers, announce } = options;
        let url = Url::parse(&base).map_err(|_| format!("{base} is no address an issuer can have"))?;
        let fetcher = Fetcher::new(upstream, settings.allow_private_clients)?;
        let shelf = Shelf::new(store);
        let signing = Signing::open(shelf.clone()).await.map_err(|trouble| trouble.to_string())?;
        let days = |days: u64| Duration::from_secs(days.saturating_mul(24 * 3600));
        Ok(Arc::new(Self {
            prefix: url.path().trim_end_matches('/').to_owned(),
            predefined: predefined(&settings, client_secret.as_ref())?.map(Arc::new),
            people: People::new(shelf.clone()),
            pauses: Pauses::new(),
            codes: Codes::new(),
            grants: Grants::new(
                shelf.clone(),
                days(settings.idle_days),
                Duration::from_secs(settings.refresh_grace_seconds),
            ),
            registry: Registry::new(shelf.clone()),
            documents: Documents::new(fetcher.clone(), settings.client_hosts.clone(), settings.allow_private_clients),
            proofs: Proofs::new(shelf.clone(), fetcher),
            pages: Pages::new(redirect::shown(&base))?,
            revocations: watch::Sender::new(0),
            audit: OnceLock::new(),
            base,
            resource,
            settings,
            offers,
            announce,
            shelf,
            signing,
        }))
    }

    /// Records from here on what people agree to.
    pub fn record_in(&self, audit: Audit) {
        let _ = self.audit.set(audit);
    }

    /// Its own address, as its metadata names it.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Changes whenever a grant is taken back here, so that tokens found good before are looked at again.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// The public keys of its tokens, as a JSON Web Key Set.
    pub async fn jwks(&self) -> Value {
        // Another process may have made a key. Those we know are better than none.
        let newest = self.signing.newest().await.inspect_err(Trouble::log);
        newest.unwrap_or_else(|_| self.signing.current()).public()
    }

    /// What clients have to know (RFC 8414); the same for those that look for `OpenID` Connect.
    pub fn metadata(&self) -> Value {
        let mut metadata = json!({
            "issuer": self.base,
            "authorization_endpoint": self.endpoint("/oauth/authorize"),
            "token_endpoint": self.endpoint("/oauth/token"),
            "revocation_endpoint": self.endpoint("/oauth/revoke"),
            "jwks_uri": self.endpoint("/oauth/jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": WAYS,
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256"],
            "revocation_endpoint_auth_methods_supported": WAYS,
            "revocation_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256"],
            "scopes_supported": ALWAYS,
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "client_id_metadata_document_supported": true,
        });
        if let Some(metadata) = metadata.as_object_mut() {
            if self.settings.registration {
                metadata.insert("registration_endpoint".into(), self.endpoint("/oauth/register").into());
            }
            if self.settings.advertise_iss {
                metadata.insert("authorization_response_iss_parameter_supported".into(), true.into());
            }
        }
        metadata
    }

    /// The same with what `OpenID` Connect's discovery wants to see. We give out no id tokens.
    pub fn openid_metadata(&self) -> Value {
        let mut metadata = self.metadata();
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("subject_types_supported".into(), json!(["public"]));
            metadata.insert("id_token_signing_alg_values_supported".into(), json!(["ES256"]));
        }
        metadata
    }

    /// The registration endpoint (RFC 7591).
    pub async fn register(&self, body: &[u8]) -> Answer {
        if !self.settings.registration {
            let why = "clients cannot register themselves here; a metadata document or a client id from the operator is needed";
            return answer::Refusal::new("access_denied", why).answer(false);
        }
        let Ok(asked) = serde_json::from_slice(body) else {
            let what = "the body has to be a JSON object";
            return answer::Refusal::new("invalid_client_metadata", what).answer(false);
        };
        match client::register(&self.registry, &asked).await {
            Ok(Ok(body)) => Answer::Json { status: http::StatusCode::CREATED, body, basic: false },
            Ok(Err(refusal)) => refusal.answer(false),
            Err(trouble) => {
                trouble.log();
                answer::Refusal::new("temporarily_unavailable", "this cannot be done now; try again").answer(false)
            }
        }
    }

    /// The answer to a request for tokens that is no form.
    pub fn formless(&self) -> Answer {
        answer::Refusal::request("the body has to be application/x-www-form-urlencoded").answer(false)
    }

    /// The page for a request that did not come from a page of ours.
    pub fn foreign(&self) -> Answer {
        self.pages.foreign()
    }

    fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// One of our pages, as links and forms name it.
    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// One of our pages, for a flow.
    fn page(&self, path: &str, flow: &str) -> String {
        format!("{}{path}?flow={flow}", self.prefix)
    }

    /// An answer for a person, also when there is trouble.
    fn settled(&self, outcome: Result<Answer, Trouble>) -> Answer {
        outcome.unwrap_or_else(|trouble| {
            trouble.log();
            self.pages.trouble()
        })
    }

    fn revoked(&self) {
        self.revocations.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// How clients may show who they are.
const WAYS: [&str; 4] = ["none", "client_secret_post", "client_secret_basic", "private_key_jwt"];

/// The client that the settings name.
fn predefined(settings: &BuiltInConfig, secret: Option<&SecretString>) -> Result<Option<Client>, String> {
    let Some(named) = &settings.client else { return Ok(None) };
    if let Some(wrong) = named.redirect_uris.iter().find(|address| redirect::place(address).is_none()) {
        return Err(format!("auth.builtIn.client.redirectUris: nobody may be sent to {wrong}"));
    }
    let redirects = named.redirect_uris.clone();
    Ok(Some(Client {
        id: named.id.clone(),
        name: client::plain(&named.id),
        kind: Kind::Predefined,
        redirects: if redirects.is_empty() { Redirects::Known } else { Redirects::These(redirects) },
        proof: secret.map_or(Proof::Nothing, |secret| Proof::Secret(random::fingerprint(secret.expose_secret()))),
    }))
}
