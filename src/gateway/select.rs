//! Choosing tools: the index that is kept beside the catalog, and what is chosen from it for a caller.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

mod answer;
mod offer;
mod related;
mod wanted;

pub use offer::Selected;
pub use wanted::Wanted;

use super::inventory::{goes_by, is_category};
use super::{Along, Connector, Gateway, Live};
use crate::caller::{Access, Caller};
use crate::catalog::{Entry, view::View};
use crate::error::{Error, ErrorKind, Result};
use crate::name::ConnectorId;
use crate::select::{Card, Index, Ranked, Why, tokens};

/// Tools whose tokens are counted before the first answer. Where there are more, the rest is counted in the
/// background, and taken for a quarter of its bytes until then.
const COUNTED_AT_ONCE: usize = 300;

/// A tool that was chosen.
#[derive(Debug, Clone)]
pub struct Pick {
    /// It.
    pub entry: Arc<Entry>,
    /// How well it fits.
    pub score: f32,
    /// How well beside the others that fit: 1 is the best, and none fits worse than 0. It falls along the list.
    pub relevance: f32,
    /// What the score is made of.
    pub why: Why,
}

/// What was chosen.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The tools, the best first.
    pub picks: Vec<Pick>,
    /// What comes along with them.
    pub related: Vec<Along>,
    /// The tokens of the whole list that the caller would see.
    pub list_tokens: usize,
    /// The tokens that an answer may have.
    pub budget: usize,
}

/// The index of one snapshot.
#[derive(Debug, Default)]
struct Shelves {
    live: Option<Arc<Live>>,
    index: Index,
    /// In the index's order.
    entries: Vec<Arc<Entry>>,
    /// Where each connector's tools stand among them.
    places: Vec<(Arc<Connector>, Range<usize>)>,
}

/// The newest index. It is made when somebody asks for the first time.
#[derive(Debug, Default)]
pub(super) struct Selector {
    newest: Mutex<Arc<Shelves>>,
    /// Held while the next one is made, so that it is made once.
    making: tokio::sync::Mutex<()>,
}

impl Shelves {
    fn of(before: &Self, live: &Arc<Live>) -> Self {
        let mut mine: HashMap<&str, Vec<&Arc<Entry>>> = HashMap::new();
        for entry in live.catalog.entries() {
            mine.entry(entry.connector.as_str()).or_default().push(entry);
        }
        let mut shelf = |it: &'_ Arc<Connector>| {
            (Arc::clone(it), about(it), mine.remove(it.checked.connector.id.as_str()).unwrap_or_default())
        };
        let shelves: Vec<_> = live.connectors.values().map(&mut shelf).collect();
        let tags: Vec<Vec<String>> =
            shelves.iter().map(|(it, _, mine)| mine.iter().map(|entry| tags(it, entry)).collect()).collect();
        let cards: Vec<Vec<Card<'_>>> = shelves
            .iter()
            .zip(&tags)
            .map(|((_, about, mine), tags)| {
                mine.iter().zip(tags).map(|(entry, tags)| card(about, tags, entry)).collect()
            })
            .collect();
        let index = Index::next(&before.index, &cards);
        let mut places = Vec::new();
        let mut entries = Vec::new();
        for (connector, _, mine) in &shelves {
            let start = entries.len();
            entries.extend(mine.iter().map(|entry| Arc::clone(entry)));
            places.push((Arc::clone(connector), start..entries.len()));
        }
        let next = Self { live: Some(Arc::clone(live)), index, entries, places };
        next.count_as(before);
        next
    }

    fn is_of(&self, live: &Arc<Live>) -> bool {
        self.live.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, live))
    }

    /// Takes over what was counted, and counts a few more.
    fn count_as(&self, before: &Self) {
        let known: HashMap<&str, &Arc<Entry>> = before.entries.iter().map(|it| (it.name.as_str(), it)).collect();
        for entry in &self.entries {
            if let Some(before) = known.get(entry.name.as_str()) {
                entry.inherit_count(before);
            }
        }
        self.count(COUNTED_AT_ONCE, &|| true);
        // The vocabulary is loaded here, where nobody's turn is taken.
        tokens::count("");
    }

    /// Counts so many more, as long as that goes on.
    fn count(&self, most: usize, goes_on: &dyn Fn() -> bool) {
        let uncounted = self.entries.iter().filter(|entry| entry.counted().is_none());
        for entry in uncounted.take(most).take_while(|_| goes_on()) {
            entry.exact_tokens();
        }
    }

    /// Which tools a caller sees in a view, and what a list of them all costs.
    fn seen(&self, caller: &Caller, view: &View) -> (Vec<bool>, usize) {
        let mut list = 0;
        // Neighbours mostly take the same.
        let mut neighbour: Option<(&Access, bool)> = None;
        let mut opens = |access| {
            let opens =
                neighbour.filter(|(before, _)| *before == access).map_or_else(|| caller.sees(access), |(_, it)| it);
            neighbour = Some((access, opens));
            opens
        };
        let see = |entry| {
            let entry: &Arc<Entry> = entry;
            let sees = view.holds(entry) && opens(&entry.access);
            if sees {
                // With the comma that stands before it.
                list += entry.counted().unwrap_or(entry.tokens) + 1;
            }
            sees && entry.is_for_models()
        };
        let seen = self.entries.iter().map(see).collect();
        (seen, list)
    }

    /// Leaves those of the wanted categories and connectors; gives these connectors.
    fn narrow(&self, seen: &mut [bool], caller: &Caller, wanted: &Wanted) -> HashSet<ConnectorId> {
        let mut allowed = HashSet::new();
        for (connector, place) in &self.places {
            let is_in = |names: &[String], is: &dyn Fn(&str) -> bool| names.is_empty() || names.iter().any(|it| is(it));
            let stays = is_in(&wanted.categories, &|name| is_category(connector, name))
                && is_in(&wanted.connectors, &|name| goes_by(connector, caller, name));
            if stays {
                allowed.insert(connector.checked.connector.id.clone());
            } else {
                seen.get_mut(place.clone()).unwrap_or_default().fill(false);
            }
        }
        allowed
    }

    /// What each query finds, in turns.
    fn rank(&self, seen: &[bool], wanted: &Wanted) -> Vec<Pick> {
        let is_seen = |item: usize| seen.get(item).copied().unwrap_or_default();
        let found: Vec<Vec<Ranked>> = wanted.queries.iter().map(|query| self.index.rank(query, &is_seen)).collect();
        let ranges: Vec<(f32, f32)> = found.iter().map(|found| range(found)).collect();
        let longest = found.iter().map(Vec::len).max().unwrap_or_default();
        let turns = (0..longest).flat_map(|turn| {
            found.iter().zip(&ranges).filter_map(move |(found, range)| Some((found.get(turn)?, range)))
        });
        let (mut taken, mut least) = (HashSet::new(), 1.0_f32);
        let mut picks = Vec::new();
        for (ranked, (worst, best)) in turns {
            if picks.len() == wanted.tools() {
                break;
            }
            let Some(entry) = self.entries.get(ranked.item).filter(|_| taken.insert(ranked.item)) else { continue };
            let part = if best > worst { (ranked.score - worst) / (best - worst) } else { 1.0 };
            least = least.min(part.clamp(0.0, 1.0));
            let (entry, why) = (Arc::clone(entry), ranked.why.clone());
            picks.push(Pick { entry, score: ranked.score, relevance: least, why });
        }
        picks
    }
}

