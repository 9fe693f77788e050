//! What a style sheet loads: `url()`, `@import`, and the strings of `image-set()`.

use super::{Found, Kind};

/// Reads a style sheet, or the declarations of a style attribute.
pub(super) fn read(css: &str, found: &mut Found) {
    let mut sheet = Sheet::default();
    let mut rest = css;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '/' if rest.starts_with("/*") => rest.split_once("*/").map_or("", |(_, rest)| rest),
            '"' | '\'' => {
                let (text, rest) = string(rest);
                if sheet.import {
                    sheet.load(text, found);
                } else if sheet.image_set.is_some_and(|depth| depth == sheet.depth) {
                    found.add(Kind::Image, text);
                }
                rest
            }
            '@' => sheet.rule(after(rest, 1)),
            '\\' => after(rest, 1 + after(rest, 1).chars().next().map_or(0, char::len_utf8)),
            _ if in_word(first) => sheet.word(rest, found),
            _ => {
                sheet.mark(first);
                after(rest, first.len_utf8())
            }
        };
    }
}

/// Where in a sheet we are.
#[derive(Default)]
struct Sheet {
    /// Open parentheses.
    depth: usize,
    /// How many were open inside `image-set(`.
    image_set: Option<usize>,
    /// In `@import`, before its address.
    import: bool,
    /// In `@font-face`.
    font: bool,
}

impl Sheet {
    fn load(&mut self, url: &str, found: &mut Found) {
        let kind = match (self.import, self.font) {
            (true, _) => Kind::Style,
            (false, true) => Kind::Font,
            (false, false) => Kind::Image,
        };
        self.import = false;
        found.add(kind, url);
    }

    /// Reads the name of a rule; what comes next.
    fn rule<'a>(&mut self, rest: &'a str) -> &'a str {
        let (name, rest) = word(rest);
        self.import = name.eq_ignore_ascii_case("import");
        self.font |= name.eq_ignore_ascii_case("font-face");
        // A namespace is a name that only looks like an address.
        let name_only = name.eq_ignore_ascii_case("namespace");
        if name_only { rest.split_once(';').map_or("", |(_, rest)| rest) } else { rest }
    }

    /// Reads a word or the beginning of a function; what comes next.
    fn word<'a>(&mut self, rest: &'a str, found: &mut Found) -> &'a str {
        let (name, rest) = word(rest);
        let Some(inside) = rest.strip_prefix('(') else { return rest };
        if name.eq_ignore_ascii_case("url") {
            let (url, rest) = address(inside);
            self.load(url, found);
            return rest;
        }
        self.depth += 1;
        if ["image-set", "-webkit-image-set"].iter().any(|known| known.eq_ignore_ascii_case(name)) {
            self.image_set = Some(self.depth);
        }
        inside
    }

    fn mark(&mut self, mark: char) {
        match mark {
            '(' => self.depth += 1,
            ')' => {
                self.image_set = self.image_set.filter(|depth| *depth < self.depth);
                self.depth = self.depth.saturating_sub(1);
            }
            ';' => self.import = false,
            '}' => *self = Self::default(),
            _ => {}
        }
    }
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii()
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !in_word(c)).unwrap_or(text.len()))
}

/// A quoted string without its quotes, and what comes after it. A line's end ends a string that was not closed.
fn string(text: &str) -> (&str, &str) {
    let quote = text.chars().next().unwrap_or('"');
    let text = after(text, 1);
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = !escaped && (c == quote || c == '\n');
        escaped = !escaped && c == '\\';
        ends
    });
    let (inside, rest) = text.split_at(end.unwrap_or(text.len()));
    (inside, after(rest, 1))
}

/// What stands in `url(…)`, and what comes after it.
fn address(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    if text.starts_with(['"', '\'']) {
        let (url, rest) = string(text);
        return (url, rest.trim_start().strip_prefix(')').unwrap_or(rest));
    }
    text.split_once(')').unwrap_or((text, ""))
}

/// The text after so many bytes.
fn after(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}
