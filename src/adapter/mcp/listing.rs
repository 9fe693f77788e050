//! Asks another MCP server what it has, and believes no more of the answer than is reasonable.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::channel::Failure;
use super::link::Link;
use crate::catalog::Offer;
use crate::error::{Error, ErrorKind};
use crate::params::Params;

/// Pages of one list.
const MOST_PAGES: usize = 1000;
/// Items of one list.
const MOST_ITEMS: usize = 20_000;
/// Bytes of one list.
const LARGEST: usize = 64 << 20;

/// Everything it has. A list that ends too late is cut, which `omitted` says. Where what one caller is told `is_theirs`,
/// only what is the server's own is taken: its tools with their pages, and its templates.
pub(super) async fn ask(link: &Link, is_theirs: bool) -> Result<Offer, Failure> {
    let facts = &link.facts;
    let can = |name: &str| facts.capabilities.contains_key(name);
    let mut offer = Offer {
        capabilities: facts.capabilities.clone(),
        instructions: facts.instructions.clone().filter(|_| !is_theirs),
        ..Offer::default()
    };
    let wanted = [
        (can("tools"), "tools/list", "tools", &mut offer.tools),
        (can("resources"), "resources/list", "resources", &mut offer.resources),
        (can("resources"), "resources/templates/list", "resourceTemplates", &mut offer.templates),
        (can("prompts") && !is_theirs, "prompts/list", "prompts", &mut offer.prompts),
    ];
    for (wanted, method, member, list) in wanted {
        if wanted {
            offer.omitted.extend(pages(link, method, member, list).await?);
        }
    }
    if is_theirs {
        let is_page =
            |resource: &Value| resource.get("uri").and_then(Value::as_str).is_some_and(|uri| uri.starts_with("ui://"));
        offer.resources.retain(is_page);
    }
    let omitted = link.learn(&mut offer.tools);
    offer.omitted.extend(omitted);
    offer.drop_nameless();
    Ok(offer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(flatten)]
    lists: Map<String, Value>,
}

/// All pages of a list; says why it was cut, if it was.
async fn pages(link: &Link, method: &str, member: &str, list: &mut Vec<Value>) -> Result<Option<String>, Failure> {
    let (mut cursor, mut bytes) = (None::<String>, 0);
    for _ in 0..MOST_PAGES {
        let params = cursor.as_ref().map(|cursor| Params::of("cursor", cursor)).unwrap_or_default();
        let result = match link.request(method, params, None).await? {
            Ok(result) => result,
            // What is declared and not there is not there.
            Err(rejection) if rejection.code == -32601 => return Ok(None),
            Err(rejection) => return Err(Failure::Exchange(Error::from(rejection))),
        };
        bytes += result.len();
        let mut page: Page = serde_json::from_slice(&result).map_err(|error| {
            Failure::Exchange(
                Error::new(ErrorKind::Upstream, format!("the upstream's answer to {method} is no list")).because(error),
            )
        })?;
        if let Some(Value::Array(items)) = page.lists.remove(member) {
            list.extend(items);
        }
        if list.len() > MOST_ITEMS || bytes > LARGEST {
            list.truncate(MOST_ITEMS);
            return Ok(Some(format!("{member}: what lies beyond {MOST_ITEMS} items or {} MiB", LARGEST >> 20)));
        }
        match page.next_cursor {
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Ok(Some(format!("{member}: pages after one that points to itself")));
            }
            Some(next) => cursor = Some(next),
            None => return Ok(None),
        }
    }
    Ok(Some(format!("{member}: pages beyond the first {MOST_PAGES}")))
}
