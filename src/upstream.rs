//! The way out: one pooled HTTP client for all connectors, which refuses private addresses.

mod client;
mod guard;
mod limit;

pub use client::{Hop, Upstream, never_sent};
pub use guard::{Refused, is_public};
pub use limit::Limit;
