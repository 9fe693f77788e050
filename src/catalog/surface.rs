//! What clients see, as a value that can be kept; and what two such values mean for those who use them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Catalog;
use super::diff::{Class, Difference, differences, worst};
use super::pin::digest;
use super::poison::visible_line;

mod profile;

pub use profile::{PROFILES, Profile, Seen};

/// Everything clients see of tools.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// The tools, in order.
    pub tools: Vec<Facade>,
}

/// A tool as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facade {
    /// Its connector; nothing, when that is not known.
    pub connector: String,
    /// Its connector's own name for it.
    pub own: String,
    /// Its descriptor.
    pub descriptor: Value,
    /// The scopes of each way to be let in, none where everybody is; nothing, when that is not known.
    #[serde(default)]
    pub ways: Option<Vec<Vec<String>>>,
}

impl Facade {
    /// The name clients call it by.
    pub fn name(&self) -> &str {
        self.descriptor.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// About how many tokens a model pays to see it.
    fn tokens(&self) -> usize {
        self.descriptor.to_string().len().div_ceil(4)
    }

    /// The scopes of each way to be let in, as far as they are known: by the catalog, else by what clients are told.
    fn ways(&self) -> Option<BTreeSet<Vec<String>>> {
        if let Some(ways) = &self.ways {
            return Some(ways.iter().cloned().collect());
        }
        let schemes = self.descriptor.get("securitySchemes")?.as_array()?;
        if schemes.iter().any(|scheme| scheme.get("type").is_some_and(|kind| kind == "noauth")) {
            return Some(BTreeSet::new());
        }
        let scopes = |scheme: &Value| {
            let scopes = scheme.get("scopes").and_then(Value::as_array).into_iter().flatten();
            scopes.filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
        };
        Some(schemes.iter().map(scopes).collect())
    }

    fn scopes(&self) -> impl Iterator<Item = String> {
        self.ways().into_iter().flatten().flatten()
    }

    /// What it means for callers that another version of it asks for other scopes.
    fn access(&self, now: &Self) -> Option<Difference> {
        let (before, after) = (self.ways()?, now.ways()?);
        if before == after {
            return None;
        }
        let lets_in = |held: &[String]| after.iter().any(|way| way.iter().all(|scope| held.contains(scope)));
        let (class, reason) = match (before.is_empty(), after.is_empty()) {
            (_, true) => (Class::Risky, "everybody may call it now".to_owned()),
            (true, false) => (Class::Breaking, "callers have to prove who they are now".to_owned()),
            (false, false) => {
                let said = |ways: &BTreeSet<Vec<String>>| {
                    let ways: Vec<String> = ways.iter().map(|way| visible_line(&way.join(" and "))).collect();
                    ways.join(", or ")
                };
                let class = if before.iter().all(|way| lets_in(way)) { Class::Risky } else { Class::Breaking };
                (class, format!("the scopes it takes were “{}” and are “{}”", said(&before), said(&after)))
            }
        };
        Some(Difference { class, place: "/securitySchemes".into(), reason })
    }

    fn widget(&self) -> Option<&str> {
        let places = ["/_meta/ui/resourceUri", "/_meta/openai~1outputTemplate"];
        places.iter().find_map(|place| self.descriptor.pointer(place)?.as_str())
    }

    /// What it takes, without words: two tools that take the same may be one that got another name.
    fn shape(&self) -> String {
        digest(&wordless(self.descriptor.get("inputSchema").unwrap_or(&Value::Null)))
    }
}

fn wordless(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, value)| {
                !matches!(name.as_str(), "description" | "title" | "examples") || value.is_object()
            });
            Value::Object(kept.map(|(name, value)| (name.clone(), wordless(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(wordless).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

impl Surface {
    /// What a catalog shows.
    pub fn of(catalog: &Catalog) -> Self {
        let facade = |entry: &std::sync::Arc<super::Entry>| Facade {
            connector: entry.connector.as_str().to_owned(),
            own: entry.tool.clone(),
            descriptor: entry.descriptor.clone(),
            ways: Some(entry.access.ways().to_vec()),
        };
        Self { tools: catalog.entries().iter().map(facade).collect() }
    }

    fn tokens(&self) -> usize {
        self.tools.iter().map(Facade::tokens).sum()
    }
}

/// What becomes of one tool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolChange {
    /// Its connector.
    pub connector: String,
    /// The name clients call it by.
    pub tool: String,
    /// What becomes of it.
    pub change: Fate,
    /// The name it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// What that means.
    pub class: Class,
    /// What differs, the worst first.
    pub differences: Vec<Difference>,
}

/// What becomes of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It goes.
    Removed,
    /// It gets another name.
    Renamed,
    /// It is another.
    Changed,
    /// It comes.
    Added,
}

/// Two numbers: how much it was, and how much it will be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Before.
    pub before: usize,
    /// After.
    pub after: usize,
}

/// What comes and what goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Moves {
    /// What comes.
    pub added: BTreeSet<String>,
    /// What goes.
    pub removed: BTreeSet<String>,
}

