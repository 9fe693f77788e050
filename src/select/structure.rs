//! Which tools follow from their schemas: one gives an id that another cannot be called without.
//!
//! `create_issue` gives an `id` and `close_issue` requires an `issueId`, so the first comes before the second. This is
//! a guess, and no more.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Followers of one tool.
const MOST: usize = 8;
/// Kinds of ids that one tool gives or takes.
const MOST_NOUNS: usize = 16;
/// About how many parts of an output schema are looked at, and how deep they are.
const MOST_PARTS: usize = 500;
const DEEPEST: usize = 8;
/// The longest name that is taken apart.
const LONGEST: usize = 128;

/// Words that say nothing of what stands below them.
const WRAPPERS: &[&str] = &[
    "item", "data", "datum", "result", "value", "node", "edge", "record", "entry", "list", "content", "object",
    "response", "body", "output", "element", "row", "page", "hit",
];
/// What tools do, where their names say so first or last.
const VERBS: &[&str] = &[
    "add", "all", "create", "fetch", "find", "get", "list", "lookup", "make", "new", "open", "post", "put", "query",
    "read", "retrieve", "search", "show", "update", "upsert", "start", "submit", "send", "upload", "view", "describe",
];
/// What takes things away gives nothing to go on with.
const ENDS: &[&str] = &["delete", "remove", "destroy", "cancel", "archive"];
/// Words after which a name speaks of something else.
const TURNS: &[&str] = &["by", "for", "of", "in", "from", "with", "to", "on", "at", "and", "or", "per", "via"];

/// What of a tool is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Its name within its connector.
    pub name: &'a str,
    /// What it takes: JSON Schema.
    pub input: &'a Value,
    /// What it gives, as far as it says: JSON Schema.
    pub output: Option<&'a Value>,
}

/// Pairs among the tools of one connector, by their place: the first gives what the second requires.
pub fn pairs(tools: &[Shape<'_>]) -> Vec<(usize, usize)> {
    let mut takers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, tool) in tools.iter().enumerate() {
        for noun in required(tool.input) {
            takers.entry(noun).or_default().push(place);
        }
    }
    if takers.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (place, tool) in tools.iter().enumerate() {
        let Some(output) = tool.output else { continue };
        let words = words(tool.name);
        if words.iter().any(|word| ENDS.contains(&word.as_str())) {
            continue;
        }
        let own = required(tool.input);
        let takes_id = requires(tool.input, "id");
        let mut after: BTreeSet<usize> = BTreeSet::new();
        for (noun, is_named) in given(output, &words) {
            // What it was called with it only gives back.
            if own.contains(&noun) || takes_id && !is_named {
                continue;
            }
            let others = takers.get(&noun).into_iter().flatten().filter(|other| **other != place);
            after.extend(others.take(MOST.saturating_sub(after.len())));
        }
        found.extend(after.into_iter().take(MOST).map(|other| (place, other)));
    }
    found
}

/// The kinds of ids a tool cannot be called without.
fn required(input: &Value) -> BTreeSet<String> {
    let names = input.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    names.filter_map(noun_of).take(MOST_NOUNS).collect()
}

fn requires(input: &Value, name: &str) -> bool {
    let names = input.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).take(MOST_NOUNS).any(|required| required.eq_ignore_ascii_case(name))
}

/// The kinds of ids a tool gives, and whether a property says so by its own name.
fn given(output: &Value, tool: &[String]) -> BTreeSet<(String, bool)> {
    let mut found = BTreeSet::new();
    // A schema, what it is of, and how deep it is.
    let mut left: Vec<(&Value, Option<String>, usize)> = vec![(output, None, 0)];
    let mut seen = 0;
    while let Some((Value::Object(schema), holder, depth)) = left.pop() {
        seen += 1;
        if seen > MOST_PARTS || found.len() >= MOST_NOUNS {
            break;
        }
        let below = |part: &Value| part.is_object() && depth < DEEPEST;
        for (name, part) in members(schema, "properties") {
            seen += 1;
            if let Some(noun) = noun_of(name) {
                found.insert((noun, true));
            } else if name.eq_ignore_ascii_case("id") {
                found.extend(meant(holder.as_deref(), tool).into_iter().map(|noun| (noun, false)));
            } else if below(part) {
                left.push((part, of(name).or_else(|| holder.clone()), depth + 1));
            }
        }
        for definitions in ["$defs", "definitions"] {
            let defined = members(schema, definitions).filter(|(_, part)| below(part));
            left.extend(defined.map(|(name, part)| (part, of(name), depth + 1)));
        }
        left.extend(schema.get("items").filter(|part| below(part)).map(|part| (part, holder.clone(), depth + 1)));
        for branches in ["anyOf", "oneOf", "allOf"] {
            let branches = schema.get(branches).and_then(Value::as_array).into_iter().flatten();
            left.extend(branches.filter(|part| below(part)).map(|part| (part, holder.clone(), depth + 1)));
        }
    }
    found
}

fn members<'a>(schema: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema.get(key).and_then(Value::as_object).into_iter().flatten().take(MOST_PARTS)
}

/// Whose `id` it is: of what holds it, else of what the tool's name speaks of.
fn meant(holder: Option<&str>, tool: &[String]) -> Vec<String> {
    if let Some(holder) = holder {
        return vec![holder.to_owned()];
    }
    let end = tool.iter().skip(1).position(|word| TURNS.contains(&word.as_str())).map_or(tool.len(), |at| at + 1);
    let mut about: Vec<&str> = tool.iter().take(end).map(String::as_str).collect();
    if about.first().is_some_and(|first| VERBS.contains(first)) {
        about.remove(0);
    } else if about.last().is_some_and(|last| VERBS.contains(last)) {
        about.pop();
    }
    // `pull_request` is a pull request, and a request too; it is no pull.
    (0..about.len()).rev().take(3).map(|start| about.iter().skip(start).copied().collect()).collect()
}

/// What stands in a property of this name, if the name says anything.
fn of(name: &str) -> Option<String> {
    let noun: String = words(name).concat();
    (!noun.is_empty() && !WRAPPERS.contains(&noun.as_str())).then_some(noun)
}

/// `issue` for `issueId` and `issue_ids`.
fn noun_of(name: &str) -> Option<String> {
    let words = words(name);
    let (last, before) = words.split_last()?;
    (last == "id" && !before.is_empty()).then(|| before.concat())
}

/// A name's words: in small letters, and each for one thing.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut before) = (String::new(), ' ');
    let mut letters = name.chars().take(LONGEST).peekable();
    while let Some(letter) = letters.next() {
        let next_is_small = letters.peek().is_some_and(|next| next.is_lowercase() && *next != 's');
        let begins = letter.is_uppercase() && (!before.is_uppercase() || next_is_small);
        if (!letter.is_alphanumeric() || begins) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.push(word);
    words.into_iter().filter(|word| !word.is_empty()).map(|word| single(&word)).collect()
}

/// One of what a word says many of.
fn single(word: &str) -> String {
    match word.strip_suffix("ies") {
        Some(start) if start.len() > 1 => format!("{start}y"),
        _ => match word.strip_suffix('s') {
            Some(start) if start.len() > 1 && !start.ends_with(['s', 'u', 'i']) => start.to_owned(),
            _ => word.to_owned(),
        },
    }
}
