//! Who is calling: from what a request shows to a [`Caller`].
//!
//! | what is shown | who judges it |
//! |---|---|
//! | an API key | [`Keys`]: the environment's, and those of the keys file |
//! | a token of an issuer elsewhere | [`Outside`]: its signature, or the issuer itself |
//! | a token of ours | [`Issuer`], which also signs people in |

use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use moka::sync::Cache;
use serde_json::{Value, json};
use tokio::sync::watch;

mod config;
pub mod issuer;
mod jwks;
mod kept;
mod keys;
mod outside;

pub use config::{AuthConfig, BuiltInConfig, Introspection, Mode, OAuthConfig, PredefinedClient};
pub use issuer::{
    Answer, Issuer, IssuerOptions, Message, NewUser, Offers, Page, Paper, Parameters, User, UserError, Users,
};
pub use keys::{KeyFile, KeyRecord, Keys, NewKey, looks_like_key};
pub use outside::Outside;

use crate::caller::{Caller, Principal, Scopes};

/// Tokens that are known to be good, at most; the oldest are checked anew.
const KNOWN_TOKENS: u64 = 10_000;
/// The longest proof that is looked at, in bytes.
const LONGEST_PROOF: usize = 16 << 10;

/// Why what a caller shows does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It proves nothing; the words are for the client.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be checked now; the words are for the log.
    #[error("{0}")]
    Unavailable(String),
}

/// Why a request has no caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It shows nothing, and has to.
    Nothing,
    /// It shows two different things.
    Ambiguous,
    /// What it shows is not known already, and nothing more is looked into for now.
    Strained,
    /// What it shows does not count.
    Denied(Denied),
}

/// Who judges tokens.
#[derive(Debug)]
pub enum Tokens {
    /// Nobody: there are none.
    None,
    /// An issuer elsewhere.
    Outside(Box<Outside>),
    /// The issuer in this program.
    BuiltIn(Arc<Issuer>),
}

/// Judges what callers show.
pub struct Auth {
    mode: Mode,
    mixed: bool,
    keys: Keys,
    tokens: Tokens,
    /// What signing in could open.
    reach: Scopes,
    /// The address of the MCP endpoint, for which tokens are made.
    resource: String,
    /// Scopes that clients are told to ask for first.
    scopes: Vec<String>,
    known: Cache<[u8; 32], Found>,
    /// Counts what was revoked.
    revoked: Option<watch::Receiver<u64>>,
}

/// A token that was found to be good.
#[derive(Debug, Clone)]
struct Found {
    principal: Arc<Principal>,
    until: SystemTime,
    /// What had been revoked before it was looked at.
    revision: u64,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("mode", &self.mode).field("mixed", &self.mixed).finish_non_exhaustive()
    }
}

impl Auth {
    /// Judges by `mode`, for the MCP endpoint at `resource`.
    pub fn new(settings: &AuthConfig, mode: Mode, keys: Keys, tokens: Tokens, resource: String) -> Self {
        let scopes = match &tokens {
            Tokens::None => Vec::new(),
            Tokens::Outside(_) => settings.oauth.scopes.clone(),
            Tokens::BuiltIn(_) => vec![issuer::MCP.to_owned()],
        };
        let reach = match &tokens {
            Tokens::None => Scopes::none(),
            Tokens::Outside(_) if !scopes.is_empty() => scopes.iter().map(String::as_str).collect(),
            Tokens::Outside(_) | Tokens::BuiltIn(_) => Scopes::All,
        };
        let revoked = if let Tokens::BuiltIn(issuer) = &tokens { Some(issuer.revocations()) } else { None };
        Self {
            mode,
            mixed: settings.mixed,
            keys,
            tokens,
            reach,
            resource,
            scopes,
            known: Cache::new(KNOWN_TOKENS),
            revoked,
        }
    }

    /// The issuer in this program, if it is in use.
    pub fn issuer(&self) -> Option<&Arc<Issuer>> {
        match &self.tokens {
            Tokens::BuiltIn(issuer) => Some(issuer),
            Tokens::None | Tokens::Outside(_) => None,
        }
    }

