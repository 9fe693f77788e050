//! A live connector: its adapter, or why there is none, and how many calls it takes at once.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::SystemTime,
};

use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::desk::Desk;
use super::strain::Strain;
use super::{Gateway, Health};
use crate::adapter::{self, Adapter, McpAdapter, Phase, Status, Surroundings};
use crate::catalog::{Names, Offer, Offered};
use crate::credential::{self, CredentialSource};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::manifest::{AdapterSettings, Checked, GatewayOperation, Operation};

/// Calls of one connector at once, when its manifest does not say.
const CONCURRENT: usize = 32;
/// Calls that may wait for their turn, for each that may run. One more is refused.
const WAITING: usize = 4;

/// One of the calls that may run at once. Another may when it is dropped.
pub(super) type Turn<'a> = (SemaphorePermit<'a>, SemaphorePermit<'a>);

/// A connector and the means to call it.
#[derive(Debug)]
pub struct Connector {
    /// What its manifest says.
    pub checked: Checked,
    /// How it does.
    pub health: Arc<Health>,
    /// Where its credentials come from.
    source: Option<Arc<dyn CredentialSource>>,
    adapter: Result<Arc<dyn Adapter>, String>,
    made: SystemTime,
    /// Tells it from what it was before an edit.
    pub(super) generation: Uuid,
    /// What its upstream has to bear.
    pub(super) strain: Strain,
    /// Calls that may run at once.
    concurrent: usize,
    running: Semaphore,
    admitted: Semaphore,
}

/// What a connector can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its manifest switches it off.
    Disabled,
    /// It cannot be used on this machine as it is, for this reason.
    Unavailable(String),
    /// It is in use.
    Live(Status),
}

impl State {
    /// Whether it takes calls.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Live(Status { phase: Phase::Up | Phase::Degraded, .. }))
    }

    /// The state in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Unavailable(_) => "unavailable",
            Self::Live(status) => match status.phase {
                Phase::Starting => "starting",
                Phase::Up => "up",
                Phase::Degraded => "degraded",
                Phase::Down => "down",
            },
        }
    }

    /// Why it is so.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Disabled => None,
            Self::Unavailable(reason) => Some(reason),
            Self::Live(status) => status.reason.as_deref(),
        }
    }
}

impl Connector {
    pub(super) fn new(
        checked: Checked,
        health: Arc<Health>,
        around: Surroundings<'_>,
        gateway: &Weak<Gateway>,
    ) -> Self {
        let concurrent =
            checked.connector.quotas.concurrent.filter(|most| *most > 0).and_then(|most| usize::try_from(most).ok());
        let concurrent = concurrent.unwrap_or(CONCURRENT).min(Semaphore::MAX_PERMITS / (WAITING + 1));
        let build = |source: &Arc<dyn CredentialSource>| -> Result<Arc<dyn Adapter>, String> {
            if matches!(checked.connector.adapter, AdapterSettings::Gateway(_)) {
                return Ok(Arc::new(Desk::new(&checked, Weak::clone(gateway))));
            }
            adapter::build(&checked, source, around)
        };
        let source = usable(&checked).and_then(|()| credential::source(&checked, around.keyring, around.upstream));
        let adapter = source.as_ref().map_err(Clone::clone).and_then(build);
        Self {
            checked,
            health,
            source: source.ok(),
            adapter,
            made: SystemTime::now(),
            generation: Uuid::new_v4(),
            strain: Strain::default(),
            concurrent,
            running: Semaphore::new(concurrent),
            admitted: Semaphore::new(concurrent * (WAITING + 1)),
        }
    }

    /// Whether it can serve this manifest as it is, so that nothing has to be built anew.
    pub(super) fn serves(&self, checked: &Checked) -> bool {
        self.adapter.is_ok() && self.checked.connector == checked.connector && self.checked.file() == checked.file()
    }

    /// What it can do now.
    pub fn state(&self) -> State {
        match &self.adapter {
            _ if !self.checked.connector.enabled => State::Disabled,
            Ok(adapter) if adapter.learns() => State::Live(adapter.status()),
            // Nothing happens to the others between calls.
            Ok(adapter) => State::Live(Status { since: self.made, ..adapter.status() }),
            Err(reason) => State::Unavailable(reason.clone()),
        }
    }

    /// Whether a published name or URI says that it is of this connector.
    pub(super) fn is_named_in(&self, public: &str) -> bool {
        let manifest = &self.checked.connector;
        let id = manifest.id.as_str();
        let after = |rest: Option<&str>, end: char| rest.is_some_and(|rest| rest.starts_with(end));
        let in_uri = || public.split_once("://").and_then(|(_, rest)| rest.strip_prefix(id));
        manifest.prefix && (after(public.strip_prefix(id), '_') || after(in_uri(), '/'))
    }

    /// How its names are published.
    pub(super) fn names(&self) -> Names {
        Names::of(&self.checked.connector)
    }

