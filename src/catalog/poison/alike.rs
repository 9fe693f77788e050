//! Names that are taken for others: by their looks, or because only signs between the words differ.

use std::collections::BTreeMap;

use unicode_security::{MixedScript as _, skeleton};

use super::{Finding, Kind, visible_line};

/// A tool by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named<'a> {
    /// The connector.
    pub connector: &'a str,
    /// The connector's own name for it.
    pub own: &'a str,
    /// Whether the connector's id stands before it.
    pub prefix: bool,
}

impl Named<'_> {
    fn whole(&self) -> String {
        if self.prefix { format!("{}_{}", self.connector, self.own) } else { self.own.to_owned() }
    }
}

/// Why a name is written in letters of several scripts, if it is: one of them is there for its looks.
pub(super) fn mixed(name: &str) -> Option<String> {
    (!name.is_ascii() && !name.is_single_script())
        .then(|| "it mixes letters of several scripts that look alike".to_owned())
}

/// Tools of different connectors whose whole names are taken for each other, each with its connector. The second of
/// two is the one that is told of; of connectors, the first by id is the one that was there first.
pub fn look_alikes<'a>(tools: impl IntoIterator<Item = Named<'a>>) -> Vec<(String, Finding)> {
    let mut tools: Vec<Named<'a>> = tools.into_iter().collect();
    tools.sort();
    let mut seen: BTreeMap<String, Named<'a>> = BTreeMap::new();
    let mut found = Vec::new();
    for tool in tools {
        let whole = tool.whole();
        let Some(first) = seen.get(&likeness(&whole)) else {
            seen.insert(likeness(&whole), tool);
            continue;
        };
        // Two names of one connector are its own affair, as long as they are written in plain letters; what is the
        // same to the letter is a collision, and is told as one.
        let own_affair = first.connector == tool.connector && tool.own.is_ascii() && first.own.is_ascii();
        if own_affair || first.whole() == whole {
            continue;
        }
        let reason = format!("its name is easily taken for `{}` of {}", visible_line(&first.whole()), first.connector);
        let finding = Finding {
            tool: tool.own.to_owned(),
            place: "/name".into(),
            kind: Kind::LookAlike,
            reason,
            excerpt: visible_line(&whole),
        };
        found.push((tool.connector.to_owned(), finding));
    }
    found
}

/// What two names have in common that are taken for each other.
fn likeness(name: &str) -> String {
    // Signs between words are left out first: the skeleton of some is a letter's.
    let letters: String = name.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ' | '/' | ':')).collect();
    let looks: String = skeleton(&letters).collect();
    // Once more in small letters: the skeleton of a capital may be one of them.
    skeleton(&looks.to_lowercase()).collect::<String>().to_lowercase()
}
