//! API keys: which of them a caller shows.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use secrecy::{ExposeSecret as _, SecretString};

mod file;
mod lock;
mod record;

pub use file::KeyFile;
pub use record::{KeyRecord, NewKey};

use crate::caller::{KEY, Principal, Scopes};
use file::Stamp;

/// How often the file is looked at, in milliseconds.
const LOOK: u64 = 1000;

/// Who the keys of the environment stand for.
const OPERATOR: &str = "operator";

/// What a key is known by; the key itself is nowhere kept.
type Digest = [u8; SHA256_OUTPUT_LEN];

/// The keys that count now: those of the environment, and those of the file as it is now.
pub struct Keys {
    operator: Vec<Digest>,
    owner: Arc<Principal>,
    file: Option<KeyFile>,
    began: Instant,
    /// When the file was last looked at, in milliseconds since `began`.
    looked: AtomicU64,
    loaded: RwLock<Loaded>,
}

/// The file's keys as they were read last.
#[derive(Default)]
struct Loaded {
    /// The state of the file they were read from, or were tried to be read from; `None`: there is no file.
    stamp: Option<Stamp>,
    /// Whether that failed, so that these are the keys of an earlier state.
    failed: bool,
    by_id: HashMap<String, Known>,
}

struct Known {
    digest: Digest,
    expires: Option<SystemTime>,
    principal: Arc<Principal>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let mut shown = f.debug_struct("Keys");
        shown.field("operator", &self.operator.len()).field("file", &loaded.by_id.len()).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of `file`, if it is there, and those of the environment, which open everything.
    pub fn new(file: Option<PathBuf>, operator: Vec<SecretString>) -> Self {
        let operator = operator.into_iter().filter(|key| !key.expose_secret().trim().is_empty());
        let keys = Self {
            operator: operator.map(|key| digest_of(key.expose_secret().trim())).collect(),
            // Whom nobody else can be named like.
            owner: Arc::new(Principal {
                issuer: "environment".to_owned(),
                ..principal(OPERATOR, None, OPERATOR, Scopes::All)
            }),
            file: file.map(KeyFile::open),
            began: Instant::now(),
            looked: AtomicU64::new(0),
            loaded: RwLock::default(),
        };
        keys.load();
        keys
    }

    /// Whether callers are meant to show keys: one of the environment is set, or the file is there. A file whose keys
    /// are all revoked or expired, or that cannot be read, counts: nobody is let in because of that.
    pub fn is_set(&self) -> bool {
        self.look();
        !self.operator.is_empty() || self.loaded.read().unwrap_or_else(PoisonError::into_inner).stamp.is_some()
    }

    /// Whose key this is, when it is one that counts now.
    pub fn find(&self, shown: &str) -> Option<Arc<Principal>> {
        self.look();
        let digest = digest_of(shown);
        // All of them are compared, so that the time says nothing of which one is alike.
        let operator = self.operator.iter().filter(|key| same(key, &digest)).count();
        if operator > 0 {
            return Some(self.owner.clone());
        }
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let known = loaded.by_id.get(id_of(shown)?)?;
        (same(&known.digest, &digest) && known.is_alive()).then(|| known.principal.clone())
    }

    /// Whether the key that somebody came with counts now; of who came with no key, nothing is known here.
    pub fn still_knows(&self, principal: &Principal) -> bool {
        if principal.issuer == self.owner.issuer {
            return !self.operator.is_empty();
        }
        if principal.issuer != KEY {
            return true;
        }
        self.look();
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let known = principal.client.as_ref().and_then(|id| loaded.by_id.get(id));
        known.is_some_and(|known| known.is_alive() && known.principal.id() == principal.id())
    }

    /// Whether this is a key that opens everything.
    pub fn is_operator(&self, shown: &str) -> bool {
        self.find(shown).is_some_and(|principal| principal.scopes == Scopes::All)
    }

    /// Reads the file when it changed. One looks for all, once a second.
    fn look(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let looked = self.looked.load(Ordering::Relaxed);
        let due = now.saturating_sub(looked) >= LOOK && self.file.is_some();
        if due && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.load();
        }
    }

    fn load(&self) {
        let Some(file) = &self.file else { return };
        // The file's state is taken before its contents, so that a change between the two is seen next time.
        let stamp = file.stamp();
        let known = {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            if loaded.stamp == stamp && !loaded.failed {
                return;
            }
            loaded.stamp == stamp
        };
        let read = if stamp.is_some() { file.list() } else { Ok(Vec::new()) };
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        (loaded.stamp, loaded.failed) = (stamp, read.is_err());
        match read {
            Ok(records) => loaded.by_id = records.into_iter().map(Known::of).collect(),
            // It is tried again, but said only once.
            Err(_) if known => {}
            Err(problems) => {
                for problem in problems {
                    tracing::warn!("{problem}; the keys read before it still count");
                }
            }
        }
    }
}

impl Known {
    fn is_alive(&self) -> bool {
        self.expires.is_none_or(|expires| SystemTime::now() < expires)
    }

    fn of(record: KeyRecord) -> (String, Self) {
        let principal = principal(&record.subject, record.tenant, &record.id, record.scopes);
        (record.id, Self { digest: record.digest, expires: record.expires, principal: Arc::new(principal) })
    }
}

fn principal(subject: &str, tenant: Option<String>, client: &str, scopes: Scopes) -> Principal {
    Principal {
        issuer: KEY.into(),
        subject: subject.into(),
        tenant,
        client: Some(client.into()),
        reach: scopes.clone(),
        scopes,
        name: None,
        email: None,
    }
}

fn digest_of(key: &str) -> Digest {
    let mut out = [0; SHA256_OUTPUT_LEN];
    out.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    out
}

fn same(one: &Digest, other: &Digest) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// Whether this has the shape of a key that we made: `sb_`, ten letters and digits, `_`, 43 characters.
pub fn looks_like_key(shown: &str) -> bool {
    id_of(shown).is_some()
}

/// The id in a key.
fn id_of(shown: &str) -> Option<&str> {
    let (id, secret) = shown.strip_prefix("sb_")?.split_once('_')?;
    let secret_like = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (record::is_id(id) && secret.len() == record::SECRET_CHARS && secret.bytes().all(secret_like)).then_some(id)
}
