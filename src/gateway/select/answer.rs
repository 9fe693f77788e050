//! What models are answered when they search for tools, or ask what a tool takes: always within their budget.

use serde_json::{Map, Value, json};

use super::wanted::{MOST_TOKENS, check_budget, number, texts, wrong};
use super::{Pick, Selection, Wanted};
use crate::call::Output;
use crate::caller::{Caller, Verdict};
use crate::catalog::{Entry, view::View};
use crate::error::Result;
use crate::gateway::Gateway;
use crate::manifest::Arguments;
use crate::name::{MAX_TOOL_NAME, cut, nearest};
use crate::select::{Pack, Packed, compact, first_sentence, signature};

/// The tools that are said with their whole schema, at most; they take half of the budget at most.
const WHOLE: usize = 3;
/// Characters of a description beside a whole schema.
const LONGEST_DESCRIPTION: usize = 1000;
/// Characters of a description where there is no room for a signature.
const LONGEST_LINE: usize = 100;
/// In how many ways a tool can be said.
const TIERS: [&str; 4] = ["schema", "signature", "line", "name"];
/// The second of them.
pub(super) const SIGNATURE: usize = 1;
/// Tools that are described at once.
const MOST_DESCRIBED: usize = 10;
/// Tokens of descriptions when nobody says how many.
const DESCRIPTIONS: usize = 4000;
/// About the tokens of a note that something does not fit.
const NOTE: usize = 30;
/// Names that are none, for which others are proposed.
const MOST_GUESSED: usize = 3;
/// Characters that are looked at of a name that is none.
const LONGEST_WRONG: usize = 64;

/// The tool that calls a tool, in search mode.
fn call_by(entry: &Entry) -> &'static str {
    if entry.is_read_only() { "call_read_tool" } else { "call_write_tool" }
}

fn text<'a>(entry: &'a Entry, key: &str) -> &'a str {
    entry.descriptor.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What a caller has to have before they can call a tool, if anything is missing.
fn needs(caller: &Caller, entry: &Entry) -> Option<Vec<String>> {
    if caller.may(&entry.access) != Verdict::StepUp {
        return None;
    }
    let held: Vec<&str> =
        if let Caller::Known(principal) = caller { principal.scopes.names().collect() } else { vec![] };
    let wants = caller.wants(&entry.access);
    let missing: Vec<String> = wants.into_iter().filter(|scope| !held.contains(&scope.as_str())).collect();
    Some(if missing.is_empty() { vec!["sign in".into()] } else { missing })
}

/// One tool, in one of the ways.
pub(super) fn said(entry: &Entry, name: &str, caller: &Caller, tier: usize) -> Value {
    const NOTHING: &Value = &Value::Null;
    let schema = entry.descriptor.get("inputSchema").unwrap_or(NOTHING);
    let description = text(entry, "description");
    match tier {
        0 => {
            let mut whole = Map::new();
            whole.insert("name".into(), json!(name));
            whole.insert("description".into(), json!(cut(description, LONGEST_DESCRIPTION)));
            whole.insert("inputSchema".into(), compact(schema));
            whole.insert("call".into(), json!(call_by(entry)));
            let hint = |hint: &str| entry.descriptor.pointer(&format!("/annotations/{hint}")) == Some(&json!(true));
            if entry.is_read_only() {
                whole.insert("hints".into(), json!(["readOnly"]));
            } else if hint("destructiveHint") {
                whole.insert("hints".into(), json!(["destructive"]));
            }
            whole.extend(needs(caller, entry).map(|scopes| ("needs".to_owned(), json!(scopes))));
            whole.extend(entry.has_widget().then(|| ("widget".to_owned(), json!(true))));
            Value::Object(whole)
        }
        1 => json!({ "name": name, "signature": signature(name, schema, description), "call": call_by(entry) }),
        2 => json!({ "name": name, "line": first_sentence(description, LONGEST_LINE) }),
        _ => json!({ "name": name }),
    }
}

