//! Builds a catalog from checked connectors.

use std::{collections::BTreeMap, sync::Arc};

use super::{Catalog, Entry, Rename, Unavailable, render};
use crate::error::Problem;
use crate::manifest::Checked;
use crate::name::public_name;

/// A connector to put into a catalog.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// What its manifest says.
    pub checked: &'a Checked,
    /// Why it cannot be used, if it cannot.
    pub unavailable: Option<&'a str>,
}

pub(super) fn build(offered: &[Offered<'_>]) -> (Catalog, Vec<Problem>) {
    let mut catalog = Catalog::default();
    let mut problems = Vec::new();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for Offered { checked, unavailable } in offered {
        let connector = &checked.connector;
        for (index, (tool, validators)) in connector.tools.iter().zip(&checked.validators).enumerate() {
            let public = public_name(&connector.id, &tool.name, connector.prefix);
            let owner = format!("`{}` of {}", tool.name, connector.id);
            if let Some(first) = taken.get(&public) {
                let message = format!("{owner} and {first} would both be published as `{public}`; rename one of them");
                problems.push(checked.error(&format!("/tools/{index}/name"), message));
                continue;
            }
            taken.insert(public.clone(), owner);
            let plain = if connector.prefix { format!("{}_{}", connector.id, tool.name) } else { tool.name.clone() };
            if public != plain {
                let rename =
                    Rename { connector: connector.id.clone(), tool: tool.name.clone(), public: public.clone() };
                catalog.renames.push(rename);
            }
            if let Some(reason) = unavailable {
                let why = Unavailable { connector: connector.id.clone(), reason: (*reason).to_owned() };
                catalog.unavailable.insert(public, why);
            } else {
                catalog.by_name.insert(public.clone(), catalog.entries.len());
                catalog.entries.push(Arc::new(Entry::new(public, connector, tool, validators.clone())));
            }
        }
    }
    catalog.tools = render(&catalog.entries);
    (catalog, problems)
}
