//! How much strangers may make us work, before any work is done.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::response::Response;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _, clock::DefaultClock};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use moka::sync::Cache;

use super::reply::{self, Code};

/// After so many requests, who was not heard of for long is forgotten.
const SWEEP: u32 = 1024;

/// So long nothing more is looked into that costs anything.
const STRAIN: Duration = Duration::from_secs(5);
/// Addresses that are remembered for it.
const MOST_STRAINED: u64 = 10_000;

/// What strangers can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// To read how to sign in.
    Discovery,
    /// To register a client.
    Registration,
    /// To sign in.
    SignIn,
    /// To be given a token.
    Token,
    /// To have a wrong proof looked at.
    Proof,
}

impl Work {
    /// What a request for this path asks for; nothing when it is none of a stranger's.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/oauth/") {
            Some("register") => Some(Self::Registration),
            Some("token" | "revoke") => Some(Self::Token),
            Some("jwks") => Some(Self::Discovery),
            Some(_) => Some(Self::SignIn),
            None if path == "/connect" || path.starts_with("/connect/") => Some(Self::SignIn),
            None => path.starts_with("/.well-known/").then_some(Self::Discovery),
        }
    }
}

/// Where a request comes from, as far as one person may have it to themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Address(IpAddr);

impl From<IpAddr> for Address {
    /// Of an IPv6 address, the network that a subscriber has.
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

/// Counts what each address asks for.
#[derive(Debug)]
pub(super) struct Strangers {
    limiter: DefaultKeyedRateLimiter<(Work, Address)>,
    asked: AtomicU32,
    /// Those whose proofs were wrong too often, for a while.
    strained: Cache<Address, ()>,
}

impl Strangers {
    /// So many requests a minute of each kind from each address.
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        let strained = Cache::builder().max_capacity(MOST_STRAINED).time_to_live(STRAIN).build();
        Self { limiter: RateLimiter::keyed(Quota::per_minute(per_minute)), asked: AtomicU32::new(0), strained }
    }

    /// The answer to somebody who asks for too much.
    pub(super) fn refusal(&self, work: Work, address: Address) -> Option<Response> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        let wait = self.limiter.check_key(&(work, address)).err()?.wait_time_from(DefaultClock::default().now());
        if work == Work::Proof {
            self.strained.insert(address, ());
        }
        Some(too_many(HeaderValue::from(wait.as_secs() + 1)))
    }

    /// Whether somebody's proofs were wrong so often that no more of them are looked into for now.
    pub(super) fn is_strained(&self, address: Address) -> bool {
        self.strained.contains_key(&address)
    }
}

/// The answer to who asks too much: when to come back.
pub(super) fn too_many(wait: HeaderValue) -> Response {
    let message = "too many requests from this address; try again later";
    let mut response = reply::error(StatusCode::TOO_MANY_REQUESTS, Code::InvalidRequest, message);
    response.headers_mut().insert(RETRY_AFTER, wait);
    response
}
