//! Passwords: their hashes, which take time on purpose, and the pauses after wrong ones.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};
use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::Semaphore, time::Instant};

use super::{Trouble, random};

/// Hashes computed at once. Each takes 19 MiB and some 20 ms of a core; more of them wait.
const AT_ONCE: usize = 2;
/// Who waits longer than this is asked to come again.
const PATIENCE: Duration = Duration::from_secs(10);
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// Wrong passwords for one name before the first pause.
const FREE: u32 = 5;
/// The first pause; each one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Names that are remembered, and for how long after their last wrong password.
const NAMES: u64 = 10_000;
const MEMORY: Duration = Duration::from_hours(1);
/// Wrong tries of all names together in a minute.
const ALL: u32 = 60;
const MINUTE: Duration = Duration::from_mins(1);

/// What an unknown name is compared with, so that it takes as long as a known one.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| {
    let password = random::word().ok()?;
    Argon2::default().hash_password(password.as_bytes()).ok().map(|hash| hash.to_string())
});

/// The hash of a password, with a salt of its own: argon2id, as text that names its parameters.
pub(super) async fn hash(password: SecretString) -> Result<String, Trouble> {
    let hash = aside(move || Argon2::default().hash_password(password.expose_secret().as_bytes())).await?;
    let hash = hash.map_err(|_| Trouble::Broken("a password cannot be hashed".into()))?;
    Ok(hash.to_string())
}

/// Whether the password is the one of this hash. Without a hash it is wrong, which takes as long to say.
pub(super) async fn is_right(password: SecretString, hash: Option<String>) -> Result<bool, Trouble> {
    aside(move || {
        let known = hash.is_some();
        let right = hash.as_ref().or(NOBODY.as_ref()).is_some_and(|hash| {
            let hash = PasswordHash::new(hash);
            hash.is_ok_and(|hash| Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
        });
        known && right
    })
    .await
}

/// Computes beside the threads that serve requests, a few at a time.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    let place = tokio::time::timeout(PATIENCE, PLACES.acquire()).await;
    let Ok(Ok(place)) = place else { return Err(Trouble::Busy) };
    // Whoever asked may leave; the work goes on, so the place goes with it.
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    })
    .await;
    done.map_err(|_| Trouble::Broken("a password cannot be checked".into()))
}

/// The pauses after wrong tries, of this process.
pub(super) struct Pauses {
    names: Cache<String, Wrong>,
    all: Mutex<(Instant, u32)>,
}

#[derive(Clone, Copy)]
struct Wrong {
    times: u32,
    until: Instant,
}

impl Pauses {
    pub(super) fn new() -> Self {
        let names = Cache::builder().max_capacity(NAMES).time_to_live(MEMORY).build();
        Self { names, all: Mutex::new((Instant::now(), 0)) }
    }

    /// Begins a try, which counts as wrong until [`Pauses::right`]: else many could be under way before one counts.
    /// The error is how long to wait. Whether there is such a name makes no difference.
    pub(super) fn begin(&self, name: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(all.0) >= MINUTE {
            *all = (now, 0);
        }
        let (began, tries) = *all;
        let key = key(name);
        let before = self.names.get(&key);
        let until = before.map(|wrong| wrong.until).into_iter().chain((tries >= ALL).then(|| began + MINUTE)).max();
        if let Some(left) = until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero()) {
            return Err(left);
        }
        let times = before.map_or(0, |wrong| wrong.times).saturating_add(1);
        let pause = match times.checked_sub(FREE) {
            Some(over) => FIRST_PAUSE.saturating_mul(1 << over.min(16)).min(LONGEST_PAUSE),
            None => Duration::ZERO,
        };
        self.names.insert(key, Wrong { times, until: now + pause });
        all.1 = tries.saturating_add(1);
        Ok(())
    }

    /// Forgets the wrong tries of a name, after a right one.
    pub(super) fn right(&self, name: &str) {
        self.names.invalidate(&key(name));
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.1 = all.1.saturating_sub(1);
    }
}

/// Names may be as long as somebody likes; their fingerprints are not.
fn key(name: &str) -> String {
    random::fingerprint(&name.to_lowercase())
}
