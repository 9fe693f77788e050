//! How often somebody may try: the pauses after wrong passwords, and the codes on the terminal.
//!
//! What strangers do must not keep a person out. So tries are counted mostly for the address they come from, and for
//! a name in all only when they are very many.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use super::random;

/// Wrong passwords for one name from one address before the first pause, and the longest pause.
const FROM_ONE: Limit = Limit { free: 5, longest: Duration::from_mins(5) };
/// The same from all addresses together.
const FROM_ALL: Limit = Limit { free: 200, longest: Duration::from_secs(30) };
/// The first pause; each one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Names and addresses that are remembered, and for how long after the last wrong password.
const REMEMBERED: u64 = 50_000;
const MEMORY: Duration = Duration::from_hours(1);
/// Tries from one address in a minute, whatever the names.
const TRIES: u32 = 60;
/// Codes in a minute on the terminal that nobody entered, shown to whoever opens the page.
const CODES: u32 = 10;
/// Beyond those, codes in a minute for one address that asks for them.
const CODES_ASKED: u32 = 3;
const MINUTE: Duration = Duration::from_mins(1);

struct Limit {
    free: u32,
    longest: Duration,
}

/// The pauses after wrong passwords, of this process.
pub(super) struct Pauses {
    /// By name and address, and by name alone.
    wrong: Cache<String, Wrong>,
    addresses: Cache<String, Window>,
    /// Held while something is counted, so that of many tries at once each sees the others.
    counting: Mutex<()>,
}

#[derive(Clone, Copy)]
struct Wrong {
    times: u32,
    until: Instant,
}

/// What happened since a moment, for a minute.
#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    times: u32,
}

impl Window {
    fn at(now: Instant) -> Self {
        Self { since: now, times: 0 }
    }

    /// The same, or a new one when its minute is over.
    fn now(self, now: Instant) -> Self {
        if now.duration_since(self.since) < MINUTE { self } else { Self::at(now) }
    }
}

/// A try of this name from this address.
#[derive(Clone, Copy)]
pub(super) struct Try<'a> {
    pub(super) name: &'a str,
    pub(super) address: &'a str,
}

impl Try<'_> {
    /// Under what its wrong passwords are counted. Names may be as long as somebody likes; fingerprints are not.
    fn keys(&self) -> [(String, Limit); 2] {
        let name = self.name.to_lowercase();
        let pair = random::fingerprint(&format!("{} {name}", self.address));
        [(pair, FROM_ONE), (random::fingerprint(&name), FROM_ALL)]
    }
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self {
            wrong: Cache::builder().max_capacity(REMEMBERED).time_to_live(MEMORY).build(),
            addresses: Cache::builder().max_capacity(REMEMBERED).time_to_live(MINUTE).build(),
            counting: Mutex::new(()),
        }
    }

    /// How long this try has to wait. Whether there is such a name makes no difference.
    pub(super) fn left(&self, of: Try<'_>) -> Option<Duration> {
        let now = Instant::now();
        let window = self.addresses.get(of.address).map(|window| window.now(now)).filter(|it| it.times >= TRIES);
        let named = of.keys().into_iter().filter_map(|(key, _)| self.wrong.get(&key)).map(|wrong| wrong.until);
        let until = named.chain(window.map(|window| window.since + MINUTE)).max()?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Begins a try, which counts as wrong until [`Pauses::right`]: else many could be under way before one counts.
    /// The error is how long to wait.
    pub(super) fn begin(&self, of: Try<'_>) -> Result<(), Duration> {
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = self.left(of) {
            return Err(left);
        }
        let now = Instant::now();
        for (key, limit) in of.keys() {
            let times = self.wrong.get(&key).map_or(0, |wrong| wrong.times).saturating_add(1);
            let pause = match times.checked_sub(limit.free) {
                Some(over) => FIRST_PAUSE.saturating_mul(1 << over.min(16)).min(limit.longest),
                None => Duration::ZERO,
            };
            self.wrong.insert(key, Wrong { times, until: now + pause });
        }
        let window = self.addresses.get(of.address).unwrap_or(Window::at(now)).now(now);
        self.addresses.insert(of.address.to_owned(), Window { times: window.times.saturating_add(1), ..window });
        Ok(())
    }

    /// A try that was begun came to nothing: it was never looked at.
    pub(super) fn undo(&self, of: Try<'_>) {
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in of.keys() {
            if let Some(Wrong { times, .. }) = self.wrong.get(&key) {
                self.wrong.insert(key, Wrong { times: times.saturating_sub(1), until: Instant::now() });
            }
        }
        if let Some(window) = self.addresses.get(of.address) {
            self.addresses.insert(of.address.to_owned(), Window { times: window.times.saturating_sub(1), ..window });
        }
    }

    /// Forgets the wrong tries of a name from here, after a right one. What others tried goes on to count.
    pub(super) fn right(&self, of: Try<'_>) {
        self.undo(of);
        let [(pair, _), _] = of.keys();
        self.wrong.invalidate(&pair);
    }
}

/// How many one-time codes were shown on the terminal.
pub(super) struct Codes {
    shown: Mutex<Window>,
    asked: Cache<String, Window>,
}

impl Codes {
    pub(super) fn new() -> Self {
        let asked = Cache::builder().max_capacity(REMEMBERED).time_to_live(MINUTE).build();
        Self { shown: Mutex::new(Window::at(Instant::now())), asked }
    }

    /// Whether one may be shown to whoever opens the page.
    pub(super) fn may_show(&self) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = shown.now(Instant::now());
        let free = shown.times < CODES;
        shown.times += u32::from(free);
        free
    }

    /// Whether one may be shown to somebody who asks for it.
    pub(super) fn may_ask(&self, address: &str) -> bool {
        let _counting = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let window = self.asked.get(address).unwrap_or(Window::at(now)).now(now);
        self.asked.insert(address.to_owned(), Window { times: window.times.saturating_add(1), ..window });
        window.times < CODES_ASKED
    }

    /// One was entered.
    pub(super) fn entered(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.times = shown.times.saturating_sub(1);
    }
}
