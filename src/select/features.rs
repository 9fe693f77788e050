//! What the ranker looks at in a tool that may be meant, and how much each of it counts.

#![expect(clippy::cast_precision_loss, reason = "counts are small")]

use std::cell::RefCell;
use std::collections::HashMap;

use super::find::{Seen, Signals, Term, rarity};
use super::index::{Index, Ranked, Why};
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
struct Common {
    /// The best by words, and by meaning, with their places.
    places: [HashMap<usize, usize>; 2],
    /// The same for each wish, by both.
    wish_places: Vec<HashMap<usize, usize>>,
    /// How alike each name is to the wish, the best of that, and its place.
    names: HashMap<usize, (f32, usize)>,
    best_name: f32,
    /// The best and the second best of each shelf.
    siblings: HashMap<usize, (f32, f32)>,
    /// How much all words of the wish say.
    mass: f32,
    /// A measure of how many there are.
    length: f32,
    /// The wish as a name.
    name: String,
    rarities: RefCell<HashMap<Word, f32>>,
}

/// The pool with its scores, in no order. Of each its place among what is seen, and its number.
pub(super) fn score(found: &Found<'_>, pool: &[(usize, usize)]) -> Vec<Ranked> {
    let common = Common::of(found, pool);
    let ranked = |(slot, item): &(usize, usize)| {
        let values = found.values(&common, (*slot, *item))?;
        let score: f32 = FEATURES.iter().zip(&values).map(|(feature, value)| feature.weight * value).sum();
        let is_named = plain(&found.index.doc(*item)?.name) == common.name;
        let score = if is_named { score + NAMED } else { score };
        Some(Ranked { item: *item, score, why: Why { values: values.into() } })
    };
    pool.iter().filter_map(ranked).collect()
}

/// A name without what people leave out of it.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn places(best: &[usize]) -> HashMap<usize, usize> {
    best.iter().copied().zip(0..).collect()
}

/// 1 for the first place, half of that for the eleventh, 0 for none.
fn at_place(place: Option<&usize>) -> f32 {
    place.map_or(0.0, |place| 10.0 / (10.0 + *place as f32))
}

impl Common {
    fn of(found: &Found<'_>, pool: &[(usize, usize)]) -> Self {
        let mut siblings: HashMap<usize, (f32, f32)> = HashMap::new();
        for (slot, item) in pool {
            let both = found.whole.both(*slot);
            let Some((shelf, ..)) = found.index.place(*item) else { continue };
            let (best, second) = siblings.entry(shelf).or_insert((f32::MIN, f32::MIN));
            (*best, *second) = if both > *best { (both, *best) } else { (*best, second.max(both)) };
        }
        let mut names: Vec<(usize, f32)> = pool.iter().map(|(slot, item)| (*slot, found.name_meaning(*item))).collect();
        names.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Self {
            places: [places(&found.whole.words.best), places(&found.whole.meaning.best)],
            wish_places: found.split.iter().map(|signals| places(&signals.best)).collect(),
            best_name: names.first().map_or(0.0, |(_, best)| *best),
            names: names.into_iter().zip(0..).map(|((slot, alike), place)| (slot, (alike, place))).collect(),
            siblings,
            mass: found.terms.iter().map(|term| term.weight).sum::<f32>().max(1e-6),
            length: (found.terms.len() as f32).ln_1p() / 3.0,
            name: plain(found.wish),
            rarities: RefCell::default(),
        }
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
    fn share(&self, common: &Common, of: &[Word]) -> f32 {
        let all: f32 = of.iter().map(|word| common.rarity(self, *word)).sum();
        let wanted = of.iter().filter(|word| self.terms.iter().any(|term| term.word == **word));
        wanted.map(|word| common.rarity(self, *word)).sum::<f32>() / all.max(1e-6)
    }

    /// The share of the wish that stands among these words.
    fn coverage(&self, common: &Common, is_there: impl Fn(Word) -> bool) -> f32 {
        let there = self.terms.iter().filter(|term| term.weight > 0.0 && is_there(term.word));
        there.map(|term| term.weight).sum::<f32>() / common.mass
    }

    /// The values of [`FEATURES`], in their order.
    fn values(&self, common: &Common, (slot, item): (usize, usize)) -> Option<[f32; FEATURES.len()]> {
        let (number, holder, at) = self.index.place(item)?;
        let doc = holder.docs.get(at)?;
        let Signals { words, meaning, .. } = self.whole;
        let (by_words, by_meaning) = (words.above(slot), meaning.above(slot));
        let [word_places, meaning_places] = &common.places;
        let stands =
            |word: Word| holder.postings(word).binary_search_by_key(&at, |posting| posting.doc as usize).is_ok();
        let coverage = self.coverage(common, stands);
        let name_share = self.share(common, &doc.words);
        let starts = self.terms.iter().take(2).any(|term| Some(&term.word) == doc.words.first());
        let best = |of: &dyn Fn(&Signals) -> f32, whole: f32| self.split.iter().map(of).fold(whole, f32::max) - whole;
        let mut wishes: Vec<f32> = common.wish_places.iter().map(|places| at_place(places.get(&slot))).collect();
        wishes.sort_by(|a, b| b.total_cmp(a));
        let (first, second) = common.siblings.get(&number).copied().unwrap_or((0.0, f32::MIN));
        let sibling = if first > self.whole.both(slot) { first } else { second };
        let (name_alike, name_place) = common.names.get(&slot).copied().unwrap_or_default();
        let is_split = if self.split.is_empty() { 0.0 } else { 1.0 };
        Some([
            by_words,
            by_meaning,
            at_place(word_places.get(&slot)),
            at_place(meaning_places.get(&slot)),
            words.of(slot) / words.top().max(1e-6),
            (meaning.of(slot) - meaning.top()) * 5.0,
            coverage,
            self.coverage(common, |word| doc.words.contains(&word)),
            name_share,
            if name_share > 0.99 { 1.0 } else { 0.0 },
            if starts { 1.0 } else { 0.0 },
            self.share(common, &holder.about),
            best(&|signals| signals.words.above(slot), by_words),
            best(&|signals| signals.meaning.above(slot), by_meaning),
            wishes.first().copied().unwrap_or_default(),
            f32::from(doc.description).ln_1p(),
            f32::from(doc.parameters).ln_1p(),
            (doc.words.len() as f32).ln_1p(),
            by_words * common.length,
            by_meaning * common.length,
            if sibling > f32::MIN { sibling / 5.0 } else { 0.0 },
            (name_alike - common.best_name) * 5.0,
            at_place(Some(&name_place)),
            by_words.min(by_meaning),
            self.coverage(common, |word| holder.about.contains(&word)),
            coverage * common.length,
            wishes.get(1).copied().unwrap_or_default(),
            name_share * common.length,
            is_split * by_words,
            is_split * by_meaning,
        ])
    }
}
