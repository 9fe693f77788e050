//! Refresh tokens that change with each use: the newest is kept, sealed, and one process at a time uses it.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Tokens, unavailable};
use crate::credential::{Client, Kept, Safe, Token, TokenEndpoint, TokenError};
use crate::store::{Put, StoreError};
use crate::widget::sha256_hex;

/// How long a process has its turn, and how long another one waits for it.
const TURN: Duration = Duration::from_secs(25);
const LOOK: Duration = Duration::from_millis(100);

/// What an issuer gave last.
#[derive(Serialize, Deserialize)]
struct Rotated {
    refresh: String,
    access: String,
    /// In milliseconds since 1970.
    since: u64,
    expires: Option<u64>,
}

impl Tokens {
    /// A token by the newest refresh token.
    pub(super) async fn refresh(&self) -> Result<Token, TokenError> {
        let reference = self.settings.refresh_token.as_ref().ok_or_else(|| unavailable("there is no refresh token"))?;
        let first = self.fixed.keyring().find(reference, self.fixed.folder()).await;
        let first = first.map_err(|missing| unavailable(&missing.to_string()))?;
        match self.fixed.keyring().safe() {
            Ok(safe) => self.refresh_kept(safe, first).await,
            Err(_) => self.refresh_here(first).await,
        }
    }

    /// Where nothing can be kept, a rotated token is lost with the process.
    async fn refresh_here(&self, first: SecretString) -> Result<Token, TokenError> {
        let last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let token = self.renew(last.as_ref().unwrap_or(&first), &self.endpoint(None).await?).await?;
        if let Some(refresh) = &token.refresh {
            *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(refresh.clone());
        }
        Ok(token)
    }

    async fn refresh_kept(&self, safe: &Safe, first: SecretString) -> Result<Token, TokenError> {
        // It names the first refresh token it descends from: a new one in the manifest begins anew.
        let key = format!("credential/{}/refresh/{}", self.id, sha256_hex(first.expose_secret()));
        let turn = format!("credential/{}/turn", self.id);
        // Found before the turn is taken, which lasts longer than one question and no longer.
        let asked = self.endpoint(None).await?;
        let end = tokio::time::Instant::now() + TURN;
        let held = loop {
            if let Some(taken) = safe.take_turn(&turn, TURN).await.map_err(|error| broken(&error))? {
                break taken;
            }
            if let Some(token) = self.kept(safe, &key).await?.filter(|kept| self.is_usable(kept)) {
                return Ok(token);
            }
            if tokio::time::Instant::now() > end {
                return Err(unavailable("another process has been asking for a token for too long"));
            }
            tokio::time::sleep(LOOK).await;
        };
        let token = self.refresh_in_turn(safe, &key, first, &asked).await;
        if let Err(error) = safe.end_turn(&turn, held).await {
            tracing::warn!(connector = %self.id, "the turn to refresh cannot be given back: {error}");
        }
        token
    }

    async fn refresh_in_turn(
        &self,
        safe: &Safe,
        key: &str,
        first: SecretString,
        asked: &(TokenEndpoint, Client),
    ) -> Result<Token, TokenError> {
        let kept = self.kept(safe, key).await?;
        if kept.is_none() && safe.has(key).await.map_err(|error| broken(&error))? {
            // The first one was used long ago, and shown again it may end the newest, too.
            let way = "bring that key back, or put a new refresh token into the manifest";
            return Err(unavailable(&format!("the newest refresh token was sealed with a key that is gone: {way}")));
        }
        if let Some(token) = kept.as_ref().filter(|kept| self.is_usable(kept)) {
            return Ok(token.clone());
        }
        let refresh = kept.and_then(|kept| kept.refresh).unwrap_or(first);
        let mut token = self.renew(&refresh, asked).await?;
        let refresh = token.refresh.take().unwrap_or(refresh);
        let since = |at: SystemTime| {
            u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
        };
        let rotated = Rotated {
            refresh: refresh.expose_secret().to_owned(),
            access: token.access.expose_secret().to_owned(),
            since: since(token.since),
            expires: token.expires.map(since),
        };
        // The token is good although the next refresh may fail; the operator has to know.
        if let Err(error) = safe.write(key, &rotated, Put::default()).await {
            tracing::error!(connector = %self.id, "the new refresh token cannot be kept: {error}");
        }
        Ok(token)
    }

    async fn kept(&self, safe: &Safe, key: &str) -> Result<Option<Token>, TokenError> {
        let kept = safe.read::<Rotated>(key).await.map_err(|error| broken(&error))?;
        let at = |millis: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        Ok(kept.map(|Kept { value: rotated, .. }| Token {
            access: rotated.access.into(),
            refresh: Some(rotated.refresh.into()),
            since: at(rotated.since),
            expires: rotated.expires.map(at),
            scopes: None,
        }))
    }

    /// Whether another process had this token a moment ago, and nobody refused it.
    fn is_usable(&self, kept: &Token) -> bool {
        let refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_refused = refused.as_ref().is_some_and(|it| it.expose_secret() == kept.access.expose_secret());
        // One that never ends may be long gone.
        kept.expires.is_some() && kept.is_fresh(SystemTime::now()) && !is_refused
    }

    async fn renew(
        &self,
        refresh: &SecretString,
        (endpoint, client): &(TokenEndpoint, Client),
    ) -> Result<Token, TokenError> {
        let form = self.form(&[("grant_type", "refresh_token"), ("refresh_token", refresh.expose_secret())], None);
        endpoint.ask(client, &form).await
    }
}

fn broken(error: &StoreError) -> TokenError {
    unavailable(&format!("what was kept cannot be read: {error}"))
}
