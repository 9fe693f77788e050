//! What documents say for people, made short and plain for a model.

use std::borrow::Cow;

/// A text is cut to this many bytes before it is looked at: nobody reads more of it anyway.
const LONGEST: usize = 16 << 10;

/// Elements whose tags are taken out. Others stay: `<account-id>` is no HTML.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "article",
    "aside",
    "b",
    "big",
    "blockquote",
    "br",
    "button",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "iframe",
    "img",
    "ins",
    "kbd",
    "li",
    "link",
    "mark",
    "meta",
    "nav",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "script",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "video",
];
/// Elements after which a new line begins.
const BLOCKS: &[&str] = &[
    "article",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];

/// A text without HTML, pictures, links' addresses and characters nobody sees, of at most this many characters.
pub(super) fn plain(text: &str, most: usize) -> String {
    let text = head(text);
    let text = if text.contains(['<', '&']) { without_html(text) } else { text.to_owned() };
    let text = if text.contains("](") { without_links(&text) } else { text };
    shorten(&tidy(&text), most)
}

/// The same on one line.
pub(super) fn line(text: &str, most: usize) -> String {
    let text = plain(text, LONGEST);
    shorten(&text.split_whitespace().collect::<Vec<_>>().join(" "), most)
}

/// Whether a text holds characters that a person would not see and a model would read.
pub(super) fn hides(text: &str) -> bool {
    head(text).chars().any(is_hidden)
}

/// Format characters that no language's writing needs: bidirectional overrides, tags, invisible operators.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The part of a text that is looked at.
pub(super) fn head(text: &str) -> &str {
    let mut end = LONGEST.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Lines without spaces at their ends or in rows, no empty ones, no hidden characters, and none that are only drawn.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut bold = false;
    for line in text.lines().filter(|line| !is_drawn(line)) {
        let before = tidy.len();
        let line = heading(line).unwrap_or(line);
        for word in line.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
            if tidy.len() > before {
                tidy.push(' ');
            }
            let word = plain_word(word, &mut bold);
            tidy.extend(word.chars().filter(|c| !is_hidden(*c)));
        }
        if tidy.len() > before {
            tidy.push('\n');
        }
    }
    tidy.truncate(tidy.trim_end().len());
    tidy
}

/// Whether a line is a rule, the ruler of a table, or the fence around code.
fn is_drawn(line: &str) -> bool {
    let line = line.trim();
    let only = |marks: &str| line.len() > 2 && line.chars().all(|c| marks.contains(c));
    line.starts_with("```") || line.starts_with("~~~") || only("*") || only("_") || only("=") || only("|-: ")
}

/// What stands behind a heading's marks.
fn heading(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let words = line.trim_start_matches('#');
    ((1..=6).contains(&(line.len() - words.len())) && words.starts_with(' ')).then_some(words)
}

/// A word without the marks of bold type; `bold` is whether some are open.
fn plain_word<'t>(word: &'t str, bold: &mut bool) -> Cow<'t, str> {
    if !word.contains("**") {
        return Cow::Borrowed(word);
    }
    let opened = word.strip_prefix("**").filter(|rest| !*bold && rest.starts_with(char::is_alphanumeric));
    *bold |= opened.is_some();
    let word = opened.unwrap_or(word);
    let closed = word.split_once("**").filter(|_| *bold);
    *bold &= closed.is_none();
    closed.map_or(Cow::Borrowed(word), |(before, after)| Cow::Owned(format!("{before}{after}")))
}

fn without_html(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, mark) = rest.split_at(at);
        plain.push_str(before);
        if let Some(after) = mark.strip_prefix("<!--") {
            rest = after.split_once("-->").map_or("", |(_, after)| after);
        } else if let Some((name, after)) = tag(mark) {
            if BLOCKS.contains(&name.as_str()) {
                plain.push('\n');
            }
            rest = match name.as_str() {
                // What stands inside is no text.
                "script" | "style" => {
                    after.split_once("</").map_or("", |(_, end)| end.split_once('>').map_or("", |it| it.1))
                }
                _ => after,
            };
        } else if let Some((c, after)) = entity(mark) {
            plain.push(c);
            rest = after;
        } else {
            let (first, after) = mark.split_at(1);
            plain.push_str(first);
            rest = after;
        }
    }
    plain.push_str(rest);
    plain
}

/// The element a tag is of, and what stands behind it.
fn tag(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('<')?;
    let name: String = inside
        .trim_start_matches('/')
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(12)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if !ELEMENTS.contains(&name.as_str()) {
        return None;
    }
    // What begins before this one ends is not within it, and nothing is searched twice.
    let (inside, after) = inside.split_at(inside.find(['<', '>'])?);
    let after = after.strip_prefix('>')?;
    let behind = inside.trim_start_matches('/').get(name.len()..)?;
    (behind.is_empty() || behind.starts_with([' ', '/', '\n', '\t', '\r'])).then_some((name, after))
}

fn entity(text: &str) -> Option<(char, &str)> {
    let text = text.strip_prefix('&')?;
    let end = text.bytes().take(9).position(|byte| byte == b';')?;
    let (name, after) = (text.get(..end)?, text.get(end + 1..)?);
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "hellip" => '…',
        "mdash" => '—',
        "ndash" => '–',
        "rsquo" => '’',
        "lsquo" => '‘',
        "ldquo" => '“',
        "rdquo" => '”',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((c, after))
}

/// `[words](address)` → `words`; `![picture](address)` → nothing.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    // How much is left of the text where the next address or line ends: nothing is searched twice.
    let mut left = usize::MAX;
    while let Some((before, after)) = rest.split_once("](") {
        if left > after.len() {
            left = after.find([')', '\n']).map_or(0, |end| after.len() - end);
        }
        // A link stands on one line, and so does its address.
        let open = before.rfind('[').filter(|open| !before.get(*open..).is_some_and(|words| words.contains('\n')));
        let close = Some(after.len() - left).filter(|close| after.as_bytes().get(*close) == Some(&b')'));
        let (Some(open), Some(close)) = (open, close) else {
            plain.push_str(before);
            plain.push_str("](");
            rest = after;
            continue;
        };
        let (lead, words) = before.split_at(open);
        if let Some(lead) = lead.strip_suffix('!') {
            plain.push_str(lead);
        } else {
            plain.push_str(lead);
            plain.push_str(words.get(1..).unwrap_or_default());
        }
        rest = after.get(close + 1..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// At most this many characters, ended where a sentence ends when that loses less than half.
pub(super) fn shorten(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let kept = text.get(..end).unwrap_or_default();
    let sentence = kept
        .char_indices()
        .zip(kept.chars().skip(1).chain([' ']))
        .filter(|((_, c), next)| match c {
            '.' | '!' | '?' => next.is_whitespace(),
            '。' | '！' | '？' => true,
            _ => *next == '\n',
        })
        .map(|((at, c), _)| at + c.len_utf8())
        .last();
    if let Some(sentence) = sentence.filter(|sentence| *sentence * 2 >= kept.len()) {
        return kept.get(..sentence).unwrap_or_default().trim_end().to_owned();
    }
    let room = kept.char_indices().nth_back(0).map_or(0, |(last, _)| last);
    let words = kept.get(..room).unwrap_or_default();
    let cut = words.rfind(char::is_whitespace).filter(|cut| cut * 2 >= words.len()).unwrap_or(words.len());
    format!("{}…", words.get(..cut).unwrap_or_default().trim_end())
}
