//! Who may sign in: users with passwords, or, while there are none, the owner by a one-time code.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Trouble;
use super::random;
use super::shelf::Shelf;
use super::user::{self, Record};
use crate::store::{Expected, Put};

/// The id of the owner.
const OWNER: &str = "auth/owner";

/// Somebody, as tokens speak of them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Person {
    /// Names them for ever.
    pub(super) subject: String,
    /// The name they sign in with; none for the owner.
    pub(super) user: Option<String>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) tenant: Option<String>,
    /// The scopes they may give to clients; none said, all.
    pub(super) ceiling: Option<BTreeSet<String>>,
    /// Changes with their password.
    pub(super) stamp: String,
}

impl Person {
    /// What they are called on pages.
    pub(super) fn shown(&self) -> &str {
        self.name.as_deref().or(self.user.as_deref()).unwrap_or("the owner of this server")
    }

    /// Those of the scopes that they may give.
    pub(super) fn may_give(&self, scopes: &BTreeSet<String>) -> BTreeSet<String> {
        let allowed = |scope: &&String| {
            let always = super::ALWAYS.contains(&scope.as_str());
            always || self.ceiling.as_ref().is_none_or(|ceiling| ceiling.contains(*scope))
        };
        scopes.iter().filter(allowed).cloned().collect()
    }
}

impl From<Record> for Person {
    fn from(record: Record) -> Self {
        Self {
            subject: record.id,
            user: Some(record.name),
            name: record.full_name,
            email: record.email,
            tenant: record.tenant,
            ceiling: record.scopes,
            stamp: record.stamp,
        }
    }
}

/// All of them.
#[derive(Clone)]
pub(super) struct People {
    shelf: Shelf,
}

impl People {
    pub(super) fn new(shelf: Shelf) -> Self {
        Self { shelf }
    }

    /// Whether people sign in with names and passwords.
    pub(super) async fn have_names(&self) -> Result<bool, Trouble> {
        Ok(self.shelf.count(user::PREFIX).await? > 0)
    }

    /// The user of this name, and the hash of their password.
    pub(super) async fn named(&self, name: &str) -> Result<Option<(Person, String)>, Trouble> {
        let Some(key) = user::key(name) else { return Ok(None) };
        let kept = self.shelf.read::<Record>(&key).await?;
        Ok(kept.map(|kept| (kept.value.hash.clone(), kept.value)).map(|(hash, record)| (record.into(), hash)))
    }

    /// The owner, as long as there are no users.
    pub(super) async fn owner(&self) -> Result<Option<Person>, Trouble> {
        if self.have_names().await? {
            return Ok(None);
        }
        let kept = match self.shelf.read::<String>(OWNER).await? {
            Some(kept) => Some(kept.value),
            None => self.new_owner().await?,
        };
        Ok(kept.map(|subject| Person {
            subject,
            user: None,
            name: None,
            email: None,
            tenant: None,
            ceiling: None,
            stamp: String::new(),
        }))
    }

    /// An owner who was never there before, or whoever just became that in another process.
    async fn new_owner(&self) -> Result<Option<String>, Trouble> {
        let put = Put { expected: Expected::Absent, expires: None };
        self.shelf.keep(OWNER, &random::name()?, put).await?;
        // The first user may have come meanwhile, and ended the owner before there was this one.
        if self.have_names().await? {
            retire_owner(&self.shelf).await?;
        }
        Ok(self.shelf.read::<String>(OWNER).await?.map(|kept| kept.value))
    }

    /// Somebody as they are now, if they are still here.
    pub(super) async fn now(&self, person: &Person) -> Result<Option<Person>, Trouble> {
        let found = match &person.user {
            Some(name) => self.named(name).await?.map(|(person, _)| person),
            None => self.owner().await?,
        };
        Ok(found.filter(|found| found.subject == person.subject))
    }
}

/// Ends the owner, and what they gave by one-time codes: from now on people sign in with names. Should all of those be
/// removed, there is another owner, who is nobody's old session.
pub(super) async fn retire_owner(shelf: &Shelf) -> Result<(), Trouble> {
    if let Some(owner) = owner_id(shelf).await? {
        shelf.remove(OWNER, Expected::Any).await?;
        user::disconnect(shelf, &owner, None).await?;
    }
    Ok(())
}

/// The id of the owner, if there was ever a need for one.
pub(super) async fn owner_id(shelf: &Shelf) -> Result<Option<String>, Trouble> {
    Ok(shelf.read::<String>(OWNER).await?.map(|kept| kept.value))
}
