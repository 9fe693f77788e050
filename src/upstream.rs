//! The way out: one pooled HTTP client for all connectors, which refuses private addresses.

mod after;
mod backoff;
mod client;
mod fetch;
mod guard;
mod limit;

pub use after::retry_after;
pub use backoff::{Backoff, random};
pub use client::{Hop, Redirected, Upstream, is_public_literal, never_sent};
pub use fetch::{Answered, FetchError, Fetched, Fetcher, is_loopback};
pub use guard::{Refused, is_public};
pub use limit::{Limit, broken};
