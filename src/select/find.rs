//! One search: two signals over all tools, a pool of the best of each, and the ranker's order of the pool.

#![expect(clippy::cast_precision_loss, reason = "counts are small")]

use std::collections::{BTreeMap, BTreeSet};

use super::dot::{Wide, dots};
use super::features::{Found, score};
use super::index::{Index, Ranked};
use super::shelf::Posting;
use super::table::{PARTS, Sum, Vector};
use super::wishes::wishes;
use super::words::{Word, words};

/// How fast a word's weight in the query comes to its end.
const QUERY_SATURATION: f32 = 8.0;
/// How many come into the pool: by both signals together, by each of them, by each wish.
const BY_BOTH: usize = 60;
const BY_EACH: usize = 25;
const BY_WISH: usize = 12;
/// Places beyond these are not told apart.
const PLACES: usize = 100;
const WISH_PLACES: usize = 100;
/// Pieces and words of a query that are looked at.
const PIECES: usize = 256;
const WORDS: usize = 128;

/// A word of the query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) word: Word,
    /// How much it says, which is nothing for a word that no tool has.
    pub(super) weight: f32,
}

/// The tools that are seen. Everything is counted over them alone, as if there were no others.
pub(super) struct Seen {
    /// Their numbers.
    items: Vec<usize>,
    /// The place of each tool among them, or [`HIDDEN`].
    slots: Vec<u32>,
}

/// Of tools that are not seen.
const HIDDEN: u32 = u32::MAX;

impl Seen {
    fn of(index: &Index, is_seen: &dyn Fn(usize) -> bool) -> Self {
        let items: Vec<usize> = (0..index.len()).filter(|item| is_seen(*item)).collect();
        let mut slots = vec![HIDDEN; index.len()];
        for (slot, item) in (0..).zip(&items) {
            slots.get_mut(*item).into_iter().for_each(|place| *place = slot);
        }
        Self { items, slots }
    }

    /// How many of a shelf's tools have a word and are seen.
    fn count(&self, (first, postings): (usize, &[Posting])) -> usize {
        let slots = self.slots.get(first..).unwrap_or_default();
        let is_seen = |posting: &&Posting| slots.get(posting.doc as usize).is_some_and(|slot| *slot != HIDDEN);
        postings.iter().filter(is_seen).count()
    }

    /// Whether no tool is hidden.
    fn is_all(&self) -> bool {
        self.items.len() == self.slots.len()
    }
}

/// Numbers of all tools that are seen, with what is usual among them.
#[derive(Debug, Default)]
pub(super) struct Signal {
    values: Vec<f32>,
    mean: f32,
    spread: f32,
    /// The best ones, the best first.
    pub(super) best: Vec<usize>,
}

/// So many sums at once. Their number is fixed, so that every machine rounds alike.
const LANES: usize = 16;

/// The sums of values and of their squares.
fn sums(values: &[f32]) -> (f32, f32) {
    let (mut sums, mut squares) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut add = |values: &[f32]| {
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(values) {
            *sum += value;
            *square += value * value;
        }
    };
    for chunk in chunks {
        add(chunk);
    }
    add(rest);
    (sums.iter().sum(), squares.iter().sum())
}

impl Signal {
    fn new(values: Vec<f32>, places: usize) -> Self {
        let count = values.len().max(1) as f32;
        let (sum, squares) = sums(&values);
        let mean = sum / count;
        let spread = (squares / count - mean * mean).max(0.0).sqrt().max(1e-6);
        let best = best(&values, places);
        Self { values, mean, spread, best }
    }

    pub(super) fn of(&self, slot: usize) -> f32 {
        self.values.get(slot).copied().unwrap_or_default()
    }

    /// How far above what is usual.
    pub(super) fn above(&self, slot: usize) -> f32 {
        (self.of(slot) - self.mean) / self.spread
    }

    pub(super) fn top(&self) -> f32 {
        self.best.first().map_or(0.0, |slot| self.of(*slot))
    }
}

/// What a wish finds by its words, and by what they mean.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) words: Signal,
    pub(super) meaning: Signal,
    /// The best by both together.
    pub(super) best: Vec<usize>,
}

impl Signals {
    fn new((words, meaning): (Vec<f32>, Vec<f32>), (places, both): (usize, usize)) -> Self {
        let (words, meaning) = (Signal::new(words, places), Signal::new(meaning, places));
        let sum = |(by_words, by_meaning): (&f32, &f32)| {
            (by_words - words.mean) / words.spread + (by_meaning - meaning.mean) / meaning.spread
        };
        let sums: Vec<f32> = words.values.iter().zip(&meaning.values).map(sum).collect();
        Self { best: best(&sums, both), words, meaning }
    }

    pub(super) fn both(&self, slot: usize) -> f32 {
        self.words.above(slot) + self.meaning.above(slot)
    }
}

/// The places of the greatest values, the greatest first; of equals the first.
fn best(values: &[f32], most: usize) -> Vec<usize> {
    let before = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let mut kept: Vec<(f32, usize)> = Vec::with_capacity(2 * most);
    let mut least = f32::MIN;
    for (place, value) in values.iter().enumerate() {
        // One that equals the least that is kept comes after it.
        if *value > least || kept.len() < most {
            kept.push((*value, place));
            if kept.len() == 2 * most {
                kept.select_nth_unstable_by(most - 1, before);
                kept.truncate(most);
                least = kept.last().map_or(f32::MIN, |(least, _)| *least);
            }
        }
    }
    kept.sort_unstable_by(before);
    kept.truncate(most);
    kept.into_iter().map(|(_, place)| place).collect()
}

