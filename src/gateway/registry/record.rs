//! What the registry keeps: the connectors that were added, and how their adding went.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::clients::{self, OAuthClient};
use super::{RegistryError, Source, key};
use crate::credential::Safe;
use crate::store::{Expected, Put, Store, Version};
use crate::widget::sha256_hex;

/// Where connectors are kept, and deployments.
pub(super) const RECORDS: &str = "registry/";
pub(super) const DEPLOYMENTS: &str = "deployment/";
/// How long a deployment is told of that left nothing.
const TOLD: Duration = Duration::from_hours(24 * 7);
/// Connectors that can be added in all, and for one tenant.
const MOST: u64 = 500;
const MOST_OF_TENANT: u64 = 50;
/// Failures of one tenant that are told of.
const MOST_FAILED: usize = 100;
/// Letters of a tenant's mark in an id.
pub(super) const MARK: usize = 8;

/// A connector that somebody added.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What they call it.
    pub name: String,
    /// For whom it is there.
    pub tenant: Option<String>,
    /// Groups it with others.
    pub category: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// The deployment that brings it up.
    pub deployment: String,
    /// Whether what it needs was fetched, so that it can be started.
    pub built: bool,
    /// When it was added.
    pub added: SystemTime,
    /// Whether a client at its issuer came with it.
    #[serde(default)]
    pub client: bool,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It waits for its turn.
    Pending,
    /// What it needs is being fetched.
    Building,
    /// It is being started.
    Deploying,
    /// It runs.
    Running,
    /// It does not, and nothing of it was left behind.
    Failed,
}

impl Stage {
    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Running | Self::Failed)
    }
}

/// How the adding of a connector goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployment {
    /// Names it.
    pub id: String,
    /// The connector's name.
    pub name: String,
    /// Whose it is.
    pub tenant: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// How far in a hundred.
    pub progress: u8,
    /// What is happening.
    pub message: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started: SystemTime,
    /// When it ended.
    pub completed: Option<SystemTime>,
    /// How many tools were found.
    pub tools: Option<usize>,
}

impl Deployment {
    /// It as clients read it.
    pub fn json(&self) -> Value {
        let written = |time: SystemTime| humantime::format_rfc3339_millis(time).to_string();
        let mut all = json!({
            "deploymentId": self.id,
            "name": self.name,
            "status": self.stage,
            "progress": self.progress,
            "message": self.message,
            "error": self.error,
            "startedAt": written(self.started),
            "completedAt": self.completed.map(written),
            "toolsDiscovered": self.tools,
        });
        if let Some(all) = all.as_object_mut() {
            all.retain(|_, value| !value.is_null());
        }
        all
    }
}

impl Record {
    /// The connector's id: the name, with a mark of the tenant if it is a tenant's.
    pub fn id(&self) -> String {
        id(self.tenant.as_deref(), &self.name)
    }
}

/// The id of a connector of this name.
pub(super) fn id(tenant: Option<&str>, name: &str) -> String {
    match tenant {
        Some(tenant) => format!("{name}-{}", sha256_hex(tenant).chars().take(MARK).collect::<String>()),
        None => name.to_owned(),
    }
}

/// Where a tenant's things are kept below `what`. A tenant may be called anything.
pub(super) fn of_tenant(what: &str, tenant: Option<&str>) -> String {
    let mark = tenant.map_or_else(|| "-".to_owned(), sha256_hex);
    format!("{what}{mark}/")
}

/// What is kept, sealed: a source's headers are secrets.
#[derive(Debug, Clone)]
pub(super) struct Drawer {
    store: Arc<dyn Store>,
    safe: Safe,
}

impl Drawer {
    pub(super) fn new(store: Arc<dyn Store>, safe: Safe) -> Self {
        Self { store, safe }
    }

    pub(super) async fn get<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, Version)>, RegistryError> {
        Ok(self.safe.read::<T>(key).await?.map(|kept| (kept.value, kept.version)))
    }

    /// Keeps a value if what is there is as expected; gives whether it was.
    pub(super) async fn put<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        expected: Expected,
    ) -> Result<Option<Version>, RegistryError> {
        Ok(self.safe.write(key, value, Put { expected, expires: None }).await?)
    }

    /// Whether one more connector may be added, for this tenant.
    pub(super) async fn has_room(&self, tenant: Option<&str>) -> Result<(), RegistryError> {
        if self.count(RECORDS).await? >= MOST {
            return Err(RegistryError::Forbidden(format!("{MOST} connectors were added already; remove one first")));
        }
        let theirs = of_tenant(RECORDS, tenant);
        if tenant.is_some() && self.count(&theirs).await? >= MOST_OF_TENANT {
            return Err(RegistryError::Forbidden(format!(
                "{MOST_OF_TENANT} connectors of this tenant were added already; remove one first"
            )));
        }
        Ok(())
    }

    /// Keeps a connector that is new, with its client; whether its name was free.
    pub(super) async fn keep_new(&self, record: &Record, client: Option<&OAuthClient>) -> Result<bool, RegistryError> {
        let tenant = record.tenant.as_deref();
        let at = key(tenant, &record.name);
        let mut kept = self.put(&at, record, Expected::Absent).await?;
        // What cannot be read, nobody has.
        if kept.is_none() && self.get::<Record>(&at).await?.is_none() {
            kept = self.put(&at, record, Expected::Any).await?;
        }
        if let (Some(_), Some(client)) = (&kept, client) {
            self.put(&clients::key(tenant, &record.name)?, client, Expected::Any).await?;
        }
        Ok(kept.is_some())
    }

    /// Everything that begins with `prefix`. What cannot be read is left out.
    pub(super) async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, RegistryError> {
        Ok(self.safe.all::<T>(prefix).await?.into_iter().map(|(_, kept)| kept.value).collect())
    }

    pub(super) async fn count(&self, prefix: &str) -> Result<u64, RegistryError> {
        Ok(self.store.count(prefix).await?)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<bool, RegistryError> {
        Ok(self.safe.remove(key, Expected::Any).await?)
    }

    /// Forgets a deployment that is over.
    pub(super) async fn forget_deployment(&self, id: &str) -> Result<(), RegistryError> {
        let key = format!("{DEPLOYMENTS}{id}");
        if self.get::<Deployment>(&key).await?.is_some_and(|(it, _)| it.stage.is_over()) {
            self.delete(&key).await?;
        }
        Ok(())
    }

    /// Forgets the oldest failures of a tenant where there are many.
    pub(super) async fn prune(&self, tenant: Option<&str>) -> Result<(), RegistryError> {
        let mut failed = self.all::<Deployment>(DEPLOYMENTS).await?;
        failed.retain(|it| it.stage == Stage::Failed && it.tenant.as_deref() == tenant);
        failed.sort_by_key(|it| std::cmp::Reverse(it.started));
        for old in failed.iter().skip(MOST_FAILED) {
            self.delete(&format!("{DEPLOYMENTS}{}", old.id)).await?;
        }
        Ok(())
    }

    /// Notes how far a deployment is; one that failed is forgotten after a while.
    pub(super) async fn note(&self, deployment: &Deployment) -> Result<(), RegistryError> {
        // As long as a connector runs, its deployment can be asked for.
        let expires = (deployment.stage == Stage::Failed).then(|| SystemTime::now().checked_add(TOLD)).flatten();
        let put = Put { expected: Expected::Any, expires };
        self.safe.write(&format!("{DEPLOYMENTS}{}", deployment.id), deployment, put).await?;
        Ok(())
    }
}
