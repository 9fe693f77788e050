//! Words out of what people and identifiers say: split, folded, cut to their stems.

use std::cell::RefCell;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Words that say nothing of what is wanted, in order.
const EMPTY: &[&str] = &[
    "a", "about", "am", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does",
    "for", "from", "had", "has", "have", "help", "how", "i", "if", "im", "in", "into", "is", "it", "its", "let",
    "like", "ll", "me", "my", "need", "of", "on", "or", "our", "please", "re", "s", "should", "so", "such", "t",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "ve",
    "want", "was", "we", "were", "what", "when", "where", "which", "who", "will", "with", "would", "you", "your",
];
/// Longer words are no words.
const LONGEST: usize = 64;

/// A word by its hash, which is as good as the word: two of a catalog's words rarely have the same.
pub(super) type Word = u32;

thread_local! {
    static STEMMER: RefCell<Stemmer> = RefCell::new(Stemmer::create(Algorithm::English));
}

/// Gives every word of a text: identifiers are split at case and digits too, and writing without spaces comes in pairs
/// of letters.
pub(super) fn words(text: &str, mut take: impl FnMut(Word)) {
    let mut run: Vec<char> = Vec::new();
    let mut dense: Option<(char, bool)> = None;
    let last = |dense: &mut Option<(char, bool)>, take: &mut dyn FnMut(Word)| {
        // A letter that found no neighbour stands for itself.
        if let Some((only, true)) = dense.take() {
            take(hash(only.encode_utf8(&mut [0; 4])));
        }
    };
    if text.is_ascii() {
        for letter in text.chars() {
            if letter.is_ascii_alphanumeric() {
                run.push(letter);
            } else {
                split(&mut run, &mut take);
            }
        }
        split(&mut run, &mut take);
        return;
    }
    for letter in text.nfkc() {
        if is_dense(letter) {
            split(&mut run, &mut take);
            if let Some((before, _)) = dense {
                take(hash(&String::from_iter([before, letter])));
            }
            dense = Some((letter, dense.is_none()));
            continue;
        }
        last(&mut dense, &mut take);
        if letter.is_alphanumeric() {
            run.push(letter);
        } else {
            split(&mut run, &mut take);
        }
    }
    last(&mut dense, &mut take);
    split(&mut run, &mut take);
}

/// Whether a letter is of a writing that puts no spaces between words.
fn is_dense(letter: char) -> bool {
    matches!(u32::from(letter), 0x0E00..=0x0EFF | 0x2E80..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    Upper,
    Lower,
}

fn kind(letter: char) -> Kind {
    if letter.is_numeric() {
        Kind::Digit
    } else if letter.is_uppercase() {
        Kind::Upper
    } else {
        Kind::Lower
    }
}

/// One run of letters and digits: its parts, and the whole when there are two or three.
fn split(run: &mut Vec<char>, take: &mut impl FnMut(Word)) {
    let mut parts: Vec<String> = Vec::new();
    let mut before = None;
    for (at, letter) in run.iter().enumerate() {
        let now = kind(*letter);
        let next = run.get(at + 1).map(|next| kind(*next));
        let starts = match (before, now) {
            (Some(Kind::Digit), Kind::Digit) | (Some(Kind::Upper | Kind::Lower), Kind::Lower) => false,
            (Some(Kind::Upper), Kind::Upper) => next == Some(Kind::Lower),
            _ => true,
        };
        if starts {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(*letter);
        }
        before = Some(now);
    }
    for part in &parts {
        word(part, take);
    }
    if (2..=3).contains(&parts.len()) {
        word(&parts.concat(), take);
    }
    run.clear();
}

fn word(part: &str, take: &mut impl FnMut(Word)) {
    let folded: String = if part.is_ascii() {
        part.to_ascii_lowercase()
    } else {
        part.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
    };
    if folded.len() > LONGEST || EMPTY.binary_search(&folded.as_str()).is_ok() {
        return;
    }
    if folded.is_ascii() && folded.len() > 2 {
        take(STEMMER.with_borrow(|stemmer| hash(&stemmer.stem(&folded))));
    } else {
        take(hash(&folded));
    }
}

/// FNV-1a, folded to half its length.
fn hash(word: &str) -> Word {
    let hash =
        word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let (low, high) = (hash & 0xffff_ffff, hash >> 32);
    u32::try_from(low ^ high).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Word> {
        let mut found = Vec::new();
        words(text, |word| found.push(word));
        found
    }

    #[test]
    fn the_empty_words_are_in_order() {
        assert!(EMPTY.is_sorted());
    }

    #[test]
    fn identifiers_are_split_where_people_see_words() {
        assert_eq!(of("listPullRequests"), of("list pull requests listpullrequests"));
        assert_eq!(of("HTTPServer2")[..3], [of("http"), of("server"), of("2")].concat());
        assert_eq!(of("get_the_issues"), of("getting issue"));
    }

    #[test]
    fn writing_without_spaces_comes_in_pairs() {
        assert_eq!(of("天气预报").len(), 3);
        assert_eq!(of("天").len(), 1);
        assert_eq!(of("查询天气"), [of("查询"), of("询天"), of("天气")].concat());
    }
}
