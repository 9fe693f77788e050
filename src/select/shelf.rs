//! The tools of one connector, made ready to be searched.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are small, and capped where they could not be"
)]

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use super::Card;
use super::table::{PARTS, Piece, Sum, pieces};
use super::words::{Word, words};

/// Of a description, and of what parameters say, so many characters count.
const LONGEST: usize = 1500;
/// Schemas are read so deep, and so many parameters of them.
const DEEPEST: usize = 4;
const MOST_PARAMETERS: usize = 200;
/// Pieces of a name that are looked at.
const NAME_PIECES: usize = 16;

/// How fast a word's weight in a tool comes to its end.
const SATURATION: f32 = 1.2;

/// Where words stand in a card. A word counts the more, the shorter its field is beside what is usual.
struct Field {
    weight: f32,
    /// How much the length counts: 0 not at all, 1 in full.
    slope: f32,
    /// What is usual, in words. A constant, so that a tool's weight does not depend on its neighbours.
    usual: f32,
}

/// Name, title and tags, connector, description, parameters' names, what parameters say.
const FIELDS: [Field; 6] = [
    Field { weight: 3.0, slope: 0.3, usual: 3.5 },
    Field { weight: 1.5, slope: 0.3, usual: 3.5 },
    Field { weight: 1.5, slope: 0.3, usual: 2.0 },
    Field { weight: 1.0, slope: 0.6, usual: 22.0 },
    Field { weight: 0.7, slope: 0.6, usual: 6.0 },
    Field { weight: 0.3, slope: 0.6, usual: 35.0 },
];

/// One tool.
#[derive(Debug, Clone)]
pub(super) struct Doc {
    /// What its card said.
    digest: u64,
    /// The published name.
    pub(super) name: Box<str>,
    /// The words of its own name, each once, in order.
    pub(super) words: Box<[Word]>,
    /// The pieces of its own name.
    pub(super) pieces: Box<[Piece]>,
    /// The words of its description.
    pub(super) description: u16,
    pub(super) parameters: u16,
}

/// A word's place in a tool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting {
    pub(super) doc: u32,
    pub(super) weight: f32,
}

/// The tools of one connector.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// What the connector is called.
    connector: String,
    /// The words of that, each once.
    pub(super) about: Vec<Word>,
    pub(super) docs: Vec<Doc>,
    /// The tools' vectors, one after the other.
    pub(super) vectors: Vec<i8>,
    /// What a vector has to be multiplied by; 0 where there is none.
    pub(super) scales: Vec<f32>,
    /// All words, in order.
    words: Vec<Word>,
    /// Where each word's postings end.
    ends: Vec<u32>,
    /// By word, then by tool.
    postings: Vec<Posting>,
}

impl Shelf {
    /// What a connector's shelf is known by.
    pub(super) fn key(&self) -> &str {
        &self.connector
    }

