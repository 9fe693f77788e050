//! The public keys of somebody who signs, found anew when they change.

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::Denied;
use super::kept::{Kept, Read};
use crate::upstream::Fetcher;

/// The largest set we read.
const MAX_BYTES: usize = 256 << 10;
/// The most keys of a set we look at.
const MAX_KEYS: usize = 100;

/// The keys at one address. They are read when first asked for, again after an hour at most, and when one is not among
/// them; the last of these at most twice a minute, because anybody can name a key that does not exist.
#[derive(Debug)]
pub(super) struct Jwks {
    url: Url,
    fetcher: Fetcher,
    keys: Kept<KeySet>,
}

impl Jwks {
    /// The keys at `url`.
    pub(super) fn new(url: Url, fetcher: Fetcher) -> Self {
        Self { url, fetcher, keys: Kept::default() }
    }

    /// Where the keys are.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The key of this name that fits the algorithm.
    pub(super) async fn key(&self, kid: Option<&str>, alg: Algorithm) -> Result<DecodingKey, Denied> {
        let asked = Instant::now();
        let unfit = || Denied::Invalid("the key it is signed with is not for its algorithm".into());
        match self.keys.get(self.read()).await?.pick(kid, alg) {
            Pick::Key(key) => return Ok(key),
            Pick::Unfit => return Err(unfit()),
            Pick::Unknown => {}
        }
        match self.keys.newer(asked, self.read()).await?.pick(kid, alg) {
            Pick::Key(key) => Ok(key),
            Pick::Unfit => Err(unfit()),
            Pick::Unknown => Err(Denied::Invalid("it is signed with a key that its issuer does not have".into())),
        }
    }

    async fn read(&self) -> Read<KeySet> {
        let fetched = self.fetcher.json(&self.url, MAX_BYTES).await.map_err(|error| error.to_string());
        let set = fetched.and_then(|fetched| Ok((KeySet::parse(&fetched.value)?, fetched.max_age)));
        set.map_err(|why| format!("the keys of {} cannot be read: {why}", self.url.host_str().unwrap_or_default()))
    }
}

/// The keys of one set that can prove a signature.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    kid: Option<String>,
    /// What it says it is for; unsaid, all that its kind can do.
    alg: Option<KeyAlgorithm>,
    kind: Kind,
    decoding: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// What a set has for a name and an algorithm.
pub(super) enum Pick {
    /// This key.
    Key(DecodingKey),
    /// A key of this name, which is for something else.
    Unfit,
    /// No such key, or more than one when no name was given.
    Unknown,
}

impl KeySet {
    /// The keys of a JSON Web Key Set; what is none of our kinds is left out.
    pub(super) fn parse(set: &Value) -> Result<Self, String> {
        let keys = set.get("keys").and_then(Value::as_array).ok_or("it is no key set")?;
        if keys.len() > MAX_KEYS {
            return Err(format!("it holds more than {MAX_KEYS} keys"));
        }
        Ok(Self(keys.iter().filter_map(Key::parse).collect()))
    }

    /// The key of this name that fits the algorithm. Without a name, the only key that fits.
    pub(super) fn pick(&self, kid: Option<&str>, alg: Algorithm) -> Pick {
        let mut named = self.0.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid).peekable();
        let any = named.peek().is_some();
        let mut fitting = named.filter(|key| key.fits(alg));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Pick::Key(key.decoding.clone()),
            (None, None) if any && kid.is_some() => Pick::Unfit,
            (Some(_) | None, _) => Pick::Unknown,
        }
    }
}

impl Key {
    fn parse(key: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
        let text = |name| key.get(name).and_then(Value::as_str);
        let kind = match (text("kty")?, text("crv")) {
            ("RSA", _) => Kind::Rsa,
            ("EC", Some("P-256")) => Kind::P256,
            ("EC", Some("P-384")) => Kind::P384,
            ("OKP", Some("Ed25519")) => Kind::Ed25519,
            // Among them "oct": a secret that stands in a public set is no secret.
            _ => return None,
        };
        let for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
        let verifies = jwk.common.key_operations.as_ref().is_none_or(|ops| ops.contains(&KeyOperations::Verify));
        if !for_signatures || !verifies {
            return None;
        }
        // RFC 9864 gives the one curve we know of EdDSA a name of its own.
        let alg = match text("alg") {
            Some("Ed25519") => Some(KeyAlgorithm::EdDSA),
            _ => jwk.common.key_algorithm,
        };
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { kid: jwk.common.key_id, alg, kind, decoding })
    }

    /// Whether it may prove signatures of this algorithm. None of ours rests on a shared secret.
    fn fits(&self, alg: Algorithm) -> bool {
        let kind = match alg.family() {
            AlgorithmFamily::Hmac => return false,
            AlgorithmFamily::Rsa => Kind::Rsa,
            AlgorithmFamily::Ec if alg == Algorithm::ES256 => Kind::P256,
            AlgorithmFamily::Ec => Kind::P384,
            AlgorithmFamily::Ed => Kind::Ed25519,
        };
        self.kind == kind && self.alg.is_none_or(|said| said == KeyAlgorithm::from(alg))
    }
}
