//! Characters that people do not see, and models read.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Places of one kind in one text that are told; the others say the same.
const MOST: usize = 3;
/// So many line ends or blanks in a row push what follows out of sight.
const BLANK_LINES: usize = 20;
const BLANKS: usize = 120;
/// So many characters without a blank, of those that Base64 has, are text in other clothes.
const ENCODED: usize = 160;
/// So many are, when there is text in them.
const ENCODED_TEXT: usize = 64;
/// Lines of so many are broken for their length, and go on in the next.
const BROKEN: usize = 60;
/// Characters that are looked at around a sign of direction.
const NEAR: usize = 40;
/// Flags of lands within lands in one text; more are text in other clothes.
const FLAGS: usize = 3;

/// The kinds of characters that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    ZeroWidth,
    Joiner,
    Override,
    Isolate,
    Mark,
    Tag,
    Selector,
    Control,
}

fn odd(c: char) -> Option<Odd> {
    Some(match c {
        '\u{200c}' | '\u{200d}' => Odd::Joiner,
        '\u{00ad}'
        | '\u{034f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => Odd::ZeroWidth,
        '\u{202a}'..='\u{202e}' => Odd::Override,
        '\u{2066}'..='\u{2069}' => Odd::Isolate,
        '\u{061c}' | '\u{200e}' | '\u{200f}' => Odd::Mark,
        '\u{e0000}'..='\u{e007f}' => Odd::Tag,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Odd::Selector,
        '\u{fff9}'..='\u{fffb}' | '\u{2028}' | '\u{2029}' => Odd::Control,
        '\n' | '\r' | '\t' => return None,
        c if c.is_control() => Odd::Control,
        _ => return None,
    })
}

/// Whether a character shows nothing by itself.
pub(super) fn shows_nothing(c: char) -> bool {
    odd(c).is_some_and(|kind| kind != Odd::Control)
}

/// Where something is hidden in a text (in bytes), and how.
pub(super) fn find(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, Odd, String)> = Vec::new();
    // Most text is plain, and plain text hides nothing by single characters.
    if text.chars().any(|c| odd(c).is_some()) {
        characters(text, &mut found);
    }
    let mut told: Vec<(Odd, usize)> = Vec::new();
    found.retain(|(_, kind, _)| {
        match told.iter_mut().find(|(known, _)| known == kind) {
            Some((_, count)) => *count += 1,
            None => told.push((*kind, 1)),
        }
        told.iter().any(|(known, count)| known == kind && *count <= MOST)
    });
    let mut found: Vec<(usize, String)> = found.into_iter().map(|(at, _, reason)| (at, reason)).collect();
    found.extend(far_away(text));
    found.extend(encoded(text));
    found
}

fn characters(text: &str, found: &mut Vec<(usize, Odd, String)>) {
    let all: Vec<(usize, char)> = text.char_indices().collect();
    let mut flags = 0;
    let mut index = 0;
    while let Some((at, c)) = all.get(index).copied() {
        let before = index.checked_sub(1).and_then(|before| all.get(before)).map(|(_, c)| *c);
        let Some(kind) = odd(c) else {
            index += 1;
            continue;
        };
        let run = all.iter().skip(index).take_while(|(_, c)| odd(*c) == Some(kind)).count();
        let after = all.get(index + run).map(|(_, c)| *c);
        let near = index.saturating_sub(NEAR);
        let around = all.iter().skip(near).take(index - near + run + NEAR);
        let right_to_left = || around.clone().any(|(_, c)| is_right_to_left(*c));
        let number = format!("U+{:04X}", u32::from(c));
        let reason = match kind {
            Odd::Joiner if run == 1 && joins(before, after) => None,
            Odd::ZeroWidth if c == '\u{ad}' && run == 1 && within_word(before, after) => None,
            // A mark at the very start says in which order the bytes of a file stand.
            Odd::ZeroWidth if c == '\u{feff}' && run == 1 && index == 0 => None,
            // A blank among the letters of the blind.
            Odd::ZeroWidth if c == '\u{2800}' && before.into_iter().chain(after).any(is_braille) => None,
            Odd::ZeroWidth | Odd::Joiner => Some(format!("a character that shows nothing ({number})")),
            Odd::Isolate | Odd::Mark if right_to_left() => None,
            Odd::Override | Odd::Isolate | Odd::Mark => {
                Some(format!("a character that changes the direction of what is shown ({number})"))
            }
            Odd::Tag if flags < FLAGS && before == Some('\u{1f3f4}') && is_flag(&all, index, run) => {
                flags += 1;
                None
            }
            Odd::Tag => {
                let said: String = all.iter().skip(index).take(run.min(80)).filter_map(|(_, c)| untagged(*c)).collect();
                Some(format!("text in characters that show nothing ({number} and on) says “{said}”"))
            }
            // One says how the character before it looks.
            Odd::Selector if run == 1 && before.is_some_and(|before| selects(before, c)) => None,
            Odd::Selector => Some(format!("a variation selector that selects nothing ({number})")),
            Odd::Control => Some(format!("a control character ({number})")),
        };
        found.extend(reason.map(|reason| (at, kind, reason)));
        index += run;
    }
}

