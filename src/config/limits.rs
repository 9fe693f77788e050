//! Sizes and times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sizes and times.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The largest request body, in bytes.
    #[schemars(range(min = 1024))]
    pub body_bytes: usize,
    /// The largest result, in bytes.
    #[schemars(range(min = 1024))]
    pub result_bytes: usize,
    /// How long a call may take when its manifest does not say.
    #[schemars(range(min = 1))]
    pub call_timeout_ms: u64,
    /// Sessions of older protocols at once.
    #[schemars(range(min = 1))]
    pub sessions: usize,
    /// When an unused session ends.
    #[schemars(range(min = 1))]
    pub session_idle_seconds: u64,
    /// How long calls under way may go on after a request to stop.
    pub drain_seconds: u64,
    /// Requests a minute from one address that has proved nothing: of each kind, reading how to sign in, registering,
    /// signing in, asking for tokens, wrong proofs.
    #[schemars(range(min = 1))]
    pub strangers_per_minute: u32,
    /// Connections at once.
    #[schemars(range(min = 1))]
    pub connections: usize,
    /// Connections at once from one address that is no trusted proxy.
    #[schemars(range(min = 1))]
    pub connections_per_address: usize,
    /// The headers of a request, in bytes.
    #[schemars(range(min = 8192, max = 1_048_576))]
    pub header_bytes: usize,
    /// How long the headers of a connection's next request may take to come.
    #[schemars(range(min = 1))]
    pub header_seconds: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            result_bytes: 8 << 20,
            call_timeout_ms: 60_000,
            sessions: 10_000,
            session_idle_seconds: 1800,
            drain_seconds: 10,
            strangers_per_minute: 120,
            connections: 16_000,
            connections_per_address: 4000,
            header_bytes: 64 << 10,
            header_seconds: 60,
        }
    }
}
