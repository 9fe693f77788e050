//! The connectors and what they offer, at one moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::HeaderName;
use serde_json::{Map, Value};

use super::Connector;
use super::pins::{Found, Pins};
use super::service_map::Identity;
use crate::caller::{Access, Caller};
use crate::catalog::pin::Policy;
use crate::catalog::{Catalog, List, Offer, Offered, ShownPages, SignIn};
use crate::error::Problem;
use crate::name::ConnectorId;
use crate::widget::Pages;

/// The header for an API key that needs no manifest to name it.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// Extensions of MCP whose every message we pass on.
const PASSING: &[&str] = &["io.modelcontextprotocol/tasks", "io.modelcontextprotocol/ui"];

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
    pub(super) faults: Vec<Problem>,
    /// The connectors whose offer is in the catalog.
    pub(super) known: BTreeSet<ConnectorId>,
    /// The pages that may be shown.
    pub(super) pages: Pages,
    /// Those that connectors show.
    pub(super) shown: Arc<ShownPages>,
    /// The headers in which manifests let callers show keys.
    pub(super) key_headers: Arc<[HeaderName]>,
    pub(super) sign_in: SignIn,
    /// What was found in tools, and which of them wait for somebody's consent.
    pub(super) found: Found,
    pub(super) policy: Policy,
    /// Who we are.
    pub(super) identity: Identity,
}

impl Live {
    pub(super) fn new(
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
        let identity = Identity::default();
        Self {
            catalog,
            connectors,
            problems,
            faults,
            known,
            pages,
            shown,
            key_headers,
            sign_in,
            found,
            policy,
            identity,
        }
    }

    /// The same, of somebody.
    pub(super) fn of(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// What it takes to use a connector, be it in use or not.
    pub(super) fn access_to(&self, connector: &Connector) -> Access {
        self.sign_in.to_connector(&connector.checked.connector)
    }

    /// Whether a caller sees anything of a connector, be it in use or not.
    pub fn shows(&self, connector: &Connector, caller: &Caller) -> bool {
        caller.sees(&self.access_to(connector)) || self.catalog.shows(&connector.checked.connector.id, caller)
    }

    /// Whether what a connector has is in the catalog, as far as that has to be learned.
    pub(super) fn has_offer_of(&self, connector: &Connector) -> bool {
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
