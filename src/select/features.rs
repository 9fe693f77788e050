//! What the ranker looks at in a tool that may be meant, and how much each of it counts.

#![expect(clippy::cast_precision_loss, reason = "counts are small")]

use std::cell::RefCell;
use std::collections::HashMap;

use super::find::{Seen, Signals, Term, rarity};
use super::index::{Index, Ranked, Why};
use super::shelf::Posting;
use super::table::{Sum, Vector};
use super::weights::FEATURES;
use super::words::Word;

/// Something of a tool that says whether it is meant.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// What it is called.
    pub name: &'static str,
    /// What it counts.
    pub weight: f32,
}

/// What a tool gets whose name is the whole wish: more than all else together.
const NAMED: f32 = 100.0;

/// What a search has found, before it is put in order.
pub(super) struct Found<'a> {
    pub(super) index: &'a Index,
    /// By the whole wish.
    pub(super) whole: &'a Signals,
    /// By its parts, when it has several.
    pub(super) split: &'a [Signals],
    pub(super) terms: &'a [Term],
    pub(super) meaning: Option<Vector>,
    pub(super) wish: &'a str,
    pub(super) seen: &'a Seen,
}

/// What is the same for all tools of the pool.
struct Common<'a> {
    /// What a place is worth, for each tool of the pool: by words, by meaning, and by each wish.
    places: [Vec<f32>; 2],
    wish_places: Vec<Vec<f32>>,
    /// How alike each name is to the wish, the best of that, and what its place is worth.
    names: Vec<f32>,
    best_name: f32,
    name_places: Vec<f32>,
    shelves: HashMap<usize, OfShelf<'a>>,
    /// How much all words of the wish say.
    mass: f32,
    /// A measure of how many there are.
    length: f32,
    /// The wish as a name.
    name: String,
    rarities: RefCell<HashMap<Word, f32>>,
}

/// What is the same for all tools of a shelf.
struct OfShelf<'a> {
    /// The best and the second best.
    best: f32,
    second: f32,
    /// Where each word of the wish stands.
    postings: Vec<&'a [Posting]>,
    /// The share of the connector's words that stands in the wish, and of the wish in them.
    share: f32,
    coverage: f32,
}

/// The pool with its scores, in no order. Of each its place among what is seen, and its number.
pub(super) fn score(found: &Found<'_>, pool: &[(usize, usize)]) -> Vec<Ranked> {
    let common = Common::of(found, pool);
    let ranked = |(at, (slot, item)): (usize, &(usize, usize))| {
        let values = found.values(&common, (at, *slot, *item))?;
        let score: f32 = FEATURES.iter().zip(&values).map(|(feature, value)| feature.weight * value).sum();
        let is_named = plain(&found.index.doc(*item)?.name) == common.name;
        let score = if is_named { score + NAMED } else { score };
        Some(Ranked { item: *item, score, why: Why { values: values.into() } })
    };
    pool.iter().enumerate().filter_map(ranked).collect()
}

/// A name without what people leave out of it.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What a place is worth: 1 for the first, half of that for the eleventh.
fn worth(place: usize) -> f32 {
    10.0 / (10.0 + place as f32)
}

/// What the places of a pool's tools are worth among the best ones; nothing for who is not among them.
fn places(best: &[usize], pool: &[(usize, usize)]) -> Vec<f32> {
    let mut worths = vec![0.0; pool.len()];
    for (place, slot) in best.iter().enumerate() {
        let at = pool.binary_search_by_key(slot, |(slot, _)| *slot);
        at.ok().and_then(|at| worths.get_mut(at)).into_iter().for_each(|it| *it = worth(place));
    }
    worths
}

fn at(values: &[f32], place: usize) -> f32 {
    values.get(place).copied().unwrap_or_default()
}

impl<'a> Common<'a> {
    fn of(found: &Found<'a>, pool: &[(usize, usize)]) -> Self {
        let names: Vec<f32> = pool.iter().map(|(_, item)| found.name_meaning(*item)).collect();
        let mut order: Vec<usize> = (0..pool.len()).collect();
        order.sort_by(|a, b| at(&names, *b).total_cmp(&at(&names, *a)).then(a.cmp(b)));
        let mut name_places = vec![0.0; pool.len()];
        for (place, item) in order.iter().enumerate() {
            name_places.get_mut(*item).into_iter().for_each(|it| *it = worth(place));
        }
        let mut common = Self {
            places: [places(&found.whole.words.best, pool), places(&found.whole.meaning.best, pool)],
            wish_places: found.split.iter().map(|signals| places(&signals.best, pool)).collect(),
            best_name: order.first().map_or(0.0, |best| at(&names, *best)),
            names,
            name_places,
            shelves: HashMap::new(),
            mass: found.terms.iter().map(|term| term.weight).sum::<f32>().max(1e-6),
            length: (found.terms.len() as f32).ln_1p() / 3.0,
            name: plain(found.wish),
            rarities: RefCell::default(),
        };
        for (slot, item) in pool {
            let Some((number, holder, _)) = found.index.place(*item) else { continue };
            if !common.shelves.contains_key(&number) {
                let shelf = OfShelf {
                    best: f32::MIN,
                    second: f32::MIN,
                    postings: found.terms.iter().map(|term| holder.postings(term.word)).collect(),
                    share: found.share(&common, &holder.about),
                    coverage: found.coverage(&common, |_, word| holder.about.contains(&word)),
                };
                common.shelves.insert(number, shelf);
            }
            let both = found.whole.both(*slot);
            if let Some(shelf) = common.shelves.get_mut(&number) {
                let (best, second) = (shelf.best, shelf.second);
                (shelf.best, shelf.second) = if both > best { (both, best) } else { (best, second.max(both)) };
            }
        }
        common
    }

