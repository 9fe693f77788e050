//! Learns the ranker's weights, and measures what a search costs: `tests/bench/select/README.md`.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for who works on this one, which ends at the first fault"
)]

use std::path::{Path, PathBuf};

use switchboard::select::measure::Set;

mod learn;
mod scale;

fn read(folder: &Path) -> Set {
    let text = |name: &str| {
        std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name} of {}: {e}", folder.display()))
    };
    Set::read(&text("corpus.jsonl"), &text("queries.jsonl")).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
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
