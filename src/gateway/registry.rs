//! The registry: connectors that are added and taken away while the server runs.
//!
//! What is added is kept in the store and read beside the manifests in files, so that everything that holds for
//! those holds for it. Bringing one up takes a while and happens in the background: a deployment.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod clients;
mod deploy;
mod desk;
mod order;
mod prepare;
mod record;
mod rules;
mod source;

pub use desk::whose;
pub use order::{NewConnector, Whose, tenant_of};
pub use record::{Deployment, Record, Stage};
pub use rules::{Program, Rules};
pub use source::Source;

use super::{Gateway, Live};
use crate::audit::Deed;
use crate::caller::Caller;
use crate::credential::Keyring;
use crate::error::{Error, ErrorKind};
use crate::manifest::{Manifests, Owner};
use crate::name::{ConnectorId, shown};
use crate::store::{Store, StoreError};
use order::is_name;
use record::{DEPLOYMENTS, Drawer, RECORDS, id, of_tenant};

/// Deployments that wait for their turn. One more is refused.
const WAITING: usize = 100;
/// How long the next snapshot may take to come.
const SOON: Duration = Duration::from_secs(10);
/// The folder, which is none on any disk, where their manifests stand.
const FOLDER: &str = "<added>";

/// A deployment that waits, and whose it is.
type Turn = (Option<String>, String);

