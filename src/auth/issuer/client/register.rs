//! Clients that register themselves (RFC 7591).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Client, Kind, Proof, Redirects, check_ways, keys_of, plain, texts};
use crate::auth::issuer::answer::Refusal;
use crate::auth::issuer::redirect::{self, Place};
use crate::auth::issuer::shelf::{Shelf, fresh, now};
use crate::auth::issuer::{Trouble, random};
use crate::store::{Expected, Put};

const PREFIX: &str = "auth/client/";
/// A client that nobody lets in is forgotten after this long.
const UNUSED: Duration = Duration::from_hours(90 * 24);
/// More are refused.
const MOST: u64 = 10_000;
const MOST_REDIRECTS: usize = 20;
/// The largest set of keys that is kept, as text.
const MOST_KEYS: usize = 16 << 10;

/// What is kept of a client.
#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    name: String,
    redirects: Vec<String>,
    proof: Proof,
    /// Whether somebody let it in: then it stays.
    used: bool,
}

/// All clients that registered.
#[derive(Clone)]
pub(in crate::auth::issuer) struct Registry {
    shelf: Shelf,
}

impl Registry {
    pub(in crate::auth::issuer) fn new(shelf: Shelf) -> Self {
        Self { shelf }
    }

    /// The client of this id.
    pub(in crate::auth::issuer) async fn find(&self, id: &str) -> Result<Option<Client>, Trouble> {
        let Some(key) = key(id) else { return Ok(None) };
        let kept = self.shelf.read::<Record>(&key).await?;
        Ok(kept.map(|kept| {
            let Record { id, name, redirects, proof, .. } = kept.value;
            Client { id, name, kind: Kind::Registered, redirects: Redirects::These(redirects), proof }
        }))
    }

    /// Keeps a client for ever, once somebody let it in: clients do not expect to be forgotten.
    pub(in crate::auth::issuer) async fn used(&self, id: &str) -> Result<(), Trouble> {
        let Some(key) = key(id) else { return Ok(()) };
        if let Some(kept) = self.shelf.read::<Record>(&key).await?
            && !kept.value.used
        {
            let record = Record { used: true, ..kept.value };
            let put = Put { expected: Expected::Is(kept.version), expires: None };
            self.shelf.keep(&key, &record, put).await?;
        }
        Ok(())
    }
}

/// Where a client of this id is kept; `None`: we give out no such ids.
fn key(id: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (id.len() <= 64 && id.bytes().all(fits)).then(|| format!("{PREFIX}{id}"))
}

/// Registers a client: what it is told.
pub(in crate::auth::issuer) async fn register(
    registry: &Registry,
    asked: &Value,
) -> Result<Result<Value, Refusal>, Trouble> {
    let asked = match Asked::read(asked) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if registry.shelf.count(PREFIX).await? >= MOST {
        tracing::warn!("a client could not register: there are {MOST} already");
        return Ok(Err(Refusal::new("temporarily_unavailable", "too many clients have registered; try again later")));
    }
    let id = random::name()?;
    let secret = if asked.keys_secret() { Some(random::word()?) } else { None };
    let proof = match (&secret, asked.signs) {
        (Some(secret), _) => Proof::Secret(random::fingerprint(secret)),
        (None, Some(keys)) => Proof::Signature(keys),
        (None, None) => Proof::Nothing,
    };
    let record = Record { id, name: asked.name, redirects: asked.redirects, proof, used: false };
    let key = format!("{PREFIX}{}", record.id);
    registry.shelf.keep(&key, &record, fresh(UNUSED)).await?;
    tracing::info!(client = record.id, name = record.name, "a client registered itself");
    let mut told = asked.told;
    told.insert("client_id".into(), record.id.into());
    told.insert("client_id_issued_at".into(), (now() / 1000).into());
    if let Some(secret) = secret {
        told.insert("client_secret".into(), secret.into());
        told.insert("client_secret_expires_at".into(), 0.into());
    }
    Ok(Ok(Value::Object(told)))
}

/// What a client says of itself, checked.
struct Asked {
    name: String,
    redirects: Vec<String>,
    method: &'static str,
    signs: Option<super::Keys>,
    /// What it is told of that.
    told: Map<String, Value>,
}

impl Asked {
    fn read(asked: &Value) -> Result<Self, Refusal> {
        let wrong = |what: String| Refusal::new("invalid_client_metadata", what);
        if !asked.is_object() {
            return Err(wrong("the body has to be a JSON object".into()));
        }
        check_ways(asked)?;
        let redirects = texts(asked, "redirect_uris")
            .map_err(|_| Refusal::new("invalid_redirect_uri", "redirect_uris has to be a list of addresses"))?;
        let native = redirects_are_right(&redirects)?;
        let method = match asked.get("token_endpoint_auth_method").and_then(Value::as_str) {
            None | Some("client_secret_basic") => "client_secret_basic",
            Some("client_secret_post") => "client_secret_post",
            Some("none") => "none",
            Some("private_key_jwt") => "private_key_jwt",
            Some(other) => return Err(wrong(format!("{} is no way to authenticate here", plain(other)))),
        };
        let keys = keys_of(asked)?.filter(|_| method == "private_key_jwt");
        let large = |keys: &super::Keys| serde_json::to_string(keys).is_ok_and(|text| text.len() > MOST_KEYS);
        if keys.as_ref().is_some_and(large) {
            return Err(wrong("jwks is too large".into()));
        }
        if method == "private_key_jwt" && keys.is_none() {
            return Err(wrong("private_key_jwt needs jwks or jwks_uri".into()));
        }
        let kind = match asked.get("application_type").and_then(Value::as_str) {
            Some("native") => "native",
            Some("web") => "web",
            _ if native => "native",
            _ => "web",
        };
        let name = asked.get("client_name").and_then(Value::as_str).map(plain).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "A client without a name".into());
        let told = json!({
            "client_name": name,
            "redirect_uris": redirects,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
            "application_type": kind,
        });
        let mut told = told.as_object().cloned().unwrap_or_default();
        for member in ["scope", "client_uri", "jwks", "jwks_uri"] {
            let short = asked.get(member).filter(|value| value.to_string().len() <= MOST_KEYS);
            told.extend(short.map(|value| (member.to_owned(), value.clone())));
        }
        Ok(Self { name, redirects, method, signs: keys, told })
    }

    fn keys_secret(&self) -> bool {
        matches!(self.method, "client_secret_basic" | "client_secret_post")
    }
}

/// Whether people may be sent to all of these, and whether all belong to programs on their devices.
fn redirects_are_right(redirects: &[String]) -> Result<bool, Refusal> {
    let wrong = |what: String| Refusal::new("invalid_redirect_uri", what);
    if redirects.is_empty() || redirects.len() > MOST_REDIRECTS {
        return Err(wrong(format!("redirect_uris has to hold 1 to {MOST_REDIRECTS} addresses")));
    }
    let mut native = true;
    for address in redirects {
        match redirect::place(address) {
            Some(Place::Web) => native = false,
            Some(Place::Loopback | Place::App) => {}
            None => {
                let what = "has to be https://, http:// at this machine (127.0.0.1, [::1], localhost), or a scheme with a dot, without fragment and user name";
                return Err(wrong(format!("{} {what}", plain(address))));
            }
        }
    }
    Ok(native)
}