    /// Whether it holds just these.
    pub(super) fn is_of(&self, cards: &[Card<'_>]) -> bool {
        self.docs.len() == cards.len() && self.docs.iter().zip(cards).all(|(doc, card)| doc.digest == digest(card))
    }

    /// A shelf of these cards of one connector. What the one `before` knows already is taken from there.
    pub(super) fn of(before: Option<&Self>, cards: &[Card<'_>]) -> Self {
        let connector = cards.first().map(|card| card.connector).unwrap_or_default();
        let before = before.filter(|before| before.connector == connector);
        let known: HashMap<u64, usize> =
            before.into_iter().flat_map(|before| before.docs.iter().map(|doc| doc.digest).zip(0..)).collect();
        let mut shelf = Self { connector: connector.to_owned(), about: once(connector), ..Self::default() };
        let mut kept = vec![None; before.map_or(0, |before| before.docs.len())];
        let mut entries: Vec<(Word, Posting)> = Vec::new();
        for (doc, card) in (0_u32..).zip(cards) {
            let digest = digest(card);
            let again = before.zip(known.get(&digest)).filter(|(_, at)| kept.get(**at) == Some(&None));
            if let Some((before, at)) = again {
                if let (Some(slot), Some(old)) = (kept.get_mut(*at), before.docs.get(*at)) {
                    *slot = Some(doc);
                    shelf.docs.push(old.clone());
                    shelf.vectors.extend(before.vectors.get(at * PARTS..(at + 1) * PARTS).unwrap_or_default());
                    shelf.scales.push(before.scales.get(*at).copied().unwrap_or_default());
                }
            } else {
                shelf.add(card, digest, |word, weight| entries.push((word, Posting { doc, weight })));
            }
        }
        for (word, postings) in before.into_iter().flat_map(Self::all_words) {
            let moved = |posting: &Posting| Some(Posting { doc: (*kept.get(posting.doc as usize)?)?, ..*posting });
            entries.extend(postings.iter().filter_map(moved).map(|posting| (word, posting)));
        }
        entries.sort_unstable_by_key(|(word, posting)| (*word, posting.doc));
        for (word, posting) in entries {
            if shelf.words.last() != Some(&word) {
                shelf.words.push(word);
                shelf.ends.push(shelf.postings.len() as u32);
            }
            shelf.postings.push(posting);
            if let Some(end) = shelf.ends.last_mut() {
                *end += 1;
            }
        }
        shelf.postings.shrink_to_fit();
        shelf
    }

    /// Where a word stands.
    pub(super) fn postings(&self, word: Word) -> &[Posting] {
        self.words.binary_search(&word).map_or(&[], |at| self.postings_at(at))
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    pub(super) fn postings_at(&self, at: usize) -> &[Posting] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        let end = self.ends.get(at).copied().unwrap_or_default();
        self.postings.get(start as usize..end as usize).unwrap_or_default()
    }

    fn all_words(&self) -> impl Iterator<Item = (Word, &[Posting])> {
        self.words.iter().enumerate().map(|(at, word)| (*word, self.postings_at(at)))
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let doc = |doc: &Doc| size_of_val(doc) + doc.name.len() + size_of_val(&*doc.words) + size_of_val(&*doc.pieces);
        self.docs.iter().map(doc).sum::<usize>()
            + self.vectors.len()
            + size_of_val(self.scales.as_slice())
            + size_of_val(self.words.as_slice())
            + size_of_val(self.ends.as_slice())
            + size_of_val(self.postings.as_slice())
    }

    fn add(&mut self, card: &Card<'_>, digest: u64, mut post: impl FnMut(Word, f32)) {
        let (names, said) = parameters(card.schema);
        let names = names.join(" ");
        let description: String = card.description.chars().take(LONGEST).collect();
        let mut counts: HashMap<Word, [f32; FIELDS.len()]> = HashMap::new();
        let mut lengths = [0.0; FIELDS.len()];
        let own = once(card.own);
        let mut count = |field: usize, word: Word| {
            if let (Some(count), Some(length)) =
                (counts.entry(word).or_default().get_mut(field), lengths.get_mut(field))
            {
                *count += 1.0;
                *length += 1.0;
            }
        };
        words(card.own, |word| count(0, word));
        // A title that says what the name says makes nothing easier to find.
        let more = [once(card.title), once(card.tags)].concat();
        more.into_iter().filter(|word| !own.contains(word)).for_each(|word| count(1, word));
        self.about.iter().for_each(|word| count(2, *word));
        for (field, text) in [(3, &description), (4, &names), (5, &said)] {
            words(text, |word| count(field, word));
        }
        let weight = |counts: &[f32; FIELDS.len()]| -> f32 {
            let parts = counts.iter().zip(&lengths).zip(&FIELDS);
            parts
                .map(|((count, length), Field { weight, slope, usual })| {
                    weight * count / (1.0 - slope + slope * length / usual)
                })
                .sum()
        };
        let saturated = |weight: f32| weight * (SATURATION + 1.0) / (SATURATION + weight);
        for (word, counts) in &counts {
            post(*word, saturated(weight(counts)));
        }
        let name = pieces(&spaced(card.own), NAME_PIECES);
        let mut sum = Sum::default();
        sum.add_pieces(&name, 2.0);
        sum.add(&spaced(card.connector), 0.5, 32);
        sum.add(card.title, 0.5, 32);
        sum.add(&description, 1.0, 160);
        sum.add(&spaced(&names), 0.3, 64);
        let vector = sum.vector();
        self.vectors.extend(vector.map_or([0; PARTS], |vector| vector.parts));
        self.scales.push(vector.map_or(0.0, |vector| vector.scale));
        self.docs.push(Doc {
            digest,
            name: card.name.into(),
            words: own.into(),
            pieces: name.into(),
            description: lengths.get(3).map_or(0, |words| *words as u16),
            parameters: names.split(' ').filter(|name| !name.is_empty()).count() as u16,
        });
    }
}

/// The words of a text, each once, in order.
fn once(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    words(text, |word| {
        if !found.contains(&word) {
            found.push(word);
        }
    });
    found
}

fn digest(card: &Card<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Card { name, own, connector, title, description, tags, schema } = card;
    (name, own, connector, title, description, tags, schema).hash(&mut hasher);
    hasher.finish()
}

/// An identifier as words: its parts with spaces between.
fn spaced(identifier: &str) -> String {
    let mut said = String::with_capacity(identifier.len() + 8);
    let mut before = ' ';
    for letter in identifier.chars() {
        if matches!(letter, '_' | '-' | '.' | '/' | ':') {
            said.push(' ');
            before = ' ';
            continue;
        }
        if letter.is_uppercase() && before.is_lowercase() {
            said.push(' ');
        }
        said.push(letter);
        before = letter;
    }
    said
}

/// The names of a schema's parameters, and what it says of them.
fn parameters(schema: &Value) -> (Vec<&str>, String) {
    let (mut names, mut said) = (Vec::new(), String::new());
    read(schema, DEEPEST, &mut names, &mut said);
    (names, said.chars().take(LONGEST).collect())
}

fn read<'a>(schema: &'a Value, depth: usize, names: &mut Vec<&'a str>, said: &mut String) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if names.len() >= MOST_PARAMETERS {
            return;
        }
        names.push(name);
        let text = |key: &str| property.get(key).and_then(Value::as_str);
        let choices = property.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for text in text("description").into_iter().chain(choices) {
            if said.len() < 4 * LONGEST {
                said.extend(text.chars().take(LONGEST).chain([' ']));
            }
        }
        if depth > 0 {
            read(property, depth - 1, names, said);
            property.get("items").into_iter().for_each(|items| read(items, depth - 1, names, said));
        }
    }
}