    /// Whether it searches the others.
    pub(super) fn searches(&self) -> bool {
        let search = Some(Operation::Gateway(GatewayOperation::Search));
        self.checked.connector.tools.iter().any(|tool| tool.operation == search)
    }

    /// Whether the tools `search` and `fetch` can find things in it.
    pub(super) fn feeds_now(&self) -> bool {
        let connector = &self.checked.connector;
        connector.enabled && connector.feeds.is_some() && self.adapter.is_ok()
    }

    /// What it brings into the catalog.
    pub(super) fn offered(&self) -> Offered<'_> {
        Offered {
            checked: &self.checked,
            unavailable: self.adapter.as_ref().err().map(String::as_str),
            offer: self.adapter.as_ref().ok().and_then(|adapter| adapter.offer()),
        }
    }

    /// What is wrong with what it learned.
    pub(super) fn problems(&self) -> Vec<Problem> {
        if !self.checked.connector.enabled {
            return Vec::new();
        }
        self.adapter.as_ref().map(|adapter| adapter.problems()).unwrap_or_default()
    }

    /// The files beside its manifest that it reads.
    pub fn files(&self) -> Vec<PathBuf> {
        self.adapter.as_ref().map(|adapter| adapter.files()).unwrap_or_default()
    }

    /// Some file changed, perhaps one of those.
    pub fn look_again(&self) {
        if let Ok(adapter) = &self.adapter {
            adapter.look_again();
        }
    }

    /// Takes the place of a connector whose manifest was edited.
    pub(super) fn inherit(&self, before: &Self) {
        if let (Ok(adapter), Some(offer)) = (&self.adapter, before.offer()) {
            adapter.inherit(offer);
        }
    }

    /// Whether its server says of a tool, in so many words, that it is not read-only.
    pub(super) fn says_it_writes(&self, tool: &str) -> bool {
        let offer = self.offer();
        let mut declared = offer.iter().flat_map(|offer| &offer.declared);
        if let Some(declared) = declared.find(|declared| declared.tool.name == tool) {
            return declared.tool.annotations.read_only != Some(true);
        }
        let found =
            offer.iter().flat_map(|offer| &offer.tools).find(|it| it.get("name").is_some_and(|name| name == tool));
        found.and_then(|tool| tool.pointer("/annotations/readOnlyHint")) == Some(&Value::Bool(false))
    }

    /// What its server says it has, once that is known.
    pub fn offer(&self) -> Option<Arc<Offer>> {
        self.usable()?.offer()
    }

    /// Tells what its calls do now from what they did before.
    pub(super) fn edition(&self) -> u64 {
        self.adapter.as_ref().map_or(0, |adapter| adapter.edition())
    }

    /// Its adapter, when it has one.
    pub(super) fn usable(&self) -> Option<Arc<dyn Adapter>> {
        self.adapter.as_ref().ok().map(Arc::clone)
    }

    /// It as an MCP server, when it is one.
    pub(super) fn mcp(&self) -> Option<Arc<McpAdapter>> {
        self.usable()?.mcp()
    }

    pub(super) fn adapter(&self) -> Result<&dyn Adapter> {
        // The catalog offers no tool of a connector without an adapter.
        self.adapter
            .as_deref()
            .map_err(|reason| Error::new(ErrorKind::Internal, "the connector is gone").because(reason.clone()))
    }

    /// Where its credentials come from.
    pub fn source(&self) -> Result<&dyn CredentialSource> {
        // The catalog offers no tool of a connector that cannot be used.
        self.source.as_deref().ok_or_else(|| Error::new(ErrorKind::Internal, "the connector is gone"))
    }

    /// Calls that wait for their turn now.
    pub(super) fn waiting(&self) -> usize {
        let admitted = self.concurrent * (WAITING + 1) - self.admitted.available_permits();
        admitted.saturating_sub(self.concurrent - self.running.available_permits())
    }

    /// Waits for a turn, when not too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn<'_>> {
        let busy = || {
            let id = &self.checked.connector.id;
            Error::new(ErrorKind::Busy, format!("too many calls of {id} are under way; try again in a few seconds"))
        };
        let admitted = self.admitted.try_acquire().map_err(|_| busy())?;
        let running = self.running.acquire().await.map_err(|_| busy())?;
        Ok((running, admitted))
    }
}

/// A connector that is switched off, or whose credentials are missing, is not tried at all.
fn usable(checked: &Checked) -> Result<(), String> {
    if !checked.connector.enabled {
        return Err("its manifest switches it off".into());
    }
    if matches!(checked.connector.adapter, AdapterSettings::Http(_))
        && checked.connector.tools.iter().all(|tool| tool.request.is_none())
    {
        return Err(
            "it is an HTTP API and its manifest describes no request; add `tools` in the connector's own shape".into(),
        );
    }
    Ok(())
}
