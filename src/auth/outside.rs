//! An issuer of tokens elsewhere: what its tokens say, once they are proved.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use url::Url;

use super::kept::Kept;
use super::{Denied, OAuthConfig};
use crate::caller::Principal;
use crate::credential::Keyring;
use crate::upstream::{Fetcher, Upstream};

mod claims;
mod introspect;
mod metadata;
mod token;

use claims::Rules;
use introspect::Asking;
use metadata::{Metadata, Places};

/// The longest token we look at.
const MAX_TOKEN: usize = 16 << 10;
/// How long a signed token counts without another look at its signature: so long a key that its issuer took back may
/// still be believed.
const SIGNED_FOR: Duration = Duration::from_mins(5);
/// How long an answer about a token counts: so long a token that its issuer took back may still be believed.
const ASKED_FOR: Duration = Duration::from_mins(1);

/// An issuer elsewhere. What it says of itself is read when it is first needed, so that we start without it.
#[derive(Debug)]
pub struct Outside {
    rules: Rules,
    places: Places,
    fetcher: Fetcher,
    asking: Option<Asking>,
    metadata: Kept<Metadata>,
}

impl Outside {
    /// The issuer of the settings, for tokens that are meant for `resource`; or each setting that is wrong, and why.
    pub fn new(
        settings: &OAuthConfig,
        resource: &str,
        upstream: &Upstream,
        keyring: &Arc<Keyring>,
    ) -> Result<Self, Vec<String>> {
        let fetcher = Fetcher::new(upstream, settings.allow_private).map_err(|why| vec![why])?;
        let mut wrong = Vec::new();
        let places = settings.issuer.as_deref().map_or_else(
            || Err("auth.oauth.issuer (OAUTH_ISSUER) is missing: set it to the issuer of your tokens".to_owned()),
            |issuer| Places::of(issuer, &fetcher).map_err(|why| format!("auth.oauth.issuer (OAUTH_ISSUER): {why}")),
        );
        let places = places.map_err(|why| wrong.push(why)).ok();
        if settings.audience.iter().any(String::is_empty) {
            wrong.push("auth.oauth.audience (OAUTH_AUDIENCE): an audience is empty".into());
        }
        let asking = settings.introspection.as_ref().map(|settings| Asking::new(settings, &fetcher, keyring));
        let asking = asking.transpose().unwrap_or_else(|faults| {
            wrong.extend(faults.into_iter().map(|(member, why)| format!("auth.oauth.introspection.{member}: {why}")));
            None
        });
        let Some(places) = places.filter(|_| wrong.is_empty()) else { return Err(wrong) };
        let rules = Rules::new(settings, resource);
        Ok(Self { rules, places, fetcher, asking, metadata: Kept::default() })
    }

    /// The issuer, exactly as it names itself.
    pub fn issuer(&self) -> &str {
        &self.rules.issuer
    }

    /// Reads what the issuer says of itself, unless it is known.
    pub async fn prepare(&self) -> Result<(), Denied> {
        self.metadata().await.map(drop)
    }

    /// Who shows this token, and until when that may be believed without asking again.
    pub async fn verify(&self, token: &str) -> Result<(Arc<Principal>, SystemTime), Denied> {
        // RFC 6750, 2.1. Anything else is sent nowhere.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(allowed) {
            return Err(Denied::Invalid("this is no token".into()));
        }
        let (claims, most) = if token.split('.').count() == 3 {
            (self.proved(token).await?, SIGNED_FOR)
        } else {
            (self.asked(token).await?, ASKED_FOR)
        };
        let now = SystemTime::now();
        let ends = self.rules.check(&claims, now)?;
        let principal = self.rules.principal(&claims)?;
        let most = now + most;
        Ok((Arc::new(principal), ends.map_or(most, |ends| ends.min(most))))
    }

    /// What a signed token says.
    async fn proved(&self, token: &str) -> Result<claims::Claims, Denied> {
        let header = token::header(token)?;
        let metadata = self.metadata().await?;
        let keys = metadata.keys.as_ref().ok_or_else(|| {
            Denied::Unavailable(format!("the metadata of {} names no keys (`jwks_uri`)", self.rules.issuer))
        })?;
        let key = keys.key(header.kid.as_deref(), header.alg).await?;
        token::decode(token, &header, &key, &self.rules)
    }

    /// What the issuer says of a token that cannot be read.
    async fn asked(&self, token: &str) -> Result<claims::Claims, Denied> {
        let Some(asking) = &self.asking else {
            return Err(Denied::Invalid("this is no signed token, and no other kind is taken here".into()));
        };
        let url: Url = match asking.url() {
            Some(url) => url.clone(),
            None => self.metadata().await?.introspection.clone().ok_or_else(|| {
                let issuer = &self.rules.issuer;
                Denied::Unavailable(format!(
                    "the metadata of {issuer} names no `introspection_endpoint`: set auth.oauth.introspection.url"
                ))
            })?,
        };
        asking.ask(&self.fetcher, &url, token).await
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, Denied> {
        let known = self.metadata.last();
        self.metadata.get(self.places.read(&self.rules.issuer, &self.fetcher, known)).await
    }
}

/// The folder that paths in the settings start from: the one the program was started in.
fn folder() -> &'static Path {
    Path::new("")
}
