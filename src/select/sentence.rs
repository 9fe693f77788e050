//! The first sentence of a description.

use crate::name::cut;

/// Characters of a description that are looked at.
const LOOKED_AT: usize = 2000;
/// Words that end with a full stop and no sentence.
const SHORTENED: [&str; 17] =
    ["e.g", "i.e", "vs", "cf", "approx", "dr", "mr", "mrs", "ms", "st", "fig", "no", "nr", "incl", "resp", "al", "z.b"];

/// The first sentence, in one line of at most so many characters.
pub fn first_sentence(text: &str, most: usize) -> String {
    let line = plain(paragraph(&cut(text, LOOKED_AT)));
    let sentence = line.get(..end(&line)).unwrap_or(&line);
    if sentence.chars().count() <= most {
        return sentence.to_owned();
    }
    if most == 0 { String::new() } else { cut(sentence, most - 1) }
}

/// A text in one line, without what a terminal or a reader could take for a command.
pub(super) fn plain(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// What stands before the first empty line or list, without the marks of a heading.
fn paragraph(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '#' | '*'));
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let start = line.trim();
        if end > 0 && (start.is_empty() || start.starts_with(['-', '*', '#', '•'])) {
            break;
        }
        end += line.len();
    }
    text.get(..end).unwrap_or(text)
}

/// Where the first sentence of a line ends, in bytes.
fn end(line: &str) -> usize {
    for (at, c) in line.char_indices() {
        let after = at + c.len_utf8();
        if matches!(c, '。' | '！' | '？' | '．') {
            return after;
        }
        if !matches!(c, '.' | '!' | '?') {
            continue;
        }
        let rest = line.get(after..).unwrap_or_default();
        let closed = rest.trim_start_matches(['"', '\'', ')', ']', '”', '’']);
        let next = closed.strip_prefix(' ').and_then(|rest| rest.chars().next());
        // Small letters go on with a sentence, whatever stood before them.
        let goes_on = closed.is_empty() || next.is_none_or(char::is_lowercase);
        let is_end = c != '.' || !is_shortened(line.get(..at).unwrap_or_default());
        if is_end && !goes_on {
            return line.len() - closed.len();
        }
    }
    line.len()
}

/// Whether what stands before a full stop is a word cut short, or a letter of a name.
fn is_shortened(before: &str) -> bool {
    let word = before.rsplit([' ', '(', '[', '"']).next().unwrap_or_default().to_lowercase();
    SHORTENED.contains(&word.as_str()) || (word.chars().count() == 1 && word.chars().all(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::first_sentence;

    #[test]
    fn a_sentence_ends_where_a_reader_would_say_so() {
        let check = |text: &str, sentence: &str| assert_eq!(first_sentence(text, 200), sentence);
        check("Finds shops, e.g. in Rome. Needs a key.", "Finds shops, e.g. in Rome.");
        check("Sends it (see https://a.example/x?y=1.2). Then waits.", "Sends it (see https://a.example/x?y=1.2).");
        check("Version 1.2 of it! More.", "Version 1.2 of it!");
        check("Finds\n  shops\n\nMore of it", "Finds shops");
        check("# List\nthings:\n- one\n- two", "List things:");
        check("查询天气。返回温度。", "查询天气。");
        check("By J. Smith. Old.", "By J. Smith.");
        check("He said \"go.\" Then he went.", "He said \"go.\"");
        check("no end", "no end");
        check("", "");
        check("\u{1b}[31mRed. More.", "[31mRed.");
        assert_eq!(first_sentence("A long sentence without an end", 7), "A long…");
        assert_eq!(first_sentence("A", 0), "");
    }
}
