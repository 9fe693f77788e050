//! How a connector is.

use std::time::{Duration, Instant, SystemTime};

/// What a connector can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is being started, or reached for the first time.
    Starting,
    /// It takes calls.
    Up,
    /// It takes calls, and something about it does not work.
    Degraded,
    /// It takes no calls.
    Down,
}

/// How a connector is, why, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it can do.
    pub phase: Phase,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Since when.
    pub since: SystemTime,
    /// When it is tried again.
    pub retry_at: Option<Instant>,
    /// Its connections to the upstream.
    pub connections: usize,
}

impl Status {
    /// In this phase from now on.
    pub fn now(phase: Phase, reason: Option<String>) -> Self {
        Self { phase, reason, since: SystemTime::now(), retry_at: None, connections: 0 }
    }

    /// How long until it is tried again.
    pub fn retry_in(&self) -> Option<Duration> {
        self.retry_at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}
