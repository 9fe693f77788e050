//! The index: one shelf for each connector, kept as long as its tools say the same.

use std::{collections::HashMap, sync::Arc};

use super::Card;
use super::features::Feature;
use super::find::find;
use super::shelf::{Doc, Posting, Shelf};
use super::words::Word;

/// All tools of a catalog, by the order in which their shelves were given.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Each with the number of its first tool.
    shelves: Vec<(usize, Arc<Shelf>)>,
    /// All words, in order.
    words: Vec<Known>,
    /// By word: the number of a shelf that has it, and the word's place there.
    places: Vec<(u32, u32)>,
    /// All tools.
    items: usize,
}

/// A word that some tool has.
#[derive(Debug, Clone, Copy)]
struct Known {
    word: Word,
    /// Where its places end.
    end: usize,
    /// How many tools have it.
    tools: usize,
}

/// A tool that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Which, counted from 0 through all shelves.
    pub item: usize,
    /// How well it fits; only the order of scores of one answer says something.
    pub score: f32,
    /// What the score is made of.
    pub why: Why,
}

/// What a score is made of: the value of each of [`super::FEATURES`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Why {
    /// In their order.
    pub values: Vec<f32>,
}

impl Why {
    /// What each feature adds to the score, the weightiest first.
    pub fn parts(&self) -> Vec<(&'static str, f32, f32)> {
        let part = |(Feature { name, weight }, value): (&Feature, &f32)| (*name, *value, weight * value);
        let mut parts: Vec<_> = super::FEATURES.iter().zip(&self.values).map(part).collect();
        parts.retain(|(_, _, adds)| *adds != 0.0);
        parts.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
        parts
    }
}

impl Index {
    /// The index of these shelves, one for each connector. Of the one `before`, what did not change is kept.
    #[must_use]
    pub fn next(before: &Self, shelves: &[Vec<Card<'_>>]) -> Self {
        let known: HashMap<&str, &Arc<Shelf>> = before.shelves.iter().map(|(_, shelf)| (shelf.key(), shelf)).collect();
        let mut next = Self::default();
        for cards in shelves {
            let was = cards.first().and_then(|card| known.get(card.connector));
            let kept = was.filter(|was| was.is_of(cards)).map(|was| Arc::clone(was));
            let shelf = kept.unwrap_or_else(|| Arc::new(Shelf::of(was.map(AsRef::as_ref), cards)));
            next.shelves.push((next.items, shelf));
            next.items += cards.len();
        }
        next.catalogue();
        next
    }

    /// Notes which shelf has which word.
    fn catalogue(&mut self) {
        let mut all: Vec<(Word, u32, u32)> = Vec::new();
        for (number, (_, shelf)) in (0..).zip(&self.shelves) {
            all.extend((0..).zip(shelf.words()).map(|(at, word)| (*word, number, at)));
        }
        all.sort_unstable();
        for (word, number, at) in all {
            let tools = self.shelves.get(number as usize).map_or(0, |(_, shelf)| shelf.postings_at(at as usize).len());
            self.places.push((number, at));
            let end = self.places.len();
            match self.words.last_mut().filter(|last| last.word == word) {
                Some(last) => (last.end, last.tools) = (end, last.tools + tools),
                None => self.words.push(Known { word, end, tools }),
            }
        }
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        let shelves: usize = self.shelves.iter().map(|(_, shelf)| shelf.size()).sum();
        shelves + size_of_val(self.words.as_slice()) + size_of_val(self.places.as_slice())
    }

    /// The tools that fit a wish best, the best first, of those that `sees` lets be seen: all others count for nothing.
    pub fn rank(&self, wish: &str, sees: &dyn Fn(usize) -> bool) -> Vec<Ranked> {
        find(self, wish, sees)
    }

    pub(super) fn shelves(&self) -> &[(usize, Arc<Shelf>)] {
        &self.shelves
    }

    /// How many tools have a word.
    pub(super) fn tools_with(&self, word: Word) -> usize {
        self.known(word).map_or(0, |(_, known)| known.tools)
    }

    fn known(&self, word: Word) -> Option<(usize, &Known)> {
        let at = self.words.binary_search_by_key(&word, |known| known.word).ok()?;
        let start = at.checked_sub(1).and_then(|before| self.words.get(before)).map_or(0, |before| before.end);
        Some((start, self.words.get(at)?))
    }

    /// Where a word stands: the number of each shelf's first tool, with the postings there.
    pub(super) fn postings(&self, word: Word) -> impl Iterator<Item = (usize, &[Posting])> {
        let places = self.known(word).and_then(|(start, known)| self.places.get(start..known.end)).unwrap_or_default();
        places.iter().filter_map(|(number, at)| {
            let (first, holder) = self.shelves.get(*number as usize)?;
            Some((*first, holder.postings_at(*at as usize)))
        })
    }

    /// The shelf of a tool by its number, and the tool's place there.
    pub(super) fn place(&self, item: usize) -> Option<(usize, &Shelf, usize)> {
        // Of shelves that begin at the same number, all but the last are empty.
        let number = self.shelves.partition_point(|(first, _)| *first <= item).checked_sub(1)?;
        let (first, holder) = self.shelves.get(number)?;
        Some((number, holder, item - first))
    }

    pub(super) fn doc(&self, item: usize) -> Option<&Doc> {
        let (_, holder, at) = self.place(item)?;
        holder.docs.get(at)
    }
}
