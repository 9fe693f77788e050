//! The keys that sign tokens. They are made at the first start, renewed now and then, and shared by all processes
//! on one store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Trouble;
use super::random;
use super::shelf::{Shelf, now};
use crate::store::{Expected, Put};

const KEY: &str = "auth/signing";
/// A key signs for this long.
const TERM: Duration = Duration::from_hours(90 * 24);
/// After that it still counts for this long, which is more than any token lives.
const LEGACY: Duration = Duration::from_hours(48);
/// Two processes may renew the keys at once; one of them is first.
const TRIES: usize = 10;
/// Keys that were read so long ago are as new as need be.
const MOMENT: Duration = Duration::from_secs(1);

/// All keys as they are kept. They open everything that the issuer guards.
#[derive(Serialize, Deserialize)]
struct Record {
    /// What makes refresh tokens ours.
    refresh: String,
    /// Oldest first; the last one signs.
    keys: Vec<KeyRecord>,
}

#[derive(Serialize, Deserialize)]
struct KeyRecord {
    id: String,
    /// PKCS#8, in base64url.
    private: String,
    /// When it was made, in milliseconds since 1970.
    made: u64,
}

/// The keys of one moment.
pub(super) struct Ring {
    keys: Vec<Key>,
    refresh: hmac::Key,
}

struct Key {
    id: String,
    made: u64,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: Jwk,
}

/// The keys, as they are now.
pub(super) struct Signing {
    shelf: Shelf,
    ring: Mutex<Arc<Ring>>,
    /// When they were last read. Held while they are read.
    read: tokio::sync::Mutex<Instant>,
}

impl Signing {
    /// Reads the keys, or makes them.
    pub(super) async fn open(shelf: Shelf) -> Result<Self, Trouble> {
        let ring = Mutex::new(Arc::new(renewed(&shelf).await?));
        Ok(Self { shelf, ring, read: tokio::sync::Mutex::new(Instant::now()) })
    }

    /// The keys to sign with: the last one is never older than its term.
    pub(super) async fn fresh(&self) -> Result<Arc<Ring>, Trouble> {
        let ring = self.current();
        if ring.keys.last().is_some_and(|key| is_within(key.made, TERM)) {
            return Ok(ring);
        }
        self.reload().await
    }

    /// The keys to verify a signature of the key of this name with. Another process may have made it.
    pub(super) async fn knowing(&self, id: &str) -> Result<Arc<Ring>, Trouble> {
        let ring = self.current();
        if ring.decoding(id).is_some() { Ok(ring) } else { self.newest().await }
    }

    /// The keys as they are in the store, or were a moment ago: whoever makes up names of keys makes us read no more
    /// often than that.
    pub(super) async fn newest(&self) -> Result<Arc<Ring>, Trouble> {
        let mut read = self.read.lock().await;
        if read.elapsed() < MOMENT {
            return Ok(self.current());
        }
        let ring = self.reload().await?;
        *read = Instant::now();
        Ok(ring)
    }

    /// The keys as last read.
    pub(super) fn current(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn reload(&self) -> Result<Arc<Ring>, Trouble> {
        let ring = Arc::new(renewed(&self.shelf).await?);
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        Ok(ring)
    }
}

impl Ring {
    /// The name of the key that signs, and the key.
    pub(super) fn signer(&self) -> Option<(&str, &EncodingKey)> {
        self.keys.last().map(|key| (key.id.as_str(), &key.encoding))
    }

    /// The public half of the key of this name.
    pub(super) fn decoding(&self, id: &str) -> Option<&DecodingKey> {
        self.keys.iter().find(|key| key.id == id).map(|key| &key.decoding)
    }

    /// What makes refresh tokens ours.
    pub(super) fn refresh(&self) -> &hmac::Key {
        &self.refresh
    }

    /// The public halves, as a JSON Web Key Set.
    pub(super) fn public(&self) -> Value {
        let keys: Vec<&Jwk> = self.keys.iter().map(|key| &key.public).collect();
        serde_json::json!({ "keys": keys })
    }

    fn read(record: &Record) -> Result<Self, Trouble> {
        let keys = record.keys.iter().map(Key::read).collect::<Result<_, _>>()?;
        let refresh = random::decode(&record.refresh).ok_or_else(unreadable)?;
        Ok(Self { keys, refresh: hmac::Key::new(hmac::HMAC_SHA256, &refresh) })
    }
}

impl Key {
    fn read(record: &KeyRecord) -> Result<Self, Trouble> {
        let private = random::decode(&record.private).ok_or_else(unreadable)?;
        let encoding = EncodingKey::from_ec_der(&private);
        let mut public = Jwk::from_encoding_key(&encoding, Algorithm::ES256).map_err(|_| unreadable())?;
        public.common.key_id = Some(record.id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let decoding = DecodingKey::from_jwk(&public).map_err(|_| unreadable())?;
        Ok(Self { id: record.id.clone(), made: record.made, encoding, decoding, public })
    }
}

fn unreadable() -> Trouble {
    Trouble::Broken("a signing key in the store cannot be read".into())
}

fn is_within(made: u64, time: Duration) -> bool {
    Duration::from_millis(now().saturating_sub(made)) < time
}

/// The keys of the store, with a new one when the last is over its term, and without those that are past use.
async fn renewed(shelf: &Shelf) -> Result<Ring, Trouble> {
    for _ in 0..TRIES {
        let kept = shelf.read::<Record>(KEY).await?;
        let (mut record, expected) = match kept {
            Some(kept) if kept.value.keys.last().is_some_and(|key| is_within(key.made, TERM)) => {
                return Ring::read(&kept.value);
            }
            Some(kept) => (kept.value, Expected::Is(kept.version)),
            None => (Record { refresh: random::word()?, keys: Vec::new() }, Expected::Absent),
        };
        record.keys.retain(|key| is_within(key.made, TERM + LEGACY));
        record.keys.push(generate()?);
        if shelf.keep(KEY, &record, Put { expected, expires: None }).await? {
            return Ring::read(&record);
        }
    }
    Err(Trouble::Broken("other processes renew the signing keys without end".into()))
}

fn generate() -> Result<KeyRecord, Trouble> {
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let pair = pair.map_err(|_| Trouble::Broken("this machine makes no signing keys".into()))?;
    Ok(KeyRecord { id: random::name()?, private: random::encode(pair.as_ref()), made: now() })
}
