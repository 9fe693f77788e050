//! What comes along with tools that were chosen: declared in manifests, seen in schemas, and learned from calls.

use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

use super::{Gateway, Live};
use crate::caller::Caller;
use crate::catalog::Entry;
use crate::manifest::Relations;
use crate::name::ConnectorId;
use crate::select::relations::{self, Around, Edge, Kind};
use crate::select::structure::{self, Shape};

/// What belongs to one tool; more says nothing.
const MOST_EDGES: usize = 40;
/// What belongs to one tool by its schema.
const MOST_GUESSED: usize = 8;
/// How sure relations are.
const DECLARED: f32 = 1.0;
const IN_ORDER: f32 = 0.9;
const INSTEAD: f32 = 0.8;
const GUESSED: f32 = 0.5;

/// A tool that comes along with others.
#[derive(Debug, Clone)]
pub struct Along {
    /// It.
    pub entry: Arc<Entry>,
    /// How it belongs to `of`: "needed by", "often used with", "comes after", "comes before", "alternative to".
    pub why: &'static str,
    /// A tool that was chosen, or that comes along.
    pub of: Arc<Entry>,
    /// How sure that is, from 0.5 to 1.
    pub confidence: f32,
    /// Whether the tools that were chosen are of no use without it.
    pub required: bool,
}

/// What belongs together in one snapshot, but for what is learned.
#[derive(Debug, Default)]
struct Web {
    live: Arc<Live>,
    /// The places of all tools, in the order of their connectors and own names.
    order: Vec<usize>,
    edges: HashMap<usize, Vec<Edge>>,
}

/// The newest web. It is made when somebody asks for the first time.
#[derive(Debug, Default)]
pub(super) struct Weaver {
    newest: Mutex<Arc<Web>>,
    /// Held while the next one is made, so that it is made once.
    making: tokio::sync::Mutex<()>,
}

impl Weaver {
    async fn of(&self, live: Arc<Live>) -> Option<Arc<Web>> {
        if let Some(newest) = self.newest(&live) {
            return Some(newest);
        }
        let _making = self.making.lock().await;
        if let Some(newest) = self.newest(&live) {
            return Some(newest);
        }
        let made = tokio::task::spawn_blocking(move || Arc::new(Web::of(live))).await.ok()?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&made);
        Some(made)
    }

    fn newest(&self, live: &Arc<Live>) -> Option<Arc<Web>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::ptr_eq(&newest.live, live).then(|| Arc::clone(&newest))
    }
}

impl Web {
    fn of(live: Arc<Live>) -> Self {
        let mut order: Vec<usize> = (0..live.catalog.entries().len()).collect();
        let key = |place: &usize| live.catalog.entries().get(*place).map(|entry| (&entry.connector, &entry.tool));
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut web = Self { live, order, edges: HashMap::new() };
        web.declare();
        web.guess();
        web
    }

    fn entry(&self, place: usize) -> Option<&Arc<Entry>> {
        self.live.catalog.entries().get(place)
    }

    /// Where a connector's tool is.
    fn place(&self, connector: &str, tool: &str) -> Option<usize> {
        let compare = |place: &usize| {
            self.entry(*place)
                .map_or(Ordering::Less, |entry| (entry.connector.as_str(), entry.tool.as_str()).cmp(&(connector, tool)))
        };
        self.order.get(self.order.binary_search_by(compare).ok()?).copied()
    }

    /// Where the tool is that a manifest names.
    fn named(&self, own: &ConnectorId, name: &str) -> Option<usize> {
        let elsewhere = || {
            let (connector, tool) = Relations::elsewhere(name)?;
            self.place(connector.as_str(), tool)
        };
        self.place(own.as_str(), name).or_else(elsewhere)
    }

    fn declare(&mut self) {
        let live = Arc::clone(&self.live);
        for (place, entry) in live.catalog.entries().iter().enumerate() {
            let Some(said) = entry.relations.as_deref() else { continue };
            let to = |names: &[String]| -> Vec<usize> {
                names.iter().filter_map(|name| self.named(&entry.connector, name)).filter(|to| *to != place).collect()
            };
            let [needs, beside, after, instead] =
                [&said.depends_on, &said.often_used_with, &said.precedes, &said.alternative_to].map(|names| to(names));
            for other in needs {
                self.add(place, other, Kind::DependsOn, DECLARED);
            }
            for other in beside {
                self.both(place, other, Kind::OftenUsedWith, DECLARED);
            }
            for other in instead {
                self.both(place, other, Kind::AlternativeTo, INSTEAD);
            }
            for other in after {
                self.add(place, other, Kind::ComesAfter, IN_ORDER);
                self.add(other, place, Kind::ComesBefore, IN_ORDER);
            }
        }
    }

