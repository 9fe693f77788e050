//! What a script loads, as far as an absolute address stands written where it is used.
//!
//! A guess, and meant so: the script is not parsed, and an address in a variable is not followed.

use super::{Found, Kind};

/// The longest address that is looked at, in bytes.
const LONGEST: usize = 2048;

/// So many bytes before a word are looked at for the beginning of its line.
const LINE: usize = 200;

/// What may stand between a word and its address.
#[derive(Clone, Copy)]
enum Form {
    /// `fetch("…"`
    Call,
    /// `from "…"`
    Plain,
    /// `import("…"` and `import "…"`
    Either,
    /// `open("GET", "…"`
    Second,
}

const WORDS: &[(&str, Form, Kind)] = &[
    ("fetch", Form::Call, Kind::Connect),
    ("WebSocket", Form::Call, Kind::Connect),
    ("EventSource", Form::Call, Kind::Connect),
    ("WebTransport", Form::Call, Kind::Connect),
    ("sendBeacon", Form::Call, Kind::Connect),
    ("open", Form::Second, Kind::Connect),
    ("import", Form::Either, Kind::Script),
    ("from", Form::Plain, Kind::Script),
    ("Worker", Form::Call, Kind::Script),
    ("SharedWorker", Form::Call, Kind::Script),
    ("importScripts", Form::Call, Kind::Script),
];

/// Reads a script.
pub(super) fn read(code: &str, found: &mut Found) {
    for (word, form, kind) in WORDS {
        for (at, _) in code.match_indices(word) {
            let (before, rest) = code.split_at(at);
            let url = rest.strip_prefix(word).and_then(|rest| address(rest, *form));
            if let Some(url) = url.filter(|_| !before.ends_with(in_word) && !in_comment(before)) {
                found.add(*kind, &url);
            }
        }
    }
}

/// Reads an import map: every absolute address in it is one of a script.
pub(super) fn read_import_map(json: &str, found: &mut Found) {
    let mut rest = json;
    while let Some((url, after)) = rest.find('"').and_then(|at| literal(rest.get(at..)?, usize::MAX)) {
        if is_absolute(&url) {
            found.add(Kind::Script, &url);
        }
        rest = after;
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether the line so far begins as a comment does.
fn in_comment(before: &str) -> bool {
    let bytes = before.as_bytes();
    let near = bytes.get(bytes.len().saturating_sub(LINE)..).unwrap_or(bytes);
    let whole = near.len() == bytes.len();
    let line = near.rsplit(|byte| *byte == b'\n').next().unwrap_or(near);
    let line = line.trim_ascii_start();
    (whole || near.contains(&b'\n')) && (line.starts_with(b"//") || line.starts_with(b"*"))
}

/// The absolute address after a word.
fn address(rest: &str, form: Form) -> Option<String> {
    let rest = rest.trim_start();
    let inside = rest.strip_prefix('(').map(str::trim_start);
    let at = match form {
        Form::Call => inside?,
        Form::Plain => rest,
        Form::Either => inside.unwrap_or(rest),
        Form::Second => {
            let (method, rest) = literal(inside?, LONGEST)?;
            let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
            rest.trim_start().strip_prefix(',').filter(|_| is_method)?.trim_start()
        }
    };
    literal(at, LONGEST).map(|(url, _)| url).filter(|url| is_absolute(url))
}

/// A string in quotes, and what comes after it. Of a template, what stands before its first variable, if that holds
/// a whole origin.
fn literal(text: &str, longest: usize) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| ['"', '\'', '`'].contains(c))?;
    let inside = text.get(1..)?;
    let mut escaped = false;
    let (end, template) = inside.char_indices().take_while(|(at, _)| *at < longest).find_map(|(at, c)| {
        let variable = quote == '`' && inside.get(at..).is_some_and(|rest| rest.starts_with("${"));
        let ends = !escaped && (c == quote || variable);
        escaped = !escaped && c == '\\';
        ends.then_some((at, variable))
    })?;
    let (value, rest) = inside.split_at(end);
    let value = value.replace("\\/", "/");
    let cut_host = template && value.split("://").nth(1).is_none_or(|rest| !rest.contains('/'));
    if cut_host { None } else { Some((value, rest.get(1..)?)) }
}

fn is_absolute(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["https", "http", "wss", "ws"].iter().any(|known| known.eq_ignore_ascii_case(scheme)))
}
