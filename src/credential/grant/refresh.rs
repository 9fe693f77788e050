//! A token for a call: the one there is, or a new one, which of many calls and processes one has.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Mutex, MutexGuard};

use super::{Grant, Grants, ms, unanswered, unavailable};
use crate::credential::{Client, Credential, Kept, Safe, Token, TokenEndpoint, TokenError};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Expected, Put};
use crate::upstream::Hop;

/// Locks of a connector: callers share them at random.
const TURNS: usize = 64;
/// Somebody who has a new token this long lost it on the way, and another one tries.
const LEASE: Duration = Duration::from_secs(20);
/// So often it is looked whether another process has its new token.
const LOOK: Duration = Duration::from_millis(100);
/// So often a grant is written again when somebody else wrote meanwhile.
const MOST_TRIES: usize = 8;
/// A token that was refused is not had anew when it is younger than this: a new one would be refused, too.
const YOUNG: Duration = Duration::from_secs(5);

/// Who in this process has a new token for a grant.
#[derive(Debug)]
pub(super) struct Turns(Vec<Mutex<()>>);

impl Default for Turns {
    fn default() -> Self {
        Self(std::iter::repeat_with(Mutex::default).take(TURNS).collect())
    }
}

impl Turns {
    fn of(&self, key: &str) -> Option<&Mutex<()>> {
        let sum = key.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.0.get(sum % TURNS)
    }

    /// A turn; while another one has it, nothing for who need not wait.
    async fn take(&self, key: &str, must: bool) -> Option<MutexGuard<'_, ()>> {
        let turn = self.of(key)?;
        if must { Some(turn.lock().await) } else { turn.try_lock().ok() }
    }
}

/// What it takes to have a new token, apart from the connector.
struct Errand {
    safe: Safe,
    hop: Hop,
    allow_private: bool,
    key: String,
    kept: Kept<Grant>,
    client: Client,
}

