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

/// Clients that somebody let in.
const PREFIX: &str = "auth/client/";
/// Those that nobody let in yet, oldest first.
const NEWCOMERS: &str = "auth/newcomer/";
/// A client that nobody lets in is forgotten after this long.
const UNUSED: Duration = Duration::from_hours(7 * 24);
/// When there are so many of those, the oldest make room: nobody can close the door for others.
const MOST: u64 = 10_000;
/// How many make room at most for one, should several processes have let in too many.
const ROOM: u64 = 10;
/// The largest record.
const LARGEST: usize = 8 << 10;
const MOST_REDIRECTS: usize = 20;

/// What is kept of a client.
#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    name: String,
    redirects: Vec<String>,
    proof: Proof,
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
        if !is_id(id) {
            return Ok(None);
        }
        let mut kept = self.shelf.read::<Record>(&format!("{PREFIX}{id}")).await?;
        if kept.is_none() {
            kept = self.shelf.read::<Record>(&format!("{NEWCOMERS}{id}")).await?;
        }
        Ok(kept.map(|kept| {
            let Record { id, name, redirects, proof } = kept.value;
            Client { id, name, kind: Kind::Registered, redirects: Redirects::These(redirects), proof }
        }))
    }

    /// Keeps a client for ever, once somebody let it in: clients do not expect to be forgotten.
    pub(in crate::auth::issuer) async fn used(&self, id: &str) -> Result<(), Trouble> {
        let newcomer = format!("{NEWCOMERS}{id}");
        if let Some(kept) = self.shelf.read::<Record>(&newcomer).await? {
            let put = Put { expected: Expected::Absent, expires: None };
            self.shelf.keep(&format!("{PREFIX}{id}"), &kept.value, put).await?;
            self.shelf.remove(&newcomer, Expected::Any).await?;
        }
        Ok(())
    }

    /// Sees to it that there is room for one more.
    async fn make_room(&self) -> Result<(), Trouble> {
        let over = (self.shelf.count(NEWCOMERS).await? + 1).saturating_sub(MOST).min(ROOM);
        if over > 0 {
            tracing::warn!("{MOST} clients have registered that nobody let in; the oldest make room");
            self.shelf.drop_first(NEWCOMERS, usize::try_from(over).unwrap_or_default()).await?;
        }
        Ok(())
    }
}

/// Whether it may be the id of such a client.
fn is_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    id.len() <= 64 && id.bytes().all(fits)
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
    // The time comes first, so that the oldest stand first.
    let id = format!("{:012x}-{}", now(), random::name()?);
    let secret = if asked.keys_secret() { Some(random::word()?) } else { None };
    let proof = match (&secret, asked.signs) {
        (Some(secret), _) => Proof::Secret(random::fingerprint(secret)),
        (None, Some(keys)) => Proof::Signature(keys),
        (None, None) => Proof::Nothing,
    };
    let record = Record { id, name: asked.name, redirects: asked.redirects, proof };
    if serde_json::to_vec(&record).map_or(usize::MAX, |record| record.len()) > LARGEST {
        let what = format!("that is too much: {LARGEST} bytes of names, addresses and keys are the most");
        return Ok(Err(Refusal::new("invalid_client_metadata", what)));
    }
    registry.make_room().await?;
    let key = format!("{NEWCOMERS}{}", record.id);
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
        let (redirects, native) = usable(redirects)?;
        let method = match asked.get("token_endpoint_auth_method").and_then(Value::as_str) {
            None | Some("client_secret_basic") => "client_secret_basic",
            Some("client_secret_post") => "client_secret_post",
            Some("none") => "none",
            Some("private_key_jwt") => "private_key_jwt",
            Some(other) => return Err(wrong(format!("{} is no way to authenticate here", plain(other)))),
        };
        let keys = keys_of(asked)?.filter(|_| method == "private_key_jwt");
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
            let short = asked.get(member).filter(|value| value.to_string().len() <= LARGEST);
            told.extend(short.map(|value| (member.to_owned(), value.clone())));
        }
        Ok(Self { name, redirects, method, signs: keys, told })
    }

    fn keys_secret(&self) -> bool {
        matches!(self.method, "client_secret_basic" | "client_secret_post")
    }
}

/// Those of the addresses that people may be sent to, and whether all of these belong to programs on their devices.
/// Clients name some for other servers too, so one that is of no use here does not keep a client out.
fn usable(redirects: Vec<String>) -> Result<(Vec<String>, bool), Refusal> {
    let wrong = |what: String| Refusal::new("invalid_redirect_uri", what);
    let first = redirects.first().map(|first| plain(first)).unwrap_or_default();
    let redirects: Vec<String> = redirects.into_iter().filter(|it| redirect::place(it).is_some()).collect();
    if redirects.is_empty() && !first.is_empty() {
        let what = "has to be https://, http:// at this machine (127.0.0.1, [::1], localhost), or a scheme with a dot, without fragment and user name";
        return Err(wrong(format!("{first} {what}")));
    }
    if redirects.is_empty() || redirects.len() > MOST_REDIRECTS {
        return Err(wrong(format!("redirect_uris has to hold 1 to {MOST_REDIRECTS} addresses")));
    }
    let native = !redirects.iter().any(|address| redirect::place(address) == Some(Place::Web));
    Ok((redirects, native))
}
