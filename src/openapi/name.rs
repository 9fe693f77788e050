//! Names for tools and arguments: what clients take, the same whatever the order and whatever else there is.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest;

use super::operation::Operation;
use crate::manifest::Mend;
use crate::name::MAX_TOOL_NAME;

/// A name for each operation, in their order. What a manifest says stands; where others would be equal, all of them
/// become longer, so that none depends on which came first.
pub(super) fn tools(operations: &[Operation<'_>], mends: &[Option<&Mend>]) -> Vec<String> {
    let said: Vec<Option<String>> = mends.iter().map(|mend| mend.and_then(|mend| mend.name.clone())).collect();
    let mut names: Vec<String> =
        operations.iter().zip(&said).map(|(it, said)| said.clone().unwrap_or_else(|| fit(&short(it)))).collect();
    for longer in [|it: &Operation<'_>| fit(&whole(it)), |it: &Operation<'_>| hashed(&whole(it), &it.request())] {
        let mut times: HashMap<&str, usize> = HashMap::new();
        for name in &names {
            *times.entry(name).or_default() += 1;
        }
        let twice: HashSet<String> =
            times.into_iter().filter(|(_, times)| *times > 1).map(|(name, _)| name.to_owned()).collect();
        if twice.is_empty() {
            break;
        }
        for ((name, operation), said) in names.iter_mut().zip(operations).zip(&said) {
            if said.is_none() && twice.contains(name) {
                *name = longer(operation);
            }
        }
    }
    names
}

/// The name an operation would have, were it alone.
fn short(operation: &Operation<'_>) -> String {
    if let Some(name) = operation.node.text("x-mcp-name").map(safe).filter(|name| !name.is_empty()) {
        return name;
    }
    let Some(id) = operation.own_id() else { return whole(operation) };
    // FastAPI makes ids of a function's name, the path and the method; the name says enough.
    let tail: String = operation.path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let tail = format!("{tail}_{}", operation.verb);
    match id.strip_suffix(&tail).filter(|name| name.len() > 1) {
        Some(name) => safe(name),
        None => whole(operation),
    }
}

/// A name that says everything: the id, else method and path.
fn whole(operation: &Operation<'_>) -> String {
    let id = operation.own_id().map(safe).filter(|name| !name.is_empty());
    id.unwrap_or_else(|| by_path(operation))
}

/// `GET /pets/{id}/toys` → `get_pets_toys_by_id`.
fn by_path(operation: &Operation<'_>) -> String {
    let mut segments = vec![operation.verb.to_owned()];
    let mut parameters = Vec::new();
    for segment in operation.path.split('/').filter(|segment| !segment.is_empty()) {
        match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => parameters.push(snake(name)),
            None => segments.push(snake(segment)),
        }
    }
    if !parameters.is_empty() {
        segments.push(format!("by_{}", parameters.join("_")));
    }
    segments.retain(|segment| !segment.is_empty());
    segments.join("_")
}

/// What clients take stays as it is, of the rest its words.
fn safe(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=512).contains(&name.len()) && name.chars().all(fits) { name.to_owned() } else { snake(name) }
}

/// `issues/listForRepo` → `issues_list_for_repo`.
fn snake(text: &str) -> String {
    let mut snake = String::new();
    let mut before = ' ';
    let mut letters = text.chars().take(512).peekable();
    while let Some(c) = letters.next() {
        if c.is_ascii_alphanumeric() {
            let begins = c.is_ascii_uppercase()
                && (before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || before.is_ascii_uppercase() && letters.peek().is_some_and(char::is_ascii_lowercase));
            if begins && !snake.is_empty() && !snake.ends_with('_') {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        } else if !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        before = c;
    }
    snake.truncate(snake.trim_end_matches('_').len());
    snake
}

/// At most 64 characters and never none.
fn fit(name: &str) -> String {
    match name.len() {
        0 => "operation".into(),
        1..=MAX_TOOL_NAME => name.to_owned(),
        _ => hashed(name, name),
    }
}

/// The name's beginning and a hash of something.
pub(super) fn hashed(name: &str, of: &str) -> String {
    let head: String = name.chars().take(MAX_TOOL_NAME - 9).collect();
    format!("{head}_{}", hash(of))
}

fn hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let hash = hash.as_ref().iter().take(4).fold(0_u32, |hash, byte| hash << 8 | u32::from(*byte));
    format!("{hash:08x}")
}

/// Whether clients take it as the name of an argument.
pub(super) fn is_argument(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (1..=MAX_TOOL_NAME).contains(&name.len()) && name.chars().all(fits)
}

/// A name that clients take for an argument: `$filter` → `filter`, `ids[]` → `ids`, `created<` → `created_lt`.
pub(super) fn argument(wire: &str) -> String {
    if is_argument(wire) {
        return wire.to_owned();
    }
    let mut name = String::new();
    for c in wire.chars().take(512) {
        match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => name.push(c),
            '<' => name.push_str("_lt"),
            '>' => name.push_str("_gt"),
            '=' => name.push_str("_eq"),
            '!' => name.push_str("_not"),
            _ if name.ends_with('_') || name.is_empty() => {}
            _ => name.push('_'),
        }
    }
    name.truncate(name.trim_end_matches('_').len());
    match name.len() {
        0 => format!("argument_{}", hash(wire)),
        1..=MAX_TOOL_NAME => name,
        _ => hashed(&name, wire),
    }
}
