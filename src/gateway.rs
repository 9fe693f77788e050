//! The gateway: connectors made live, and the road every call takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use http::HeaderName;
use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod along;
mod authorize;
mod cache;
mod connect;
mod connector;
mod desk;
mod feeds;
mod files;
mod health;
mod inventory;
mod overview;
mod pages;
pub mod pins;
mod registry;
mod retry;
mod road;
mod select;
mod shape;
mod strain;
mod surface;
mod tend;
mod together;

pub use along::Along;
pub use authorize::Subject;
pub use connect::{Connectable, LinkGuest, QUESTION, Ticket, may_open_links};
pub use connector::{Connector, State};
pub use health::{Check, Facts, Health};
pub use inventory::ToolQuery;
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
use crate::call::Session;
use crate::caller::{Access, Caller};
use crate::catalog::pin::Policy;
use crate::catalog::{Catalog, List, Offer, Offered, Place, ShownPages, SignIn};
use crate::credential::Keyring;
use crate::error::Problem;
use crate::manifest::{Checked, Manifests};
use crate::name::ConnectorId;
use crate::params::Params;
use crate::store::Store;
use crate::upstream::Upstream;
use crate::widget::Pages;
use health::Prober;
use pins::Found;

/// Resource updates waiting for a slow reader; older ones are lost to it.
const UPDATES: usize = 256;

/// The header for an API key that needs no manifest to name it.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// Extensions of MCP whose every message we pass on.
const PASSING: &[&str] = &["io.modelcontextprotocol/tasks", "io.modelcontextprotocol/ui"];

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

/// The connectors and their catalog at one moment.
#[derive(Debug, Default)]
pub struct Live {
    /// Everything on offer.
    pub catalog: Catalog,
    /// All connectors, disabled ones included.
    pub connectors: BTreeMap<ConnectorId, Arc<Connector>>,
    /// What is wrong with the manifests, and between connectors.
    pub problems: Vec<Problem>,
    /// What is wrong with the manifests alone.
    faults: Vec<Problem>,
    /// The connectors whose offer is in the catalog.
    known: BTreeSet<ConnectorId>,
    /// The pages that may be shown.
    pages: Pages,
    /// Those that connectors show.
    shown: Arc<ShownPages>,
    /// The headers in which manifests let callers show keys.
    key_headers: Arc<[HeaderName]>,
    sign_in: SignIn,
    /// What was found in tools, and which of them wait for somebody's consent.
    found: Found,
    policy: Policy,
}

impl Live {
    fn new(
        connectors: BTreeMap<ConnectorId, Arc<Connector>>,
        faults: Vec<Problem>,
        pages: Pages,
        shown: Arc<ShownPages>,
        (sign_in, pins): (SignIn, &Pins),
    ) -> Self {
        // Nobody sees tools that can find nothing. What nobody wrote comes last, so that it takes no name from anybody.
        let fed = connectors.values().any(|connector| connector.feeds_now());
        let enabled = connectors.values().filter(|connector| connector.checked.connector.enabled);
        let (built_in, written): (Vec<_>, Vec<_>) = enabled.partition(|connector| connector.checked.is_built_in());
        let enabled = written.into_iter().chain(built_in.into_iter().filter(|it| fed || !it.searches()));
        let mut offered: Vec<(&Arc<Connector>, Offered<'_>)> =
            enabled.map(|connector| (connector, connector.offered())).collect();
        let found = Found::of(pins, &mut offered);
        let suspicions = found.problems(&offered);
        let offered: Vec<Offered<'_>> = offered.into_iter().map(|(_, offered)| offered).collect();
        let (catalog, collisions) = Catalog::build(&offered, &shown, sign_in);
        let known = offered.iter().filter(|offered| offered.offer.is_some());
        let known = known.map(|offered| offered.checked.connector.id.clone()).collect();
        let learned = connectors.values().flat_map(|connector| connector.problems());
        let problems = faults.iter().cloned().chain(collisions).chain(learned).chain(suspicions).collect();
        let policy = pins.policy();
        let enabled = connectors.values().filter(|it| it.checked.connector.enabled);
        let named = enabled.filter_map(|it| it.checked.connector.auth.header_name.as_deref());
        let named = named.filter_map(|name| HeaderName::try_from(name).ok());
        let key_headers: BTreeSet<_> = named.chain([KEY_HEADER]).map(|name| name.as_str().to_owned()).collect();
        let key_headers = key_headers.iter().filter_map(|name| HeaderName::try_from(name).ok()).collect();
        Self { catalog, connectors, problems, faults, known, pages, shown, key_headers, sign_in, found, policy }
    }

    /// What it takes to use a connector, be it in use or not.
    fn access_to(&self, connector: &Connector) -> Access {
        self.sign_in.to_connector(&connector.checked.connector)
    }

    /// Whether a caller sees anything of a connector, be it in use or not.
    pub fn shows(&self, connector: &Connector, caller: &Caller) -> bool {
        caller.sees(&self.access_to(connector)) || self.catalog.shows(&connector.checked.connector.id, caller)
    }

    /// Whether what a connector has is in the catalog, as far as that has to be learned.
    fn has_offer_of(&self, connector: &Connector) -> bool {
        connector.usable().is_none_or(|adapter| !adapter.learns())
            || self.known.contains(&connector.checked.connector.id)
    }

    /// The headers, besides `Authorization`, in which callers may show keys.
    pub fn key_headers(&self) -> &Arc<[HeaderName]> {
        &self.key_headers
    }

    /// The pages that connectors show.
    pub fn shown(&self) -> &ShownPages {
        &self.shown
    }

    /// The pages that may be shown, and their assets.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The extensions that servers among the connectors declare and that pass through us.
    pub fn extensions(&self) -> Map<String, Value> {
        let offers: Vec<Arc<Offer>> = self.connectors.values().filter_map(|connector| connector.offer()).collect();
        let declared = offers.iter().filter_map(|offer| offer.capabilities.get("extensions")?.as_object());
        let passing = declared.flatten().filter(|(name, _)| PASSING.contains(&name.as_str()));
        passing.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether both list the same.
    pub fn lists_the_same(&self, other: &Self, list: List) -> bool {
        self.catalog.lists_the_same(&other.catalog, list)
    }
}

impl Gateway {
    /// A gateway without connectors.
    pub fn new(
        keyring: Arc<Keyring>,
        upstream: Upstream,
        store: Result<Arc<dyn Store>, String>,
        limits: Limits,
        pins: PinOptions,
    ) -> Arc<Self> {
        let bulletin = Bulletin {
            changed: Arc::new(Notify::new()),
            states: watch::Sender::default(),
            updates: broadcast::Sender::new(UPDATES),
        };
        let prober = Prober::new(bulletin.states.clone());
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
        let Manifests { connectors, problems } = manifests;
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
            let health = || was.map(|was| Arc::clone(&was.health)).unwrap_or_default();
            kept.unwrap_or_else(|| {
                let connector = Connector::new(checked, health(), around, &self.me);
                if let Some(was) = was {
                    connector.inherit(was);
                }
                Arc::new(connector)
            })
        };
        let connectors = connectors.into_iter().map(|checked| (checked.connector.id.clone(), make(checked))).collect();
        let after =
            Arc::new(Live::new(connectors, problems, pages, Arc::new(shown), (self.limits.sign_in, &self.pins)));
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
