//! Somebody on their way to the issuer and back.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use url::Url;

use super::client::KeptClient;
use super::kept::{Grant, ms};
use super::word::{fingerprint, is_same, is_word, word};
use super::{Grants, Site, unanswered, unavailable};
use crate::caller::Caller;
use crate::credential::{Safe, Token, TokenEndpoint, TokenError};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Expected, Put};

/// A person has this long for all of it.
const LASTING: Duration = Duration::from_mins(10);
/// The longest code and error that are looked at.
const LONGEST: usize = 8 << 10;

/// Somebody on their way.
#[derive(Clone, Serialize, Deserialize)]
pub struct Flow {
    /// The connector.
    pub connector: String,
    /// The id of the caller it is for.
    pub caller: String,
    /// The browser it was begun in.
    browser: String,
    binding: String,
    verifier: String,
    site: String,
    issuer: Option<String>,
    names_itself: bool,
    token: Url,
    revocation: Option<Url>,
    client: KeptClient,
    resource: Option<String>,
    scopes: Vec<String>,
}

// It holds what proves us at the issuer.
impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("connector", &self.connector).finish_non_exhaustive()
    }
}

/// Why a flow came to nothing, for the person in the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// They, or the issuer, said no, in these words.
    Declined(String),
    /// What came back is not what was asked.
    Wrong(&'static str),
}

fn key(state: &str) -> String {
    format!("connect/flow/{}", fingerprint(state))
}

impl Flow {
    /// The flow that an answer with this `state` belongs to, when it came back to the browser it was begun in and to
    /// its connector's address. It is had once.
    pub async fn take(safe: &Safe, state: &str, (browser, connector): (&str, &str)) -> Result<Option<Self>> {
        if !is_word(state) {
            return Ok(None);
        }
        let Some(kept) = safe.read::<Self>(&key(state)).await.map_err(unavailable)? else { return Ok(None) };
        if !is_same(&kept.value.browser, &fingerprint(browser)) || kept.value.connector != connector {
            return Ok(None);
        }
        let first = safe.remove(&key(state), Expected::Is(kept.version)).await.map_err(unavailable)?;
        Ok(first.then_some(kept.value))
    }
}

impl Grants {
    /// Begins a flow for a caller in a browser: where to send the person. `browser` is what only that browser knows.
    pub async fn begin(&self, caller: &Caller, browser: &str, site: &Site) -> Result<Url> {
        if self.key(caller).is_none() {
            return Err(self.stranger());
        }
        let found = self.found().await?;
        let issuer = &found.issuer;
        let client = self.client(caller, issuer, site).await?;
        let (state, verifier) = (word()?, word()?);
        let scopes = self.scopes(caller, &found).await?;
        let resource = self.settings.resource.clone().or_else(|| found.resource.clone());
        let flow = Flow {
            connector: self.connector.to_string(),
            caller: caller.id(),
            browser: fingerprint(browser),
            binding: self.binding.clone(),
            verifier,
            site: site.redirect.clone(),
            issuer: issuer.name.clone(),
            names_itself: issuer.names_itself,
            token: issuer.token.clone(),
            revocation: issuer.revocation.clone(),
            client: client.clone(),
            resource,
            scopes,
        };
        let put = Put { expected: Expected::Absent, expires: Some(SystemTime::now() + LASTING) };
        let kept = self.safe()?.write(&key(&state), &flow, put).await.map_err(unavailable)?;
        kept.ok_or_else(|| Error::new(ErrorKind::Internal, "a random word came up twice"))?;
        Ok(self.link(issuer.authorization.clone(), &flow, (&state, site.asks_again)))
    }

