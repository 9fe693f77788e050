//! Which of an upstream's tools may be served, by what was agreed to.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{Change, Drift, INSTRUCTIONS, Locked, Pin, Policy, Served, descriptor_of_instructions, drift};
use crate::catalog::{Declared, Offer};
use crate::manifest::{Annotations, Tool, Validators};

/// An upstream's offer as it may be served.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What is served.
    pub offer: Arc<Offer>,
    /// How it differs from what was agreed to.
    pub drifts: Vec<Drift>,
    /// Whether nothing was agreed to yet.
    pub first_sight: bool,
}

/// What is known when an offer is judged.
pub trait Known {
    /// The descriptor of this form that was agreed to, if it is kept.
    fn descriptor(&self, form: &str) -> Option<Value>;
    /// What the page at this address said when it was last read: its digest.
    fn page(&self, uri: &str) -> Option<String>;
}

/// Judges an upstream's offer by what was agreed to.
pub fn judge(policy: Policy, locked: Option<&Locked>, offer: &Arc<Offer>, known: &dyn Known) -> Judged {
    let Some(locked) = locked else { return first_sight(policy, offer) };
    let mut judged = without_tools(offer);
    let mut drifts = Vec::new();
    let mut seen = BTreeSet::new();
    let look = |name: &str, tool: &Value| match locked.tools.get(name) {
        None => Some((Drift::plain(policy, name, Change::New), None)),
        Some(pin) => changed(policy, name, (pin, tool), known),
    };
    for tool in &offer.tools {
        let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
        seen.insert(name);
        let Some((drift, before)) = look(name, tool) else {
            judged.tools.push(tool.clone());
            continue;
        };
        match drift.served {
            Served::Now => judged.tools.push(tool.clone()),
            Served::Before => {
                judged.held.insert(name.to_owned());
                judged.tools.extend(before);
            }
            Served::Not => drop(judged.withheld.insert(name.to_owned(), withheld(drift.change))),
        }
        drifts.push(drift);
    }
    for declared in &offer.declared {
        let name = declared.tool.name.as_str();
        seen.insert(name);
        let Some((drift, before)) = look(name, &declared.descriptor()) else {
            judged.declared.push(declared.clone());
            continue;
        };
        match drift.served {
            Served::Now => judged.declared.push(declared.clone()),
            Served::Before => judged.declared.extend(before.map(|before| as_agreed(declared, &before))),
            Served::Not => drop(judged.withheld.insert(name.to_owned(), withheld(drift.change))),
        }
        drifts.push(drift);
    }
    if let Some(text) = &offer.instructions {
        seen.insert(INSTRUCTIONS);
        let changed = look(INSTRUCTIONS, &descriptor_of_instructions(text));
        judged.instructions = match &changed {
            Some((Drift { served: Served::Before, .. }, before)) => {
                before.as_ref().and_then(|before| before.get("instructions")?.as_str().map(str::to_owned))
            }
            Some((Drift { served: Served::Not, .. }, _)) => None,
            Some((Drift { served: Served::Now, .. }, _)) | None => Some(text.clone()),
        };
        drifts.extend(changed.map(|(drift, _)| drift));
    }
    let gone = locked.tools.keys().filter(|name| !seen.contains(name.as_str()));
    drifts.extend(gone.map(|name| Drift::plain(policy, name, Change::Gone)));
    let offer = if judged == **offer { Arc::clone(offer) } else { Arc::new(judged) };
    Judged { offer, drifts, first_sight: false }
}

/// An upstream that nobody agreed to anything of: it is believed, unless only what is in the lock counts.
fn first_sight(policy: Policy, offer: &Arc<Offer>) -> Judged {
    if policy != Policy::Block {
        return Judged { offer: Arc::clone(offer), drifts: Vec::new(), first_sight: true };
    }
    let mut judged = without_tools(offer);
    let names = offer.tools.iter().filter_map(|tool| tool.get("name").and_then(Value::as_str));
    let names = names.chain(offer.declared.iter().map(|declared| declared.tool.name.as_str()));
    judged.withheld.extend(names.map(|name| (name.to_owned(), withheld(Change::New))));
    let said = offer.instructions.is_some().then_some(INSTRUCTIONS);
    let new = judged.withheld.keys().map(String::as_str).chain(said);
    let drifts = new.map(|name| Drift::plain(policy, name, Change::New)).collect();
    Judged { offer: Arc::new(judged), drifts, first_sight: true }
}

fn without_tools(offer: &Offer) -> Offer {
    Offer { tools: Vec::new(), declared: Vec::new(), instructions: None, ..offer.clone() }
}

/// A learned tool in the words that were agreed to. It is called as it was.
fn as_agreed(declared: &Declared, before: &Value) -> Declared {
    let text = |member: &str| before.get(member).and_then(Value::as_str).map(str::to_owned);
    let object = |member: &str| before.get(member).and_then(Value::as_object).cloned();
    let hint = |name: &str| before.get("annotations").and_then(|hints| hints.get(name)).and_then(Value::as_bool);
    let tool = Tool {
        title: text("title"),
        description: text("description").unwrap_or_default(),
        input_schema: object("inputSchema").unwrap_or_default(),
        output_schema: object("outputSchema"),
        annotations: Annotations {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        },
        ..declared.tool.clone()
    };
    Declared { tool, validators: Validators::default(), ..declared.clone() }
}

fn withheld(change: Change) -> String {
    let what = if change == Change::New { "it is new" } else { "it changed" };
    format!("{what} and nobody agreed to it yet; `switchboard approve --list` shows it")
}

/// How a tool differs from its pin, with the descriptor that is served instead.
fn changed(
    policy: Policy,
    name: &str,
    (pin, tool): (&Pin, &Value),
    known: &dyn Known,
) -> Option<(Drift, Option<Value>)> {
    // A page that was not read since we started says nothing new.
    let page = |uri: &str| known.page(uri).or_else(|| pin.pages.get(uri).cloned());
    let now = Pin::of(tool, page);
    if pin.covers(&now) {
        return None;
    }
    let same_form = now.form() == pin.form();
    let before = if same_form { Some(tool.clone()) } else { known.descriptor(&pin.form()) };
    Some((drift(policy, name, (pin, before.as_ref()), (&now, Some(tool))), before))
}
