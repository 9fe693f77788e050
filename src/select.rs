//! Finding the right few tools among many: an index of what tools say of themselves, and its answer to a sentence.
//!
//! A tool is found by its words (BM25 over its fields) and by what they mean (a table of word vectors that is part of
//! the program); a small linear ranker weighs both. Nothing leaves the machine, and the same tools and the same words
//! give the same answer everywhere.

mod compact;
mod dot;
mod features;
mod find;
mod index;
pub mod measure;
mod pack;
pub mod relations;
mod sentence;
mod shelf;
mod signature;
pub mod structure;
mod table;
pub mod tokens;
mod weights;
mod wishes;
mod words;

pub use compact::compact;
pub use features::Feature;
pub use index::{Index, Ranked, Why};
pub use pack::{Pack, Packed, Said};
pub use sentence::first_sentence;
pub use signature::signature;
pub use weights::FEATURES;

use serde_json::Value;

/// What of a tool is searched.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// The published name, which decides between equals.
    pub name: &'a str,
    /// Its name within its connector.
    pub own: &'a str,
    /// Its connector, by id and name, with its category.
    pub connector: &'a str,
    /// Its name for people.
    pub title: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// Words to find it by.
    pub tags: &'a str,
    /// What it takes: JSON Schema.
    pub schema: &'a Value,
}
