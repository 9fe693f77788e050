//! The public keys of somebody who signs, found anew when they change.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::Denied;
use super::fetch::Fetcher;

/// The largest set we read.
const MAX_BYTES: usize = 256 << 10;
/// The most keys of a set we look at.
const MAX_KEYS: usize = 100;
/// After this time a set is read again.
const FRESH: Duration = Duration::from_hours(1);
/// After this time without a readable set, the old one no longer counts: one of its keys may have been revoked.
const USABLE: Duration = Duration::from_hours(24);
/// How often names of keys that we do not know may make us look for new ones.
const SEARCH_PAUSE: Duration = Duration::from_secs(30);
/// For how long a failure is remembered while there are no keys at all; with old keys, [`SEARCH_PAUSE`].
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// The keys at one address. One set of them is kept; one reads it for all who wait.
pub(super) struct Jwks {
    url: Url,
    fetcher: Fetcher,
    state: Mutex<State>,
    /// Held by whoever reads the set.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    failed: Option<(String, Instant)>,
    searched: Option<Instant>,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").finish_non_exhaustive()
    }
}

impl Jwks {
    /// The keys at `url`, which are read when first asked for.
    pub(super) fn new(url: Url, fetcher: Fetcher) -> Self {
        Self { url, fetcher, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// Where the keys are.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The key of this name that fits the algorithm.
    pub(super) async fn key(&self, kid: Option<&str>, alg: Algorithm) -> Result<DecodingKey, Denied> {
        let asked = Instant::now();
        let keys = self.current(asked).await?;
        match keys.pick(kid, alg) {
            Pick::Key(key) => return Ok(key),
            Pick::Unfit => return Err(Denied::Invalid("the key it is signed with is not for its algorithm".into())),
            Pick::Unknown => {}
        }
        match self.search(asked).await?.pick(kid, alg) {
            Pick::Key(key) => Ok(key),
            Pick::Unfit | Pick::Unknown => {
                Err(Denied::Invalid("it is signed with a key its issuer does not have".into()))
            }
        }
    }

    /// The set as we know it, read anew when it is old. Whoever finds it old reads it; others go on with what there is.
    async fn current(&self, now: Instant) -> Result<Arc<KeySet>, Denied> {
        let old = match self.with(|state| state.keys.clone()) {
            Some((keys, read)) if now.duration_since(read) < FRESH => return Ok(keys),
            Some((keys, read)) if now.duration_since(read) < USABLE => Some(keys),
            Some(_) | None => None,
        };
        let Some(old) = old else {
            let _reading = self.reading.lock().await;
            return self.read(now, FAILURE_PAUSE).await;
        };
        let Ok(_reading) = self.reading.try_lock() else { return Ok(old) };
        Ok(self.read(now, SEARCH_PAUSE).await.unwrap_or(old))
    }

    /// The set read anew because a name in it is not known, unless that was done just now.
    async fn search(&self, asked: Instant) -> Result<Arc<KeySet>, Denied> {
        let _reading = self.reading.lock().await;
        let now = Instant::now();
        let known = self.with(|state| {
            let pausing = state.searched.is_some_and(|searched| now.duration_since(searched) < SEARCH_PAUSE);
            match (&state.keys, &state.failed) {
                (Some((keys, read)), _) if *read >= asked => Some(Ok(keys.clone())),
                (_, Some((why, _))) if pausing => Some(Err(Denied::Unavailable(why.clone()))),
                (Some((keys, _)), None) if pausing => Some(Ok(keys.clone())),
                _ => {
                    state.searched = Some(now);
                    None
                }
            }
        });
        match known {
            Some(known) => known,
            None => self.read(now, FAILURE_PAUSE).await,
        }
    }

    /// Reads the set, unless somebody did since `asked`, or failed to within `pause`. The caller holds `reading`.
    async fn read(&self, asked: Instant, pause: Duration) -> Result<Arc<KeySet>, Denied> {
        let known = self.with(|state| state.keys.clone());
        if let Some((keys, read)) = known
            && read >= asked
        {
            return Ok(keys);
        }
        let failed = self.with(|state| state.failed.clone());
        if let Some((why, when)) = failed
            && when.elapsed() < pause
        {
            return Err(Denied::Unavailable(why));
        }
        let read = self.fetcher.json(&self.url, MAX_BYTES).await.map_err(|error| error.to_string());
        let read = read.and_then(|fetched| KeySet::parse(&fetched.value));
        self.with(|state| match read {
            Ok(keys) => {
                let keys = Arc::new(keys);
                state.keys = Some((keys.clone(), Instant::now()));
                state.failed = None;
                Ok(keys)
            }
            Err(why) => {
                let why = format!("the issuer's keys cannot be read: {why}");
                state.failed = Some((why.clone(), Instant::now()));
                Err(Denied::Unavailable(why))
            }
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
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