/// Why something is not added, found or taken away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// What was sent makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The operator does not want it.
    #[error("{0}")]
    Forbidden(String),
    /// The name is taken.
    #[error("{0}")]
    Taken(String),
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// Too many are being brought up already.
    #[error("{WAITING} connectors wait to be brought up already; try again in a moment")]
    Full,
    /// Nothing can be added now, or at all; the words say why.
    #[error("{0}")]
    Unavailable(String),
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the registry cannot be read or written");
        Self::Unavailable("what was added cannot be read or kept now; try again soon".into())
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        let kind = match error {
            RegistryError::Invalid(_) | RegistryError::Taken(_) | RegistryError::Unknown(_) => {
                ErrorKind::InvalidArguments
            }
            RegistryError::Forbidden(_) => ErrorKind::Forbidden,
            RegistryError::Full => ErrorKind::Busy,
            RegistryError::Unavailable(_) => ErrorKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

/// Connectors that are added and taken away.
#[derive(Debug)]
pub struct Registry {
    rules: Rules,
    drawer: Result<Drawer, String>,
    /// Deployments that wait.
    queue: mpsc::Sender<Turn>,
    /// Their other end, until somebody works it off.
    waiting: Mutex<Option<mpsc::Receiver<Turn>>>,
    /// Ends deployments under way.
    under_way: Mutex<HashMap<String, CancellationToken>>,
    /// Told when what was added is no longer what was read.
    changed: Notify,
    /// What was read last, for the time when nothing can be read.
    last: Mutex<Vec<Record>>,
}

impl Registry {
    pub(super) fn new(rules: Rules, store: &Result<Arc<dyn Store>, String>, keyring: &Keyring) -> Self {
        let drawer = store.clone().and_then(|store| Ok(Drawer::new(store, keyring.safe()?.clone())));
        if let Ok(drawer) = &drawer {
            keyring.clients_by(Arc::new(drawer.clone()));
        }
        let (queue, waiting) = mpsc::channel(WAITING);
        Self {
            rules,
            drawer,
            queue,
            waiting: Mutex::new(Some(waiting)),
            under_way: Mutex::default(),
            changed: Notify::new(),
            last: Mutex::default(),
        }
    }

    /// Waits until what was added is no longer what was read.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn drawer(&self) -> Result<&Drawer, RegistryError> {
        self.drawer.as_ref().map_err(|reason| RegistryError::Unavailable(format!("nothing can be added: {reason}")))
    }

    /// Whether anything was added.
    pub async fn has_any(&self) -> bool {
        match &self.drawer {
            Ok(drawer) => drawer.count(RECORDS).await.is_ok_and(|count| count > 0),
            Err(_) => false,
        }
    }

    /// Puts what was added beside what stands in files.
    pub async fn read_into(&self, manifests: &mut Manifests) {
        let Ok(drawer) = &self.drawer else { return };
        let records = match drawer.all::<Record>(RECORDS).await {
            Ok(records) => {
                self.last().clone_from(&records);
                records
            }
            Err(_) => self.last().clone(),
        };
        for record in records.into_iter().filter(|record| record.built) {
            let file = file_of(&record.id());
            if let Some(refusal) = self.refusal(&record.source) {
                tracing::warn!(connector = record.id(), "the added connector is left out: {refusal}");
                continue;
            }
            let owner = Owner {
                tenant: record.tenant.as_deref().map(Arc::from),
                name: record.name.clone(),
                deployment: Arc::from(record.deployment.as_str()),
            };
            manifests.add_owned(&file, &self.manifest(&record), &owner);
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The manifest of an added connector.
    fn manifest(&self, record: &Record) -> String {
        let (adapter, credentials) = record.source.adapter(&self.rules, &self.folder(record));
        let mut manifest = json!({
            "id": record.id(),
            "name": record.name,
            "version": "1.0.0",
            "adapter": adapter,
            "credentials": credentials,
        });
        if let Some(manifest) = manifest.as_object_mut() {
            let texts = [("category", &record.category), ("description", &record.description)];
            manifest.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?)))));
        }
        manifest.to_string()
    }

    /// The folder of a connector that is a program. Another of its name that comes after it has one of its own.
    fn folder(&self, record: &Record) -> PathBuf {
        self.rules.folder.as_deref().unwrap_or(Path::new("")).join("registry").join(&record.deployment)
    }

    /// Why the operator does not let this be started.
    fn refusal(&self, source: &Source) -> Option<String> {
        let program = source.program().filter(|program| !self.rules.programs.contains(program))?;
        let word = program.word();
        Some(format!(
            "a source of the kind `{word}` starts a program on the server's machine, and its operator has not allowed \
             that: `registry.programs` in the configuration file has to name `{word}`"
        ))
    }

    /// Takes a connector on.
    async fn take_on(&self, new: NewConnector, live: &Live) -> Result<Deployment, RegistryError> {
        let drawer = self.drawer()?;
        new.check()?;
        if let Some(refusal) = self.refusal(&new.source) {
            return Err(RegistryError::Forbidden(refusal));
        }
        if new.source.program().is_some() && self.rules.folder.is_none() {
            return Err(RegistryError::Unavailable("there is no folder in which a program could run".into()));
        }
        if self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Err(RegistryError::Unavailable("connectors are added to a server that runs".into()));
        }
        let id = id(new.tenant.as_deref(), &new.name);
        let taken = || RegistryError::Taken(format!("there is a connector called `{}` already", new.name));
        if live
            .connectors
            .keys()
            .any(|known| known.as_str() == id || known.as_str() == new.name && is_written(live, known))
        {
            return Err(taken());
        }
        // A place in the queue before anything is kept.
        let place = self.queue.try_reserve().map_err(|_| RegistryError::Full)?;
        drawer.has_room(new.tenant.as_deref()).await?;
        let client = new.oauth_config.clone().map(|client| client.checked(&new.name)).transpose()?;
        let now = SystemTime::now();
        let deployment = Deployment {
            id: Uuid::new_v4().to_string(),
            name: new.name.clone(),
            tenant: new.tenant.clone(),
            stage: Stage::Pending,
            progress: 0,
            message: Some("it waits for its turn".into()),
            error: None,
            started: now,
            completed: None,
            tools: None,
        };
        let record = Record {
            tenant: new.tenant,
            category: new.category,
            description: new.description,
            source: new.source,
            deployment: deployment.id.clone(),
            built: false,
            added: now,
            name: new.name.clone(),
            client: client.is_some(),
        };
        // In this order: a deployment without its connector is over, a connector without one would stay for ever.
        drawer.note(&deployment).await?;
        let kept = drawer.keep_new(&record, client.as_ref()).await;
        if !matches!(kept, Ok(true)) {
            drop(drawer.delete(&format!("{DEPLOYMENTS}{}", deployment.id)).await);
            return Err(kept.err().unwrap_or_else(taken));
        }
        place.send((deployment.tenant.clone(), deployment.id.clone()));
        Ok(deployment)
    }

    /// A deployment of this tenant; any one, for who may see all.
    pub async fn deployment(&self, id: &str, whose: Whose<'_>) -> Result<Deployment, RegistryError> {
        let unknown = || RegistryError::Unknown("there is no such deployment".into());
        // Nothing else is looked for under a name that somebody made up.
        let id = Uuid::parse_str(id).map_err(|_| unknown())?;
        let found = self.drawer()?.get::<Deployment>(&format!("{DEPLOYMENTS}{id}")).await?;
        found.map(|(it, _)| it).filter(|it| whose.has(it.tenant.as_deref())).ok_or_else(unknown)
    }

    /// The deployments, the newest first.
    pub async fn deployments(&self, whose: Whose<'_>) -> Result<Vec<Deployment>, RegistryError> {
        let mut all = self.drawer()?.all::<Deployment>(DEPLOYMENTS).await?;
        all.retain(|it| whose.has(it.tenant.as_deref()));
        all.sort_by_key(|it| std::cmp::Reverse(it.started));
        Ok(all)
    }

    /// The connectors that were added, by name.
    pub async fn added(&self, whose: Whose<'_>) -> Result<Vec<Record>, RegistryError> {
        let mut all = self.drawer()?.all::<Record>(RECORDS).await?;
        all.retain(|it| whose.has(it.tenant.as_deref()));
        all.sort_by(|a, b| (&a.name, &a.tenant).cmp(&(&b.name, &b.tenant)));
        Ok(all)
    }

    /// Forgets a connector, and the client at its issuer if `with_client`. Whether there was one.
    async fn forget(&self, tenant: Option<&str>, name: &str, with_client: bool) -> Result<bool, RegistryError> {
        let drawer = self.drawer()?;
        let was = drawer.delete(&key(tenant, name)).await?;
        if was && with_client {
            drawer.delete(&clients::key(tenant, name)?).await?;
        }
        self.changed.notify_one();
        Ok(was)
    }
}