    /// The issuer's page for a flow.
    fn link(&self, mut to: Url, flow: &Flow, (state, asks_again): (&str, bool)) -> Url {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, flow.verifier.as_bytes()));
        let scope = flow.scopes.join(" ");
        // Some give what lasts only to who is asked each time.
        let lasting = flow.scopes.iter().any(|scope| scope == "offline_access");
        let consent = if lasting || asks_again { "consent" } else { "" };
        let asked = [
            ("response_type", "code"),
            ("client_id", &flow.client.id),
            ("redirect_uri", &flow.site),
            ("state", state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("scope", &scope),
            ("prompt", consent),
            ("resource", flow.resource.as_deref().unwrap_or_default()),
            ("audience", self.settings.audience.as_deref().unwrap_or_default()),
        ];
        // What the manifest's address says already stands as it is.
        let said: Vec<String> = to.query_pairs().map(|(name, _)| name.into_owned()).collect();
        let asked = asked.into_iter().filter(|(name, value)| !value.is_empty() && !said.iter().any(|it| it == name));
        to.query_pairs_mut().extend_pairs(asked);
        to
    }

    /// Ends a flow by what came back from the issuer: the parameters `code`, `error`, `error_description` and `iss`.
    /// What the caller agreed to is kept for them.
    pub async fn finish(&self, flow: Flow, said: impl Fn(&str) -> Option<String>) -> Result<Result<(), Refusal>> {
        let code = match self.judge(&flow, said) {
            Ok(code) => code,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let client = self.proved(&flow.client).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", flow.site.as_str()),
            ("code_verifier", flow.verifier.as_str()),
            ("resource", flow.resource.as_deref().unwrap_or_default()),
            ("audience", self.settings.audience.as_deref().unwrap_or_default()),
        ];
        let endpoint = TokenEndpoint::new(self.hop.clone(), flow.token.clone(), self.settings.allow_private);
        let endpoint = endpoint.map_err(|why| Error::new(ErrorKind::Unavailable, why))?;
        let token = match endpoint.ask(&client, &form).await {
            Ok(token) => token,
            Err(error) => {
                if matches!(&error, TokenError::Refused { code, .. } if code == "invalid_client") {
                    flow.client.forget(self.safe()?).await;
                    self.doubt_client(&flow.client).await;
                }
                return Err(unanswered(error));
            }
        };
        let key = self.key_of(&flow.caller);
        let grant = flow.granted(&token);
        // What it takes the place of is not taken back: many issuers then end all that this person gave this client.
        self.safe()?.write(&key, &grant, Put::default()).await.map_err(unavailable)?;
        tracing::info!(connector = %self.connector, "somebody connected");
        Ok(Ok(()))
    }

    /// The code in what came back, when it is an answer to what was asked.
    fn judge(&self, flow: &Flow, said: impl Fn(&str) -> Option<String>) -> Result<String, Refusal> {
        let said = |name: &str| said(name).filter(|text| !text.is_empty() && text.len() <= LONGEST);
        if flow.connector != self.connector.as_str() || flow.binding != self.binding {
            return Err(Refusal::Wrong("the connector was changed meanwhile"));
        }
        // So that an answer of one issuer is not taken for another's (RFC 9207).
        let iss = said("iss");
        let named = match (&flow.issuer, &iss) {
            (Some(issuer), Some(iss)) => issuer == iss,
            (Some(_), None) => !flow.names_itself,
            (None, Some(_)) => {
                let why =
                    "the issuer says its name, and the connector does not say whose it is (`credentials.oauth.issuer`)";
                return Err(Refusal::Wrong(why));
            }
            (None, None) => true,
        };
        if !named {
            return Err(Refusal::Wrong("the answer is not from the issuer that was asked"));
        }
        if let Some(error) = said("error") {
            let plain = |text: String| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
            let words = said("error_description").map(plain).map(|words| format!(": {words}")).unwrap_or_default();
            return Err(Refusal::Declined(format!("{}{words}", plain(error))));
        }
        said("code").ok_or(Refusal::Wrong("the answer holds no code"))
    }
}

impl Flow {
    /// What the caller agreed to.
    fn granted(self, token: &Token) -> Grant {
        let now = ms(SystemTime::now());
        let mut grant = Grant {
            caller: self.caller,
            binding: self.binding,
            access: token.access.expose_secret().to_owned(),
            refresh: None,
            since: now,
            expires: None,
            granted: now,
            // What an issuer does not say is as it was asked (RFC 6749, 5.1).
            scopes: Some(self.scopes.join(" ")),
            client: self.client,
            token: self.token,
            revocation: self.revocation,
            resource: self.resource,
            renewing: None,
        };
        grant.take(token);
        grant
    }
}