impl Selection {
    /// The answer of `search_tools`.
    pub fn answer(&self, caller: &Caller, view: &View) -> Packed {
        let say = |item: usize, tier: usize| {
            let said = |pick: &Pick| said(&pick.entry, &view.public_name(&pick.entry.name), caller, tier).to_string();
            self.picks.get(item).map(said).unwrap_or_default()
        };
        let along = self.said_along(caller, view);
        let whole = |items: &[crate::select::Said], left: usize| {
            let items: Vec<&str> = items.iter().map(|said| said.text.as_str()).collect();
            let more = match (items.len() + left, left) {
                (0, _) => r#","hint":"nothing here fits; say in other words what the tool has to do""#.to_owned(),
                (_, 0) => String::new(),
                (_, left) => format!(r#","more":{left}"#),
            };
            format!(r#"{{"tools":[{}]{along}{more}}}"#, items.join(","))
        };
        let pack = Pack {
            budget: self.budget,
            items: self.picks.len(),
            tiers: TIERS.len(),
            longest: (WHOLE, self.budget / 2),
            say: &say,
            whole: &whole,
        };
        pack.pack()
    }

    /// How each tool is said in an answer of `search_tools`, if it is, and how many tokens that answer has.
    pub fn told(&self, caller: &Caller, view: &View) -> (Vec<(&Pick, Option<&'static str>)>, usize) {
        let packed = self.answer(caller, view);
        let tier = |item: usize| TIERS.get(packed.said.iter().find(|said| said.item == item)?.tier).copied();
        (self.picks.iter().enumerate().map(|(item, pick)| (pick, tier(item))).collect(), packed.tokens)
    }
}

impl Gateway {
    /// Answers `search_tools`.
    pub async fn search_tools(&self, caller: &Caller, view: &View, arguments: &Arguments) -> Result<Output> {
        let selection = self.select(caller, view, &Wanted::of(arguments)?).await?;
        Ok(Output::text(selection.answer(caller, view).text))
    }

    /// Answers `describe_tools`: the whole descriptors, by the names that the view gives them.
    pub fn describe_tools(&self, caller: &Caller, view: &View, arguments: &Arguments) -> Result<Output> {
        let said = |name: &str| arguments.get(name).filter(|value| !value.is_null());
        let names = said("names").or_else(|| said("name"));
        let names = names.ok_or_else(|| wrong("`names` is missing: a list of tools' names"))?;
        let names = texts(names, "names")?;
        if names.is_empty() || names.len() > MOST_DESCRIBED {
            return Err(wrong(format!("`names` has to hold 1 to {MOST_DESCRIBED} names")));
        }
        let budget = said("tokenBudget").map(|value| number(value, "tokenBudget")).transpose()?;
        check_budget(budget)?;
        let budget = budget.unwrap_or(DESCRIPTIONS).min(MOST_TOKENS);
        let live = self.live();
        let there = |entry: &&std::sync::Arc<Entry>| view.holds(entry) && caller.sees(&entry.access);
        let known = || live.catalog.entries().iter().filter(there);
        let found = |name: &String| {
            let own = view.own_name(name);
            // A name that was cut cannot be taken apart again.
            let cut = || known().find(|entry| name.len() == MAX_TOOL_NAME && view.public_name(&entry.name) == *name);
            known().find(|entry| own == Some(entry.name.as_str())).or_else(cut)
        };
        let mut wrong = 0;
        let describe = |name: &String| {
            if let Some(entry) = found(name) {
                return whole(entry, name);
            }
            wrong += 1;
            unknown(name, known().filter(|_| wrong <= MOST_GUESSED).map(|entry| view.public_name(&entry.name)))
        };
        let described: Vec<[String; 2]> = names.iter().map(describe).collect();
        let pack = Pack {
            budget,
            items: described.len(),
            tiers: 2,
            longest: (described.len(), budget.saturating_sub(NOTE * (described.len() - 1))),
            say: &|item, tier| described.get(item).and_then(|ways| ways.get(tier)).cloned().unwrap_or_default(),
            whole: &|items, left| {
                let items: Vec<&str> = items.iter().map(|said| said.text.as_str()).collect();
                let more = if left == 0 { String::new() } else { format!(r#","more":{left}"#) };
                format!(r#"{{"tools":[{}]{more}}}"#, items.join(","))
            },
        };
        Ok(Output::text(pack.pack().text))
    }
}

/// A tool's descriptor, and what is said where it does not fit.
fn whole(entry: &Entry, name: &str) -> [String; 2] {
    let mut descriptor = entry.descriptor.clone();
    if let Some(descriptor) = descriptor.as_object_mut() {
        descriptor.insert("name".into(), json!(name));
    }
    let note = format!("does not fit: ask for it alone with tokenBudget {}", entry.exact_tokens() + 100);
    [descriptor.to_string(), json!({ "name": name, "note": note }).to_string()]
}

/// What is said of a name that is none.
fn unknown(name: &str, known: impl Iterator<Item = String>) -> [String; 2] {
    let known: Vec<String> = known.collect();
    let near = nearest(name, known.iter().map(String::as_str));
    let name = cut(name, LONGEST_WRONG);
    let brief = json!({ "name": cut(&name, 16), "unknown": true }).to_string();
    [json!({ "name": name, "unknown": true, "nearest": near }).to_string(), brief]
}
