//! Checks of `relations`: whom a tool's relations name.

use std::collections::HashSet;

use super::Checker;
use crate::manifest::model::{AdapterSettings, Connector};
use crate::manifest::relations::Relations;
use crate::manifest::template::escape;
use crate::name::{did_you_mean, shown};

impl Checker<'_> {
    /// What the tools of a connector say of each other. What is learned later is looked at then.
    pub(super) fn relations(&mut self, connector: &Connector) {
        let own: HashSet<&str> = connector.tools.iter().map(|tool| tool.name.as_str()).collect();
        for (index, tool) in connector.tools.iter().enumerate() {
            let at = format!("/tools/{index}/relations");
            self.related(&at, connector, Some(&tool.name), &tool.relations);
            if matches!(connector.adapter, AdapterSettings::Mcp(_) | AdapterSettings::OpenApi(_)) {
                continue;
            }
            for (place, name) in tool.relations.named().filter(|(_, name)| !own.contains(name)) {
                let here = match Relations::elsewhere(name) {
                    Some((other, _)) if other != connector.id => continue,
                    Some((_, tool)) if own.contains(tool) => continue,
                    Some((_, tool)) => tool,
                    None => name,
                };
                let meant = did_you_mean(here, own.iter().copied());
                let message = format!(
                    "no tool of this connector is called `{}`{meant}{}",
                    shown(here),
                    if meant.is_empty() { "; one of another connector is named as `connector.tool`" } else { "" }
                );
                self.error(&format!("{at}/{place}"), message);
            }
        }
        if let AdapterSettings::OpenApi(settings) = &connector.adapter {
            for (id, mend) in &settings.operations {
                let at = format!("/adapter/operations/{}/relations", escape(id));
                self.related(&at, connector, mend.name.as_deref(), &mend.relations);
            }
        }
    }

    /// Nothing is related to itself.
    fn related(&mut self, at: &str, connector: &Connector, own: Option<&str>, relations: &Relations) {
        let Some(own) = own else { return };
        let is_itself = |name: &str| {
            name == own || Relations::elsewhere(name).is_some_and(|(other, tool)| other == connector.id && tool == own)
        };
        for (place, _) in relations.named().filter(|(_, name)| is_itself(name)) {
            self.error(&format!("{at}/{place}"), "names the tool itself");
        }
    }
}
