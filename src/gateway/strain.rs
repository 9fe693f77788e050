//! How an upstream that fails is spared: further tries of all its calls come out of one stock, and the time that it asks
//! for is given to it by every call of that kind.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Further tries at once that are of no use. Beyond them calls are tried once. One more is there each second.
const STOCK: f64 = 30.0;

/// What one connector's upstream has to bear.
#[derive(Debug)]
pub(super) struct Strain(Mutex<State>);

/// What an upstream limits: a tool, and in whose name it is called, where that is not the same for all.
pub(super) type Kind = (String, Option<String>);

#[derive(Debug)]
struct State {
    stock: f64,
    at: Instant,
    /// When those may be called again that are to be left alone.
    rests: HashMap<Kind, Instant>,
}

impl Default for Strain {
    fn default() -> Self {
        Self(Mutex::new(State { stock: STOCK, at: Instant::now(), rests: HashMap::new() }))
    }
}

impl Strain {
    /// Takes a further try; whether there was one.
    pub(super) fn take(&self) -> bool {
        self.with(|state| {
            let now = Instant::now();
            state.stock = (state.stock + now.duration_since(state.at).as_secs_f64()).min(STOCK);
            state.at = now;
            let there = state.stock >= 1.0;
            state.stock -= f64::from(u8::from(there));
            there
        })
    }

    /// Gives back a try that was of use.
    pub(super) fn give_back(&self) {
        self.with(|state| state.stock = (state.stock + 1.0).min(STOCK));
    }

    /// Notes that calls of a kind are to be left out for so long.
    pub(super) fn rest(&self, kind: &Kind, wait: Duration) {
        self.with(|state| {
            let now = Instant::now();
            state.rests.retain(|_, until| *until > now);
            let until = state.rests.entry(kind.clone()).or_insert(now);
            *until = (*until).max(now + wait);
        });
    }

    /// How long calls of a kind are still to be left out.
    pub(super) fn left(&self, kind: &Kind) -> Option<Duration> {
        self.with(|state| state.rests.get(kind)?.checked_duration_since(Instant::now()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
