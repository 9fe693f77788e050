//! What callers let us do at an upstream in their name: each caller agrees for themselves (OAuth 2.1: code, PKCE,
//! `state`, `iss`, `resource`), and nobody else is ever served with it.
//!
//! | in the store | what | ends |
//! |---|---|---|
//! | `grant/<connector>/<caller>` | a grant: its tokens, and how to have new ones | when taken back, or no longer taken |
//! | `connect/flow/<…>` | somebody on their way to the issuer and back | after 10 minutes, or when they are back |
//! | `connect/client/<…>` | a client that we registered at an issuer | when the issuer says |
//!
//! All of them are sealed under their keys, and `<…>` is a SHA-256 of what the other side holds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

mod client;
mod discover;
mod end;
mod flow;
mod kept;
mod refresh;
mod site;
mod source;
mod word;

pub use client::{DOCUMENT, client_document};
pub use end::Holding;
pub use flow::{Flow, Refusal};
pub use site::{CALLBACK, Site};
pub(super) use source::CallerSource;
pub use word::{fingerprint, is_same, is_word, word};

use super::{Credential, Kept, Keyring, Safe, TokenError};
use crate::caller::Caller;
use crate::error::{Connect, Error, ErrorKind, Result};
use crate::manifest::ClientAuth;
use crate::name::ConnectorId;
use crate::secret::Reference;
use crate::store::StoreError;
use crate::upstream::{Fetcher, Hop, Upstream};
use crate::widget::sha256_hex;
use discover::{Found, Issuer, Way};
use kept::{Grant, ms};

/// What an issuer says of itself is believed for so long.
const KNOWN: Duration = Duration::from_mins(10);
/// One that could not be asked is left alone for so long.
const FAILED: Duration = Duration::from_secs(5);
/// The letters of a caller's tag in keys.
const TAG: usize = 32;

/// What a connector's grants are made by, all references resolved.
#[derive(Debug, Clone, Default)]
pub struct GrantSettings {
    /// The issuer, as its metadata names it.
    pub issuer: Option<String>,
    /// Where people agree, instead of what metadata says.
    pub authorization: Option<Url>,
    /// Where tokens are, instead of what metadata says.
    pub token: Option<Url>,
    /// Who we are there, when that is agreed.
    pub client_id: Option<String>,
    /// What proves it, and the folder that files are relative to.
    pub client_secret: Option<(Reference, PathBuf)>,
    /// How that is shown, when the manifest says so.
    pub auth: Option<ClientAuth>,
    /// The scopes to ask for; none said, what the upstream wants.
    pub scopes: Vec<String>,
    /// Whom tokens are for, as some issuers want it named.
    pub audience: Option<String>,
    /// The same as an address (RFC 8707).
    pub resource: Option<String>,
    /// The header a token stands in, and what stands before it there.
    pub header: (String, String),
    /// Whether the issuer may be at a private address.
    pub allow_private: bool,
}

/// What grants are made in.
pub struct GrantOptions<'a> {
    /// Whose they are.
    pub connector: ConnectorId,
    /// What people call it.
    pub name: String,
    /// Where its calls go: a grant for one place is none for another.
    pub address: String,
    /// The address of an MCP server, which says by itself who gives out its tokens.
    pub server: Option<Url>,
    /// What the manifest says.
    pub settings: GrantSettings,
    /// The way out.
    pub upstream: &'a Upstream,
    /// Where grants are kept, and who owns what has to be finished once it was begun.
    pub keyring: &'a Arc<Keyring>,
}

/// The grants of one connector.
pub struct Grants {
    connector: ConnectorId,
    name: String,
    /// Of the settings, so that a grant made under others does not count.
    binding: String,
    server: Option<Url>,
    settings: GrantSettings,
    hop: Hop,
    fetcher: Fetcher,
    keyring: Arc<Keyring>,
    known: tokio::sync::Mutex<Option<(Instant, Result<Arc<Found>>)>>,
    turns: refresh::Turns,
    /// When a grant was refused that was shown to learn what the upstream has, by its key.
    refused: Mutex<HashMap<String, Instant>>,
}

/// How a caller stands with a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// When they agreed.
    pub since: SystemTime,
    /// The scopes they gave, if that is known.
    pub scopes: Vec<String>,
}

/// What a person is asked to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The host at which they will be asked.
    pub host: String,
    /// The scopes we will ask for.
    pub scopes: Vec<String>,
}

