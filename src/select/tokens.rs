//! Tokens, counted to the last one: as models with the o200k vocabulary read a text.

/// How many tokens a text has. The vocabulary is loaded with the first count: it is large, and not everybody counts.
pub fn count(text: &str) -> usize {
    bpe_openai::o200k_base().count(text)
}
