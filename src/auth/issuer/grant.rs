//! A grant: that a person lets a client act for them. Every token belongs to one, and ends with it.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::Trouble;
use super::people::Person;
use super::random;
use super::shelf::{Kept, Shelf, after, fresh, now};
use super::signing::Ring;
use crate::store::Expected;

/// What is kept of a grant.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    /// Who gave it, as they were when a token was last given out.
    pub(super) person: Person,
    /// The client it was given to.
    pub(super) client: String,
    /// What that called itself.
    #[serde(default)]
    pub(super) client_name: String,
    pub(super) scopes: BTreeSet<String>,
    /// How many times the refresh token was turned over.
    generation: u64,
    /// When that was last, in milliseconds since 1970.
    turned: u64,
}

/// What became of a refresh token that was shown.
pub(super) enum Turned {
    /// The next one, and the grant as it is.
    Next(String, Box<Grant>),
    /// It was used before: whoever shows it now may have stolen it, so the grant is gone.
    Stolen,
    /// It counts for nothing here.
    Nothing,
}

/// All grants.
#[derive(Clone)]
pub(super) struct Grants {
    shelf: Shelf,
    /// A grant nobody uses ends after this long.
    idle: Duration,
    /// For this long a refresh token that was used is answered once more, for a client that missed the answer.
    grace: Duration,
}

/// The subject comes first, so that all grants of a person stand together.
fn key(id: &str) -> String {
    format!("auth/grant/{id}")
}

impl Grants {
    pub(super) fn new(shelf: Shelf, idle: Duration, grace: Duration) -> Self {
        Self { shelf, idle, grace }
    }

    /// A new grant: its id.
    pub(super) async fn give(
        &self,
        person: Person,
        (client, client_name): (String, String),
        scopes: BTreeSet<String>,
    ) -> Result<String, Trouble> {
        let id = format!("{}/{}", person.subject, random::name()?);
        let grant = Grant { person, client, client_name, scopes, generation: 0, turned: now() };
        self.shelf.keep(&key(&id), &grant, fresh(self.idle)).await?;
        Ok(id)
    }

    pub(super) async fn find(&self, id: &str) -> Result<Option<Kept<Grant>>, Trouble> {
        self.shelf.read(&key(id)).await
    }

    /// Ends a grant: whether it was there.
    pub(super) async fn revoke(&self, id: &str) -> Result<bool, Trouble> {
        self.shelf.remove(&key(id), Expected::Any).await
    }

    /// The first refresh token of a grant.
    pub(super) fn first(ring: &Ring, id: &str) -> String {
        token(ring, id, 0)
    }

    /// Turns a refresh token over. `person` is who the grant belongs to, as they are now.
    pub(super) async fn turn(&self, ring: &Ring, shown: &Shown, person: Person) -> Result<Turned, Trouble> {
        // Somebody else may turn it over at the same time; then it is looked at again.
        for _ in 0..3 {
            let Some(Kept { value: mut grant, version }) = self.find(&shown.grant).await? else {
                return Ok(Turned::Nothing);
            };
            let repeated = shown.generation.checked_add(1) == Some(grant.generation);
            let late = Duration::from_millis(now().saturating_sub(grant.turned)) >= self.grace;
            if repeated && !late {
                grant.person = person;
                return Ok(Turned::Next(token(ring, &shown.grant, grant.generation), Box::new(grant)));
            }
            if shown.generation != grant.generation {
                self.revoke(&shown.grant).await?;
                return Ok(Turned::Stolen);
            }
            grant.generation += 1;
            grant.turned = now();
            grant.person.clone_from(&person);
            if self.shelf.keep(&key(&shown.grant), &grant, after(version, self.idle)).await? {
                return Ok(Turned::Next(token(ring, &shown.grant, grant.generation), Box::new(grant)));
            }
        }
        Err(Trouble::Busy)
    }
}

/// A refresh token that we made.
pub(super) struct Shown {
    pub(super) grant: String,
    generation: u64,
}

impl Shown {
    /// Reads a refresh token; `None`: we did not make it.
    pub(super) fn read(ring: &Ring, token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (grant, generation, tag) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let grant = String::from_utf8(random::decode(grant)?).ok()?;
        let generation = generation.parse().ok()?;
        hmac::verify(ring.refresh(), signed(&grant, generation).as_bytes(), &random::decode(tag)?).ok()?;
        Some(Self { grant, generation })
    }
}

/// The refresh token of a generation. It is always the same, so whoever missed it can be told again.
fn token(ring: &Ring, grant: &str, generation: u64) -> String {
    let tag = hmac::sign(ring.refresh(), signed(grant, generation).as_bytes());
    format!("{}.{generation}.{}", random::encode(grant.as_bytes()), random::encode(tag.as_ref()))
}

fn signed(grant: &str, generation: u64) -> String {
    format!("refresh {grant} {generation}")
}
