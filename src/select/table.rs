//! What words mean: the mean of the vectors of a text's pieces, from a table that is part of the program.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "values are small and rounded on purpose"
)]

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// The parts of a vector.
pub(super) const PARTS: usize = 256;
const ROWS: &[u8] = include_bytes!("table/rows.bin");
const SCALES: &[u8] = include_bytes!("table/scales.bin");
const VOCABULARY: &str = include_str!("table/vocab.txt");

/// The pieces by what they say. Read when a text is looked at for the first time.
static PIECES: LazyLock<HashMap<&'static str, Piece>> = LazyLock::new(|| VOCABULARY.lines().zip(0..).collect());

/// A piece of a word, by its place in the vocabulary.
pub(super) type Piece = u16;

/// A direction: parts of one length, and what they have to be multiplied by to be of length one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector {
    pub(super) parts: [i8; PARTS],
    pub(super) scale: f32,
}

/// A vector that is being made.
pub(super) struct Sum([f32; PARTS]);

impl Default for Sum {
    fn default() -> Self {
        Self([0.0; PARTS])
    }
}

impl Sum {
    /// Adds the pieces of a text.
    pub(super) fn add(&mut self, text: &str, weight: f32, most: usize) {
        self.add_pieces(&pieces(text, most), weight);
    }

    pub(super) fn add_pieces(&mut self, pieces: &[Piece], weight: f32) {
        for piece in pieces {
            let at = usize::from(*piece);
            let row = ROWS.get(at * PARTS..(at + 1) * PARTS).unwrap_or_default();
            let scale = match SCALES.get(at * 2..at * 2 + 2) {
                Some([low, high]) => half(u16::from_le_bytes([*low, *high])) * weight,
                _ => 0.0,
            };
            for (sum, part) in self.0.iter_mut().zip(row) {
                *sum += f32::from(part.cast_signed()) * scale;
            }
        }
    }

    /// How alike it is to a direction; nothing, when there were no pieces.
    pub(super) fn cosine(&self, other: &Vector) -> f32 {
        let (mut product, mut square) = ([0.0_f32; 16], [0.0_f32; 16]);
        for (parts, others) in self.0.as_chunks::<16>().0.iter().zip(other.parts.as_chunks::<16>().0) {
            for at in parts.iter().zip(others).zip(product.iter_mut().zip(&mut square)) {
                let ((part, other), (product, square)) = at;
                *product += part * f32::from(*other);
                *square += part * part;
            }
        }
        let length = square.iter().sum::<f32>().sqrt();
        if length < 1e-9 { 0.0 } else { product.iter().sum::<f32>() * other.scale / length }
    }

    /// The direction; none, when there were no pieces.
    pub(super) fn vector(&self) -> Option<Vector> {
        let most = self.0.iter().fold(0.0_f32, |most, part| most.max(part.abs()));
        if most < 1e-9 {
            return None;
        }
        let parts = self.0.map(|part| (part / most * 127.0).round() as i8);
        let square: i32 = parts.iter().map(|part| i32::from(*part) * i32::from(*part)).sum();
        Some(Vector { parts, scale: 1.0 / (square as f32).sqrt() })
    }
}

/// A 16-bit float.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 31, u32::from(bits & 0x3ff));
    if exponent == 0 {
        return f32::from_bits(sign | (fraction as f32 * 2_f32.powi(-24)).to_bits());
    }
    f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13))
}

/// The pieces of a text as uncased BERT cuts it.
pub(super) fn pieces(text: &str, most: usize) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut word = String::new();
    let plain: Box<dyn Iterator<Item = char>> = if text.is_ascii() {
        Box::new(text.chars())
    } else {
        Box::new(text.nfd().filter(|letter| !is_combining_mark(*letter)))
    };
    for letter in plain {
        if letter.is_alphanumeric() && !is_ideograph(letter) {
            word.extend(letter.to_lowercase());
            continue;
        }
        cut(&word, &mut found);
        word.clear();
        if !letter.is_whitespace() && !letter.is_control() {
            cut(letter.encode_utf8(&mut [0; 4]), &mut found);
        }
        if found.len() >= most {
            break;
        }
    }
    cut(&word, &mut found);
    found.truncate(most);
    found
}

fn is_ideograph(letter: char) -> bool {
    matches!(u32::from(letter), 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2FA1F)
}

/// Longer words are no words.
const LONGEST: usize = 100;

/// The longest pieces of a word, from its start; nothing of a word that cannot be cut whole.
fn cut(word: &str, found: &mut Vec<Piece>) {
    let before = found.len();
    let mut rest = if word.len() > LONGEST { "" } else { word };
    let mut piece = String::new();
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, letter)| at + letter.len_utf8()).rev();
        let longest = ends.filter_map(|end| rest.split_at_checked(end)).find_map(|(start, after)| {
            piece.clear();
            piece.push_str(if rest.len() < word.len() { "##" } else { "" });
            piece.push_str(start);
            Some((*PIECES.get(piece.as_str())?, after))
        });
        let Some((known, after)) = longest else {
            found.truncate(before);
            return;
        };
        found.push(known);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(one: &str, other: &str) -> f32 {
        let sum = |text| {
            let mut sum = Sum::default();
            sum.add(text, 1.0, 64);
            sum
        };
        sum(one).cosine(&sum(other).vector().unwrap())
    }

    #[test]
    fn the_table_has_a_row_for_each_piece() {
        assert_eq!(VOCABULARY.lines().count() * PARTS, ROWS.len());
        assert_eq!(VOCABULARY.lines().count() * 2, SCALES.len());
    }

    #[test]
    fn texts_that_mean_the_same_are_alike() {
        assert!((alike("create an issue", "create an issue") - 1.0).abs() < 0.01);
        assert!(alike("send an email", "mail a message") > alike("send an email", "weather in Berlin") + 0.2);
    }

    #[test]
    fn words_are_cut_as_bert_cuts_them() {
        let said = |text: &str| -> Vec<&str> {
            pieces(text, 64).iter().map(|piece| VOCABULARY.lines().nth(usize::from(*piece)).unwrap()).collect()
        };
        assert_eq!(said("Tokenizers, unaffable"), ["token", "##izer", "##s", ",", "una", "##ffa", "##ble"]);
        assert_eq!(said("Café"), ["cafe"]);
    }
}
