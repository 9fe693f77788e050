//! Words nobody can guess, their fingerprints, and comparing them.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, rand};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::Trouble;

/// Letters and digits that nobody takes for another when reading them from a screen.
const CLEAR: &[u8; 31] = b"ABCDEFGHJKMNPQRSTUVWXYZ23456789";

/// So many random bytes.
pub(super) fn bytes<const N: usize>() -> Result<[u8; N], Trouble> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Trouble::Broken("this machine gives no random numbers".into()))?;
    Ok(bytes)
}

/// A word of 256 random bits.
pub(super) fn word() -> Result<String, Trouble> {
    Ok(encode(&bytes::<32>()?))
}

/// A shorter word, of 128 random bits: for names, which are no secrets but never meet.
pub(super) fn name() -> Result<String, Trouble> {
    Ok(encode(&bytes::<16>()?))
}

/// Eight clear letters for a person to type, as `ABCD-EFGH`: 39 bits.
pub(super) fn typed() -> Result<String, Trouble> {
    let mut letters = String::new();
    while letters.len() < 8 {
        // Bytes beyond the last whole alphabet would favour its first letters.
        let [byte] = bytes::<1>()?;
        let usable = usize::from(byte) < 256 / CLEAR.len() * CLEAR.len();
        letters.extend(CLEAR.get(usize::from(byte) % CLEAR.len()).filter(|_| usable).map(|letter| char::from(*letter)));
    }
    let (head, tail) = letters.split_at(4);
    Ok(format!("{head}-{tail}"))
}

/// What a person typed, as [`typed`] made it: case, spaces and dashes do not matter.
pub(super) fn as_typed(text: &str) -> String {
    let letters: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).take(16).collect();
    match letters.split_at_checked(4) {
        Some((head, tail)) => format!("{head}-{tail}"),
        None => letters,
    }
}

/// Stands for a secret where the secret itself must not be kept: its SHA-256.
pub(super) fn fingerprint(text: &str) -> String {
    encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

/// Bytes as text that stands in addresses as it is.
pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of such a text.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}
