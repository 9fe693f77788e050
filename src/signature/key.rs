//! Keys in files: the shared one, and the pair whose public half everybody may have.

use std::{io, path::Path};

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};

use crate::secret::{keep_secret, read_secret};

/// The longest file of a key.
const LONGEST: u64 = 4096;
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A shared key: the text of a file, white space around it cut.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let bytes = contents(file)?;
    let text = str::from_utf8(&bytes).map_err(|_| "it holds no text")?;
    let key = text.trim();
    if key.is_empty() { Err("it is empty".into()) } else { Ok(key.to_owned()) }
}

/// A group may share such a key.
fn contents(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    read_secret(file, LONGEST, 0o007)
}

/// An Ed25519 key and its name.
pub(super) struct Pair {
    key: Ed25519KeyPair,
    id: String,
}

impl Pair {
    /// The pair in a file, which is made when there is none.
    pub(super) fn open(file: &Path) -> Result<Self, String> {
        let failed = |why: String| format!("signature.ed25519KeyFile, {}: {why}", file.display());
        if keep_secret(file, make).map_err(|error| failed(format!("it cannot be made: {error}")))? {
            tracing::info!("made an Ed25519 key to sign the service map with: {}", file.display());
        }
        Self::read(file).map_err(failed)
    }

    /// The pair in a file.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let bytes = contents(file)?;
        let written = std::str::from_utf8(&bytes).ok().and_then(|text| text.split_once(BEGIN)?.1.split_once(END));
        let decode = |(inside, _): (&str, &str)| {
            let inside: String = inside.split_ascii_whitespace().collect();
            BASE64_STANDARD.decode(inside).ok()
        };
        let der = written.map_or(Some(bytes.to_vec()), decode);
        let key = der.and_then(|der| Ed25519KeyPair::from_pkcs8(&der).ok());
        let key = key.ok_or("it holds no Ed25519 key (PKCS #8), as `openssl genpkey -algorithm ed25519` makes them")?;
        let id = thumbprint(key.public_key().as_ref());
        Ok(Self { key, id })
    }

    /// What the key goes by.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).as_ref().to_vec()
    }

    /// The public half, as a JWK (RFC 8037).
    pub(super) fn public(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id, "alg": "EdDSA", "use": "sig" })
    }
}

fn make() -> io::Result<Zeroizing<String>> {
    let broken = |_| io::Error::other("this machine makes no keys");
    let pair = Ed25519KeyPair::generate().map_err(broken)?;
    let der = pair.to_pkcs8v1().map_err(broken)?;
    let text = BASE64_STANDARD.encode(der.as_ref());
    Ok(Zeroizing::new(format!("{BEGIN}\n{text}\n{END}\n")))
}

/// The name of a public key (RFC 7638).
fn thumbprint(public: &[u8]) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(public);
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()))
}
