//! How a connector stands: in the words of the service map, and why.

use std::time::SystemTime;

use super::health::{Facts, Failure};
use super::{Connector, Reader, State};
use crate::adapter::{Phase, Status};
use crate::error::ErrorKind;

/// How a connector stands at one moment.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) facts: Facts,
    /// Whether its calls go through: closed, half-open or open.
    pub(super) breaker: &'static str,
    /// Its host, when it is elsewhere.
    pub(super) endpoint: Option<String>,
}

impl Connector {
    pub(super) fn standing(&self) -> Standing {
        let (state, facts) = (self.state(), self.health.facts());
        let endpoint = self.usable().and_then(|adapter| adapter.endpoint());
        Standing { state, facts, breaker: self.breaker_state().0, endpoint }
    }
}

impl Standing {
    pub(super) fn live(&self) -> Option<&Status> {
        if let State::Live(status) = &self.state { Some(status) } else { None }
    }

    /// Online, offline, degraded or unknown.
    pub(super) fn status(&self) -> &'static str {
        let Some(live) = self.live() else { return "offline" };
        match (live.phase, self.failure(), self.breaker) {
            (Phase::Down, ..)
            | (Phase::Up | Phase::Degraded, Some(_), _)
            | (Phase::Up | Phase::Degraded, _, "open") => "offline",
            (Phase::Degraded, None, _) | (Phase::Up, None, "half-open") => "degraded",
            (Phase::Up, None, _) if self.is_proven(live) => "online",
            (Phase::Up, None, _) | (Phase::Starting, ..) => "unknown",
        }
    }

    /// Whether it takes calls, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        self.state.is_ready() && self.status() != "offline"
    }

    /// When it last showed that it works.
    pub(super) fn worked(&self) -> Option<SystemTime> {
        let connected = self.live().filter(|live| live.connections > 0 && live.phase != Phase::Down);
        self.facts.well.max(connected.map(|live| live.since))
    }

    /// Why it is not as it should be. Only the operator is told in whose words: they may name files, variables and
    /// addresses, and what its program wrote.
    pub(super) fn reason(&self, reader: Reader<'_>) -> Option<String> {
        let spared = match self.breaker {
            "open" => Some("nearly all of the last calls failed, so calls are refused for a while"),
            "half-open" => Some("nearly all of the last calls failed, and one is let through to see"),
            _ => None,
        };
        let told = match (&self.state, reader) {
            (State::Disabled, _) => return Some("its manifest switches it off".into()),
            (State::Unavailable(_), Reader::Caller(_)) => {
                Some("it is not set up; its operator sees why with `switchboard check`")
            }
            (State::Live(status), Reader::Caller(_)) => match status.phase {
                Phase::Down => Some("there is no connection to it"),
                Phase::Degraded => Some("a part of it does not work"),
                Phase::Up | Phase::Starting => self.failure().map(|failure| in_public(failure.kind)),
            },
            (State::Unavailable(_) | State::Live(_), Reader::Operator) => {
                self.state.reason().or(self.failure().map(|failure| failure.message.as_str()))
            }
        };
        told.or(spared).map(str::to_owned)
    }

    /// Why the last check failed, as long as nothing newer says otherwise: a good call, or a connection made since.
    fn failure(&self) -> Option<&Failure> {
        self.facts.failure(self.worked())
    }

    /// An address that nobody has reached is none.
    fn is_proven(&self, live: &Status) -> bool {
        self.endpoint.is_none() || live.connections > 0 || self.facts.well.is_some()
    }
}

/// What anybody may know of a failed check.
fn in_public(kind: ErrorKind) -> &'static str {
    if kind == ErrorKind::Timeout {
        "it does not answer in time"
    } else if kind == ErrorKind::Unreachable {
        "it cannot be reached"
    } else {
        "its last check failed"
    }
}
