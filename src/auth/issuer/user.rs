//! Users: the people who may sign in with a name and a password.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::consent;
use super::grant::Grant;
use super::people::{owner_id, retire_owner};
use super::shelf::{Shelf, now};
use super::{Trouble, password, random};
use crate::store::{Expected, Put, Store};

pub(super) const PREFIX: &str = "auth/user/";
/// The shortest password, in characters.
const SHORTEST: usize = 10;
/// The longest, in bytes.
pub(super) const LONGEST: usize = 1024;

/// What is kept of a user.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) full_name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) scopes: Option<BTreeSet<String>>,
    /// Of their password.
    pub(super) hash: String,
    /// Changes with the password.
    pub(super) stamp: String,
    /// In milliseconds since 1970.
    pub(super) created: u64,
}

/// A user, as they are listed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Names them in tokens, for ever.
    pub id: String,
    /// What they sign in with.
    pub name: String,
    /// What they are called.
    pub full_name: Option<String>,
    /// Their address for mail.
    pub email: Option<String>,
    /// Whom they belong to.
    pub tenant: Option<String>,
    /// The scopes they may give to clients; none said, all.
    pub scopes: Option<BTreeSet<String>>,
    /// When they were added, in milliseconds since 1970.
    pub created: u64,
    /// How many times they let a client act for them.
    pub clients: u64,
    /// Those clients.
    pub connected: Vec<Connected>,
}

/// A client that acts for somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Connected {
    /// What it calls itself.
    pub name: String,
    /// Its client id.
    pub id: String,
}

/// A user to add.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// What they sign in with.
    pub name: String,
    /// What they are called.
    pub full_name: Option<String>,
    /// Their address for mail.
    pub email: Option<String>,
    /// Whom they belong to.
    pub tenant: Option<String>,
    /// The scopes they may give to clients; none said, all.
    pub scopes: Option<BTreeSet<String>>,
    /// What proves who they are.
    pub password: SecretString,
}

/// Why something cannot be done with a user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name cannot be one.
    #[error("`{0}` cannot be a user's name: up to 64 letters, digits and `.`, `_`, `-`, `+`, `@`")]
    Name(String),
    /// The password is too short or too long.
    #[error("a password has {SHORTEST} characters or more, and at most {LONGEST} bytes")]
    Password,
    /// There is one already.
    #[error("there is a user `{0}` already")]
    Exists(String),
    /// There is none.
    #[error("there is no user `{0}`")]
    Unknown(String),
    /// The store, or this machine, failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// All users. A running server sees each change at once.
#[derive(Debug)]
pub struct Users(Shelf);

