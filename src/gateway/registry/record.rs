//! What the registry keeps: the connectors that were added, and how their adding went.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{RegistryError, Source};
use crate::credential::Safe;
use crate::store::{Expected, Put, Store, Version};
use crate::widget::sha256_hex;

/// Where connectors are kept, and deployments.
pub(super) const RECORDS: &str = "registry/";
pub(super) const DEPLOYMENTS: &str = "deployment/";
/// How long the end of a deployment is told.
const TOLD: Duration = Duration::from_hours(24 * 7);
/// Letters of a tenant's mark in an id.
const MARK: usize = 8;

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

    /// Notes how far a deployment is; one that is over is forgotten after a while.
    pub(super) async fn note(&self, deployment: &Deployment) -> Result<(), RegistryError> {
        let expires = deployment.stage.is_over().then(|| SystemTime::now().checked_add(TOLD)).flatten();
        let put = Put { expected: Expected::Any, expires };
        self.safe.write(&format!("{DEPLOYMENTS}{}", deployment.id), deployment, put).await?;
        Ok(())
    }
}
