//! How a connector does: what its calls and checks took, and how they ended.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{Connector, breaker::Breaker};
use crate::call::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::upstream::random;

/// Times that are kept, the newest.
const KEPT: usize = 120;
/// Checks at once, of all connectors.
const AT_ONCE: usize = 16;
/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what is known of a connector stays fresh when its manifest does not say.
const TTL: Duration = Duration::from_mins(5);
/// No connector is checked more often.
const SHORTEST: Duration = Duration::from_secs(1);
/// A check that failed is made again after this long.
const AGAIN: Duration = Duration::from_secs(30);
/// No connector is checked more rarely, whatever a service map says.
const LONGEST: Duration = Duration::from_hours(24 * 365);
/// The first checks are spread over this time.
const START: Duration = Duration::from_secs(2);

/// What is known of a connector's health. It outlives edits of its manifest that leave its upstream the same.
#[derive(Debug)]
pub struct Health {
    facts: Mutex<Facts>,
    pub(super) breaker: Breaker,
    /// Told when something new is known.
    states: watch::Sender<()>,
}

/// What calls and checks showed.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Calls that reached it.
    pub calls: u64,
    /// Calls among them that failed, by its word or for want of one.
    pub errors: u64,
    /// How long calls and checks took, the oldest first.
    pub times: VecDeque<Duration>,
    /// Checks that failed.
    pub failures: u64,
    /// The last check.
    pub checked: Option<Check>,
    /// The last call or check that went well.
    pub well: Option<SystemTime>,
    /// The last call or check that failed.
    pub ill: Option<SystemTime>,
}

/// One check.
#[derive(Debug, Clone)]
pub struct Check {
    /// When it was.
    pub at: SystemTime,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// Why a check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In short.
    pub kind: ErrorKind,
    /// In words, which may be its program's.
    pub message: String,
}

impl Facts {
    /// The time that this share of all took no longer than, from 0 to 1.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let mut times: Vec<Duration> = self.times.iter().copied().collect();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few")]
        times.get((last as f64 * share).round() as usize).copied()
    }

    /// Whether it was ever tried, and whether the last check failed and nothing worked since.
    fn standing(&self) -> (bool, bool) {
        (self.checked.is_some() || self.well.is_some(), self.failure(self.well).is_some())
    }

    /// Why the last check failed, unless something `worked` after it.
    pub(super) fn failure(&self, worked: Option<SystemTime>) -> Option<&Failure> {
        let check = self.checked.as_ref()?;
        check.failure.as_ref().filter(|_| worked.is_none_or(|worked| worked <= check.at))
    }

    fn ended(&mut self, at: SystemTime, failed: bool) {
        *(if failed { &mut self.ill } else { &mut self.well }) = Some(at);
    }

    fn took(&mut self, time: Duration) {
        if self.times.len() == KEPT {
            self.times.pop_front();
        }
        self.times.push_back(time);
    }
}

impl Health {
    /// Nothing is known yet; `states` is told when something is.
    pub(super) fn new(states: watch::Sender<()>) -> Self {
        Self { facts: Mutex::default(), breaker: Breaker::new(states.clone()), states }
    }

    /// What is known now.
    pub fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known is of an upstream that is no longer asked. What was counted stays.
    pub(super) fn forget(&self) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        *facts = Facts { calls: facts.calls, errors: facts.errors, failures: facts.failures, ..Facts::default() };
        self.breaker.close();
    }

    /// A call that reaches the connector now. One that is dropped ran out of time, or its caller left.
    pub(super) fn reached(&self) -> Reached<'_> {
        Reached { health: self, since: Instant::now(), ended: false }
    }

    fn called(&self, time: Duration, failed: bool) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = facts.standing();
        facts.calls += 1;
        facts.errors += u64::from(failed);
        facts.took(time);
        facts.ended(SystemTime::now(), failed);
        if facts.standing() != before {
            self.states.send_replace(());
        }
    }

    /// Notes a check.
    fn checked(&self, time: Duration, failure: Option<Failure>) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            None => {
                self.breaker.works();
                facts.took(time);
            }
            Some(_) => facts.failures += 1,
        }
        let check = Check { at: SystemTime::now(), failure };
        facts.ended(check.at, check.failure.is_some());
        let before = facts.checked.replace(check);
        if before.map(|before| before.failure) != facts.checked.as_ref().map(|check| check.failure.clone()) {
            self.states.send_replace(());
        }
    }
}

/// A call under way at a connector.
#[derive(Debug)]
pub(super) struct Reached<'a> {
    health: &'a Health,
    since: Instant,
    ended: bool,
}

impl Reached<'_> {
    /// Notes how it ended. What the caller did wrong is no error of the connector.
    pub(super) fn ended(mut self, result: &Result<Outcome>) {
        self.ended = true;
        let failed = match result {
            Ok(outcome) => outcome.is_error(),
            Err(error) => error.kind() != ErrorKind::InvalidArguments,
        };
        self.health.called(self.since.elapsed(), failed);
    }
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.health.called(self.since.elapsed(), true);
        }
    }
}

/// Checks connectors, each when what is known of it is no longer fresh, a few at once and beside all calls.
#[derive(Debug, Clone)]
pub(super) struct Prober {
    slots: Arc<Semaphore>,
}

impl Prober {
    pub(super) fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Checks one connector again and again until `stop`.
    pub(super) async fn watch(self, connector: Arc<Connector>, stop: CancellationToken) {
        let Some(adapter) = connector.usable() else { return };
        let ttl = connector.ttl();
        // A connection that was made a moment ago says enough.
        let mut wait = if connector.mcp().is_some() { spread(ttl) } else { START.min(ttl).mul_f64(random()) };
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            let Ok(_slot) = self.slots.acquire().await else { return };
            let started = Instant::now();
            let late =
                |_| Err(Error::new(ErrorKind::Timeout, format!("it did not answer in {} s", PATIENCE.as_secs())));
            let probed = tokio::time::timeout(PATIENCE, adapter.probe());
            let Some(probed) = stop.run_until_cancelled(probed).await else { return };
            let failed = |error: Error| Failure { kind: error.kind(), message: error.to_string() };
            let failure = probed.unwrap_or_else(late).err().map(failed);
            wait = spread(if failure.is_some() { ttl.min(AGAIN) } else { ttl });
            connector.health.checked(started.elapsed(), failure);
        }
    }
}

impl Connector {
    /// How long what is known of it stays fresh.
    pub fn ttl(&self) -> Duration {
        let ttl = self.checked.connector.ttl_seconds;
        ttl.map_or(TTL, |seconds| Duration::from_secs(seconds.get())).clamp(SHORTEST, LONGEST)
    }
}

/// About this long, a little before: connectors that were started together are not checked together.
fn spread(ttl: Duration) -> Duration {
    ttl.mul_f64(1.0 - random() / 5.0)
}