impl Users {
    /// The users of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(Shelf::new(store))
    }

    /// Adds a user. With the first one, what was connected by one-time codes ends.
    pub async fn add(&self, new: NewUser) -> Result<(), UserError> {
        let key = key(&new.name).ok_or_else(|| UserError::Name(new.name.clone()))?;
        check(&new.password)?;
        let record = Record {
            id: random::name()?,
            name: new.name.clone(),
            full_name: new.full_name,
            email: new.email,
            tenant: new.tenant,
            scopes: new.scopes,
            hash: password::hash(new.password).await?,
            stamp: random::name()?,
            created: now(),
        };
        let put = Put { expected: Expected::Absent, expires: None };
        if !self.0.keep(&key, &record, put).await? {
            return Err(UserError::Exists(new.name));
        }
        Ok(retire_owner(&self.0).await?)
    }

    /// All of them, by name.
    pub async fn list(&self) -> Result<Vec<User>, UserError> {
        let mut users = Vec::new();
        for (_, record) in self.0.all::<Record>(PREFIX).await? {
            let (clients, connected) = self.connected(&record.id).await?;
            let Record { id, name, full_name, email, tenant, scopes, created, .. } = record;
            users.push(User { id, name, full_name, email, tenant, scopes, created, clients, connected });
        }
        Ok(users)
    }

    /// The clients that act for the owner, who signs in by one-time codes.
    pub async fn of_owner(&self) -> Result<Vec<Connected>, UserError> {
        match owner_id(&self.0).await? {
            Some(owner) => Ok(self.connected(&owner).await?.1),
            None => Ok(Vec::new()),
        }
    }

    /// Ends what a user gave to clients, or to this one: how many times they had.
    pub async fn disconnect(&self, name: &str, client: Option<&str>) -> Result<usize, UserError> {
        let (_, kept) = self.find(name).await?;
        Ok(disconnect(&self.0, &kept.value.id, client).await?)
    }

    /// The same for the owner.
    pub async fn disconnect_owner(&self, client: Option<&str>) -> Result<usize, UserError> {
        match owner_id(&self.0).await? {
            Some(owner) => Ok(disconnect(&self.0, &owner, client).await?),
            None => Ok(0),
        }
    }

    /// How many grants somebody gave, and the clients they are for.
    async fn connected(&self, subject: &str) -> Result<(u64, Vec<Connected>), UserError> {
        let grants = self.0.all::<Grant>(&grants(subject)).await?;
        let many = u64::try_from(grants.len()).unwrap_or(u64::MAX);
        let clients = grants.into_iter().map(|(_, grant)| Connected { name: grant.client_name, id: grant.client });
        let clients: BTreeSet<Connected> = clients.collect();
        Ok((many, clients.into_iter().collect()))
    }

    /// Gives a user another password, and ends their sessions in browsers. Clients stay connected.
    pub async fn set_password(&self, name: &str, password: SecretString) -> Result<(), UserError> {
        check(&password)?;
        let (key, kept) = self.find(name).await?;
        let hash = password::hash(password).await?;
        let record = Record { hash, stamp: random::name()?, ..kept.value };
        let put = Put { expected: Expected::Is(kept.version), expires: None };
        if self.0.keep(&key, &record, put).await? { Ok(()) } else { Err(Trouble::Busy.into()) }
    }

    /// Removes a user, and disconnects every client that acts for them: how many there were.
    pub async fn remove(&self, name: &str) -> Result<usize, UserError> {
        let (key, kept) = self.find(name).await?;
        retire_owner(&self.0).await?;
        // First the user, so that nothing new comes while the rest goes.
        self.0.remove(&key, Expected::Any).await?;
        Ok(disconnect(&self.0, &kept.value.id, None).await?)
    }

    async fn find(&self, name: &str) -> Result<(String, super::shelf::Kept<Record>), UserError> {
        let key = key(name).ok_or_else(|| UserError::Unknown(name.to_owned()))?;
        let kept = self.0.read::<Record>(&key).await?;
        Ok((key, kept.ok_or_else(|| UserError::Unknown(name.to_owned()))?))
    }
}

/// Where the user of this name is kept; upper and lower case are the same. `None`: nobody can be called so.
pub(super) fn key(name: &str) -> Option<String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
    let right = (1..=64).contains(&name.chars().count()) && name.chars().all(fits);
    right.then(|| format!("{PREFIX}{}", name.to_lowercase()))
}

fn check(password: &SecretString) -> Result<(), UserError> {
    let password = password.expose_secret();
    let right = password.chars().count() >= SHORTEST && password.len() <= LONGEST;
    if right { Ok(()) } else { Err(UserError::Password) }
}

/// Ends what somebody gave to clients, or to this one: how many grants there were. Asked again, they are asked anew.
pub(super) async fn disconnect(shelf: &Shelf, subject: &str, client: Option<&str>) -> Result<usize, Trouble> {
    let Some(client) = client else {
        shelf.clear(&format!("auth/consent/{subject}/")).await?;
        return shelf.clear(&grants(subject)).await;
    };
    shelf.clear(&consent::of_client(subject, client)).await?;
    let mut ended = 0;
    for (key, grant) in shelf.all::<Grant>(&grants(subject)).await? {
        if grant.client == client {
            ended += usize::from(shelf.remove(&key, Expected::Any).await?);
        }
    }
    Ok(ended)
}

fn grants(subject: &str) -> String {
    format!("auth/grant/{subject}/")
}
