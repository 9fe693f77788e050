//! A grant as it is kept.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::Parted;
use super::client::KeptClient;
use crate::credential::{Client, Token, TokenEndpoint};
use crate::upstream::Hop;

/// A grant, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    /// Whose it is; the key says so, too.
    pub(super) caller: String,
    pub(super) binding: String,
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    /// Milliseconds since 1970, as all times here.
    pub(super) since: u64,
    pub(super) expires: Option<u64>,
    /// When the person agreed.
    pub(super) granted: u64,
    pub(super) scopes: Option<String>,
    pub(super) client: KeptClient,
    pub(super) token: Url,
    pub(super) revocation: Option<Url>,
    pub(super) resource: Option<String>,
    /// Until when somebody is having a new token for it.
    pub(super) renewing: Option<u64>,
}

impl Grant {
    /// Its token.
    pub(super) fn token(&self) -> Token {
        let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        Token {
            access: self.access.clone().into(),
            refresh: self.refresh.clone().map(SecretString::from),
            since: at(self.since),
            expires: self.expires.map(at),
            scopes: self.scopes.clone(),
        }
    }

    /// Takes a new token. What an issuer does not say again stays as it was.
    pub(super) fn take(&mut self, token: &Token) {
        token.access.expose_secret().clone_into(&mut self.access);
        self.refresh = token.refresh.as_ref().map(|it| it.expose_secret().to_owned()).or(self.refresh.take());
        self.since = ms(token.since);
        self.expires = token.expires.map(ms);
        self.scopes = token.scopes.clone().or(self.scopes.take());
        self.renewing = None;
    }

    /// Takes it back at its issuer (RFC 7009).
    pub(super) async fn take_back(&self, client: &Client, (hop, allow_private): (&Hop, bool)) -> Parted {
        let Some(url) = &self.revocation else { return Parted::Forgotten };
        let Ok(endpoint) = TokenEndpoint::new(hop.clone(), url.clone(), allow_private) else {
            return Parted::Forgotten;
        };
        let (token, hint) = match &self.refresh {
            Some(refresh) => (refresh, "refresh_token"),
            None => (&self.access, "access_token"),
        };
        match endpoint.tell(client, &[("token", token.as_str()), ("token_type_hint", hint)]).await {
            Ok(()) => Parted::TakenBack,
            Err(error) => {
                tracing::warn!("a grant could not be taken back at its issuer: {error}");
                Parted::Forgotten
            }
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn ms(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
