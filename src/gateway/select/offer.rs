//! What was chosen, in the words of the HTTP API: an array of tools that holds its budget.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Pick, Wanted};
use crate::caller::Caller;
use crate::catalog::view::View;
use crate::error::Result;
use crate::gateway::Along;
use crate::gateway::inventory::tool;
use crate::gateway::{Connector, Gateway, Live};
use crate::select::{Pack, first_sentence};

/// The tools that are said with all their parameters, at most; they take half of the budget at most.
const WHOLE: usize = 3;
/// Characters of the other tools' descriptions: more, fewer, none.
const DESCRIPTIONS: [usize; 3] = [200, 60, 0];
/// Tools when nobody says how many.
const TOOLS: usize = 10;
/// Tokens when nobody says how many.
const TOKENS: usize = 2000;

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The tools, a JSON array, the best first.
    pub tools: String,
    /// Its tokens.
    pub tokens: usize,
    /// Those of the whole list that the caller would see.
    pub list_tokens: usize,
}

impl Selected {
    /// How much less that is than the whole list, in hundredths of it.
    pub fn reduction(&self) -> f64 {
        let [part, whole] =
            [self.tokens, self.list_tokens].map(|tokens| f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)));
        if part >= whole { 0.0 } else { ((1.0 - part / whole) * 10_000.0).round() / 100.0 }
    }
}

impl Gateway {
    /// The tools that fit best, as the HTTP API gives them: the best with their parameters, the others without.
    pub async fn selected(&self, caller: &Caller, wanted: Wanted) -> Result<Selected> {
        let Wanted { max_tools: given, token_budget, .. } = wanted;
        let (max_tools, token_budget) = (given.or(Some(TOOLS)), token_budget.or(Some(TOKENS)));
        let selection = self.select(caller, &View::default(), &Wanted { max_tools, token_budget, ..wanted }).await?;
        let live = self.live();
        let all = selection.with_related();
        // Whoever says how many gets no more; else what comes along has its own places.
        let here = all.iter().take(given.unwrap_or(usize::MAX)).filter_map(|(pick, along)| {
            let relation = along.and_then(|along| relation(&live, along, caller));
            Some((live.connectors.get(&pick.entry.connector)?, pick, relation))
        });
        let here: Vec<(&Arc<Connector>, &Pick, Option<Value>)> = here.collect();
        let pack = Pack {
            budget: selection.budget,
            items: here.len(),
            tiers: 1 + DESCRIPTIONS.len(),
            longest: (WHOLE, selection.budget / 2),
            say: &|item, tier| {
                let say = |(connector, pick, relation): &(&Arc<Connector>, &Pick, Option<Value>)| {
                    said(connector, (pick, relation.as_ref()), caller, tier)
                };
                here.get(item).map(say).unwrap_or_default()
            },
            whole: &|items, _| {
                let items: Vec<&str> = items.iter().map(|said| said.text.as_str()).collect();
                format!("[{}]", items.join(","))
            },
        };
        let packed = pack.pack();
        Ok(Selected { tools: packed.text, tokens: packed.tokens, list_tokens: selection.list_tokens })
    }
}

/// How a tool belongs to another.
fn relation(live: &Live, along: &Along, caller: &Caller) -> Option<Value> {
    let of = tool(live.connectors.get(&along.of.connector)?, &along.of, caller);
    let mut relation = json!({ "why": along.why, "of": of.get("toolId") });
    if !along.required {
        let confidence = (f64::from(along.confidence) * 100.0).round() / 100.0;
        relation.as_object_mut()?.insert("confidence".into(), json!(confidence));
    }
    Some(relation)
}

fn said(connector: &Connector, (pick, relation): (&Pick, Option<&Value>), caller: &Caller, tier: usize) -> String {
    let mut said = tool(connector, &pick.entry, caller);
    let Some(members) = said.as_object_mut() else { return String::new() };
    if let Some(most) = tier.checked_sub(1).and_then(|tier| DESCRIPTIONS.get(tier)) {
        members.shift_remove("parameters");
        let whole = members.get("description").and_then(Value::as_str).unwrap_or_default();
        let brief = first_sentence(whole, *most);
        members.insert("description".into(), json!(brief));
    }
    // Three digits are enough to compare by, and nothing that was found is worth nothing.
    let relevance = (f64::from(pick.relevance) * 1000.0).round().max(1.0) / 1000.0;
    members.insert("relevanceScore".into(), json!(relevance));
    members.extend(relation.map(|relation| ("relation".to_owned(), relation.clone())));
    said.to_string()
}
