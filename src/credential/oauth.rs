//! Tokens of an OAuth 2.0 issuer: had ahead of need, kept while they are good, thrown away when they are refused.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

mod rotated;

use super::discover::discover;
use super::fixed::Fixed;
use super::held::{Failure, Held, Lost, Timed};
use super::{Client, Credential, CredentialSource, Keyring, TenantClient, Token, TokenEndpoint, TokenError, Vouching};
use crate::caller::{Caller, Principal};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Checked, ClientAuth, Grant, OAuth};
use crate::name::ConnectorId;
use crate::secret::Text;
use crate::upstream::{Hop, Upstream};
use crate::widget::sha256_hex;

/// Callers whose tokens are kept, at most, and how long those of one are who does not come back.
const MOST: u64 = 10_000;
const IDLE: Duration = Duration::from_hours(2);
/// How long an issuer's metadata is believed, and how long it is used while it cannot be read.
const METADATA: (Duration, Duration) = (Duration::from_hours(1), Duration::from_hours(24));
/// What RFC 8693 calls things.
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

type Slot = Held<Token, TokenError>;

/// A connector's tokens.
#[derive(Debug)]
pub(super) struct OAuthSource(Arc<Tokens>);

/// Whose token it is: the caller's, when it is theirs alone, and had with a tenant's client, if it has one.
struct Whose {
    caller: Option<Arc<Principal>>,
    client: Option<TenantClient>,
}

impl Whose {
    /// Where the token is kept. A client with a new secret has tokens of its own.
    fn slot(&self) -> String {
        let caller = self.caller.as_ref().map(|caller| caller.id());
        let client = self
            .client
            .as_ref()
            .map(|client| sha256_hex(&json!([client.id, client.secret.expose_secret(), client.scopes]).to_string()));
        json!([caller, client]).to_string()
    }

    fn scope(&self) -> Option<String> {
        self.client.as_ref().filter(|client| !client.scopes.is_empty()).map(|client| client.scopes.join(" "))
    }
}

