//! The index: one shelf for each connector, kept as long as its tools say the same.

use std::sync::Arc;

use super::Card;

/// All tools of a catalog, by the order in which their shelves were given.
#[derive(Debug, Clone, Default)]
pub struct Index {
    shelves: Vec<Arc<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    names: Vec<String>,
    texts: Vec<String>,
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

/// What a score is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Why {
    /// Each part's name, its value, and what it adds to the score.
    pub parts: Vec<(&'static str, f32, f32)>,
}

impl Index {
    /// The index of these shelves, one for each connector. Of the one `before`, what did not change is kept.
    #[must_use]
    pub fn next(before: &Self, shelves: &[Vec<Card<'_>>]) -> Self {
        let _ = before;
        let shelf = |cards: &Vec<Card<'_>>| {
            Arc::new(Shelf {
                names: cards.iter().map(|card| card.name.to_owned()).collect(),
                texts: cards.iter().map(|card| format!("{} {}", card.own, card.description).to_lowercase()).collect(),
            })
        };
        Self { shelves: shelves.iter().map(shelf).collect() }
    }

    /// The tools that fit a wish best, the best first, of those that `sees` lets be seen: all others count for nothing.
    pub fn rank(&self, wish: &str, sees: &dyn Fn(usize) -> bool) -> Vec<Ranked> {
        let words: Vec<String> = wish.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let texts = self.shelves.iter().flat_map(|shelf| shelf.texts.iter().zip(&shelf.names));
        let mut found: Vec<(usize, &String, f32)> = Vec::new();
        for (item, (text, name)) in texts.enumerate().filter(|(item, _)| sees(*item)) {
            let count = words.iter().filter(|word| text.contains(word.as_str())).count();
            if count > 0 {
                found.push((item, name, f32::from(u16::try_from(count).unwrap_or(u16::MAX))));
            }
        }
        found.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.1.cmp(b.1)));
        found.truncate(100);
        found.into_iter().map(|(item, _, score)| Ranked { item, score, why: Why::default() }).collect()
    }
}
