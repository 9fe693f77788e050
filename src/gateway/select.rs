//! Choosing tools: the index that is kept beside the catalog, and what is chosen from it for a caller.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::{Connector, Gateway, Live};
use crate::call::Output;
use crate::caller::Caller;
use crate::catalog::{Entry, view::View};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Arguments;
use crate::select::{Card, Index, Why};

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// In words, one text for each step.
    pub queries: Vec<String>,
    /// How many tools at most.
    pub max_tools: Option<usize>,
    /// How many tokens the answer may have.
    pub token_budget: Option<usize>,
    /// Of these categories only.
    pub categories: Vec<String>,
    /// Of these connectors only.
    pub connectors: Vec<String>,
}

/// A tool that was chosen.
#[derive(Debug, Clone)]
pub struct Pick {
    /// It.
    pub entry: Arc<Entry>,
    /// How well it fits.
    pub score: f32,
    /// What the score is made of.
    pub why: Why,
}

/// The index of one snapshot.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    live: Option<Arc<Live>>,
    index: Index,
    /// In the index's order.
    entries: Vec<Arc<Entry>>,
}

/// The newest index. It is made when somebody asks for the first time.
#[derive(Debug, Default)]
pub(super) struct Selector(Mutex<Arc<Shelves>>);

impl Shelves {
    fn of(before: &Self, live: Arc<Live>) -> Self {
        let catalog = &live.catalog;
        let mine = |connector: &Connector| {
            let id = &connector.checked.connector.id;
            catalog.entries().iter().filter(|entry| entry.connector == *id).collect::<Vec<_>>()
        };
        let shelves: Vec<(String, Vec<&Arc<Entry>>)> =
            live.connectors.values().map(|connector| (about(connector), mine(connector))).collect();
        let cards: Vec<Vec<Card<'_>>> =
            shelves.iter().map(|(about, mine)| mine.iter().map(|entry| card(about, entry)).collect()).collect();
        let index = Index::next(&before.index, &cards);
        let entries = shelves.iter().flat_map(|(_, mine)| mine.iter().map(|entry| Arc::clone(entry))).collect();
        Self { index, entries, live: Some(Arc::clone(&live)) }
    }

    fn is_of(&self, live: &Arc<Live>) -> bool {
        self.live.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, live))
    }
}

/// What a connector is called.
fn about(connector: &Connector) -> String {
    let manifest = &connector.checked.connector;
    let category = manifest.category.as_deref().unwrap_or_default();
    format!("{} {} {category} {}", manifest.id, manifest.name, manifest.tags.join(" "))
}

fn card<'a>(about: &'a str, entry: &'a Entry) -> Card<'a> {
    const NOTHING: &Value = &Value::Null;
    let text = |key: &str| entry.descriptor.get(key).and_then(Value::as_str).unwrap_or_default();
    Card {
        name: &entry.name,
        own: &entry.tool,
        connector: about,
        title: text("title"),
        description: text("description"),
        tags: "",
        schema: entry.descriptor.get("inputSchema").unwrap_or(NOTHING),
    }
}

impl Selector {
    /// The index of this snapshot.
    async fn of(&self, live: Arc<Live>) -> Result<Arc<Shelves>> {
        let newest = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if newest.is_of(&live) {
            return Ok(newest);
        }
        let made = tokio::task::spawn_blocking(move || Arc::new(Shelves::of(&newest, live))).await;
        let made =
            made.map_err(|error| Error::new(ErrorKind::Internal, "the tools cannot be searched").because(error))?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&made);
        Ok(made)
    }
}

impl Gateway {
    /// The tools that fit best, the best first, of those that this caller sees in this view.
    pub async fn select(&self, caller: &Caller, view: &View, wanted: &Wanted) -> Result<Vec<Pick>> {
        let shelves = self.selector.of(self.live()).await?;
        let sees = |item: usize| {
            shelves.entries.get(item).is_some_and(|entry| view.holds(entry) && caller.sees(&entry.access))
        };
        let query = wanted.queries.first().map(String::as_str).unwrap_or_default();
        let found = shelves.index.rank(query, &sees);
        let pick = |ranked: crate::select::Ranked| {
            let entry = Arc::clone(shelves.entries.get(ranked.item)?);
            Some(Pick { entry, score: ranked.score, why: ranked.why })
        };
        Ok(found.into_iter().filter_map(pick).collect())
    }

    /// Answers `search_tools`.
    pub async fn search_tools(&self, caller: &Caller, view: &View, arguments: &Arguments) -> Result<Output> {
        let query = arguments.get("query").and_then(Value::as_str).unwrap_or_default().to_owned();
        let wanted = Wanted { queries: vec![query], ..Wanted::default() };
        let names: Vec<String> =
            self.select(caller, view, &wanted).await?.into_iter().map(|it| it.entry.name.clone()).collect();
        Ok(Output::json(serde_json::json!({ "tools": names })))
    }

    /// Answers `describe_tools`.
    pub async fn describe_tools(&self, caller: &Caller, view: &View, arguments: &Arguments) -> Result<Output> {
        let _ = (caller, view, arguments);
        Err(Error::new(ErrorKind::Internal, "not yet"))
    }
}
