//! Words nobody can guess, and what stands for them where they must not be kept.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, rand};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::error::{Error, ErrorKind, Result};

/// A word of 256 random bits.
pub fn word() -> Result<String> {
    let mut bytes = [0; 32];
    let none = |_| Error::new(ErrorKind::Internal, "this machine gives no random numbers");
    rand::fill(&mut bytes).map_err(none)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether this could be such a word, which is all that is ever looked up.
pub fn is_word(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Stands for a word: its SHA-256.
pub fn fingerprint(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
pub fn is_same(a: &str, b: &str) -> bool {
    verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}
