//! Learns the ranker's weights, and measures what a search costs: `tests/bench/select/README.md`.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use switchboard::select::FEATURES;
use switchboard::select::measure::{Question, Score, Set};

mod learn;
mod scale;

fn read(folder: &Path) -> Set {
    let text =
        |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name} of {folder:?}: {e}"));
    Set::read(&text("corpus.jsonl"), &text("queries.jsonl")).unwrap_or_else(|e| panic!("{folder:?}: {e}"))
}

/// The folders of sets in a folder.
fn sets(folder: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("corpus.jsonl").exists());
    folders.sort();
    folders
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("learn", [folder])) => learn::learn(Path::new(folder)),
        Some(("scale", [folder, counts @ ..])) => scale::scale(Path::new(folder), counts),
        _ => println!("cargo bench --bench select -- learn FOLDER | scale FOLDER [TOOLS…]"),
    }
}
