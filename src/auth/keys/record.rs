//! One key of the file: how it stands there, and how it is made.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use humantime::{format_rfc3339_seconds, parse_rfc3339};
use schemars::JsonSchema;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use super::{Digest, digest_of};
use crate::caller::Scopes;
use crate::widget::hex;

/// The characters of a key's secret part: base64url of 32 random bytes.
pub(super) const SECRET_CHARS: usize = 43;

const ID_CHARS: usize = 10;
/// 32 of them, so that five random bits name each as likely as the next.
const ID_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The last second of the year 9999, since 1970: no later time can be written.
const LATEST: Duration = Duration::from_secs(253_402_300_799);
const HASH: &str = "sha256:";

/// A key as it is known here; what proves it is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Names the key.
    pub id: String,
    /// Who shows it.
    pub subject: String,
    /// Whom they belong to.
    pub tenant: Option<String>,
    /// What it opens.
    pub scopes: Scopes,
    /// When it was made.
    pub created: SystemTime,
    /// When it ends; `None`: when it is revoked.
    pub expires: Option<SystemTime>,
    /// What it is for.
    pub note: Option<String>,
    pub(super) digest: Digest,
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("KeyRecord");
        shown
            .field("id", &self.id)
            .field("subject", &self.subject)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Who will show it.
    pub subject: String,
    /// Whom they belong to.
    pub tenant: Option<String>,
    /// What it opens.
    pub scopes: Scopes,
    /// How long it is good for; `None`: until it is revoked.
    pub lifetime: Option<Duration>,
    /// What it is for.
    pub note: Option<String>,
}

/// A key as it stands in the file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[schemars(extend("pattern" = "^[a-z0-9]{10}$"))]
    pub(super) id: String,
    #[schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$"))]
    hash: String,
    #[schemars(length(min = 1, max = 200))]
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    tenant: Option<String>,
    /// Scopes; `*` stands for all.
    #[schemars(inner(regex(pattern = r"^[!#-\[\]-~]{1,200}$")))]
    scopes: Vec<String>,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    note: Option<String>,
}

impl Line {
    /// What it says, or the member that is wrong, and how.
    pub(super) fn record(&self) -> Result<KeyRecord, (&'static str, &'static str)> {
        const TIME: &str = "is no time like 2030-01-31T12:00:00Z";
        let time = |text: &str| parse_rfc3339(text).map_err(|_| TIME);
        Ok(KeyRecord {
            id: self.id.clone(),
            subject: self.subject.clone(),
            tenant: self.tenant.clone(),
            scopes: self.scopes.iter().map(String::as_str).collect(),
            created: time(&self.created).map_err(|why| ("created", why))?,
            expires: self.expires.as_deref().map(time).transpose().map_err(|why| ("expires", why))?,
            note: self.note.clone(),
            digest: digest_in(&self.hash).ok_or(("hash", "is no `sha256:` with 64 hexadecimal digits"))?,
        })
    }
}

impl From<&KeyRecord> for Line {
    fn from(record: &KeyRecord) -> Self {
        let scopes = match &record.scopes {
            Scopes::All => vec!["*".to_owned()],
            Scopes::These(names) => names.iter().cloned().collect(),
        };
        let hash = format!("{HASH}{}", hex(&record.digest));
        Self {
            id: record.id.clone(),
            hash,
            subject: record.subject.clone(),
            tenant: record.tenant.clone(),
            scopes,
            created: format_rfc3339_seconds(record.created).to_string(),
            expires: record.expires.map(|expires| format_rfc3339_seconds(expires).to_string()),
            note: record.note.clone(),
        }
    }
}

fn digest_in(hash: &str) -> Option<Digest> {
    let digits = hash.strip_prefix(HASH)?;
    let mut digest = Digest::default();
    if digits.len() != digest.len() * 2 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

impl NewKey {
    /// The key, and what is kept of it. `None` when the machine gives no random bytes or the time is out of range.
    pub(super) fn make(self, now: SystemTime) -> Option<(KeyRecord, SecretString)> {
        let id = new_id()?;
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut()).ok()?;
        let key = Zeroizing::new(format!("sb_{id}_{}", *Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()))));
        let Self { subject, tenant, scopes, lifetime, note } = self;
        let end = |lifetime| now.checked_add(lifetime).filter(|end| *end <= SystemTime::UNIX_EPOCH + LATEST);
        let expires = match lifetime {
            Some(lifetime) => Some(end(lifetime)?),
            None => None,
        };
        let digest = digest_of(&key);
        let record = KeyRecord { id, subject, tenant, scopes, created: now, expires, note, digest };
        Some((record, SecretString::from(key.as_str())))
    }
}

fn new_id() -> Option<String> {
    let mut bytes = [0; ID_CHARS];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    bytes.iter().map(|byte| ID_ALPHABET.get(usize::from(byte & 31)).copied().map(char::from)).collect()
}

pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