pub(super) fn find(index: &Index, wish: &str, is_seen: &dyn Fn(usize) -> bool) -> Vec<Ranked> {
    let seen = Seen::of(index, is_seen);
    let parts = wishes(wish);
    let parts = parts.iter().map(String::as_str).filter(|_| parts.len() > 1);
    let texts: Vec<&str> = [wish].into_iter().chain(parts).collect();
    let terms: Vec<Vec<Term>> = texts.iter().map(|text| terms(index, text, &seen)).collect();
    let vectors: Vec<Option<Vector>> = texts.iter().map(|text| vector(text)).collect();
    let meanings = meanings(index, &vectors, &seen);
    let mut signals = by_words(index, &terms, &seen).into_iter().zip(meanings).enumerate().map(|(at, values)| {
        let bounds = if at == 0 { (PLACES, BY_BOTH) } else { (1, WISH_PLACES) };
        Signals::new(values, bounds)
    });
    let whole = signals.next().unwrap_or_default();
    let split: Vec<Signals> = signals.collect();
    let (Some(terms), Some(meaning)) = (terms.first(), vectors.first()) else { return Vec::new() };
    if terms.iter().all(|term| term.weight == 0.0) && meaning.is_none() {
        return Vec::new();
    }
    let mut pool: BTreeSet<usize> = whole.best.iter().copied().collect();
    pool.extend(whole.words.best.iter().take(BY_EACH));
    pool.extend(whole.meaning.best.iter().take(BY_EACH));
    pool.extend(split.iter().flat_map(|signals| signals.best.iter().take(BY_WISH)));
    let pool: Vec<(usize, usize)> = pool.into_iter().filter_map(|slot| Some((slot, *seen.items.get(slot)?))).collect();
    let found = Found { index, whole: &whole, split: &split, terms, meaning: *meaning, wish, seen: &seen };
    let mut ranked = score(&found, &pool);
    let name = |ranked: &Ranked| index.doc(ranked.item).map(|doc| &doc.name);
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| name(a).cmp(&name(b))));
    ranked
}

fn vector(text: &str) -> Option<Vector> {
    let mut sum = Sum::default();
    sum.add(text, 1.0, PIECES);
    sum.vector()
}

/// How much a word says, when so many of the tools that are seen have it.
pub(super) fn rarity(index: &Index, word: Word, seen: &Seen) -> f32 {
    let with =
        if seen.is_all() { index.tools_with(word) } else { index.postings(word).map(|shelf| seen.count(shelf)).sum() }
            as f32;
    let all = seen.items.len() as f32;
    if with == 0.0 { 0.0 } else { (1.0 + (all - with + 0.5) / (with + 0.5)).ln() }
}

fn terms(index: &Index, text: &str, seen: &Seen) -> Vec<Term> {
    let mut counts: Vec<(Word, f32)> = Vec::new();
    words(text, |word| {
        if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == word) {
            *count += 1.0;
        } else if counts.len() < WORDS {
            counts.push((word, 1.0));
        }
    });
    let term = |(word, count)| {
        let rarity = rarity(index, word, seen);
        let weight = rarity * (QUERY_SATURATION + 1.0) * count / (QUERY_SATURATION + count);
        Term { word, weight }
    };
    counts.into_iter().map(term).collect()
}

/// BM25 of all tools that are seen, for each of some texts. All texts are looked at in one go, for they share words.
fn by_words(index: &Index, texts: &[Vec<Term>], seen: &Seen) -> Vec<Vec<f32>> {
    let mut values = vec![vec![0.0; seen.items.len()]; texts.len()];
    let mut by_word: BTreeMap<Word, Vec<(usize, f32)>> = BTreeMap::new();
    for (text, Term { word, weight }) in
        texts.iter().enumerate().flat_map(|(at, terms)| terms.iter().map(move |it| (at, it)))
    {
        if *weight > 0.0 {
            by_word.entry(*word).or_default().push((text, *weight));
        }
    }
    for (word, wanted) in by_word {
        for (first, postings) in index.postings(word) {
            let slots = seen.slots.get(first..).unwrap_or_default();
            for (text, weight) in &wanted {
                let Some(values) = values.get_mut(*text) else { continue };
                for posting in postings {
                    let slot = slots.get(posting.doc as usize).copied().unwrap_or(HIDDEN);
                    if let Some(value) = values.get_mut(slot as usize) {
                        *value += weight * posting.weight;
                    }
                }
            }
        }
    }
    values
}

/// How alike all tools that are seen are to each of some vectors. All vectors are looked at in one go, so that each
/// tool's is read once.
fn meanings(index: &Index, vectors: &[Option<Vector>], seen: &Seen) -> Vec<Vec<f32>> {
    let mut values = vec![vec![0.0; seen.items.len()]; vectors.len()];
    let wide: Vec<Wide> =
        vectors.iter().map(|vector| vector.map_or([0; PARTS], |vector| vector.parts.map(i16::from))).collect();
    let scales: Vec<f32> = vectors.iter().map(|vector| vector.map_or(0.0, |vector| vector.scale)).collect();
    for (first, shelf) in index.shelves() {
        let slots = seen.slots.get(*first..).unwrap_or_default();
        dots(shelf.vectors.as_chunks().0, &wide, |row, text, sum| {
            let of = || Some((*slots.get(row)?, *shelf.scales.get(row)?, *scales.get(text)?));
            if let Some((slot, length, scale)) = of()
                && let Some(value) = values.get_mut(text).and_then(|values| values.get_mut(slot as usize))
            {
                *value = sum as f32 * length * scale;
            }
        });
    }
    values
}