impl Gateway {
    /// Takes a connector on for this caller; it is brought up in the background.
    pub async fn add(&self, new: NewConnector, by: &Caller) -> Result<Deployment, RegistryError> {
        let (name, tenant, source) = (new.name.clone(), new.tenant.clone(), new.source.kind());
        let on = id_of(tenant.as_deref(), &name);
        let added = self.registry.take_on(new, &self.live()).await;
        self.did(Deed::ConnectorAdd, by, &on, added.as_ref().err().map(|error| error as _));
        let (name, by) = (shown(&name), by.said());
        match &added {
            Ok(Deployment { id, .. }) => {
                tracing::info!(connector = name, tenant, source, by, deployment = id, "a connector is added");
            }
            Err(error) => tracing::info!(connector = name, tenant, source, by, "a connector is not added: {error}"),
        }
        added
    }

    /// Takes away a connector that was added; it is gone when this ends.
    pub async fn remove(&self, tenant: Option<&str>, name: &str, by: &Caller) -> Result<(), RegistryError> {
        let removed = self.take_away(tenant, name, by).await;
        self.did(Deed::ConnectorRemove, by, &id_of(tenant, name), removed.as_ref().err().map(|error| error as _));
        removed
    }

    async fn take_away(&self, tenant: Option<&str>, name: &str, by: &Caller) -> Result<(), RegistryError> {
        let registry = &self.registry;
        let found = registry.drawer()?.get::<Record>(&key(tenant, name)).await?;
        // One that was sealed with a key that is lost cannot be read, and has to go nevertheless.
        if !registry.forget(tenant, name, true).await? {
            if self.serves(tenant, name) {
                return Err(still_there());
            }
            let whose =
                if tenant.is_none() && by.is_unlimited() { "; a tenant's goes with its `tenantId`" } else { "" };
            let message = format!("no connector called `{}` was added{whose}", shown(name));
            return Err(RegistryError::Unknown(message));
        }
        tracing::info!(connector = name, tenant, by = by.said(), "a connector is removed");
        let Some((record, _)) = found else { return Ok(()) };
        let under_way =
            registry.under_way.lock().unwrap_or_else(PoisonError::into_inner).get(&record.deployment).cloned();
        match under_way {
            Some(under_way) => under_way.cancel(),
            None => registry.drawer()?.forget_deployment(&record.deployment).await?,
        }
        if self.left(&record).await { Ok(()) } else { Err(still_there()) }
    }

    /// Whether an added connector takes calls.
    fn serves(&self, tenant: Option<&str>, name: &str) -> bool {
        let live = self.live();
        let mut owners = live.connectors.values().filter_map(|it| it.checked.connector.owner.as_ref());
        owners.any(|owner| owner.tenant.as_deref() == tenant && owner.name == name)
    }

    /// Waits until a connector is in no snapshot any more, and takes away what is kept for it; whether it is gone.
    async fn left(&self, record: &Record) -> bool {
        let mut live = self.watch();
        let is_there = |live: &Arc<Live>| {
            let owned = live.connectors.values().filter_map(|it| it.checked.connector.owner.as_ref());
            owned.into_iter().any(|owner| *owner.deployment == *record.deployment)
        };
        let gone = tokio::time::timeout(SOON, live.wait_for(|live| !is_there(live))).await.is_ok();
        if gone && let Ok(id) = ConnectorId::try_from(record.id()) {
            self.forget_pins(&id).await;
        }
        prepare::clear(&record.source, &self.registry.rules, &self.registry.folder(record)).await;
        gone
    }
}

/// A connector that was added, in the words of records.
fn id_of(tenant: Option<&str>, name: &str) -> String {
    tenant.map_or_else(|| shown(name), |tenant| format!("{} of {}", shown(name), shown(tenant)))
}

fn still_there() -> RegistryError {
    let message = "it is forgotten, and yet takes calls until the server can read its manifests again; its log says \
                   why it cannot";
    RegistryError::Unavailable(message.into())
}

/// Where a connector is kept.
fn key(tenant: Option<&str>, name: &str) -> String {
    // A name that cannot be one is a name of nothing.
    let name = if is_name(name) { name } else { "?" };
    format!("{}{name}", of_tenant(RECORDS, tenant))
}

/// The file in which an added connector would stand.
fn file_of(id: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{id}.json"))
}

/// Whether a person wrote this connector into a file.
fn is_written(live: &Live, id: &ConnectorId) -> bool {
    live.connectors.get(id).is_some_and(|connector| connector.checked.connector.owner.is_none())
}
