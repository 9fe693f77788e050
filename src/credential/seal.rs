//! Sealing: nothing secret lies in the store as it is. AES-256-GCM with a key from outside the store.
//!
//! A sealed value is `1`, four bytes that name its key, a nonce, and the encrypted bytes with their tag. The name it is
//! kept under is authenticated with it, so that nobody who can write to the store can pass one person's value off as
//! another's.

use std::{fmt, io, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, rand,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::zeroize::Zeroizing;

use crate::secret::{Environment, keep_secret, read_secret};

/// The variable that holds keys, the newest first.
pub const SEAL_KEY: &str = "SWITCHBOARD_SEAL_KEY";
/// The file in the data folder that holds a key of our own making.
pub(super) const SEAL_FILE: &str = "seal.key";
/// The length of a key, in bytes.
const KEY: usize = 32;
/// The most keys there may be, and the longest file of them.
const MOST_KEYS: usize = 16;
const LONGEST_FILE: u64 = 4096;
/// The form of sealed values.
const FORM: u8 = 1;
const NAME: usize = 4;

/// Seals values, and opens them again.
pub struct Seal {
    /// The newest first. Never empty.
    keys: Vec<Key>,
}

struct Key {
    name: [u8; NAME],
    key: RandomizedNonceKey,
}

/// A value that was sealed.
pub struct Opened {
    /// The value.
    pub plain: Zeroizing<Vec<u8>>,
    /// Whether an older key sealed it, so that it should be sealed anew.
    pub is_old: bool,
}

/// Why a sealed value stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// None of our keys sealed it.
    #[error("it was sealed with a key that is not here")]
    NoKey,
    /// It is not what was sealed under this name.
    #[error("it was changed, or sealed under another name")]
    Changed,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("keys", &self.keys.len()).finish()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("is_old", &self.is_old).finish_non_exhaustive()
    }
}

impl Seal {
    /// The keys of the environment, else those of `file`, else the one in the data folder, which is made when it is
    /// missing. The error says what to mend.
    pub fn load(environment: &Environment, file: Option<&Path>, data: Option<&Path>) -> Result<Self, String> {
        if let Some(text) = environment.get(SEAL_KEY) {
            return Self::of(text).map_err(|why| format!("{SEAL_KEY}: {why}"));
        }
        if let Some(file) = file {
            return read(file).map_err(|why| format!("the file of sealing keys {}: {why}", file.display()));
        }
        let folder = data.ok_or("no folder is known where a sealing key can be kept")?;
        let file = folder.join(SEAL_FILE);
        let failed = |why: String| format!("the sealing key {}: {why}", file.display());
        make(&file).map_err(|error| failed(format!("it cannot be made: {error}")))?;
        read(&file).map_err(failed)
    }

    /// Keys in base64, the newest first, with spaces, commas or new lines between.
    pub fn of(text: &str) -> Result<Self, String> {
        let words = text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|word| !word.is_empty());
        let keys = words.map(Key::of).collect::<Option<Vec<_>>>();
        let keys = keys.filter(|keys| (1..=MOST_KEYS).contains(&keys.len()));
        let keys = keys.ok_or_else(|| {
            format!("a sealing key is {KEY} random bytes in base64, as `openssl rand -base64 {KEY}` makes them")
        })?;
        Ok(Self { keys })
    }

    /// Seals a value under the name it will be kept by.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Closed> {
        let key = self.keys.first().ok_or(Closed::NoKey)?;
        let mut sealed = plain.to_vec();
        let nonce = key.key.seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed);
        let nonce = nonce.map_err(|_| Closed::Changed)?;
        Ok([&[FORM][..], &key.name, nonce.as_ref(), &sealed].concat())
    }

    /// Opens what was sealed under a name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Opened, Closed> {
        let (form, rest) = sealed.split_first().ok_or(Closed::Changed)?;
        let (key, rest) = rest.split_first_chunk::<NAME>().ok_or(Closed::Changed)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Closed::Changed)?;
        if *form != FORM {
            return Err(Closed::Changed);
        }
        let found = self.keys.iter().enumerate().find(|(_, known)| known.name == *key);
        let (index, key) = found.ok_or(Closed::NoKey)?;
        let mut plain = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut plain);
        let length = opened.map_err(|_| Closed::Changed)?.len();
        plain.truncate(length);
        Ok(Opened { plain, is_old: index > 0 })
    }
}

impl Key {
    fn of(word: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(word).ok().filter(|bytes| bytes.len() == KEY)?);
        let name = digest::digest(&digest::SHA256, &bytes).as_ref().first_chunk().copied()?;
        Some(Self { name, key: RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()? })
    }
}

fn read(file: &Path) -> Result<Seal, String> {
    let bytes = read_secret(file, LONGEST_FILE, 0o077)?;
    Seal::of(str::from_utf8(&bytes).map_err(|_| "it holds no text")?)
}

/// Makes a key, unless there is one.
fn make(file: &Path) -> io::Result<()> {
    let text = || {
        let mut key = Zeroizing::new([0; KEY]);
        rand::fill(key.as_mut_slice()).map_err(|_| io::Error::other("this machine gives no random bytes"))?;
        Ok(Zeroizing::new(format!("{}\n", BASE64_STANDARD.encode(key.as_slice()))))
    };
    keep_secret(file, text).map(drop)
}
