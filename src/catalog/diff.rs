//! What changed between two descriptors of a tool, and what that means to those who use it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod lines;
mod schema;

pub use lines::{lines, unified};

use super::poison::visible_line;
use crate::name::cut;
use schema::Flow;

/// Characters of a value that are shown in a reason.
const SHOWN: usize = 60;
/// Reasons for one tool; more are counted.
const MOST: usize = 50;

/// Members that are looked at each in its own way.
const LOOKED_AT: &[&str] = &[
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
    "securitySchemes",
    "_meta",
    "request",
];

/// What a change means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Calls and results go on as before.
    #[default]
    Harmless,
    /// It still works, and a model or a person may do something else than before.
    Risky,
    /// Calls that worked may fail, or results that were understood may not be.
    Breaking,
}

impl Class {
    /// It in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Risky => "risky",
            Self::Breaking => "breaking",
        }
    }
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it means.
    pub class: Class,
    /// Where in the descriptor: a JSON pointer.
    pub place: String,
    /// What changed.
    pub reason: String,
}

/// What all of it means together: the worst.
pub fn worst(differences: &[Difference]) -> Class {
    differences.iter().map(|difference| difference.class).max().unwrap_or_default()
}

/// What changed between two descriptors, the worst first.
pub fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Found::default();
    for member in ["name", "title", "description"] {
        text(&mut found, member, old.get(member), new.get(member));
    }
    let schema = |tool: &Value, member: &str| tool.get(member).filter(|schema| schema.is_object()).cloned();
    let nothing = Value::Bool(true);
    let (before, after) = (schema(old, "inputSchema"), schema(new, "inputSchema"));
    let [before, after] = [before, after].map(|schema| schema.unwrap_or_else(|| nothing.clone()));
    schema::compare(&mut found, Flow::In, "/inputSchema", &before, &after);
    match (schema(old, "outputSchema"), schema(new, "outputSchema")) {
        (Some(before), Some(after)) => schema::compare(&mut found, Flow::Out, "/outputSchema", &before, &after),
        (Some(_), None) => found.add(Class::Breaking, "/outputSchema", "nothing is promised of results any longer"),
        // What does not keep the promise fails.
        (None, Some(_)) => found.add(Class::Risky, "/outputSchema", "the form of results is promised now"),
        (None, None) => {}
    }
    members(&mut found, "/annotations", old.get("annotations"), new.get("annotations"), |_| Class::Risky);
    if old.get("securitySchemes") != new.get("securitySchemes") {
        let said = |tool: &Value| brief(tool.get("securitySchemes"));
        let reason = format!("what callers have to show was {} and is {}", said(old), said(new));
        found.add(Class::Risky, "/securitySchemes", reason);
    }
    members(&mut found, "/_meta", old.get("_meta"), new.get("_meta"), |name| match name {
        // It stands beside `_meta` too.
        "securitySchemes" => Class::Harmless,
        "ui" => Class::Risky,
        name if name.starts_with("ui/") || name.starts_with("openai/") => Class::Risky,
        _ => Class::Harmless,
    });
    let rest = |tool: &Value| {
        let mut rest = tool.as_object().cloned().unwrap_or_default();
        rest.retain(|name, _| !LOOKED_AT.contains(&name.as_str()));
        Value::Object(rest)
    };
    members(&mut found, "", Some(&rest(old)), Some(&rest(new)), |_| Class::Risky);
    // What is sent, and where, is another call.
    members(&mut found, "/request", old.get("request"), new.get("request"), |_| Class::Breaking);
    found.done()
}

/// A name, title or description: words that a model goes by.
fn text(found: &mut Found, member: &str, old: Option<&Value>, new: Option<&Value>) {
    let (old, new) = (old.filter(|it| !it.is_null()), new.filter(|it| !it.is_null()));
    if old == new {
        return;
    }
    let class = if member == "name" { Class::Breaking } else { Class::Risky };
    let reason = match (old, new) {
        (None, Some(new)) => format!("there is a {member} now: {}", brief(Some(new))),
        (Some(_), None) => format!("there is no {member} any longer"),
        (_, Some(new)) if member == "description" => format!("the description is another: {}", brief(Some(new))),
        (old, new) => format!("the {member} was {} and is {}", brief(old), brief(new)),
    };
    found.add(class, &format!("/{member}"), reason);
}

/// Members of an object, each for itself.
fn members(found: &mut Found, at: &str, old: Option<&Value>, new: Option<&Value>, class: impl Fn(&str) -> Class) {
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, new) = (object(old), object(new));
    let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
    for (name, old) in gone {
        let reason = format!("`{}` was {} and is not said any longer", visible_line(name), brief(Some(old)));
        found.add(class(name), &format!("{at}/{}", step(name)), reason);
    }
    for (name, new) in &new {
        let reason = match old.get(name) {
            Some(old) if old == new => continue,
            Some(old) => {
                format!("`{}` was {} and is {}", visible_line(name), brief(Some(old)), brief(Some(new)))
            }
            None => format!("`{}` is said now: {}", visible_line(name), brief(Some(new))),
        };
        found.add(class(name), &format!("{at}/{}", step(name)), reason);
    }
}

/// A value in a few characters.
fn brief(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::String(text)) => format!("“{}”", visible_line(&cut(text, SHOWN))),
        Some(value) => visible_line(&cut(&value.to_string(), SHOWN)),
    }
}

/// A member's name in a JSON pointer.
fn step(name: &str) -> String {
    visible_line(&name.replace('~', "~0").replace('/', "~1"))
}

/// Differences as they are found.
#[derive(Debug, Default)]
struct Found {
    all: Vec<Difference>,
    more: usize,
}

impl Found {
    fn add(&mut self, class: Class, place: &str, reason: impl Into<String>) {
        if self.all.len() >= MOST {
            // The worst is told in any case.
            if let Some(mildest) = self.all.iter_mut().min_by_key(|it| it.class).filter(|it| it.class < class) {
                *mildest = Difference { class, place: place.to_owned(), reason: reason.into() };
            }
            self.more += 1;
            return;
        }
        self.all.push(Difference { class, place: place.to_owned(), reason: reason.into() });
    }

    fn done(mut self) -> Vec<Difference> {
        self.all.sort_by_key(|difference| std::cmp::Reverse(difference.class));
        if self.more > 0 {
            let reason = format!("and {} more", self.more);
            self.all.push(Difference { class: Class::Harmless, place: String::new(), reason });
        }
        self.all
    }
}
