//! Pinned tools: what upstreams may serve of what they say, by what somebody agreed to.
//!
//! Judging needs no waiting, so that no snapshot shows a tool that was not judged. Everything that waits, such as
//! reading pages, recording and keeping, is done beside (`pins/keeper.rs`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod file;
mod keeper;
mod page;
mod shelf;

pub use file::{LOCK_NAME, LockFile, Written, is_lock};
pub use shelf::recall;

use super::{Connector, Gateway};
use crate::catalog::pin::{Judged, Known, Lock, Locked, Pin, Policy, descriptor_of, descriptor_of_instructions, judge};
use crate::catalog::poison::{Finding, Named, Scan, look_alikes, scan, scan_listed};
use crate::catalog::{Declared, Offer, Offered};
use crate::error::{Problem, Severity};
use crate::manifest::{self, AdapterSettings};
use crate::name::ConnectorId;
use crate::secret::Environment;
use shelf::Shelf;

/// Findings of one connector that are told.
const MOST_FINDINGS: usize = 50;

/// How tools are pinned.
#[derive(Debug, Clone)]
pub struct PinOptions {
    /// What happens when an upstream says something else.
    pub policy: Policy,
    /// Where the lock is.
    pub file: LockFile,
    /// What it says.
    pub lock: Lock,
}

/// What upstreams may serve.
#[derive(Debug)]
pub struct Pins {
    policy: Policy,
    file: LockFile,
    environment: Environment,
    shelf: Shelf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lock: Lock,
    /// Grows with everything by which tools are judged.
    revision: u64,
    /// Descriptors by their connector and form.
    kept: HashMap<(String, String), Arc<str>>,
    /// What pages said when they were last read: their digests.
    pages: HashMap<(ConnectorId, String), String>,
    memos: HashMap<ConnectorId, Memo>,
}

/// What an offer was found to be, for as long as nothing changes.
#[derive(Debug)]
struct Memo {
    offer: Option<Arc<Offer>>,
    /// The connector's tools as they are declared.
    connector: Arc<Connector>,
    revision: u64,
    judgement: Arc<Judgement>,
}

/// What an offer was found to be.
#[derive(Debug)]
pub struct Judgement {
    /// What may be served of it; nothing, when it needs nobody's consent.
    pub judged: Option<Judged>,
    scans: Arc<Vec<Scan>>,
}

/// What was seen of an upstream when it last listed its tools, as it is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SeenTools {
    /// Its tools as they would be pinned.
    pub tools: BTreeMap<String, Pin>,
}

/// Where what was seen of upstreams is kept.
pub fn seen_prefix(scope: &str) -> String {
    format!("pin/{scope}/seen/")
}

/// Where a descriptor of a connector is kept, by its form.
pub fn descriptor_key(scope: &str, connector: &str, form: &str) -> String {
    format!("pin/{scope}/tool/{connector}/{form}")
}

/// Where a page of a connector is kept, by its digest.
fn page_key(scope: &str, connector: &str, digest: &str) -> String {
    format!("pin/{scope}/page/{connector}/{digest}")
}

struct View<'a>(&'a State, &'a ConnectorId);

impl Known for View<'_> {
    fn descriptor(&self, form: &str) -> Option<Value> {
        let kept = self.0.kept.get(&(self.1.as_str().to_owned(), form.to_owned()));
        kept.and_then(|text| serde_json::from_str(text).ok())
    }

    fn page(&self, uri: &str) -> Option<String> {
        self.0.pages.get(&(self.1.clone(), uri.to_owned())).cloned()
    }
}

impl Pins {
    pub(super) fn new(options: PinOptions, environment: Environment) -> Self {
        let PinOptions { policy, file, lock } = options;
        let state = Mutex::new(State { lock, ..State::default() });
        Self { policy, file, environment, shelf: Shelf::default(), state }
    }

    /// What happens when an upstream says something else.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Tells what is kept for these manifests from what is kept for others.
    pub(super) fn scope(&self) -> &str {
        self.file.scope()
    }

    /// Whether a connector's tools are somebody else's word: another server's, or of a document that is elsewhere.
    pub(super) fn covers(&self, connector: &Connector) -> bool {
        match &connector.checked.connector.adapter {
            AdapterSettings::Mcp(_) => true,
            AdapterSettings::OpenApi(settings) => {
                settings.spec.resolve(&self.environment).is_ok_and(|spec| spec.contains("://"))
            }
            AdapterSettings::Http(_)
            | AdapterSettings::Command(_)
            | AdapterSettings::Collection(_)
            | AdapterSettings::Gateway(_) => false,
        }
    }

