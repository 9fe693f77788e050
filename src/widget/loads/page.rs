//! What the elements of a page load.

use std::mem;

use html5gum::State;

use super::{
    Found, Kind, script, style,
    token::{Tag, Token, tokens},
};

/// Element, attribute, and what its address is loaded as.
const PLAIN: &[(&str, &str, Kind)] = &[
    ("script", "src", Kind::Script),
    ("script", "href", Kind::Script),
    ("script", "xlink:href", Kind::Script),
    ("img", "src", Kind::Image),
    ("image", "src", Kind::Image),
    ("image", "href", Kind::Image),
    ("image", "xlink:href", Kind::Image),
    ("feimage", "href", Kind::Image),
    ("feimage", "xlink:href", Kind::Image),
    ("use", "href", Kind::Image),
    ("use", "xlink:href", Kind::Image),
    ("body", "background", Kind::Image),
    ("table", "background", Kind::Image),
    ("td", "background", Kind::Image),
    ("th", "background", Kind::Image),
    ("video", "poster", Kind::Image),
    ("video", "src", Kind::Media),
    ("audio", "src", Kind::Media),
    ("source", "src", Kind::Media),
    ("track", "src", Kind::Media),
    ("embed", "src", Kind::Object),
    ("object", "data", Kind::Object),
    ("frame", "src", Kind::Frame),
    ("form", "action", Kind::Form),
    ("button", "formaction", Kind::Form),
    ("input", "formaction", Kind::Form),
    ("base", "href", Kind::Base),
];

/// What the text of the element that is being read is.
#[derive(Clone, Copy)]
enum Text {
    Words,
    Style,
    Script,
    ImportMap,
}

/// Reads a page; the pages that stand inside it, in `srcdoc`.
pub(super) fn read(html: &str, found: &mut Found) -> Vec<String> {
    let (mut inner, mut svg, mut text, mut buffer) = (Vec::new(), 0_usize, Text::Words, String::new());
    let mut tokens = tokens(html);
    while let Some(Ok(token)) = tokens.next() {
        match token {
            Token::Start(tag) => {
                svg += usize::from(tag.name == "svg" && !tag.self_closing);
                element(&tag, found);
                inner.extend(tag.get("srcdoc").filter(|_| tag.name == "iframe").map(str::to_owned));
                // Only in a drawing does an element end with its own tag.
                if let Some((state, kind)) = text_of(&tag).filter(|_| svg == 0 || !tag.self_closing) {
                    tokens.set_state(state);
                    text = kind;
                }
            }
            Token::Text(part) if !matches!(text, Text::Words) => buffer.push_str(&part),
            Token::Text(_) => {}
            Token::End(name) => {
                svg = svg.saturating_sub(usize::from(name == "svg"));
                read_text(mem::replace(&mut text, Text::Words), &mem::take(&mut buffer), found);
            }
        }
    }
    read_text(text, &buffer, found);
    inner
}

fn read_text(text: Text, buffer: &str, found: &mut Found) {
    match text {
        Text::Words => {}
        Text::Style => style::read(buffer, found),
        Text::Script => script::read(buffer, found),
        Text::ImportMap => script::read_import_map(buffer, found),
    }
}

/// How the text of this element has to be read: by the tokenizer, and by us.
fn text_of(tag: &Tag) -> Option<(State, Text)> {
    Some(match tag.name.as_str() {
        "script" => (State::ScriptData, script_of(tag)),
        "style" => (State::RawText, Text::Style),
        "textarea" | "title" => (State::RcData, Text::Words),
        "plaintext" => (State::PlainText, Text::Words),
        // Hosts run scripts, so `noscript` is text like the others.
        "xmp" | "iframe" | "noembed" | "noframes" | "noscript" => (State::RawText, Text::Words),
        _ => return None,
    })
}

fn script_of(tag: &Tag) -> Text {
    let kind = tag.get("type").unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "" | "module" => Text::Script,
        "importmap" => Text::ImportMap,
        kind if kind.ends_with("/javascript") || kind.ends_with("/ecmascript") => Text::Script,
        _ => Text::Words,
    }
}

fn element(tag: &Tag, found: &mut Found) {
    let name = tag.name.as_str();
    for (_, attr, kind) in PLAIN.iter().filter(|(element, ..)| *element == name) {
        found.add_some(*kind, tag.get(attr));
    }
    match name {
        "img" | "source" => source_set(tag, "srcset", found),
        "input" if tag.is("type", "image") => found.add_some(Kind::Image, tag.get("src")),
        // A page that is written out wins over one that is named.
        "iframe" if tag.get("srcdoc").is_none() => found.add_some(Kind::Frame, tag.get("src")),
        "link" => link(tag, found),
        "meta" if tag.is("http-equiv", "refresh") => refresh(tag, found),
        "a" | "area" => {
            let pings = tag.get("ping").unwrap_or_default();
            pings.split_ascii_whitespace().for_each(|url| found.add(Kind::Connect, url));
        }
        _ => {}
    }
    for (name, value) in &tag.attributes {
        if name == "style" {
            style::read(value, found);
        } else if name.starts_with("on") {
            script::read(value, found);
        }
    }
}

impl Found {
    fn add_some(&mut self, kind: Kind, address: Option<&str>) {
        if let Some(address) = address {
            self.add(kind, address);
        }
    }
}

/// Reads a link. Links that only name something, or open a connection ahead of time, load nothing.
fn link(tag: &Tag, found: &mut Found) {
    let relations = tag.get("rel").unwrap_or_default().to_ascii_lowercase();
    let has = |relation: &str| relations.split_ascii_whitespace().any(|found| found == relation);
    let kind = if has("stylesheet") {
        Kind::Style
    } else if has("icon") || has("apple-touch-icon") || has("mask-icon") {
        Kind::Image
    } else if has("preload") || has("modulepreload") {
        match tag.get("as").unwrap_or_default().to_ascii_lowercase().as_str() {
            "style" => Kind::Style,
            "image" => Kind::Image,
            "font" => Kind::Font,
            "audio" | "video" | "track" => Kind::Media,
            "fetch" | "json" => Kind::Connect,
            "document" => Kind::Frame,
            "embed" | "object" => Kind::Object,
            "script" | "worker" | "sharedworker" => Kind::Script,
            _ if has("modulepreload") => Kind::Script,
            _ => Kind::Other,
        }
    } else if has("manifest") || has("prefetch") || has("prerender") {
        Kind::Other
    } else {
        return;
    };
    found.add_some(kind, tag.get("href"));
    source_set(tag, "imagesrcset", found);
}

/// Reads `a.png 1x, b.png 2x`. A comma inside an address is part of it.
fn source_set(tag: &Tag, name: &str, found: &mut Found) {
    let mut rest = tag.get(name).unwrap_or_default();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return;
        }
        let (url, after) = rest.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((rest, ""));
        found.add(Kind::Image, url.trim_end_matches(','));
        let ended = url.ends_with(',');
        rest = if ended { after } else { after.split_once(',').map_or("", |(_, rest)| rest) };
    }
}

/// Reads `5; url=https://…`.
fn refresh(tag: &Tag, found: &mut Found) {
    let content = tag.get("content").unwrap_or_default();
    let Some((_, target)) = content.split_once([';', ',']) else { return };
    let target = target.trim_start();
    let named = target.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("url"));
    let unnamed = named.then(|| target.get(3..)?.trim_start().strip_prefix('=')).flatten();
    found.add(Kind::Other, unnamed.unwrap_or(target).trim().trim_matches(['"', '\'']));
}
