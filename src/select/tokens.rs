//! Tokens, counted to the last one: as models with the o200k vocabulary read a text.

/// How many tokens a text has. The vocabulary is loaded with the first count: it is large, and not everybody counts.
pub fn count(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().count_ordinary(text)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn texts_are_counted_as_models_read_them() {
        assert_eq!([count(""), count("hello world"), count("<|endoftext|>"), count("查询天气")], [0, 2, 7, 2]);
    }

    #[test]
    fn no_text_is_too_odd_to_be_counted() {
        for odd in ["A", "a", " ", "\n", "\u{301}", "é", "日", "0", ".", "\u{0}", "Aa ", "'s", "🦀"] {
            assert!(count(&odd.repeat(200_000)) > 0, "{odd:?}");
        }
    }
}