    /// What this process has kept already.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges what a connector offers, and reads what its tools say.
    pub(super) fn judge(&self, connector: &Arc<Connector>, offer: Option<&Arc<Offer>>) -> Arc<Judgement> {
        let manifest = &connector.checked.connector;
        let mut scans = None;
        if let Some(memo) = self.state().memos.get(&manifest.id)
            && Arc::ptr_eq(&memo.connector, connector)
            && match (&memo.offer, offer) {
                (None, None) => true,
                (Some(known), Some(offer)) => Arc::ptr_eq(known, offer),
                (None, Some(_)) | (Some(_), None) => false,
            }
        {
            scans = Some(Arc::clone(&memo.judgement));
        }
        // Much text takes a while to read, and others look at the state meanwhile.
        let scans = scans.map_or_else(|| Arc::new(scanned(manifest, offer)), |known| Arc::clone(&known.scans));
        let state = &mut *self.state();
        let known = state.memos.get(&manifest.id).filter(|memo| Arc::ptr_eq(&memo.judgement.scans, &scans));
        if let Some(memo) = known.filter(|memo| memo.revision == state.revision) {
            return Arc::clone(&memo.judgement);
        }
        // What stands in for tools until they are known is ours.
        let pinned = offer.filter(|offer| self.covers(connector) && !offer.is_provisional);
        let locked = state.lock.connectors.get(manifest.id.as_str());
        let judged = pinned.map(|offer| judge(self.policy, locked, offer, &View(state, &manifest.id)));
        let judgement = Arc::new(Judgement { judged, scans });
        let memo = Memo {
            offer: offer.map(Arc::clone),
            connector: Arc::clone(connector),
            revision: state.revision,
            judgement: Arc::clone(&judgement),
        };
        state.memos.insert(manifest.id.clone(), memo);
        judgement
    }

    /// Forgets what was found of connectors that are gone.
    fn forget_all_but(&self, stays: impl Fn(&ConnectorId) -> bool) {
        let mut state = self.state();
        state.memos.retain(|id, _| stays(id));
        state.pages.retain(|(id, _), _| stays(id));
    }

    /// Goes by another lock from now on. Connectors that are in it no longer stay pinned where that decides what is
    /// served: who only lost the file, or a part of it, did not agree to anything.
    fn adopt(&self, mut lock: Lock, stays: impl Fn(&str) -> bool) {
        let state = &mut *self.state();
        if self.policy != Policy::Warn {
            for (connector, locked) in std::mem::take(&mut state.lock.connectors) {
                if !lock.connectors.contains_key(&connector) && stays(&connector) {
                    tracing::error!(
                        connector,
                        "it is not in {} any longer; what was agreed to of it stays in force until a restart or \
                         `switchboard approve {connector}`",
                        self.file.place().display()
                    );
                    lock.connectors.insert(connector, locked);
                }
            }
        }
        state.lock = lock;
        state.revision += 1;
    }

    fn locked(&self, connector: &ConnectorId) -> Option<Locked> {
        self.state().lock.connectors.get(connector.as_str()).cloned()
    }
}

/// What stands out in a connector's tools.
fn scanned(manifest: &manifest::Connector, offer: Option<&Arc<Offer>>) -> Vec<Scan> {
    match offer {
        Some(offer) => {
            let lists = [("resources", &offer.resources), ("templates", &offer.templates), ("prompts", &offer.prompts)];
            let others = lists.into_iter().flat_map(|(list, items)| items.iter().map(move |it| scan_listed(list, it)));
            all_of(offer).iter().map(scan).chain(others).collect()
        }
        None => manifest.tools.iter().map(|tool| scan(&descriptor_of(tool))).collect(),
    }
}

/// The tools of an offer, in the form in which tools are pinned.
fn descriptors(offer: &Offer) -> Vec<Value> {
    offer.tools.iter().cloned().chain(offer.declared.iter().map(Declared::descriptor)).collect()
}

/// What is pinned of an offer: its tools, and what its server says it is for.
fn all_of(offer: &Offer) -> Vec<Value> {
    let instructions = offer.instructions.as_deref().map(descriptor_of_instructions);
    descriptors(offer).into_iter().chain(instructions).collect()
}

/// What was found in the tools of all connectors: what stands out in each, and between them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) judgements: BTreeMap<ConnectorId, Arc<Judgement>>,
    pub(super) findings: BTreeMap<ConnectorId, Vec<Finding>>,
}