    /// What the schemas of a connector's tools say.
    fn guess(&mut self) {
        const NOTHING: &Value = &Value::Null;
        let live = Arc::clone(&self.live);
        let mut groups: HashMap<&ConnectorId, Vec<(usize, Shape<'_>)>> = HashMap::new();
        for (place, entry) in live.catalog.entries().iter().enumerate() {
            let part = |key: &str| entry.descriptor.get(key);
            let (input, output) = (part("inputSchema").unwrap_or(NOTHING), part("outputSchema"));
            groups.entry(&entry.connector).or_default().push((place, Shape { name: &entry.tool, input, output }));
        }
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for group in groups.values() {
            let shapes: Vec<Shape<'_>> = group.iter().map(|(_, shape)| *shape).collect();
            for (first, second) in structure::pairs(&shapes) {
                let (Some((first, _)), Some((second, _))) = (group.get(first), group.get(second)) else { continue };
                self.add(*first, *second, Kind::ComesAfter, GUESSED);
                let count = counts.entry(*second).or_default();
                *count += 1;
                if *count <= MOST_GUESSED {
                    self.add(*second, *first, Kind::ComesBefore, GUESSED);
                }
            }
        }
    }

    fn both(&mut self, one: usize, other: usize, kind: Kind, confidence: f32) {
        self.add(one, other, kind, confidence);
        self.add(other, one, kind, confidence);
    }

    /// What comes first stays: what is declared goes before what is guessed.
    fn add(&mut self, from: usize, to: usize, kind: Kind, confidence: f32) {
        let edges = self.edges.entry(from).or_default();
        if edges.len() < MOST_EDGES && !edges.iter().any(|known| known.to == to && known.kind == kind) {
            edges.push(Edge { to, kind, confidence });
        }
    }

    /// All that belongs to a tool, with what this caller's tenant taught us.
    fn edges(&self, place: usize, caller: &Caller, gateway: &Gateway) -> Vec<Edge> {
        let mut edges = self.edges.get(&place).cloned().unwrap_or_default();
        let Some(entry) = self.entry(place) else { return edges };
        for (other, often) in gateway.together.often(caller, &format!("{}.{}", entry.connector, entry.tool)) {
            let other = other.split_once('.').and_then(|(connector, tool)| self.place(connector, tool));
            // One in four, the least that is told, is as sure as a guess.
            let confidence = often.sqrt();
            edges.extend(other.map(|to| Edge { to, kind: Kind::OftenUsedWith, confidence }));
        }
        edges
    }
}

impl Gateway {
    /// What comes along with tools that were chosen for a caller, the best chosen first: what they depend on, ten at
    /// most, then three others at most. None that was chosen, and none but those that `sees` lets be seen.
    pub async fn along(
        &self,
        caller: &Caller,
        chosen: &[Arc<Entry>],
        sees: &(dyn Fn(&Entry) -> bool + Sync),
    ) -> Vec<Along> {
        let Some(web) = self.web.of(self.live()).await else { return Vec::new() };
        self.together.recall(caller, self.store.as_deref().ok()).await;
        let found: Vec<usize> =
            chosen.iter().filter_map(|entry| web.place(entry.connector.as_str(), &entry.tool)).collect();
        let around = Around {
            edges: &|place| web.edges(place, caller, self),
            sees: &|place| web.entry(place).is_some_and(|entry| caller.sees(&entry.access) && sees(entry)),
            name: &|place| web.entry(place).map_or("", |entry| entry.name.as_str()),
        };
        let along = |along: relations::Along| {
            let (entry, of) = (Arc::clone(web.entry(along.item)?), Arc::clone(web.entry(along.of)?));
            let relations::Along { kind, confidence, required, .. } = along;
            Some(Along { entry, why: kind.words(), of, confidence, required })
        };
        relations::along(&found, &around).into_iter().filter_map(along).collect()
    }
}