struct Tokens {
    fixed: Fixed,
    id: ConnectorId,
    settings: OAuth,
    hop: Hop,
    issuer: Option<String>,
    token_url: Option<Url>,
    client_id: String,
    /// The rest of a form, but for what the grant adds.
    extra: Vec<(&'static str, String)>,
    endpoint: Arc<Held<(TokenEndpoint, ClientAuth), TokenError>>,
    slots: Cache<String, Arc<Slot>>,
    /// The token that was refused last, so that it is not taken from the store again.
    refused: Mutex<Option<SecretString>>,
    /// The refresh token that was given last, where nothing can be kept.
    last: Mutex<Option<SecretString>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("id", &self.id).field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl From<Lost> for TokenError {
    fn from(_: Lost) -> Self {
        Self::Unavailable { words: "the question was given up".into(), never_sent: false }
    }
}

impl Failure for TokenError {
    /// The token before is good until it ends, whatever becomes of the next.
    fn is_final(&self) -> bool {
        false
    }
}

impl OAuthSource {
    /// The tokens of a connector. The error says what is missing.
    pub(super) fn new(
        checked: &Checked,
        settings: &OAuth,
        keyring: &Arc<Keyring>,
        upstream: &Upstream,
    ) -> Result<Self, String> {
        let fixed = Fixed::new(checked, keyring).map_err(|missing| missing.to_string())?;
        if settings.grant == Grant::TokenExchange && keyring.vouching() == Vouching::Nobody {
            let why = "asks for tokens in the caller's name (`tokenExchange`), and only our own issuer can vouch for a caller";
            return Err(format!("it {why}; that takes the auth mode `built-in`"));
        }
        let text = |text: &Option<Text>| {
            text.as_ref()
                .map(|text| text.resolve(keyring.environment()).map_err(|missing| missing.to_string()))
                .transpose()
        };
        let token_url = text(&settings.token_url)?.map(|url| {
            let url = Url::parse(&url).map_err(|_| "its tokenUrl is no web address".to_owned())?;
            super::check_address(&url, settings.allow_private).map_err(|why| format!("its tokenUrl: {why}"))?;
            Ok::<_, String>(url)
        });
        let extra = [
            ("scope", Some(settings.scopes.join(" "))),
            ("audience", text(&settings.audience)?),
            ("resource", text(&settings.resource)?),
        ];
        Ok(Self(Arc::new(Tokens {
            fixed,
            id: checked.connector.id.clone(),
            settings: settings.clone(),
            hop: upstream.hop(settings.allow_private, None).map_err(|error| error.to_string())?,
            issuer: text(&settings.issuer)?,
            token_url: token_url.transpose()?,
            client_id: text(&settings.client_id)?.unwrap_or_default(),
            extra: extra.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            endpoint: Arc::default(),
            slots: Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build(),
            refused: Mutex::default(),
            last: Mutex::default(),
        })))
    }

    /// Whose token a caller gets.
    async fn whose(&self, caller: &Caller) -> Result<Whose> {
        // A refresh token is one client's, so nobody else's client takes its place.
        let client = if self.0.settings.grant == Grant::RefreshToken {
            None
        } else {
            let found = self.0.fixed.keyring().client_of(caller.tenant(), &self.0.id).await;
            found.map_err(|why| Error::from(unavailable(&why)))?
        };
        if self.0.settings.grant != Grant::TokenExchange {
            return Ok(Whose { caller: None, client });
        }
        let voucher = self.0.fixed.keyring().voucher();
        match caller {
            Caller::Known(principal) if voucher.is_some_and(|voucher| voucher.knows(principal)) => {
                Ok(Whose { caller: Some(Arc::clone(principal)), client })
            }
            Caller::Known(_) | Caller::Local | Caller::Anonymous { .. } => {
                let message = "this connector acts in your own name, so it takes that you sign in: connect with OAuth";
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
    }
}

#[async_trait]
impl CredentialSource for OAuthSource {
    async fn credential(&self, caller: &Caller) -> Result<Credential> {
        let fixed = self.0.fixed.credential(caller).await?;
        let whose = self.whose(caller).await?;
        let slot = self.0.slots.get_with(whose.slot(), Arc::default);
        let tokens = Arc::clone(&self.0);
        let asked = async move { tokens.ask(&whose).await };
        let token = slot.get(self.0.fixed.keyring().tasks(), asked).await?;
        Ok(self.0.credential(fixed, token))
    }

    async fn for_listing(&self) -> Result<Option<Credential>> {
        if !self.is_per_caller() {
            return self.credential(&Caller::Local).await.map(Some);
        }
        let Some(token) = self.0.slots.iter().find_map(|(_, slot)| slot.good()) else { return Ok(None) };
        Ok(Some(self.0.credential(self.0.fixed.credential(&Caller::Local).await?, token)))
    }

    async fn refused(&self, caller: &Caller, shown: &Credential) -> bool {
        // What stands beside the token may be what does not count any more.
        let fixed = self.0.fixed.refused(caller, shown).await;
        let Ok(whose) = self.whose(caller).await else { return fixed };
        let Some(slot) = self.0.slots.get(&whose.slot()) else { return true };
        let was_shown = |token: &Token| {
            let wanted = self.0.shown(token);
            shown.headers.iter().any(|(_, value)| value.expose_secret() == wanted.expose_secret())
        };
        let refused = slot.last().filter(was_shown).map(|token| token.access);
        if let Some(refused) = refused {
            *self.0.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        }
        let tokens = Arc::clone(&self.0);
        let asked = async move { tokens.ask(&whose).await };
        slot.renew(self.0.fixed.keyring().tasks(), was_shown, asked).await || fixed
    }

    fn owner(&self, caller: &Caller) -> Option<String> {
        match self.0.settings.grant {
            Grant::TokenExchange | Grant::Caller => Some(caller.id()),
            // A tenant may have a client of its own.
            Grant::ClientCredentials => caller.tenant().map(|tenant| format!("tenant {tenant}")),
            Grant::RefreshToken => None,
        }
    }

    fn is_per_caller(&self) -> bool {
        self.0.settings.grant == Grant::TokenExchange
    }
}

impl Tokens {
    fn shown(&self, token: &Token) -> SecretString {
        format!("{}{}", self.settings.prefix, token.access.expose_secret()).into()
    }

    /// A token, beside what is shown with every one.
    fn credential(&self, mut fixed: Credential, token: Token) -> Credential {
        fixed.headers.push((self.settings.header.clone(), self.shown(&token)));
        fixed.hidden.push(("token".into(), token.access));
        fixed
    }

    /// Asks the issuer for a token.
    async fn ask(self: Arc<Self>, whose: &Whose) -> Result<Timed<Token>, TokenError> {
        let token = match self.settings.grant {
            Grant::RefreshToken => self.refresh().await?,
            Grant::TokenExchange => self.exchange(whose).await?,
            Grant::Caller => return Err(unavailable("each caller has to agree first")),
            Grant::ClientCredentials => {
                let (endpoint, client) = self.endpoint(whose.client.as_ref()).await?;
                let scope = whose.scope();
                endpoint.ask(&client, &self.form(&[("grant_type", "client_credentials")], scope.as_deref())).await?
            }
        };
        tracing::debug!(connector = %self.id, "had a token");
        Ok(Timed { fresh: token.fresh_until(), good: token.expires, value: token })
    }

    /// A token in the caller's name. What the caller showed us goes nowhere: our own issuer vouches for them.
    async fn exchange(&self, whose: &Whose) -> Result<Token, TokenError> {
        let (endpoint, client) = self.endpoint(whose.client.as_ref()).await?;
        let audience = self.issuer.as_deref().unwrap_or(endpoint.address());
        let voucher = self.fixed.keyring().voucher().zip(whose.caller.as_ref());
        let (voucher, caller) = voucher.ok_or_else(|| unavailable("nobody can vouch for the caller now"))?;
        let subject = voucher.vouch(caller, audience).await.map_err(|why| unavailable(&why))?;
        let (scope, grant) = (
            whose.scope(),
            [
                ("grant_type", EXCHANGE),
                ("subject_token", subject.expose_secret()),
                ("subject_token_type", JWT),
                ("requested_token_type", ACCESS_TOKEN),
            ],
        );
        endpoint.ask(&client, &self.form(&grant, scope.as_deref())).await
    }

    /// A form with what every grant adds; `scope` instead of the manifest's.
    fn form<'a>(&'a self, grant: &[(&'a str, &'a str)], scope: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let extra = self.extra.iter().map(|(name, value)| match scope {
            Some(scope) if *name == "scope" => (*name, scope),
            Some(_) | None => (*name, value.as_str()),
        });
        grant.iter().copied().chain(extra).collect()
    }

    /// Where tokens are, and who we are there.
    async fn endpoint(&self, tenant: Option<&TenantClient>) -> Result<(TokenEndpoint, Client), TokenError> {
        let (endpoint, auth) = match &self.token_url {
            Some(url) => (self.endpoint_at(url.clone())?, ClientAuth::Basic),
            None => self.discovered().await?,
        };
        let auth = self.settings.client_auth.unwrap_or(auth);
        if let Some(TenantClient { id, secret, .. }) = tenant {
            return Ok((endpoint, Client { id: id.clone(), secret: Some(secret.clone()), auth }));
        }
        let secret = match &self.settings.client_secret {
            Some(reference) => {
                let found = self.fixed.keyring().find(reference, self.fixed.folder()).await;
                Some(found.map_err(|missing| unavailable(&missing.to_string()))?)
            }
            None => None,
        };
        Ok((endpoint, Client { id: self.client_id.clone(), secret, auth }))
    }

    fn endpoint_at(&self, url: Url) -> Result<TokenEndpoint, TokenError> {
        TokenEndpoint::new(self.hop.clone(), url, self.settings.allow_private).map_err(|why| unavailable(&why))
    }

    async fn discovered(&self) -> Result<(TokenEndpoint, ClientAuth), TokenError> {
        let issuer = self.issuer.clone().unwrap_or_default();
        let (hop, allow_private) = (self.hop.clone(), self.settings.allow_private);
        let fetch = async move {
            let metadata = discover(&hop, &issuer, allow_private).await.map_err(|why| unavailable(&why))?;
            let url =
                metadata.token_endpoint.ok_or_else(|| unavailable("the issuer's metadata names no token endpoint"))?;
            let endpoint = TokenEndpoint::new(hop, url, allow_private).map_err(|why| unavailable(&why))?;
            let methods = metadata.token_endpoint_auth_methods_supported;
            let takes = |method: &str| methods.as_ref().is_some_and(|methods| methods.iter().any(|it| it == method));
            let post = takes("client_secret_post") && !takes("client_secret_basic");
            let auth = if post { ClientAuth::Post } else { ClientAuth::Basic };
            let now = SystemTime::now();
            Ok(Timed { value: (endpoint, auth), fresh: Some(now + METADATA.0), good: Some(now + METADATA.1) })
        };
        self.endpoint.get(self.fixed.keyring().tasks(), fetch).await
    }
}

fn unavailable(words: &str) -> TokenError {
    TokenError::Unavailable { words: words.to_owned(), never_sent: true }
}
