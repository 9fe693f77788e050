//! Whether a failed exchange with an upstream may be made again.

use std::time::Duration;

/// What is known of a failed exchange, for whoever could make it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Whether the upstream did what it was asked.
    pub executed: Executed,
    /// How long the upstream wants to be left alone.
    pub after: Option<Duration>,
}

/// Whether an upstream did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// It did not: nothing was sent.
    No,
    /// It did not, because what it was shown does not prove who we are (401).
    Unproven,
    /// It asks to be called again later (429, or 503 with `Retry-After`), so it likely did not.
    Declined,
    /// It is at it: it knows the call's key from a try before.
    UnderWay,
    /// Nobody knows.
    Maybe,
}

impl Again {
    /// Nobody knows whether it was executed.
    pub const MAYBE: Self = Self { executed: Executed::Maybe, after: None };
    /// Nothing was sent.
    pub const NEVER_SENT: Self = Self { executed: Executed::No, after: None };
}
