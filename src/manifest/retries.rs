//! What a manifest says about calls that failed and are made again.

use schemars::JsonSchema;
use serde::Deserialize;

/// Tries in all, when nobody says how many.
const ATTEMPTS: u8 = 3;

/// When a call that failed is made again. What changes nothing when it is done twice (`GET`, `HEAD`, `PUT`, `DELETE`,
/// and tools marked `readOnly` or `idempotent`) is tried again by itself; anything else only when nothing was sent, or
/// when one of these says that it does no harm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retries {
    /// How often a call is tried in all, 3 times when unsaid; 1 makes no second try.
    #[serde(default)]
    #[schemars(range(min = 1, max = 5))]
    pub attempts: Option<u8>,
    /// The header by which the API knows a call that reaches it twice, such as `Idempotency-Key`. Every try of one call
    /// has the same value in it.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// `true` when the API says that it did nothing of what it answers with 429, or with 503 and `Retry-After`.
    #[serde(default)]
    pub refused_is_undone: Option<bool>,
}

impl Retries {
    /// These, and what they leave open as `base` says.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        Self {
            attempts: self.attempts.or(base.attempts),
            idempotency_key: self.idempotency_key.clone().or_else(|| base.idempotency_key.clone()),
            refused_is_undone: self.refused_is_undone.or(base.refused_is_undone),
        }
    }

    /// Tries in all.
    pub fn tries(&self) -> u8 {
        self.attempts.unwrap_or(ATTEMPTS).max(1)
    }
}