    /// Whether somebody who was let in a while ago still is, as far as we can tell without asking elsewhere.
    pub fn still_knows(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Known(principal) => self.keys.still_knows(principal),
            Caller::Local | Caller::Anonymous { .. } => true,
        }
    }

    /// The scopes that clients are told to ask for first.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Where this server says who signs people in (RFC 9728); nothing when nobody does.
    pub fn metadata(&self) -> Option<Value> {
        let issuer = match &self.tokens {
            Tokens::None => return None,
            Tokens::Outside(outside) => outside.issuer(),
            Tokens::BuiltIn(issuer) => issuer.base(),
        };
        let mut document = json!({
            "resource": self.resource,
            "authorization_servers": [issuer],
            "scopes_supported": self.scopes,
            "bearer_methods_supported": ["header"],
            "resource_name": "Switchboard",
        });
        if let Value::Object(document) = &mut document
            && self.scopes.is_empty()
        {
            document.remove("scopes_supported");
        }
        Some(document)
    }

    /// Whether clients have to show an API key, for there is nothing else.
    pub fn wants_keys(&self) -> bool {
        self.mode == Mode::ApiKey
    }

    /// Whether this is the key of somebody who may see everything.
    pub fn is_operator(&self, shown: &str) -> bool {
        self.keys.is_operator(shown)
    }

    /// Who sent a request with these headers. `named` are headers in which keys may stand, besides `Authorization`.
    /// With `strained` a token counts only when it is known already.
    pub async fn identify(&self, headers: &HeaderMap, named: &[HeaderName], strained: bool) -> Result<Caller, Refused> {
        if self.mode == Mode::None {
            return Ok(Caller::Anonymous { reach: Scopes::none() });
        }
        match proof(headers, named)? {
            Some(shown) => {
                if shown.len() > LONGEST_PROOF {
                    return Err(Refused::Denied(unknown()));
                }
                self.judge(&shown, strained).await.map(Caller::Known)
            }
            None if self.mixed => Ok(Caller::Anonymous { reach: self.reach.clone() }),
            None => Err(Refused::Nothing),
        }
    }

    async fn judge(&self, shown: &str, strained: bool) -> Result<Arc<Principal>, Refused> {
        if let Some(principal) = self.keys.find(shown) {
            return Ok(principal);
        }
        if matches!(self.tokens, Tokens::None) {
            return Err(Refused::Denied(Denied::Invalid("the API key is unknown, expired or revoked".into())));
        }
        if looks_like_key(shown) {
            return Err(Refused::Denied(unknown()));
        }
        // Of what was found before anything was taken back, nothing counts any longer.
        let revision = self.revoked.as_ref().map(|revoked| *revoked.borrow()).unwrap_or_default();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, shown.as_bytes()).as_ref());
        if let Some(known) = self.known.get(&hash)
            && known.until > SystemTime::now()
            && known.revision == revision
        {
            return Ok(known.principal);
        }
        if strained {
            return Err(Refused::Strained);
        }
        let (principal, until) = match &self.tokens {
            Tokens::None => Err(unknown()),
            // What it takes to fetch keys is large, and most tokens are known.
            Tokens::Outside(outside) => Box::pin(outside.verify(shown)).await,
            Tokens::BuiltIn(issuer) => issuer.verify(shown).await,
        }
        .map_err(Refused::Denied)?;
        self.known.insert(hash, Found { principal: Arc::clone(&principal), until, revision });
        Ok(principal)
    }
}

fn unknown() -> Denied {
    Denied::Invalid("the token or key is unknown, expired or revoked".into())
}

/// The key that a browser shows: a person types it as the password of any name.
pub fn password(authorization: &str) -> Option<String> {
    let (_, pair) = authorization.trim().split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let pair = BASE64_STANDARD.decode(pair.trim()).ok()?;
    String::from_utf8(pair).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

/// The one proof among the headers.
fn proof<'a>(headers: &'a HeaderMap, named: &[HeaderName]) -> Result<Option<Cow<'a, str>>, Refused> {
    let unreadable = || Refused::Denied(Denied::Invalid("show `Authorization: Bearer` and a token or key".into()));
    let bearer = |value: &'a HeaderValue| {
        let value = value.to_str().ok()?.trim();
        let bearer = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        bearer.map(|(_, shown)| Cow::Borrowed(shown.trim())).or_else(|| password(value).map(Cow::Owned))
    };
    let mut shown: Option<Cow<'a, str>> = None;
    let bearers = headers.get_all(AUTHORIZATION).iter().map(bearer);
    // A manifest may name `Authorization` itself, which is read above.
    let named = named.iter().filter(|name| **name != AUTHORIZATION);
    let text = |value: &'a HeaderValue| Some(Cow::Borrowed(value.to_str().ok()?.trim()));
    let others = named.flat_map(|name| headers.get_all(name)).map(text);
    for proof in bearers.chain(others) {
        let proof = proof.filter(|proof| !proof.is_empty()).ok_or_else(unreadable)?;
        if shown.as_ref().is_some_and(|shown| *shown != proof) {
            return Err(Refused::Ambiguous);
        }
        shown = Some(proof);
    }
    Ok(shown)
}
