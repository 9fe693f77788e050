//! What comes along with tools that were found: beside them, and within the same bounds.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Pick, Selection, answer};
use crate::caller::Caller;
use crate::catalog::{Entry, view::View};
use crate::gateway::{Along, Gateway};
use crate::name::ConnectorId;
use crate::select::{Why, tokens};

/// How often what is found last makes room for what is required.
const ROUNDS: usize = 3;
/// What comes along takes this part of an answer at most.
const PART: usize = 3;

impl Gateway {
    /// What comes along with what was found, of these connectors only. What is required takes the place of what was
    /// found last, where there would be too many.
    pub(super) async fn bring_along(
        &self,
        (caller, view): (&Caller, &View),
        allowed: &HashSet<ConnectorId>,
        (picks, most): (&mut Vec<Pick>, usize),
    ) -> Vec<Along> {
        let sees = |entry: &Entry| entry.is_for_models() && allowed.contains(&entry.connector) && view.holds(entry);
        let chosen = |picks: &[Pick]| picks.iter().map(|pick| Arc::clone(&pick.entry)).collect::<Vec<_>>();
        let mut related = self.along(caller, &chosen(picks), &sees).await;
        for _ in 0..ROUNDS {
            let required = related.iter().filter(|along| along.required).count();
            let stay = most.saturating_sub(required).max(1);
            if picks.len() <= stay {
                break;
            }
            picks.truncate(stay);
            related = self.along(caller, &chosen(picks), &sees).await;
        }
        let mut room = most.saturating_sub(picks.len());
        related.retain(|along| {
            let fits = !along.required || room > 0;
            room = room.saturating_sub(usize::from(along.required));
            fits
        });
        related
    }
}

impl Selection {
    /// A member of an answer to a model: what comes along, as much of it as its part of the budget holds.
    pub(super) fn said_along(&self, caller: &Caller, view: &View) -> String {
        let mut all = String::new();
        for along in &self.related {
            let (name, of) = (view.public_name(&along.entry.name), view.public_name(&along.of.name));
            let brief = json!({ "name": name, "why": along.why, "of": of });
            // Without it the others are of no use, so it has to be called.
            let whole = along.required.then(|| {
                let mut whole = answer::said(&along.entry, &name, caller, answer::SIGNATURE);
                if let (Some(whole), Value::Object(brief)) = (whole.as_object_mut(), brief.clone()) {
                    whole.extend(brief);
                }
                whole
            });
            for said in whole.into_iter().chain([brief]) {
                let next = if all.is_empty() { said.to_string() } else { format!("{all},{said}") };
                if tokens::count(&next) <= self.budget / PART {
                    all = next;
                    break;
                }
            }
        }
        if all.is_empty() { all } else { format!(r#","related":[{all}]"#) }
    }

    /// Everything as one list, the best first: what was found, and what comes along, each with how it belongs there.
    pub(super) fn with_related(&self) -> Vec<(Pick, Option<&Along>)> {
        let found = self.picks.iter().map(|pick| (pick.clone(), None));
        let least = self.picks.last().map_or(1.0, |pick| pick.relevance);
        let mut falling = least;
        let related = self.related.iter().map(|along| {
            falling = falling.min(least * along.confidence);
            let entry = Arc::clone(&along.entry);
            (Pick { entry, score: 0.0, relevance: falling, why: Why::default() }, Some(along))
        });
        found.chain(related).collect()
    }
}
