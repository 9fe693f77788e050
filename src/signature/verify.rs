//! Verifying: whether a signed document is what somebody signed whose key we have.

use std::path::Path;

use aws_lc_rs::{
    hmac,
    signature::{ED25519, UnparsedPublicKey},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::key::{self, Pair};
use super::{OWN_FILE, SignatureConfig, canonical, given};
use crate::secret::Environment;

/// The most signatures a document may have beside the first, and keys a set of them.
const MOST: usize = 32;

/// Verifies signed documents with the keys that are known here.
#[derive(Debug)]
pub struct Verifier {
    /// The shared key, and where it came from.
    shared: Option<(String, hmac::Key)>,
    public: Vec<Public>,
    /// Where the public keys came from, if there are any: one of them has to have signed, for whoever has the shared key
    /// can take that signature away.
    named: Option<String>,
}

#[derive(Debug)]
struct Public {
    id: String,
    key: Vec<u8>,
    from: String,
}

impl Verifier {
    /// Verifies with `keys`, the text of a JWK set with its name; where there is none, with the keys of the environment,
    /// of the settings' files and of the data folder.
    pub fn open(
        config: &SignatureConfig,
        environment: &Environment,
        data: Option<&Path>,
        keys: Option<(&str, &Value)>,
    ) -> Result<Self, String> {
        // Whoever names another's keys means a document that our own did not sign.
        let mut shared = if keys.is_some() { None } else { given(config, environment)? };
        let own = data.map(|folder| folder.join(OWN_FILE)).filter(|file| keys.is_none() && file.exists());
        if let (None, Some(file)) = (&shared, own) {
            let name = file.display().to_string();
            let key = key::read(&file).map_err(|why| format!("{name}: {why}"))?;
            shared = Some((name, key));
        }
        let public = match keys {
            Some((from, set)) => public_of(set, from)?,
            None => match config.ed25519_key_file.as_deref().filter(|file| file.exists()) {
                Some(file) => {
                    let from = file.display().to_string();
                    let pair = Pair::read(file).map_err(|why| format!("{from}: {why}"))?;
                    public_of(&serde_json::json!({ "keys": [pair.public()] }), &from)?
                }
                None => Vec::new(),
            },
        };
        let shared = shared.map(|(from, key)| (from, hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())));
        let named = public.first().map(|public| public.from.clone());
        Ok(Self { shared, public, named })
    }

    /// What was found of each signature. The error says what is wrong.
    pub fn verify(&self, document: &Value) -> Result<Vec<String>, String> {
        let payload = document.get("payload").filter(|payload| payload.is_object());
        let payload = payload.ok_or("it has no `payload` that is an object")?;
        let signature = document.get("signature").and_then(Value::as_str).ok_or("it has no `signature`")?;
        let signature = bytes_of(signature).ok_or("the signature is not 64 lower-case hexadecimal digits")?;
        let payload = canonical(payload)?;
        let mut said = Vec::new();
        let mut verified = false;
        match &self.shared {
            None => said.push("HMAC-SHA256: not verified, its key is not known here".to_owned()),
            Some((from, key)) => {
                let wrong = || format!("the signature (HMAC-SHA256) is none of this payload by the key of {from}");
                hmac::verify(key, payload.as_bytes(), &signature).map_err(|_| wrong())?;
                said.push(format!("HMAC-SHA256: verified with the key of {from}"));
                verified = true;
            }
        }
        let by_public = self.verify_public(document, &payload, &mut said)?;
        if let Some(named) = self.named.as_ref().filter(|_| !by_public) {
            return Err(format!("none of its signatures is by a key of {named}"));
        }
        if !verified && !by_public {
            return Err(
                "no key is known that it could be verified with: set CONNECTORS_SIGNATURE_KEY to the key it was \
                        signed with, or name its server's public keys with --public-key"
                    .into(),
            );
        }
        Ok(said)
    }

    /// Verifies the signatures that everybody can verify; whether there was one.
    fn verify_public(&self, document: &Value, payload: &str, said: &mut Vec<String>) -> Result<bool, String> {
        let Some(signatures) = document.get("signatures") else { return Ok(false) };
        let signatures = signatures.as_array().filter(|all| all.len() <= MOST);
        let mut verified = false;
        for signature in signatures.ok_or("`signatures` is no short list")? {
            let text = |name: &str| signature.get(name).and_then(Value::as_str).unwrap_or_default();
            let (id, made) = (text("kid"), text("signature"));
            let known = self.public.iter().find(|public| public.id == id);
            let id: String = id.chars().filter(char::is_ascii_graphic).take(64).collect();
            let Some(public) = known else {
                said.push(format!("EdDSA: not verified, its key `{id}` is not known here"));
                continue;
            };
            let made = BASE64_URL_SAFE_NO_PAD.decode(made).ok().filter(|_| text("alg") == "EdDSA");
            let key = UnparsedPublicKey::new(&ED25519, &public.key);
            if made.is_none_or(|made| key.verify(payload.as_bytes(), &made).is_err()) {
                return Err(format!(
                    "the signature (EdDSA) is none of this payload by the key `{id}` of {}",
                    public.from
                ));
            }
            said.push(format!("EdDSA: verified with the key `{id}` of {}", public.from));
            verified = true;
        }
        Ok(verified)
    }
}

/// The Ed25519 keys of a JWK set.
fn public_of(set: &Value, from: &str) -> Result<Vec<Public>, String> {
    let keys = set.get("keys").and_then(Value::as_array).filter(|keys| keys.len() <= MOST);
    let public = |key: &Value| {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let is_ours = text("kty") == Some("OKP") && text("crv") == Some("Ed25519");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text("x")?).ok().filter(|bytes| is_ours && bytes.len() == 32)?;
        Some(Public { id: text("kid")?.to_owned(), key: bytes, from: from.to_owned() })
    };
    let found: Vec<Public> = keys.into_iter().flatten().filter_map(public).collect();
    if found.is_empty() { Err(format!("{from} holds no JWK set with an Ed25519 key")) } else { Ok(found) }
}

/// The bytes of a signature, written as we write them.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let digits = text.bytes().map(digit).collect::<Option<Vec<u8>>>().filter(|digits| digits.len() == 64)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
