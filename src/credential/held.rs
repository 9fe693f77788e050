//! A value that has to be had anew from time to time: one fetch at once, and nobody waits for the next while the last
//! is still good.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::task::TaskTracker;

/// After a fetch that failed, the next one is not made for this long: all who come meanwhile hear the same.
const PAUSE: Duration = Duration::from_secs(2);
/// A value may be thrown away this often in [`WINDOW`]: one that is refused again and again is not had anew each time.
const MOST_DROPS: u32 = 6;
const WINDOW: Duration = Duration::from_secs(30);

/// A value, and how long it is good.
#[derive(Debug, Clone)]
pub(super) struct Timed<T> {
    /// The value.
    pub(super) value: T,
    /// Until when nobody looks for a new one.
    pub(super) fresh: Option<SystemTime>,
    /// Until when it can be used.
    pub(super) good: Option<SystemTime>,
}

/// How a fetch fails.
pub(super) trait Failure: Clone + From<Lost> + Send + Sync + 'static {
    /// Whether what was held does not count any more either.
    fn is_final(&self) -> bool;
}

/// A fetch that never came to its end.
#[derive(Debug)]
pub(super) struct Lost;

/// A value that is had anew.
pub(super) struct Held<T, E> {
    now: Mutex<Now<T, E>>,
    turn: Arc<AsyncMutex<()>>,
}

struct Now<T, E> {
    held: Option<Timed<T>>,
    failed: Option<(Instant, E)>,
    drops: (u32, Option<Instant>),
}

impl<T, E> fmt::Debug for Held<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("is_held", &self.lock().held.is_some()).finish_non_exhaustive()
    }
}

impl<T, E> Default for Held<T, E> {
    fn default() -> Self {
        Self { now: Mutex::new(Now { held: None, failed: None, drops: (0, None) }), turn: Arc::default() }
    }
}

impl<T, E> Held<T, E> {
    fn lock(&self) -> MutexGuard<'_, Now<T, E>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> Held<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Failure,
{
    /// The value; `fetch` makes a new one when there is none, or when it is no longer fresh. The fetch runs to its end
    /// also when nobody waits for it any more: what an issuer gives once is not lost.
    pub(super) async fn get<F>(self: &Arc<Self>, tasks: &TaskTracker, fetch: F) -> Result<T, E>
    where
        F: Future<Output = Result<Timed<T>, E>> + Send + 'static,
    {
        let held = match self.look() {
            (Some(value), true) => return Ok(value),
            (held, _) => held,
        };
        let turn = Arc::clone(&self.turn);
        let turn = match &held {
            None => turn.lock_owned().await,
            Some(value) => match turn.try_lock_owned() {
                Ok(turn) => turn,
                Err(_) => return Ok(value.clone()),
            },
        };
        // Somebody may have been first, and may have failed.
        if let (Some(value), true) = self.look() {
            return Ok(value);
        }
        if let Some(error) = self.failure() {
            return held.ok_or(error);
        }
        let fetched = self.fetch(turn, tasks, fetch).await;
        fetched.or_else(|error| held.filter(|_| !error.is_final()).ok_or(error))
    }

    /// The value is `refused`: has another one, and keeps this one until that is there, since others may still be
    /// served with it. Whether another than it is held now.
    pub(super) async fn renew<F>(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        refused: impl Fn(&T) -> bool + Send + Sync,
        fetch: F,
    ) -> bool
    where
        F: Future<Output = Result<Timed<T>, E>> + Send + 'static,
    {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Somebody may have been first, and may have failed.
        if !self.last().is_some_and(|held| refused(&held)) {
            return true;
        }
        if self.failure().is_some() || !self.lock().may_drop() {
            return false;
        }
        self.fetch(turn, tasks, fetch).await.is_ok_and(|value| !refused(&value))
    }

    /// Fetches, to the end also when nobody waits for it.
    async fn fetch<F>(self: &Arc<Self>, turn: OwnedMutexGuard<()>, tasks: &TaskTracker, fetch: F) -> Result<T, E>
    where
        F: Future<Output = Result<Timed<T>, E>> + Send + 'static,
    {
        let me = Arc::clone(self);
        let fetched = tasks.spawn(async move {
            let _turn = turn;
            let fetched = fetch.await;
            me.settle(&fetched);
            fetched.map(|timed| timed.value)
        });
        fetched.await.unwrap_or_else(|_| Err(Lost.into()))
    }

    /// The value while it is good.
    pub(super) fn good(&self) -> Option<T> {
        self.look().0
    }

    /// The last value, good or not.
    pub(super) fn last(&self) -> Option<T> {
        self.lock().held.as_ref().map(|timed| timed.value.clone())
    }

    /// The value while it is good, and whether it is fresh.
    fn look(&self) -> (Option<T>, bool) {
        let now = SystemTime::now();
        let lasts = |until: Option<SystemTime>| until.is_none_or(|until| now < until);
        let held = self.lock();
        let timed = held.held.as_ref().filter(|timed| lasts(timed.good));
        (timed.map(|timed| timed.value.clone()), timed.is_some_and(|timed| lasts(timed.fresh)))
    }

    fn failure(&self) -> Option<E> {
        let now = self.lock();
        now.failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE).map(|(_, error)| error.clone())
    }

    fn settle(&self, fetched: &Result<Timed<T>, E>) {
        let mut now = self.lock();
        match fetched {
            Ok(timed) => {
                now.held = Some(timed.clone());
                now.failed = None;
            }
            Err(error) => {
                now.failed = Some((Instant::now(), error.clone()));
                if error.is_final() {
                    now.held = None;
                }
            }
        }
    }

    /// Throws the value away if it is `this` one, which is of no more use to anybody.
    pub(super) fn drop_if(&self, this: impl Fn(&T) -> bool) {
        let mut now = self.lock();
        if now.held.as_ref().is_some_and(|timed| this(&timed.value)) && now.may_drop() {
            now.held = None;
        }
    }
}

impl<T, E> Now<T, E> {
    /// Whether one more value may be thrown away; counts it.
    fn may_drop(&mut self) -> bool {
        let (count, since) = self.drops;
        let within = since.filter(|since| since.elapsed() < WINDOW);
        let count = if within.is_some() { count } else { 0 };
        if count >= MOST_DROPS {
            return false;
        }
        self.drops = (count + 1, Some(within.unwrap_or_else(Instant::now)));
        true
    }
}
