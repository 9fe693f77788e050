//! How long to wait before something that failed is tried again.

use std::time::Duration;

use uuid::Uuid;

/// Waits that grow with each failure in a row.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The wait after the first failure; each further one is twice as long.
    pub first: Duration,
    /// None is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row.
    pub fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest)
    }
}

/// A number from 0 to 1, so that what failed together does not come back together.
pub fn random() -> f64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    // The version's bits are the lowest of it.
    f64::from(u32::try_from(high >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