impl Grants {
    /// What shows a token of this caller's.
    pub(super) async fn token(&self, key: &str, caller: &str) -> Result<Credential> {
        loop {
            let Some(kept) = self.find(key, caller).await? else { return Err(self.unconnected(false)) };
            let (grant, now) = (&kept.value, SystemTime::now());
            let token = grant.token();
            let shown = self.shown(grant, &token.access);
            if token.is_fresh(now) {
                return Ok(shown);
            }
            let alive = token.is_alive(now);
            if grant.refresh.is_none() {
                if alive {
                    return Ok(shown);
                }
                self.safe()?.remove(key, Expected::Is(kept.version)).await.map_err(unavailable)?;
                return Err(self.unconnected(true));
            }
            // A token that still counts is not waited for.
            let Some(_turn) = self.turns.take(key, !alive).await else { return Ok(shown) };
            match self.renew(key, caller, kept.clone()).await {
                Ok(Some(token)) => return Ok(self.shown(&kept.value, &token.access)),
                // Somebody else was there first.
                Ok(None) => {}
                Err(error) if alive && error.kind() != ErrorKind::NotConnected => {
                    tracing::warn!(connector = %self.connector, "no new token: {error}");
                    return Ok(shown);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Has a new token; nothing when somebody else changed the grant meanwhile.
    async fn renew(&self, key: &str, caller: &str, kept: Kept<Grant>) -> Result<Option<Token>> {
        // Whoever had the turn before may have done it.
        let Some(now) = self.find(key, caller).await?.filter(|now| now.version == kept.version) else {
            return Ok(None);
        };
        let mut kept = now;
        let time = SystemTime::now();
        if kept.value.renewing.is_some_and(|until| until > ms(time)) {
            if kept.value.token().is_alive(time) {
                return Ok(Some(kept.value.token()));
            }
            tokio::time::sleep(LOOK).await;
            return Ok(None);
        }
        let client = self.proved(&kept.value.client).await?;
        let shown = kept.value.client.clone();
        kept.value.renewing = Some(ms(time + LEASE));
        let safe = self.safe()?.clone();
        let put = Put { expected: Expected::Is(kept.version), expires: None };
        let Some(version) = safe.write(key, &kept.value, put).await.map_err(unavailable)? else { return Ok(None) };
        kept.version = version;
        let (hop, allow_private) = (self.hop.clone(), self.settings.allow_private);
        let errand = Errand { safe, hop, allow_private, key: key.to_owned(), kept, client };
        // A refresh token counts once with many issuers: what came of it must be kept, even if nobody waits any more.
        let done = self.keyring.tasks().spawn(errand.run()).await;
        let done =
            done.map_err(|error| Error::new(ErrorKind::Internal, "a new token could not be had").because(error))?;
        match done {
            Ok(token) => Ok(token),
            Err(Failed::Over) => Err(self.unconnected(true)),
            Err(Failed::Unknown(error)) => {
                self.doubt_client(&shown).await;
                Err(error)
            }
            Err(Failed::Error(error)) => Err(error),
        }
    }

    /// A token was refused. The next call has another one, if this one is not new itself. What cannot be renewed is
    /// kept: what refused it once may take it the next time.
    pub(super) async fn doubt(&self, key: &str, mut kept: Kept<Grant>) -> bool {
        if kept.value.refresh.is_none() {
            return false;
        }
        let token = kept.value.token();
        let age = SystemTime::now().duration_since(token.since).unwrap_or_default();
        let life = token.expires.and_then(|expires| expires.duration_since(token.since).ok());
        // One that does not live long is not young for long.
        if age < life.map_or(YOUNG, |life| YOUNG.min(life / 2)) {
            return false;
        }
        // Somebody is having another one already, and what they were given has to find its place.
        if kept.value.renewing.is_some_and(|until| until > ms(SystemTime::now())) {
            return self.renewed(key, &kept.value).await;
        }
        let Ok(safe) = self.safe() else { return false };
        kept.value.expires = Some(kept.value.since);
        let put = Put { expected: Expected::Is(kept.version), expires: None };
        // Whoever wrote meanwhile did so for the same reason.
        safe.write(key, &kept.value, put).await.is_ok()
    }

    /// Waits until whoever is having a new token for a grant has it, or lost it: whether there is another.
    async fn renewed(&self, key: &str, old: &Grant) -> bool {
        loop {
            match self.find(key, &old.caller).await {
                Ok(Some(now)) if now.value.access != old.access => return true,
                Ok(Some(now)) if now.value.renewing.is_some_and(|until| until > ms(SystemTime::now())) => {}
                Ok(_) | Err(_) => return false,
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Why there is no new token.
enum Failed {
    /// The grant is over.
    Over,
    /// The issuer does not know us by what we show of ourselves.
    Unknown(Error),
    Error(Error),
}

/// What there is in a grant's place.
enum Place {
    Same,
    Another,
    Gone,
}

/// Whether an issuer's word says that it does not know us.
fn is_unknown(code: &str) -> bool {
    matches!(code, "invalid_client" | "unauthorized_client")
}

impl Errand {
    /// Asks for a new token and keeps it; nothing when there is another grant by now.
    async fn run(mut self) -> Result<Option<Token>, Failed> {
        match self.ask().await {
            Ok(token) => {
                self.kept.value.take(&token);
                match self.keep().await.map_err(Failed::Error)? {
                    Place::Same => Ok(Some(self.kept.value.token())),
                    Place::Another => Ok(None),
                    // Whoever disconnected could take back only what there was then.
                    Place::Gone => {
                        self.kept.value.take_back(&self.client, (&self.hop, self.allow_private)).await;
                        Err(Failed::Over)
                    }
                }
            }
            Err(TokenError::InvalidGrant(words)) => {
                tracing::info!(key = self.key, "a grant does not count any more{words}");
                self.forget().await
            }
            Err(TokenError::Refused { code, words }) if is_unknown(&code) => {
                tracing::warn!(key = self.key, "an issuer does not know us any more ({code}){words}");
                // A client that we registered is gone, and with it what it was given.
                if self.kept.value.client.registered.is_some() {
                    self.kept.value.client.forget(&self.safe).await;
                    return self.forget().await;
                }
                // Of one that we were given, the secret may be about to change, and people need not agree again.
                self.give_up().await;
                Err(Failed::Unknown(unanswered(TokenError::Refused { code, words })))
            }
            Err(error @ (TokenError::Refused { .. } | TokenError::Unavailable { .. })) => {
                self.give_up().await;
                Err(Failed::Error(unanswered(error)))
            }
        }
    }

    async fn ask(&self) -> Result<Token, TokenError> {
        let grant = &self.kept.value;
        let unavailable = |words| TokenError::Unavailable { words, never_sent: true };
        let endpoint = TokenEndpoint::new(self.hop.clone(), grant.token.clone(), self.allow_private);
        let refresh = grant.refresh.clone().map(SecretString::from).unwrap_or_default();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose_secret()),
            ("resource", grant.resource.as_deref().unwrap_or_default()),
        ];
        endpoint.map_err(unavailable)?.ask(&self.client, &form).await
    }

    /// Keeps the grant as it is now, unless somebody disconnected, or connected anew, meanwhile.
    async fn keep(&mut self) -> Result<Place> {
        for _ in 0..MOST_TRIES {
            let put = Put { expected: Expected::Is(self.kept.version), expires: None };
            if self.safe.write(&self.key, &self.kept.value, put).await.map_err(unavailable)?.is_some() {
                return Ok(Place::Same);
            }
            // A refresh token that counts once must not be lost to whoever only noted something.
            let now = self.safe.read::<Grant>(&self.key).await.map_err(unavailable)?;
            let Some(now) = now else { return Ok(Place::Gone) };
            if now.value.granted != self.kept.value.granted {
                return Ok(Place::Another);
            }
            self.kept.version = now.version;
        }
        Ok(Place::Same)
    }

    /// Lets others try.
    async fn give_up(&mut self) {
        self.kept.value.renewing = None;
        let _ = self.keep().await;
    }

    async fn forget(&self) -> Result<Option<Token>, Failed> {
        let gone = self.safe.remove(&self.key, Expected::Is(self.kept.version)).await;
        gone.map_err(|error| Failed::Error(unavailable(error)))?;
        Err(Failed::Over)
    }
}