/// How a disconnection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parted {
    /// There was nothing.
    Nothing,
    /// It is forgotten here, and taken back at the issuer.
    TakenBack,
    /// It is forgotten here; the issuer could not be told, or takes nothing back.
    Forgotten,
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for GrantOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrantOptions").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Grants {
    /// The grants of a connector; the reason when there can be none.
    pub fn new(options: GrantOptions<'_>) -> Result<Self, String> {
        let GrantOptions { connector, name, address, server, settings, upstream, keyring } = options;
        let fetcher = Fetcher::new(upstream, settings.allow_private)?;
        let hop = upstream.hop(settings.allow_private, None).map_err(|_| "this machine has no usable TLS roots")?;
        let by_hand = settings.authorization.is_some() && settings.token.is_some();
        if settings.issuer.is_none() && !by_hand && server.is_none() {
            return Err("`credentials.oauth` names neither an issuer nor both of authorizationUrl and tokenUrl".into());
        }
        let said = [&settings.authorization, &settings.token].map(|url| url.as_ref().map(Url::as_str));
        let binding =
            fingerprint(&json!([address, settings.issuer, said, settings.client_id, settings.resource]).to_string());
        let (known, turns, refused) = Default::default();
        let keyring = Arc::clone(keyring);
        Ok(Self { connector, name, binding, server, settings, hop, fetcher, keyring, known, turns, refused })
    }

    /// What the upstream is shown in a call by this caller. Nobody else's grant ever is.
    pub async fn credential(&self, caller: &Caller) -> Result<Credential> {
        let Some(key) = self.key(caller) else { return Err(self.stranger()) };
        self.token(&key, &caller.id()).await
    }

    /// The upstream refused what it was shown: another token is had for the next try. Whether there is one.
    pub async fn refused(&self, caller: &Caller, shown: &Credential) -> bool {
        let Some(key) = self.key(caller) else { return false };
        match self.find(&key, &caller.id()).await {
            // Somebody had another one meanwhile.
            Ok(Some(kept)) if !shows(shown, &kept.value.access) => true,
            Ok(Some(kept)) => self.doubt(&key, kept).await,
            Ok(None) | Err(_) => false,
        }
    }

    /// Any caller's, to learn what an upstream has. Never for a call. One that was refused lately comes last.
    pub async fn any(&self) -> Result<Option<Credential>> {
        let mut all = self.all().await?;
        {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.retain(|key, _| all.iter().any(|(other, _)| other == key));
            all.sort_by_key(|(key, _)| refused.get(key).copied());
        }
        for (key, kept) in all {
            if let Ok(credential) = self.token(&key, &kept.value.caller).await {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// That was refused: whether the next one is another. One caller whose access has ended keeps nothing from others.
    pub async fn any_refused(&self, shown: &Credential) -> bool {
        let Ok(all) = self.all().await else { return false };
        let more = all.len() > 1;
        let Some((key, kept)) = all.into_iter().find(|(_, kept)| shows(shown, &kept.value.access)) else { return true };
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), Instant::now());
        self.doubt(&key, kept).await || more
    }

    /// The upstream refuses what this caller let us show, and there is nothing else to show: what they are told.
    pub fn unwelcome(&self) -> Error {
        let message = format!(
            "{} refuses the access it was given (HTTP 401), to this at least; if it was taken back there, connect it again",
            self.name
        );
        Error::new(ErrorKind::NotConnected, message).connecting(self.connect())
    }

    /// How a caller stands.
    pub async fn standing(&self, caller: &Caller) -> Result<Option<Standing>> {
        let Some(key) = self.key(caller) else { return Ok(None) };
        let kept = self.find(&key, &caller.id()).await?;
        Ok(kept.map(|Kept { value: grant, .. }| Standing {
            since: SystemTime::UNIX_EPOCH + Duration::from_millis(grant.granted),
            scopes: grant.scopes.iter().flat_map(|it| it.split_ascii_whitespace()).map(str::to_owned).collect(),
        }))
    }

    /// Forgets a caller's grant, also one of other settings, and takes it back at the issuer.
    pub async fn disconnect(&self, caller: &Caller) -> Result<Parted> {
        if self.key(caller).is_some() { self.end(&caller.id()).await } else { Ok(Parted::Nothing) }
    }

    /// What a person is asked to open; says so when the issuer cannot be found.
    pub async fn terms(&self, caller: &Caller) -> Result<Terms> {
        let found = self.found().await?;
        let host = found.issuer.authorization.host_str().unwrap_or_default().to_owned();
        Ok(Terms { host, scopes: self.scopes(caller, &found).await? })
    }

    /// The issuer, and what the upstream wants of it. All who come while it is asked hear the same.
    async fn found(&self) -> Result<Arc<Found>> {
        let mut known = self.known.lock().await;
        if let Some((read, found)) = known.as_ref() {
            match found {
                Ok(found) if read.elapsed() < KNOWN => return Ok(Arc::clone(found)),
                Err(error) if read.elapsed() < FAILED => return Err(error.copy()),
                Ok(_) | Err(_) => {}
            }
        }
        let found = self.discover().await.map(Arc::new);
        let told = found.as_ref().map(Arc::clone).map_err(Error::copy);
        *known = Some((Instant::now(), found));
        told
    }

    async fn discover(&self) -> Result<Found> {
        let settings = &self.settings;
        let way = Way { hop: &self.hop, fetcher: &self.fetcher, allow_private: settings.allow_private };
        let by_hand = settings.authorization.clone().zip(settings.token.clone());
        let mut found = match (&settings.issuer, by_hand, &self.server) {
            (Some(name), None, _) => {
                Found { issuer: discover::issuer(name, &way).await?, resource: None, scopes: Vec::new() }
            }
            (name, Some((authorization, token)), _) => {
                // An issuer of this name may say more of itself, such as where grants are taken back; it need not.
                let said = match name {
                    Some(name) => discover::issuer(name, &way).await.ok(),
                    None => None,
                };
                let issuer = said.unwrap_or_else(|| Issuer::by_hand(name.clone(), authorization, token));
                Found { issuer, resource: None, scopes: Vec::new() }
            }
            (None, None, Some(server)) => discover::resource(server, &way).await?,
            (None, None, None) => return Err(Error::new(ErrorKind::Internal, "the connector has no issuer")),
        };
        // One address may be given where the metadata's is not the one to use.
        found.issuer.authorization = settings.authorization.clone().unwrap_or(found.issuer.authorization);
        found.issuer.token = settings.token.clone().unwrap_or(found.issuer.token);
        Ok(found)
    }

    /// The scopes to ask a caller for: their tenant's, the manifest's, or what the upstream wants.
    async fn scopes(&self, caller: &Caller, found: &Found) -> Result<Vec<String>> {
        let own = self.client_of(caller.tenant()).await?.map(|own| own.scopes).unwrap_or_default();
        if let Some(said) = [own, self.settings.scopes.clone()].into_iter().find(|said| !said.is_empty()) {
            return Ok(said);
        }
        let mut scopes = found.scopes.clone();
        // Without it, many issuers give a token that ends in an hour, and nothing to have another with.
        let offline = "offline_access";
        if found.issuer.scopes.iter().any(|scope| scope == offline) && !scopes.iter().any(|scope| scope == offline) {
            scopes.push(offline.to_owned());
        }
        Ok(scopes)
    }

    /// Where a caller's grant is kept. Nobody in particular has none.
    fn key(&self, caller: &Caller) -> Option<String> {
        match caller {
            Caller::Local | Caller::Known(_) => Some(self.key_of(&caller.id())),
            Caller::Anonymous { .. } => None,
        }
    }

    fn key_of(&self, caller: &str) -> String {
        let tag: String = sha256_hex(caller).chars().take(TAG).collect();
        format!("grant/{}/{tag}", self.connector)
    }

    /// A caller's grant, when it was made under these settings.
    async fn find(&self, key: &str, caller: &str) -> Result<Option<Kept<Grant>>> {
        let kept = self.safe()?.read::<Grant>(key).await.map_err(unavailable)?;
        Ok(kept.filter(|kept| kept.value.caller == caller && kept.value.binding == self.binding))
    }

    /// What a grant's token is shown as.
    fn shown(&self, grant: &Grant, access: &SecretString) -> Credential {
        let (header, prefix) = &self.settings.header;
        let value = SecretString::from(format!("{prefix}{}", access.expose_secret()));
        let account = Some(format!("{} {}", grant.caller, grant.granted));
        Credential { headers: vec![(header.clone(), value)], account, ..Credential::default() }
    }

    fn safe(&self) -> Result<&Safe> {
        self.keyring.safe().map_err(nowhere)
    }

    /// Nobody can be asked who is not known.
    fn stranger(&self) -> Error {
        let message = format!(
            "{} acts for people, each in their own name, and this server does not know who you are: sign in to it first",
            self.name
        );
        Error::new(ErrorKind::Forbidden, message)
    }

    /// The caller has to agree first.
    fn unconnected(&self, again: bool) -> Error {
        let message = if again {
            format!("the access to {} has ended: connect it again", self.name)
        } else {
            format!("{} is not connected yet: it acts in your own name, and you have to agree to that first", self.name)
        };
        Error::new(ErrorKind::NotConnected, message).connecting(self.connect())
    }

    fn connect(&self) -> Connect {
        Connect { connector: self.connector.to_string(), name: self.name.clone(), invitation: None }
    }
}

/// Nothing can be kept, for this reason.
pub fn nowhere(why: String) -> Error {
    let message = "this server can keep no grants, so nobody can connect; its operator finds the reason in the log";
    Error::new(ErrorKind::Unavailable, message).because(why)
}

/// The store did not answer.
pub fn unavailable(error: StoreError) -> Error {
    Error::new(ErrorKind::Unavailable, "this server cannot read who connected what; try again later").because(error)
}

/// Why an issuer gives no token, to a person or a model.
fn unanswered(error: TokenError) -> Error {
    Error::from(error)
}

fn shows(shown: &Credential, access: &str) -> bool {
    shown.headers.iter().any(|(_, value)| value.expose_secret().ends_with(access))
}
