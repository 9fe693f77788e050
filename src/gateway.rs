//! The gateway: connectors made live, and the road every call takes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod acts;
mod along;
mod authorize;
mod breaker;
mod cache;
mod connect;
mod connector;
mod desk;
mod feeds;
mod files;
mod health;
mod inventory;
mod live;
mod overview;
mod pages;
pub mod pins;
mod registry;
mod retry;
mod road;
mod select;
mod service_map;
mod shape;
mod standing;
mod strain;
mod surface;
mod tend;
mod together;
mod trip;

pub use along::Along;
pub use authorize::Subject;
pub use connect::{Connectable, LinkGuest, QUESTION, Ticket, may_open_links};
pub use connector::{Connector, State};
pub use health::{Check, Facts, Failure, Health};
pub use inventory::ToolQuery;
pub use live::Live;
pub use overview::Reader;
pub use pins::{PinOptions, Pins};
pub use registry::{
    Deployment, NewConnector, Program, Record, Registry, RegistryError, Rules, Source, Stage, Whose, tenant_of, whose,
};
pub use road::Request;
pub use select::{Pick, Selected, Selection, Wanted};
pub use surface::loaded_surface;
pub use tend::Upkeep;

use crate::adapter::{Bulletin, Surroundings, Watching};
use crate::audit::Audit;
use crate::call::Session;
use crate::caller::Caller;
use crate::catalog::{Place, ShownPages, SignIn};
use crate::credential::Keyring;
use crate::manifest::{Checked, Manifests};
use crate::params::Params;
use crate::signature::Signer;
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::upstream::Upstream;
use crate::widget::Pages;
use health::Prober;

/// Resource updates waiting for a slow reader; older ones are lost to it.
const UPDATES: usize = 256;

/// What holds for every connector.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a call may take when its manifest does not say.
    pub call_timeout: Duration,
    /// The most bytes a result may have.
    pub max_result: usize,
    /// How callers can prove who they are.
    pub sign_in: SignIn,
    /// What may be added while the server runs.
    pub registry: Rules,
    /// Whether tools that are used together are learned from calls.
    pub learn: bool,
    /// In whose name we speak, when the settings say so.
    pub brand: Option<String>,
}

/// What it stands on.
#[derive(Debug)]
pub struct Parts {
    /// Everything credentials are found with.
    pub keyring: Arc<Keyring>,
    /// The way to upstreams.
    pub upstream: Upstream,
    /// What outlives the process, or why there is none.
    pub store: Result<Arc<dyn Store>, String>,
    /// Where calls and administrative acts are recorded.
    pub audit: Audit,
    /// What is told of what goes on.
    pub telemetry: Telemetry,
    /// Signs what we say of ourselves.
    pub signer: Signer,
}

/// Everything that answers calls. Cheap to share, never edited: manifests that change make the
/// next [`Live`] snapshot, and calls under way keep theirs.
#[derive(Debug)]
pub struct Gateway {
    live: watch::Sender<Arc<Live>>,
    /// Held while the next snapshot is made, so that none is lost.
    building: Mutex<()>,
    bulletin: Bulletin,
    keyring: Arc<Keyring>,
    upstream: Upstream,
    /// What outlives the process, or why there is none.
    store: Result<Arc<dyn Store>, String>,
    audit: Audit,
    telemetry: Telemetry,
    signer: Signer,
    registry: Registry,
    limits: Limits,
    links: connect::Links,
    prober: Prober,
    pins: Pins,
    /// What was kept of what is published, so that it is not kept again.
    surface: Mutex<String>,
    /// The pages that are kept for the time when they are old, by their address.
    kept: tokio::sync::Mutex<BTreeSet<String>>,
    /// Results that are given again.
    cache: cache::Cache,
    /// What tools are found by.
    selector: select::Selector,
    /// What tools are used together.
    together: together::Together,
    /// What tools belong together.
    web: along::Weaver,
    /// Room for the files of calls, in KiB.
    file_room: Arc<Semaphore>,
    calls: TaskTracker,
    stopping: CancellationToken,
    /// For its own tools, which are connectors too.
    me: Weak<Self>,
}

impl Gateway {
    /// A gateway without connectors.
    pub fn new(parts: Parts, limits: Limits, pins: PinOptions) -> Arc<Self> {
        let Parts { keyring, upstream, store, audit, telemetry, signer } = parts;
        let bulletin = Bulletin {
            changed: Arc::new(Notify::new()),
            states: watch::Sender::default(),
            updates: broadcast::Sender::new(UPDATES),
        };
        let prober = Prober::new();
        Arc::new_cyclic(|me| Self {
            live: watch::Sender::new(Arc::default()),
            building: Mutex::default(),
            bulletin,
            registry: Registry::new(limits.registry.clone(), &store, &keyring),
            pins: Pins::new(pins, keyring.environment().clone()),
            together: together::Together::new(limits.learn),
            web: along::Weaver::default(),
            keyring,
            upstream,
            store,
            audit,
            telemetry,
            signer,
            limits,
            links: connect::Links::default(),
            prober,
            surface: Mutex::default(),
            kept: tokio::sync::Mutex::default(),
            cache: cache::Cache::default(),
            selector: select::Selector::default(),
            file_room: Arc::new(Semaphore::new(files::ROOM as usize)),
            calls: TaskTracker::new(),
            stopping: CancellationToken::new(),
            me: Weak::clone(me),
        })
    }