impl Found {
    /// Judges everything on offer, and replaces each offer by what may be served of it.
    pub(super) fn of<'a>(pins: &Pins, offered: &mut [(&'a Arc<Connector>, Offered<'a>)]) -> Self {
        let mut judgements = BTreeMap::new();
        let mut names: BTreeMap<ConnectorId, Vec<String>> = BTreeMap::new();
        for (connector, offered) in offered.iter_mut() {
            let id = connector.checked.connector.id.clone();
            let own = |tool: &Value| Some(tool.get("name")?.as_str()?.to_owned());
            let declared = connector.checked.connector.tools.iter().map(|tool| tool.name.clone());
            let own = offered.offer.as_ref().map(|offer| descriptors(offer).iter().filter_map(own).collect());
            names.insert(id.clone(), own.unwrap_or_else(|| declared.collect()));
            let judgement = pins.judge(connector, offered.offer.as_ref());
            if let Some(judged) = &judgement.judged {
                offered.offer = Some(Arc::clone(&judged.offer));
            }
            judgements.insert(id, judgement);
        }
        pins.forget_all_but(|id| judgements.contains_key(id));
        let published: HashMap<String, &str> = offered
            .iter()
            .filter(|(connector, _)| connector.checked.connector.prefix)
            .flat_map(|(connector, _)| {
                let manifest = &connector.checked.connector;
                let tools = names.get(&manifest.id).into_iter().flatten();
                tools.map(|tool| (connector.names().public_name(tool), manifest.id.as_str()))
            })
            .collect();
        let mut findings: BTreeMap<ConnectorId, Vec<Finding>> = BTreeMap::new();
        for (connector, _) in offered.iter().filter(|(connector, _)| !connector.checked.is_built_in()) {
            let id = &connector.checked.connector.id;
            let Some(judgement) = judgements.get(id) else { continue };
            let another = |word: &str| published.get(word).copied().filter(|owner| *owner != id.as_str());
            let found = judgement.scans.iter().flat_map(|scan| scan.found.iter().cloned().chain(scan.shadows(another)));
            findings.insert(id.clone(), found.take(MOST_FINDINGS).collect());
        }
        let all =
            offered.iter().filter(|(connector, _)| !connector.checked.is_built_in()).flat_map(|(connector, _)| {
                let manifest = &connector.checked.connector;
                let tools = names.get(&manifest.id).into_iter().flatten();
                tools.map(|own| Named { connector: manifest.id.as_str(), own, prefix: manifest.prefix })
            });
        for (connector, finding) in look_alikes(all) {
            if let Ok(id) = ConnectorId::try_from(connector) {
                findings.entry(id).or_default().push(finding);
            }
        }
        findings.retain(|_, found| !found.is_empty());
        Self { judgements, findings }
    }

    /// The findings as problems of their connectors' manifests.
    pub(super) fn problems(&self, offered: &[(&Arc<Connector>, Offered<'_>)]) -> Vec<Problem> {
        let of = |(connector, _): &(&Arc<Connector>, Offered<'_>)| {
            let checked = &connector.checked;
            let found = self.findings.get(&checked.connector.id).into_iter().flatten();
            let problem = |finding: &Finding| {
                let at = checked.connector.tools.iter().position(|tool| tool.name == finding.tool);
                let at = at.map_or_else(|| "/adapter".to_owned(), |at| format!("/tools/{at}"));
                checked.problem(Severity::Warning, &at, finding.said())
            };
            found.map(problem).collect::<Vec<_>>()
        };
        offered.iter().flat_map(of).collect()
    }
}

impl super::Live {
    /// What may be served of a connector's offer, and what stands out in it.
    pub fn judgement(&self, connector: &ConnectorId) -> Option<&Judgement> {
        self.found.judgements.get(connector).map(AsRef::as_ref)
    }

    /// What a connector's server says it is for, as far as that may be passed on.
    pub fn instructions(&self, connector: &ConnectorId) -> Option<String> {
        let judged = self.judgement(connector).and_then(|judgement| judgement.judged.as_ref());
        judged?.offer.instructions.clone()
    }

    /// What stands out in a connector's tools.
    pub fn findings(&self, connector: &ConnectorId) -> &[Finding] {
        self.found.findings.get(connector).map_or(&[], Vec::as_slice)
    }

    /// How a connector's tools differ from what was agreed to, for people: nothing, when they do not.
    pub(super) fn report_of_pins(&self, connector: &ConnectorId, policy: Policy) -> Option<Value> {
        let judged = self.judgement(connector)?.judged.as_ref()?;
        let changes: Vec<Value> = judged
            .drifts
            .iter()
            .map(|drift| {
                json!({
                    "tool": drift.tool, "change": drift.change, "class": drift.class, "served": drift.served,
                    "differences": drift.differences, "said": drift.said(),
                })
            })
            .collect();
        (!changes.is_empty()).then(|| json!({ "policy": policy, "changes": changes }))
    }
}

impl Gateway {
    /// What upstreams may serve.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }
}

/// A descriptor as it is kept.
fn written(tool: &Value) -> Bytes {
    Bytes::from(tool.to_string())
}
