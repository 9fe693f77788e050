//! The gateway: connectors made live, and the road every call takes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod authorize;
mod connector;
mod road;
mod shape;

pub use connector::{Connector, State};

use crate::catalog::{Catalog, Offered};
use crate::error::Problem;
use crate::manifest::{Checked, Manifests};
use crate::name::ConnectorId;
use crate::secret::Environment;
use crate::upstream::Upstream;

/// Limits that hold for every connector.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a call may take when its manifest does not say.
    pub call_timeout: Duration,
    /// The most bytes a result may have.
    pub max_result: usize,
}

/// Everything that answers calls. Cheap to share, never edited: manifests that change make the
/// next [`Live`] snapshot, and calls under way keep theirs.
#[derive(Debug)]
pub struct Gateway {
    live: watch::Sender<Arc<Live>>,
    environment: Environment,
    upstream: Upstream,
    limits: Limits,
    calls: TaskTracker,
    stopping: CancellationToken,
}

/// The connectors and their catalog at one moment.
#[derive(Debug, Default)]
pub struct Live {
    /// All tools.
    pub catalog: Catalog,
    /// All connectors, disabled ones included.
    pub connectors: BTreeMap<ConnectorId, Arc<Connector>>,
    /// What is wrong with the manifests.
    pub problems: Vec<Problem>,
}

impl Gateway {
    /// A gateway without connectors.
    pub fn new(environment: Environment, upstream: Upstream, limits: Limits) -> Self {
        Self {
            live: watch::Sender::new(Arc::default()),
            environment,
            upstream,
            limits,
            calls: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// The present snapshot.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    /// Follows the snapshots.
    pub fn watch(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    /// The snapshot that these manifests make. Connectors that did not change keep their state.
    pub fn prepare(&self, manifests: Manifests) -> Live {
        let before = self.live();
        let Manifests { connectors, mut problems } = manifests;
        let make = |checked: Checked| {
            let kept = before.connectors.get(&checked.connector.id).filter(|kept| kept.serves(&checked));
            kept.map_or_else(|| Arc::new(Connector::new(checked, &self.environment, &self.upstream)), Arc::clone)
        };
        let connectors: BTreeMap<_, _> =
            connectors.into_iter().map(|checked| (checked.connector.id.clone(), make(checked))).collect();
        let offered: Vec<Offered<'_>> = connectors
            .values()
            .filter(|connector| connector.checked.connector.enabled)
            .map(|connector| Offered { checked: &connector.checked, unavailable: connector.unavailable() })
            .collect();
        let (catalog, collisions) = Catalog::build(&offered);
        problems.extend(collisions);
        Live { catalog, connectors, problems }
    }

    /// Makes a snapshot the present one. Says whether callers see other tools than before.
    pub fn install(&self, live: Live) -> bool {
        let changed = !self.live().catalog.lists_the_same(&live.catalog);
        self.live.send_replace(Arc::new(live));
        changed
    }

    /// Ends the calls under way, each with an answer that says why.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Waits until no call is under way. To be asked when no more come in.
    pub async fn idle(&self) {
        self.calls.close();
        self.calls.wait().await;
    }
}
