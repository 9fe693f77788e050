//! What we show an upstream, found at the moment of the call.
//!
//! | credential | from |
//! |---|---|
//! | headers, query, cookies, environment, `basic`, `bearer` | references: variables, files, Vault |
//! | `oauth` | an issuer's token endpoint |

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

mod discover;
mod fixed;
pub mod grant;
mod held;
mod keyring;
mod oauth;
mod safe;
mod seal;
mod token;
mod vault;

pub use discover::{Metadata, discover};
pub use grant::{GrantOptions, GrantSettings, Grants};
pub use keyring::{Keyring, TenantClient, TenantClients, Voucher, Vouching};
pub use safe::{Kept, Safe};
pub use seal::{Closed, Opened, SEAL_KEY, Seal};
pub use token::{Client, Token, TokenEndpoint, TokenError, check_address};
pub use vault::VaultConfig;

use crate::caller::Caller;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Checked, Grant};
use crate::upstream::Upstream;
use fixed::Fixed;
use oauth::OAuthSource;

/// Resolved credentials of one connector. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Credential {
    /// Request headers.
    pub headers: Vec<(String, SecretString)>,
    /// Query parameters.
    pub query: Vec<(String, SecretString)>,
    /// Cookies.
    pub cookies: Vec<(String, SecretString)>,
    /// Environment variables.
    pub env: Vec<(String, SecretString)>,
    /// What the others are made of: shown nowhere by itself, and nobody's to see either.
    pub hidden: Vec<(String, SecretString)>,
    /// Which account of an upstream's it stands for, where a caller may change that: what was begun for one is not
    /// gone on with for another.
    pub account: Option<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, SecretString)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Credential")
            .field("headers", &names(&self.headers))
            .field("query", &names(&self.query))
            .field("cookies", &names(&self.cookies))
            .field("env", &names(&self.env))
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// Puts it into a request: its headers and cookies, marked as secret, and its query parameters.
    pub fn apply(&self, url: &mut Url, headers: &mut HeaderMap) -> Result<()> {
        for (name, value) in &self.headers {
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value.expose_secret()).ok());
            let (name, mut value) = header.ok_or_else(|| unfit("a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if !self.query.is_empty() {
            let secrets = self.query.iter().map(|(name, value)| (name, value.expose_secret()));
            url.query_pairs_mut().extend_pairs(secrets);
        }
        self.add_cookies(headers)
    }

    /// Adds its cookies to those that are there.
    fn add_cookies(&self, headers: &mut HeaderMap) -> Result<()> {
        if self.cookies.is_empty() {
            return Ok(());
        }
        let there = headers.get(COOKIE).and_then(|cookies| cookies.to_str().ok()).map(str::to_owned);
        let mut all: Vec<String> = there.into_iter().collect();
        for (name, value) in &self.cookies {
            // RFC 6265's cookie-octet.
            let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
            if !value.expose_secret().bytes().all(fits) {
                return Err(unfit("a cookie"));
            }
            all.push(format!("{name}={}", value.expose_secret()));
        }
        let mut cookies = HeaderValue::try_from(all.join("; ")).map_err(|_| unfit("a cookie"))?;
        cookies.set_sensitive(true);
        headers.insert(COOKIE, cookies);
        Ok(())
    }

    /// It, and another one that stands beside it.
    #[must_use]
    pub fn beside(mut self, other: Self) -> Self {
        self.headers.extend(other.headers);
        self.query.extend(other.query);
        self.cookies.extend(other.cookies);
        self.env.extend(other.env);
        self.hidden.extend(other.hidden);
        self.account = self.account.or(other.account);
        self
    }

    /// Whether all of it is among what was shown.
    fn is_part_of(&self, shown: &Self) -> bool {
        let is = |(mine, my): &(String, SecretString), (name, value): &(String, SecretString)| {
            mine == name && my.expose_secret() == value.expose_secret()
        };
        let within = |mine: &[_], all: &[_]| mine.iter().all(|my| all.iter().any(|it| is(my, it)));
        within(&self.headers, &shown.headers)
            && within(&self.query, &shown.query)
            && within(&self.cookies, &shown.cookies)
            && within(&self.env, &shown.env)
    }

    /// All that must not come back in an upstream's words.
    pub fn secrets(&self) -> impl Iterator<Item = &(String, SecretString)> {
        let Self { headers, query, cookies, env, hidden, account: _ } = self;
        headers.iter().chain(query).chain(cookies).chain(env).chain(hidden)
    }
}

fn unfit(place: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the credential of this connector cannot stand in {place}"))
}

/// Where a connector's credentials come from.
#[async_trait]
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// What to show the upstream in a call by this caller. It is good at this moment; nothing in it is empty. When
    /// there is none, the error says in words for the caller what to do. Dropping the future loses nothing.
    async fn credential(&self, caller: &Caller) -> Result<Credential>;

    /// The upstream refused what it was shown: forgets it. Whether another one may be had now.
    async fn refused(&self, caller: &Caller, shown: &Credential) -> bool;

    /// Whose what a caller shows is, where it is not the same for all. Nothing an upstream says to one owner may be
    /// told to another.
    fn owner(&self, _caller: &Caller) -> Option<String> {
        None
    }

    /// Whether there is nothing that all others show, either: everybody has something of their own.
    fn is_per_caller(&self) -> bool {
        false
    }

    /// What a caller is told whom the upstream refuses although there is nothing else to show, when they can do
    /// something about it.
    fn unwelcome(&self) -> Option<Error> {
        None
    }

    /// The upstream refused what it was shown for listing. Whether another credential may be had for that now.
    async fn listing_refused(&self, _shown: &Credential) -> bool {
        false
    }

    /// Where callers let us act for them, when each shows a token of their own.
    fn grants(&self) -> Option<&Arc<Grants>> {
        None
    }

    /// What may be shown to learn what an upstream has, and for nothing else; nothing while there is none.
    async fn for_listing(&self) -> Result<Option<Credential>> {
        self.credential(&Caller::Local).await.map(Some)
    }
}

/// Where a connector's credentials come from; the reason when there can be none.
pub fn source(
    checked: &Checked,
    keyring: &Arc<Keyring>,
    upstream: &Upstream,
) -> Result<Arc<dyn CredentialSource>, String> {
    match &checked.connector.credentials.oauth {
        None => Ok(Arc::new(Fixed::new(checked, keyring).map_err(|missing| missing.to_string())?)),
        Some(oauth) => match oauth.grant {
            Grant::ClientCredentials | Grant::RefreshToken | Grant::TokenExchange => {
                Ok(Arc::new(OAuthSource::new(checked, oauth, keyring, upstream)?))
            }
            Grant::Caller => Ok(Arc::new(grant::CallerSource::new(checked, oauth, keyring, upstream)?)),
        },
    }
}
