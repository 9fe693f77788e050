//! What tool poisoning does: text that people do not see, words meant for the model, names taken for others.
//!
//! A finding is a reason to look, and blocks nothing by itself. What is judged is what clients put before a model:
//! the names, titles and descriptions of a tool and of everything in its schemas.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

mod alike;
mod hidden;
mod words;

pub use alike::{Named, look_alikes};

use super::pin::INSTRUCTIONS;
use crate::name::cut;

/// Findings in one tool; more say nothing new.
const MOST: usize = 20;
/// Words in one tool that may be names of tools.
const MOST_MENTIONS: usize = 30;
/// The longest description of a tool that says no more than a model needs, in characters.
const LONGEST: usize = 4096;
/// The same for anything within its schemas.
const LONGEST_WITHIN: usize = 2048;
/// Values are looked into so deep; no JSON that is read is deeper.
const DEEPEST: usize = 128;
/// Characters of an excerpt before and after what was found.
const AROUND: usize = 40;

/// What a finding is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Characters that show nothing, or show something else.
    Hidden,
    /// Words that tell the model what to do beyond the tool.
    Instruction,
    /// A name that is taken for another.
    LookAlike,
    /// Words about another connector's tool.
    Shadow,
    /// Text in which much can be hidden.
    Long,
}

/// Something in a tool's descriptor that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The tool, by its connector's own name for it; nothing, when it is about the server's instructions.
    pub tool: String,
    /// Where in its descriptor: a JSON pointer.
    pub place: String,
    /// What it is of.
    pub kind: Kind,
    /// What is wrong with it.
    pub reason: String,
    /// The text around it, with everything in it made visible.
    pub excerpt: String,
}

impl Finding {
    /// It in one line.
    pub fn said(&self) -> String {
        let what = if self.tool.is_empty() {
            "the server".to_owned()
        } else {
            format!("the tool `{}`", visible_line(&self.tool))
        };
        format!("{what}, {}: {}: “{}”", self.place, self.reason, self.excerpt)
    }
}

/// What a tool's texts say, as far as it can be told without knowing other tools.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    tool: String,
    /// What stands out.
    pub found: Vec<Finding>,
    /// Words that may be names of other connectors' tools, as findings that [`Scan::shadows`] chooses from.
    mentions: Vec<(String, Finding)>,
}

/// What stands out in a tool's descriptor.
pub fn scan(descriptor: &Value) -> Scan {
    let tool = descriptor.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut scan = Scan::default();
    if tool != INSTRUCTIONS {
        scan.tool.clone_from(&tool);
        scan.name("/name", &tool);
    }
    scan.members("", descriptor);
    scan
}

/// The same of a resource, a resource template or a prompt of a server; `list` is where it stands.
pub fn scan_listed(list: &str, item: &Value) -> Scan {
    let named = ["uri", "uriTemplate", "name"].iter().find_map(|key| item.get(*key)?.as_str());
    let mut scan = Scan::default();
    scan.members(&format!("/{list}/{}", visible_line(&cut(&step(named.unwrap_or_default()), AROUND * 2))), item);
    scan
}

/// A text with every character in it shown: what a terminal would obey, or not show at all, by its number.
pub fn visible(text: &str) -> String {
    hidden::shown(text, |c| matches!(c, '\n' | '\t'))
}

/// The same in one line.
pub fn visible_line(text: &str) -> String {
    hidden::shown(text, |_| false)
}

impl Scan {
    /// What it says of tools of other connectors. `whose` knows published names and the connectors they are of.
    pub fn shadows<'a>(&'a self, whose: impl Fn(&str) -> Option<&'a str>) -> impl Iterator<Item = Finding> {
        let of_another = move |(word, finding): &(String, Finding)| {
            let reason = format!("it speaks of `{word}`, a tool of the connector {}", whose(word)?);
            Some(Finding { reason, ..finding.clone() })
        };
        self.mentions.iter().filter_map(of_another)
    }

    fn add(&mut self, place: &str, kind: Kind, reason: String, excerpt: String) {
        if self.found.len() < MOST {
            self.found.push(Finding { tool: self.tool.clone(), place: place.to_owned(), kind, reason, excerpt });
        }
    }

    /// Everything a descriptor says besides its name.
    fn members(&mut self, at: &str, descriptor: &Value) {
        for (member, value) in descriptor.as_object().into_iter().flatten() {
            let place = visible_line(&format!("{at}/{}", step(member)));
            match (member.as_str(), value) {
                // Addresses are no text, and pictures may stand in theirs.
                ("name" | "uri" | "uriTemplate" | "icons" | "securitySchemes", _) => {}
                ("description" | "instructions", Value::String(text)) => self.text(&place, text, LONGEST),
                _ => self.value(&place, value, 0),
            }
        }
    }

    /// A name: what is true of text, and it is written in one script.
    fn name(&mut self, place: &str, name: &str) {
        if let Some((at, reason)) = hidden::find(name).into_iter().next() {
            self.add(place, Kind::Hidden, reason, around(name, at));
        } else if let Some(reason) = alike::mixed(name) {
            self.add(place, Kind::LookAlike, reason, visible_line(&cut(name, AROUND * 2)));
        }
    }

    fn text(&mut self, place: &str, text: &str, longest: usize) {
        for (at, reason) in hidden::find(text) {
            self.add(place, Kind::Hidden, reason, around(text, at));
        }
        for (at, reason) in words::find(text) {
            self.add(place, Kind::Instruction, reason.to_owned(), around(text, at));
        }
        let mut spoken_of = BTreeSet::new();
        for (at, word) in words::names(text) {
            if self.mentions.len() < MOST_MENTIONS && spoken_of.insert(word) {
                let (tool, place) = (self.tool.clone(), place.to_owned());
                let excerpt = around(text, at);
                let finding = Finding { tool, place, kind: Kind::Shadow, reason: String::new(), excerpt };
                self.mentions.push((word.to_owned(), finding));
            }
        }
        let length = text.chars().count();
        if length > longest {
            let reason = format!("it is {length} characters long, and much can be hidden in so many");
            self.add(place, Kind::Long, reason, visible_line(&cut(text, AROUND * 2)));
        }
    }

    /// Every text of a schema, and the names of its members.
    fn value(&mut self, place: &str, value: &Value, depth: usize) {
        if depth > DEEPEST || self.found.len() >= MOST {
            return;
        }
        match value {
            Value::String(text) => self.text(place, text, LONGEST_WITHIN),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&format!("{place}/{index}"), item, depth + 1);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    // A pattern is no text for anybody, and is full of odd characters. An argument may be called so.
                    if name == "pattern" && member.is_string() && !place.ends_with("/properties") {
                        continue;
                    }
                    let below = format!("{place}/{}", step(name));
                    self.name(&visible_line(&below), name);
                    if place.ends_with("/properties") && words::wants_conversation(name) {
                        let reason = "it asks for the conversation by its name".to_owned();
                        self.add(&visible_line(&below), Kind::Instruction, reason, visible_line(name));
                    }
                    self.value(&visible_line(&below), member, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A member's name in a JSON pointer.
fn step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The text around a place in it (in bytes), made visible.
fn around(text: &str, at: usize) -> String {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let before: Vec<char> = before.chars().rev().take(AROUND + 1).collect();
    let more = before.len() > AROUND;
    let before: String = before.into_iter().take(AROUND).rev().collect();
    let mark = if more { "…" } else { "" };
    format!("{mark}{}", visible_line(&format!("{before}{}", cut(after, AROUND * 2))))
}
