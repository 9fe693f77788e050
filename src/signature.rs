//! Signatures of what we say of ourselves: made over the payload as RFC 8785 writes it, exactly as it is sent.
//!
//! | signature | key | who can verify it |
//! |---|---|---|
//! | HMAC-SHA256 | `CONNECTORS_SIGNATURE_KEY`, a file, or one of our own making | whoever has the same key |
//! | Ed25519 | a file | everybody, by the public key that is published |

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod key;
mod verify;

pub use verify::Verifier;

use crate::secret::{Environment, keep_secret};
use crate::widget::hex;
use key::Pair;

/// The variable that holds the key that is shared with who verifies.
pub const SIGNATURE_KEY: &str = "CONNECTORS_SIGNATURE_KEY";
/// The file in the data folder that holds a key of our own making.
const OWN_FILE: &str = "signature.key";
/// Random bytes of a key of our own making.
const KEY: usize = 32;
/// A key of fewer letters can be guessed.
const SHORTEST: usize = 16;

/// What the service map is signed with. `CONNECTORS_SIGNATURE_KEY` comes before the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SignatureConfig {
    /// A file with the key that is shared with who verifies; `signature.key` in the data folder, made there, when unsaid.
    pub key_file: Option<PathBuf>,
    /// A file with an Ed25519 key (PKCS #8), made there when there is none: everybody can verify the second signature
    /// that is made with it. Without it there is none.
    pub ed25519_key_file: Option<PathBuf>,
}

/// Signs what we say of ourselves.
pub struct Signer {
    /// The shared key, once it is known.
    shared: Mutex<Option<hmac::Key>>,
    /// Where a key of our own making is kept.
    own_file: Option<PathBuf>,
    pair: Option<Pair>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("pair", &self.pair.as_ref().map(Pair::id)).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs with the keys of the environment and of the files that the settings name; the one in the data folder is
    /// looked for, and made, when it is first needed. The error says what to mend.
    pub fn open(config: &SignatureConfig, environment: &Environment, data: Option<&Path>) -> Result<Self, String> {
        let given = given(config, environment)?;
        if let Some((from, key)) = given.as_ref().filter(|(_, key)| key.len() < SHORTEST) {
            let letters = key.len();
            tracing::warn!("{from} has {letters} characters only, so it can be guessed; {SHORTEST} is the least");
        }
        let shared = given.map(|(_, key)| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
        let pair = config.ed25519_key_file.as_deref().map(Pair::open).transpose()?;
        let own_file = data.map(|folder| folder.join(OWN_FILE));
        Ok(Self { shared: Mutex::new(shared), own_file, pair })
    }

    /// The payload with its signatures: a JSON document on one line.
    pub fn sign(&self, payload: &Value) -> Result<String, String> {
        let payload = canonical(payload)?;
        let signature = hex(hmac::sign(&self.shared()?, payload.as_bytes()).as_ref());
        let second = self.pair.as_ref().map(|pair| {
            let made = BASE64_URL_SAFE_NO_PAD.encode(pair.sign(payload.as_bytes()));
            json!([{ "alg": "EdDSA", "kid": pair.id(), "signature": made }])
        });
        let second = second.map(|second| format!(r#","signatures":{second}"#)).unwrap_or_default();
        Ok(format!(r#"{{"payload":{payload},"signature":"{signature}"{second}}}"#))
    }

    /// The public key, as a JWK set, when there is one.
    pub fn public_keys(&self) -> Option<Value> {
        self.pair.as_ref().map(|pair| json!({ "keys": [pair.public()] }))
    }

    fn shared(&self) -> Result<hmac::Key, String> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*shared {
            return Ok(key.clone());
        }
        let file = self.own_file.as_deref().ok_or_else(|| {
            format!("there is no key to sign with: set {SIGNATURE_KEY}, or SWITCHBOARD_DATA_DIR to keep one in")
        })?;
        let failed = |why: String| format!("the key to sign with, {}: {why}", file.display());
        if keep_secret(file, random_key).map_err(|error| failed(format!("it cannot be made: {error}")))? {
            tracing::info!("made a key to sign the service map with: {}", file.display());
        }
        let made = hmac::Key::new(hmac::HMAC_SHA256, key::read(file).map_err(failed)?.as_bytes());
        Ok(shared.insert(made).clone())
    }
}

/// The shared key that somebody gave, and where.
fn given(config: &SignatureConfig, environment: &Environment) -> Result<Option<(String, String)>, String> {
    if let Some(key) = environment.get(SIGNATURE_KEY) {
        return Ok(Some((SIGNATURE_KEY.to_owned(), key.to_owned())));
    }
    let Some(file) = &config.key_file else { return Ok(None) };
    let name = format!("signature.keyFile, {}", file.display());
    let key = key::read(file).map_err(|why| format!("{name}: {why}"))?;
    Ok(Some((name, key)))
}

/// A payload as it is signed and sent.
fn canonical(payload: &Value) -> Result<String, String> {
    serde_json_canonicalizer::to_string(payload).map_err(|error| format!("the payload cannot be written: {error}"))
}

fn random_key() -> io::Result<Zeroizing<String>> {
    let mut key = Zeroizing::new([0; KEY]);
    rand::fill(key.as_mut_slice()).map_err(|_| io::Error::other("this machine gives no random bytes"))?;
    Ok(Zeroizing::new(format!("{}\n", hex(key.as_slice()))))
}
