//! Everything credentials are found with: the environment, files, Vault, and the sealed part of the store.

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::safe::Safe;
use super::seal::{SEAL_FILE, SEAL_KEY};
use super::vault::{Vault, VaultConfig};
use crate::caller::Principal;
use crate::name::ConnectorId;
use crate::secret::{Environment, Missing, Reference};

/// Vouches for callers towards issuers elsewhere.
#[async_trait]
pub trait Voucher: fmt::Debug + Send + Sync {
    /// Whether this caller is one of those it vouches for.
    fn knows(&self, caller: &Principal) -> bool;

    /// A signed token that names this caller, for `audience` and for a short time only. The error says why there is
    /// none, in words for the operator.
    async fn vouch(&self, caller: &Principal, audience: &str) -> Result<SecretString, String>;
}

/// Who a tenant is at an issuer, when it has a client of its own there.
#[derive(Clone)]
pub struct TenantClient {
    /// The client's id.
    pub id: String,
    /// What proves it.
    pub secret: SecretString,
    /// The scopes to ask for; none said, the manifest's.
    pub scopes: Vec<String>,
}

impl fmt::Debug for TenantClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantClient").field("id", &self.id).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// Knows the clients that tenants have at issuers.
#[async_trait]
pub trait TenantClients: fmt::Debug + Send + Sync {
    /// A tenant's client for a connector, which takes the place of the manifest's. The error is for the log.
    async fn client(&self, tenant: Option<&str>, connector: &ConnectorId) -> Result<Option<TenantClient>, String>;
}

/// Whether somebody here can vouch for callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouching {
    /// Our own issuer, once it is open.
    ByIssuer,
    /// Nobody.
    Nobody,
}

/// Everything credentials are found with.
#[derive(Debug)]
pub struct Keyring {
    environment: Environment,
    vault: Result<Arc<Vault>, String>,
    safe: Result<Safe, String>,
    vouching: Vouching,
    voucher: OnceLock<Arc<dyn Voucher>>,
    clients: OnceLock<Arc<dyn TenantClients>>,
    tasks: TaskTracker,
}

impl Keyring {
    /// A keyring; `safe` is where secrets are kept, or why nowhere.
    pub fn new(
        environment: Environment,
        vault: &VaultConfig,
        safe: Result<Safe, String>,
        vouching: Vouching,
    ) -> Arc<Self> {
        let vault = Vault::new(&environment, vault.clone()).map(Arc::new);
        let (voucher, clients, tasks) = (OnceLock::new(), OnceLock::new(), TaskTracker::new());
        Arc::new(Self { environment, vault, safe, vouching, voucher, clients, tasks })
    }

    /// The variables that references name.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where secrets are kept, or why nowhere.
    pub fn safe(&self) -> Result<&Safe, String> {
        self.safe.as_ref().map_err(Clone::clone)
    }

    /// Runs what has to come to its end although nobody waits for it. Each task ends by itself, in bounded time.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Who vouches for callers, once there is somebody.
    pub fn vouch_by(&self, voucher: Arc<dyn Voucher>) {
        let _ = self.voucher.set(voucher);
    }

    /// Who vouches for callers.
    pub fn voucher(&self) -> Option<&Arc<dyn Voucher>> {
        self.voucher.get()
    }

    /// Whether somebody will.
    pub fn vouching(&self) -> Vouching {
        self.vouching
    }

    /// Who knows the clients of tenants, once there is somebody.
    pub fn clients_by(&self, clients: Arc<dyn TenantClients>) {
        let _ = self.clients.set(clients);
    }

    /// The client that a tenant has at the issuer of a connector's credential, if it has one.
    pub async fn client_of(
        &self,
        tenant: Option<&str>,
        connector: &ConnectorId,
    ) -> Result<Option<TenantClient>, String> {
        let Some(clients) = self.clients.get() else { return Ok(None) };
        clients.client(tenant, connector).await
    }

    /// A secret. `folder` is the one that files are relative to.
    pub async fn find(&self, reference: &Reference, folder: &Path) -> Result<SecretString, Missing> {
        let Reference::Vault(secret) = reference else { return reference.resolve(&self.environment, folder) };
        let place = secret.place()?;
        let missing = |why: String| Missing::Vault(secret.vault.clone(), why);
        let vault = self.vault.as_ref().map_err(|why| missing(why.clone()))?;
        let value = vault.read(place, &self.tasks).await.map_err(|error| missing(error.to_string()))?;
        if secret.prefix.is_empty() {
            return Ok(value);
        }
        Ok(format!("{}{}", secret.prefix, value.expose_secret()).into())
    }

    /// What is missing of a secret, as far as nobody has to be asked.
    pub fn check(&self, reference: &Reference, folder: &Path) -> Result<(), Missing> {
        let Reference::Vault(secret) = reference else {
            return reference.resolve(&self.environment, folder).map(drop);
        };
        secret.place()?;
        self.vault.as_ref().map(drop).map_err(|why| Missing::Vault(secret.vault.clone(), why.clone()))
    }

    /// Asks again for what is kept of secrets, in case they changed.
    pub(super) async fn renew(&self, references: impl Iterator<Item = &Reference>) {
        let Ok(vault) = &self.vault else { return };
        let paths: BTreeSet<String> = references
            .filter_map(|reference| {
                let Reference::Vault(secret) = reference else { return None };
                secret.place().ok().map(Vault::path)
            })
            .collect();
        for path in paths {
            vault.renew(path, &self.tasks).await;
        }
    }

    /// Looks whether everything that is kept can be opened, and keeps logins alive until `stop`.
    pub async fn tend(&self, stop: CancellationToken) {
        if let Ok(safe) = &self.safe {
            match stop.run_until_cancelled(safe.renew()).await {
                Some(Ok(0)) | None => {}
                Some(Ok(closed)) => tracing::error!(
                    "{closed} sealed records cannot be opened: their sealing key is gone, or was replaced. Until it is back \
                     ({SEAL_KEY}, `credentials.sealKeyFile` or {SEAL_FILE} in the data folder), what was connected or \
                     added is as if it had never been"
                ),
                Some(Err(error)) => tracing::warn!("what is kept sealed cannot be read: {error}"),
            }
        }
        match &self.vault {
            Ok(vault) => {
                stop.run_until_cancelled(Arc::clone(vault).tend(self.tasks.clone())).await;
            }
            Err(_) => stop.cancelled().await,
        }
    }

    /// Waits until nothing it started is under way.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