/// Whether a joiner has something to join: the parts of an emoji, or letters that change their form.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let formed = |c: char| c.is_alphanumeric() && !c.is_ascii() || is_combining(c);
    let emoji = |c: char| matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2190}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{fe0f}');
    (emoji(before) && emoji(after)) || (formed(before) && formed(after))
}

/// Signs that stand on letters of scripts in which joiners matter.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036f}' | '\u{064b}'..='\u{065f}' | '\u{0900}'..='\u{0dff}')
}

/// Whether a character has variants of this kind: pictures and signs, the letters of some scripts, Han.
fn selects(before: char, selector: char) -> bool {
    match selector {
        '\u{fe0e}' | '\u{fe0f}' => !before.is_alphabetic() && !before.is_whitespace() && odd(before).is_none(),
        '\u{180b}'..='\u{180f}' => matches!(before, '\u{1800}'..='\u{18af}'),
        '\u{fe00}'..='\u{fe0d}' => {
            is_han(before)
                || matches!(before, '\u{1000}'..='\u{109f}' | '\u{2200}'..='\u{2aff}' | '\u{a840}'..='\u{a87f}')
        }
        _ => is_han(before),
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_braille(c: char) -> bool {
    matches!(c, '\u{2801}'..='\u{28ff}')
}

fn within_word(before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(char::is_alphabetic) && after.is_some_and(char::is_alphabetic)
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}')
        && odd(c).is_none()
}

/// The flags of lands within lands are written with tags: at most six, and one that ends them.
fn is_flag(all: &[(usize, char)], index: usize, run: usize) -> bool {
    (2..=7).contains(&run) && all.get(index + run - 1).is_some_and(|(_, c)| *c == '\u{e007f}')
}

fn untagged(c: char) -> Option<char> {
    let plain = char::from_u32(u32::from(c).checked_sub(0xe_0000)?)?;
    (plain.is_ascii_graphic() || plain == ' ').then_some(plain)
}

/// Text that stands far behind what a person sees first.
fn far_away(text: &str) -> Option<(usize, String)> {
    let (mut lines, mut blanks) = (0_usize, 0_usize);
    for (at, c) in text.char_indices() {
        if !c.is_whitespace() {
            if lines >= BLANK_LINES || blanks >= BLANKS {
                return Some((at, "text behind so much blank space that nobody scrolls to it".into()));
            }
            (lines, blanks) = (0, 0);
        } else if c == '\n' {
            lines += 1;
            // What is indented is not hidden.
            blanks = 0;
        } else {
            blanks += 1;
        }
    }
    None
}

/// Text in other clothes.
fn encoded(text: &str) -> Option<(usize, String)> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_');
    let (mut at, mut start, mut word) = (0, 0, String::new());
    for piece in text.split_inclusive(|c: char| !fits(c)) {
        let plain = piece.trim_end_matches(|c: char| !fits(c));
        if word.is_empty() {
            start = at;
        }
        word.push_str(plain);
        at += piece.len();
        // It goes on in the next line; before a line's end there may be one more sign.
        if piece.len() > plain.len()
            && !word.is_empty()
            && (plain.is_empty() || plain.len() >= BROKEN)
            && piece.ends_with(['\n', '\r'])
        {
            continue;
        }
        if is_encoded(&word) {
            return Some((start, format!("{} characters that read like encoded text", word.len())));
        }
        word.clear();
    }
    is_encoded(&word).then(|| (start, format!("{} characters that read like encoded text", word.len())))
}

fn is_encoded(word: &str) -> bool {
    let mixed = || {
        word.bytes().any(|b| b.is_ascii_uppercase())
            && word.bytes().any(|b| b.is_ascii_lowercase())
            && word.bytes().any(|b| b.is_ascii_digit())
    };
    word.len() >= ENCODED_TEXT && mixed() && (word.len() >= ENCODED || holds_text(word))
}

/// Whether Base64 of either alphabet has words in it.
fn holds_text(word: &str) -> bool {
    let plain: String = word
        .trim_end_matches('=')
        .chars()
        .map(|c| {
            if c == '-' {
                '+'
            } else if c == '_' {
                '/'
            } else {
                c
            }
        })
        .collect();
    let text = STANDARD_NO_PAD.decode(plain).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| text.contains(' ') && !text.chars().any(|c| c.is_control() && !c.is_whitespace()))
}

/// A text in which what shows nothing is shown by its number, except what `keeps`.
pub(super) fn shown(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keeps(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if odd(c).is_some() => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}
