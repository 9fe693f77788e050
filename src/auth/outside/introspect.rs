//! Asking the issuer about a token that cannot be read (RFC 7662).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::Semaphore;
use url::{Url, form_urlencoded};

use super::claims::Claims;
use super::folder;
use crate::auth::{Denied, Introspection};
use crate::credential::Keyring;
use crate::secret::{Missing, Reference};
use crate::upstream::Fetcher;

/// The largest answer we read.
const MAX_BYTES: usize = 64 << 10;
/// Questions at once; more wait for [`PATIENCE`] and are then put off, so that made-up tokens cannot flood the issuer.
const AT_ONCE: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);

/// How the issuer is asked.
pub(super) struct Asking {
    url: Option<Url>,
    client_id: String,
    /// Read for each question, so that a changed secret is found.
    client_secret: Reference,
    keyring: Arc<Keyring>,
    turns: Semaphore,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The settings may hold the secret itself.
        f.debug_struct("Asking").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Asking {
    /// How the settings say it; or each member that is wrong, and why.
    pub(super) fn new(
        settings: &Introspection,
        fetcher: &Fetcher,
        keyring: &Arc<Keyring>,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        let url = settings.url.as_deref().and_then(|text| {
            let url = Url::parse(text).map_err(|_| "it is no web address".to_owned());
            let url = url.and_then(|url| fetcher.check(&url).map(|()| url).map_err(|error| error.to_string()));
            url.map_err(|why| wrong.push(("url", why))).ok()
        });
        if settings.client_id.is_empty() {
            wrong.push(("clientId", "it is empty".into()));
        }
        let asking = Self {
            url,
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            keyring: Arc::clone(keyring),
            turns: Semaphore::new(AT_ONCE),
        };
        if let Err(missing) = keyring.check(&settings.client_secret, folder()) {
            wrong.push(("clientSecret", missing.to_string()));
        }
        if wrong.is_empty() { Ok(asking) } else { Err(wrong) }
    }

    /// Where, when the settings say so.
    pub(super) fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// What the issuer says of a token that is alive.
    pub(super) async fn ask(&self, fetcher: &Fetcher, url: &Url, token: &str) -> Result<Claims, Denied> {
        let unavailable = |why: String| Denied::Unavailable(format!("the issuer cannot be asked about a token: {why}"));
        let secret = self.secret().await.map_err(|missing| unavailable(missing.to_string()))?;
        let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(unavailable("too many questions at once".into())) };
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = fetcher.ask(url, (&encoded(&self.client_id), &secret), &form, MAX_BYTES).await;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        let Value::Object(claims) = answer.value else { return Err(unavailable("the answer is no object".into())) };
        match claims.get("active").and_then(Value::as_bool) {
            Some(true) => Ok(claims),
            Some(false) => Err(Denied::Invalid("the token is not active".into())),
            None => Err(unavailable("the answer does not say whether it is active".into())),
        }
    }

    /// The secret, as it is sent.
    async fn secret(&self) -> Result<SecretString, Missing> {
        let secret = self.keyring.find(&self.client_secret, folder()).await?;
        Ok(SecretString::from(Zeroizing::new(encoded(secret.expose_secret())).as_str()))
    }
}

/// Names and secrets are written like fields of a form before they are put together (RFC 6749, 2.3.1).
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