/// The worst and the best score.
fn range(found: &[Ranked]) -> (f32, f32) {
    let score = |ranked: Option<&Ranked>| ranked.map(|ranked| ranked.score).unwrap_or_default();
    (score(found.last()), score(found.first()))
}

/// What a connector is called.
fn about(connector: &Connector) -> String {
    let manifest = &connector.checked.connector;
    format!("{} {}", manifest.id, manifest.name)
}

/// Words that a tool is found by beside what it says of itself.
fn tags(connector: &Connector, entry: &Entry) -> String {
    let manifest = &connector.checked.connector;
    let words = entry.tags.iter().chain(&manifest.tags).chain(&manifest.category);
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn card<'a>(about: &'a str, tags: &'a str, entry: &'a Entry) -> Card<'a> {
    const NOTHING: &Value = &Value::Null;
    let text = |key: &str| entry.descriptor.get(key).and_then(Value::as_str).unwrap_or_default();
    Card {
        name: &entry.name,
        own: &entry.tool,
        connector: about,
        title: text("title"),
        description: text("description"),
        tags,
        schema: entry.descriptor.get("inputSchema").unwrap_or(NOTHING),
    }
}

impl Gateway {
    /// The index of the present snapshot.
    async fn shelves(&self) -> Result<Arc<Shelves>> {
        let newest = || Arc::clone(&self.selector.newest.lock().unwrap_or_else(PoisonError::into_inner));
        if newest().is_of(&self.live()) {
            return Ok(newest());
        }
        let _making = self.selector.making.lock().await;
        let (before, live) = (newest(), self.live());
        if before.is_of(&live) {
            return Ok(before);
        }
        let made = tokio::task::spawn_blocking(move || Arc::new(Shelves::of(&before, &live))).await;
        let made =
            made.map_err(|error| Error::new(ErrorKind::Internal, "the tools cannot be searched").because(error))?;
        *self.selector.newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&made);
        if made.entries.iter().any(|entry| entry.counted().is_none()) {
            let (shelves, calls, stopping) = (Arc::clone(&made), self.calls.clone(), self.stopping.clone());
            // Nobody waits for it, at the end of the server neither.
            let goes_on = move || !calls.is_closed() && !stopping.is_cancelled();
            self.calls.spawn_blocking(move || shelves.count(usize::MAX, &goes_on));
        }
        Ok(made)
    }

    /// The tools that fit best, the best first, of those that this caller sees in this view.
    pub async fn select(&self, caller: &Caller, view: &View, wanted: &Wanted) -> Result<Selection> {
        wanted.check()?;
        let shelves = self.shelves().await?;
        let (who, shown, what) = (caller.clone(), view.clone(), wanted.clone());
        // Among very many tools that takes some milliseconds, in which others have their turn.
        let found = tokio::task::spawn_blocking(move || {
            let (mut seen, list_tokens) = shelves.seen(&who, &shown);
            let allowed = shelves.narrow(&mut seen, &who, &what);
            (shelves.rank(&seen, &what), allowed, list_tokens)
        });
        let failed = |error| Error::new(ErrorKind::Internal, "the tools cannot be searched").because(error);
        let (mut picks, allowed, list_tokens) = found.await.map_err(failed)?;
        let related = self.bring_along((caller, view), &allowed, (&mut picks, wanted.tools())).await;
        Ok(Selection { picks, related, list_tokens, budget: wanted.tokens(list_tokens) })
    }

    /// How many tokens the whole list has that a caller sees in a view, counted to the last one.
    pub async fn list_tokens(&self, caller: &Caller, view: &View) -> Result<usize> {
        let shelves = self.shelves().await?;
        let (caller, view) = (caller.clone(), view.clone());
        let counted = tokio::task::spawn_blocking(move || {
            shelves.count(usize::MAX, &|| true);
            shelves.seen(&caller, &view).1
        });
        counted.await.map_err(|error| Error::new(ErrorKind::Internal, "the tools cannot be counted").because(error))
    }
}