    fn rarity(&self, found: &Found<'_>, word: Word) -> f32 {
        *self.rarities.borrow_mut().entry(word).or_insert_with(|| rarity(found.index, word, found.seen))
    }
}

impl Found<'_> {
    fn name_meaning(&self, item: usize) -> f32 {
        let (Some(doc), Some(wish)) = (self.index.doc(item), &self.meaning) else { return 0.0 };
        let mut name = Sum::default();
        name.add_pieces(&doc.pieces, 1.0);
        name.cosine(wish)
    }

    /// The share of these words, by how much they say, that stands in the wish.
    fn share(&self, common: &Common<'_>, of: &[Word]) -> f32 {
        let all: f32 = of.iter().map(|word| common.rarity(self, *word)).sum();
        let wanted = of.iter().filter(|word| self.terms.iter().any(|term| term.word == **word));
        wanted.map(|word| common.rarity(self, *word)).sum::<f32>() / all.max(1e-6)
    }

    /// The share of the wish whose words, by their number and themselves, are there.
    fn coverage(&self, common: &Common<'_>, is_there: impl Fn(usize, Word) -> bool) -> f32 {
        let there = self.terms.iter().enumerate().filter(|(at, term)| term.weight > 0.0 && is_there(*at, term.word));
        there.map(|(_, term)| term.weight).sum::<f32>() / common.mass
    }

    /// The values of [`FEATURES`], in their order, for the tool at a place of the pool.
    fn values(&self, common: &Common<'_>, (place, slot, item): (usize, usize, usize)) -> Option<[f32; FEATURES.len()]> {
        let (number, holder, own) = self.index.place(item)?;
        let doc = holder.docs.get(own)?;
        let family = common.shelves.get(&number)?;
        let Signals { words, meaning, .. } = self.whole;
        let (by_words, by_meaning) = (words.above(slot), meaning.above(slot));
        let [word_places, meaning_places] = &common.places;
        let stands = |term: usize, _: Word| {
            let postings = family.postings.get(term).copied().unwrap_or_default();
            postings.binary_search_by_key(&own, |posting| posting.doc as usize).is_ok()
        };
        let coverage = self.coverage(common, stands);
        let name_share = self.share(common, &doc.words);
        let starts = self.terms.iter().take(2).any(|term| Some(&term.word) == doc.words.first());
        let best = |of: &dyn Fn(&Signals) -> f32, whole: f32| self.split.iter().map(of).fold(whole, f32::max) - whole;
        let mut wishes: Vec<f32> = common.wish_places.iter().map(|places| at(places, place)).collect();
        wishes.sort_by(|a, b| b.total_cmp(a));
        let sibling = if family.best > self.whole.both(slot) { family.best } else { family.second };
        let is_split = if self.split.is_empty() { 0.0 } else { 1.0 };
        Some([
            by_words,
            by_meaning,
            at(word_places, place),
            at(meaning_places, place),
            words.of(slot) / words.top().max(1e-6),
            (meaning.of(slot) - meaning.top()) * 5.0,
            coverage,
            self.coverage(common, |_, word| doc.words.contains(&word)),
            name_share,
            if name_share > 0.99 { 1.0 } else { 0.0 },
            if starts { 1.0 } else { 0.0 },
            family.share,
            best(&|signals| signals.words.above(slot), by_words),
            best(&|signals| signals.meaning.above(slot), by_meaning),
            wishes.first().copied().unwrap_or_default(),
            f32::from(doc.description).ln_1p(),
            f32::from(doc.parameters).ln_1p(),
            (doc.words.len() as f32).ln_1p(),
            by_words * common.length,
            by_meaning * common.length,
            if sibling > f32::MIN { sibling / 5.0 } else { 0.0 },
            (at(&common.names, place) - common.best_name) * 5.0,
            at(&common.name_places, place),
            by_words.min(by_meaning),
            family.coverage,
            coverage * common.length,
            wishes.get(1).copied().unwrap_or_default(),
            name_share * common.length,
            is_split * by_words,
            is_split * by_meaning,
        ])
    }
}