impl Moves {
    fn between(old: &BTreeSet<String>, new: &BTreeSet<String>) -> Self {
        Self { added: new.difference(old).cloned().collect(), removed: old.difference(new).cloned().collect() }
    }

    /// Whether nothing moves.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// What going from one surface to another means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The worst of it.
    pub class: Class,
    /// Tools, the worst first.
    pub changes: Vec<ToolChange>,
    /// How many tools there are.
    pub tools: Count,
    /// About how many tokens a model pays to see them all.
    pub tokens: Count,
    /// Scopes that tools ask for.
    pub scopes: Moves,
    /// Pages that tools show themselves by.
    pub widgets: Moves,
    /// What single clients make of it.
    pub profiles: BTreeMap<&'static str, Seen>,
}

impl Plan {
    /// From one surface to another, for these clients.
    pub fn between(old: &Surface, new: &Surface, profiles: &[&'static Profile]) -> Self {
        let changes = changes(old, new);
        let scopes = |surface: &Surface| surface.tools.iter().flat_map(Facade::scopes).collect();
        let widgets = |surface: &Surface| surface.tools.iter().filter_map(Facade::widget).map(visible_line).collect();
        Self {
            class: changes.iter().map(|change| change.class).max().unwrap_or_default(),
            tools: Count { before: old.tools.len(), after: new.tools.len() },
            tokens: Count { before: old.tokens(), after: new.tokens() },
            scopes: Moves::between(&scopes(old), &scopes(new)),
            widgets: Moves::between(&widgets(old), &widgets(new)),
            profiles: profiles.iter().map(|profile| (profile.id, profile.sees(old, new, &changes))).collect(),
            changes,
        }
    }
}

fn changes(old: &Surface, new: &Surface) -> Vec<ToolChange> {
    let by_name = |surface: &'_ Surface| -> BTreeMap<String, Facade> {
        surface.tools.iter().map(|tool| (tool.name().to_owned(), tool.clone())).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    for (name, now) in &after {
        let Some(was) = before.get(name) else { continue };
        let mut differences = differences(&was.descriptor, &now.descriptor);
        differences.splice(0..0, was.access(now));
        if !differences.is_empty() || was.descriptor != now.descriptor {
            let class = worst(&differences);
            changes.push(change(now, Fate::Changed, None, class, differences));
        }
    }
    let mut gone: Vec<&Facade> = before.values().filter(|tool| !after.contains_key(tool.name())).collect();
    let mut come: Vec<&Facade> = after.values().filter(|tool| !before.contains_key(tool.name())).collect();
    // The same tool of the same connector first, then what takes the same.
    let same_tool =
        |was: &Facade, now: &Facade| !was.own.is_empty() && was.own == now.own && was.connector == now.connector;
    let same_shape = |was: &Facade, now: &Facade| {
        (was.connector == now.connector || was.connector.is_empty()) && was.shape() == now.shape() && alike(was, now)
    };
    for same in [&same_tool as &dyn Fn(&Facade, &Facade) -> bool, &same_shape] {
        gone.retain(|was| {
            let Some(at) = come.iter().position(|now| same(was, now)) else { return true };
            let now = come.remove(at);
            let mut differences = differences(&was.descriptor, &now.descriptor);
            differences.retain(|difference| difference.place != "/name");
            differences.splice(0..0, was.access(now));
            changes.push(change(now, Fate::Renamed, Some(was.name().to_owned()), Class::Breaking, differences));
            false
        });
    }
    changes.extend(gone.into_iter().map(|was| change(was, Fate::Removed, None, Class::Breaking, Vec::new())));
    changes.extend(come.into_iter().map(|now| change(now, Fate::Added, None, Class::Harmless, Vec::new())));
    changes.sort_by(|a, b| (b.class, a.change, &a.tool).cmp(&(a.class, b.change, &b.tool)));
    changes
}

/// Whether two tools that take the same say about the same. Many take nothing, or a single text.
fn alike(was: &Facade, now: &Facade) -> bool {
    let text =
        |tool: &Facade| tool.descriptor.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (was, now) = (text(was), text(now));
    !was.is_empty() && (was == now || (was.len() < 4096 && now.len() < 4096 && strsim::jaro_winkler(&was, &now) > 0.9))
}

fn change(tool: &Facade, fate: Fate, was: Option<String>, class: Class, differences: Vec<Difference>) -> ToolChange {
    let (connector, tool) = (tool.connector.clone(), tool.name().to_owned());
    ToolChange { connector, tool, change: fate, was, class, differences }
}
