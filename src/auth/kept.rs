//! What is read from elsewhere and kept: one reads it for all who wait, and an old one is better than none.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Denied;

/// After this time it is read again; sooner when its sender says so, but not all the time.
const FRESH: Duration = Duration::from_hours(1);
const LEAST_FRESH: Duration = Duration::from_mins(5);
/// After this time without a new one, the old one no longer counts: it may have been called back.
const USABLE: Duration = Duration::from_hours(24);
/// How often it is read anew because something was not in it, and how long a failure is remembered while an old one is
/// good enough.
const LONG_PAUSE: Duration = Duration::from_secs(30);
/// How long a failure is remembered while there is none at all.
const SHORT_PAUSE: Duration = Duration::from_secs(5);

/// A value that is read from elsewhere. Whoever asks passes how it is read; that runs only when it is needed.
pub(super) struct Kept<T> {
    state: Mutex<State<T>>,
    /// Held by whoever reads. Dropping the reader's future leaves all as it was, and the next one reads.
    reading: tokio::sync::Mutex<()>,
}

struct State<T> {
    last: Option<Last<T>>,
    failed: Option<(String, Instant)>,
    searched: Option<Instant>,
}

/// What was read last.
struct Last<T> {
    value: Arc<T>,
    read: Instant,
    fresh: Duration,
}

/// What was read, and for how long its sender lets it be kept.
pub(super) type Read<T> = Result<(T, Option<Duration>), String>;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        let state = State { last: None, failed: None, searched: None };
        Self { state: Mutex::new(state), reading: tokio::sync::Mutex::default() }
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl<T> Kept<T> {
    /// What was read last, however old.
    pub(super) fn last(&self) -> Option<Arc<T>> {
        self.with(|state| state.last.as_ref().map(|kept| kept.value.clone()))
    }

    /// The value, read anew when it is old. Whoever finds it old reads it; others go on with what there is.
    pub(super) async fn get(&self, read: impl Future<Output = Read<T>> + Send) -> Result<Arc<T>, Denied> {
        let now = Instant::now();
        let known = self.with(|state| {
            let kept = state.last.as_ref()?;
            let age = now.duration_since(kept.read);
            (age < USABLE).then(|| (kept.value.clone(), age < kept.fresh))
        });
        let Some((old, fresh)) = known else {
            let _reading = self.reading.lock().await;
            return self.read(now, SHORT_PAUSE, read).await;
        };
        if fresh {
            return Ok(old);
        }
        let Ok(_reading) = self.reading.try_lock() else { return Ok(old) };
        Ok(self.read(now, LONG_PAUSE, read).await.unwrap_or(old))
    }

    /// The value as it was read after `asked`, because something is not in the one from before. When that was done
    /// for another reason just now, the value from before.
    pub(super) async fn newer(
        &self,
        asked: Instant,
        read: impl Future<Output = Read<T>> + Send,
    ) -> Result<Arc<T>, Denied> {
        let _reading = self.reading.lock().await;
        let now = Instant::now();
        let known = self.with(|state| {
            let pausing = state.searched.is_some_and(|searched| now.duration_since(searched) < LONG_PAUSE);
            match (&state.last, &state.failed) {
                (Some(kept), _) if kept.read >= asked => Some(Ok(kept.value.clone())),
                (_, Some((why, _))) if pausing => Some(Err(Denied::Unavailable(why.clone()))),
                (Some(kept), None) if pausing => Some(Ok(kept.value.clone())),
                _ => {
                    state.searched = Some(now);
                    None
                }
            }
        });
        match known {
            Some(known) => known,
            None => self.read(now, SHORT_PAUSE, read).await,
        }
    }

    /// Reads it, unless somebody did after `asked`, or failed to within `pause`. The caller holds `reading`.
    async fn read(
        &self,
        asked: Instant,
        pause: Duration,
        read: impl Future<Output = Read<T>> + Send,
    ) -> Result<Arc<T>, Denied> {
        let known = self.with(|state| match (&state.last, &state.failed) {
            (Some(kept), _) if kept.read >= asked => Some(Ok(kept.value.clone())),
            (_, Some((why, when))) if when.elapsed() < pause => Some(Err(Denied::Unavailable(why.clone()))),
            _ => None,
        });
        if let Some(known) = known {
            return known;
        }
        let read = read.await;
        self.with(|state| match read {
            Ok((value, max_age)) => {
                let value = Arc::new(value);
                let fresh = max_age.map_or(FRESH, |age| age.clamp(LEAST_FRESH, FRESH));
                state.last = Some(Last { value: value.clone(), read: Instant::now(), fresh });
                state.failed = None;
                Ok(value)
            }
            Err(why) => {
                state.failed = Some((why.clone(), Instant::now()));
                Err(Denied::Unavailable(why))
            }
        })
    }

    fn with<R>(&self, work: impl FnOnce(&mut State<T>) -> R) -> R {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