    /// The way to upstreams.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Everything credentials are found with.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// What outlives the process, or why there is none.
    pub fn store(&self) -> Result<Arc<dyn Store>, String> {
        self.store.clone()
    }

    /// Where calls and administrative acts are recorded.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What is told of what goes on.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Lets whoever reads numbers read how connectors are, in this name.
    pub fn tell_numbers(&self, brand: &str) {
        let me = Weak::clone(&self.me);
        let read = move || me.upgrade().map(|gateway| gateway.live().readings()).unwrap_or_default();
        self.telemetry.metrics().watch_connectors(brand, read);
        let (audit, same) = (self.audit.clone(), self.audit.clone());
        self.telemetry.metrics().watch_audit(move || audit.counts(), move || same.is_failing());
    }

    /// Signs what we say of ourselves.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Connectors that are added and taken away.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The present snapshot.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    /// Follows the snapshots.
    pub fn watch(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    /// Told when how a connector is changes.
    pub fn health(&self) -> watch::Receiver<()> {
        self.bulletin.states.subscribe()
    }

    /// Makes these manifests and pages the ones in force and gives the snapshots before and after.
    /// Connectors that did not change keep their state.
    /// `shown` are the pages that these manifests show.
    pub fn load(&self, manifests: Manifests, pages: Pages, shown: ShownPages) -> (Arc<Live>, Arc<Live>) {
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.live();
        let Manifests { connectors, problems, masthead } = manifests;
        let identity = before.identity.next(self.limits.brand.as_deref(), masthead, &problems);
        let around = Surroundings {
            keyring: &self.keyring,
            upstream: &self.upstream,
            bulletin: &self.bulletin,
            store: &self.store,
            max_result: self.limits.max_result,
        };
        let make = |checked: Checked| {
            let was = before.connectors.get(&checked.connector.id);
            let kept = was.filter(|kept| kept.serves(&checked)).map(Arc::clone);
            let unknown = || Arc::new(Health::new(self.bulletin.states.clone()));
            let health = || was.map_or_else(unknown, |was| Arc::clone(&was.health));
            kept.unwrap_or_else(|| {
                let connector = Connector::new(checked, health(), around, &self.me);
                if let Some(was) = was {
                    if was.checked.connector.adapter != connector.checked.connector.adapter {
                        was.health.forget();
                    }
                    connector.inherit(was);
                }
                Arc::new(connector)
            })
        };
        let connectors = connectors.into_iter().map(|checked| (checked.connector.id.clone(), make(checked))).collect();
        let after =
            Live::new(connectors, problems, pages, Arc::new(shown), (self.limits.sign_in, &self.pins)).of(identity);
        let after = Arc::new(after);
        self.telemetry.logs().set_brand(after.brand());
        self.live.send_replace(Arc::clone(&after));
        (before, after)
    }

    /// Makes the snapshot of what connectors offer now.
    fn refresh(&self) {
        self.rebuild(|live| (live.pages.clone(), Arc::clone(&live.shown)));
    }

    /// Says where we are found, once that is known; nowhere, when we are not reached by HTTP.
    pub fn listens_at(&self, base: Option<String>) {
        self.rebuild(|live| {
            let pages = Pages { base, ..live.pages.clone() };
            let manifests = live.connectors.values().map(|connector| &connector.checked);
            let shown = ShownPages::new(manifests, &pages);
            (pages, Arc::new(shown))
        });
    }

    fn rebuild(&self, pages: impl FnOnce(&Live) -> (Pages, Arc<ShownPages>)) {
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.live();
        let (pages, shown) = pages(&before);
        let after = Live::new(
            before.connectors.clone(),
            before.faults.clone(),
            pages,
            shown,
            (self.limits.sign_in, &self.pins),
        );
        let after = after.of(before.identity.clone());
        for problem in after.problems.iter().filter(|problem| !before.problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        self.live.send_replace(Arc::new(after));
    }

    /// The published URIs of resources that change.
    pub fn updates(&self) -> broadcast::Receiver<Arc<str>> {
        self.bulletin.updates.subscribe()
    }

    /// Wants to hear of a resource's changes until the guard is dropped. None, when its
    /// connector is gone.
    pub fn watch_resource(&self, place: &Place) -> Option<Watching> {
        let mcp = self.live().connectors.get(&place.connector)?.mcp()?;
        Some(mcp.watch(place.own.clone()))
    }

    /// Tells the upstreams that a session has connections to what its client says of itself.
    pub async fn tell(&self, caller: &Caller, session: &Session, method: &str, params: Params) {
        for mcp in self.live().connectors.values().filter_map(|connector| connector.mcp()) {
            mcp.tell(caller, session, method, params.clone()).await;
        }
    }

    /// Tells the upstream of a resource what a session wants to hear of it.
    pub async fn tell_of(&self, caller: &Caller, session: &Session, method: &str, place: &Place) {
        let mcp = self.live().connectors.get(&place.connector).and_then(|connector| connector.mcp());
        if let Some(mcp) = mcp {
            mcp.tell(caller, session, method, Params::of("uri", &place.own)).await;
        }
    }

    /// Ends the calls under way, each with an answer that says why.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Waits until no call is under way. To be asked when no more come in.
    pub async fn idle(&self) {
        self.calls.close();
        self.calls.wait().await;
        self.keyring.idle().await;
    }
}
