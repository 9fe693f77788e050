//! Passwords: their hashes, which take time on purpose.

use std::sync::LazyLock;
use std::time::Duration;

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use super::{Trouble, random};

/// Hashes computed at once. Each takes 19 MiB and some 20 ms of a core; more of them wait.
const AT_ONCE: usize = 2;
/// Who waits longer than this is asked to come again.
const PATIENCE: Duration = Duration::from_secs(10);
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

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
