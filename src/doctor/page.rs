//! The pages that tools show themselves with.

use serde_json::{Value, json};
use url::Url;

use super::rpc::PAGE;
use super::tool::Tool;
use super::tour::{Looked, Tour};
use super::wire::readable;
use super::{Guise, Severity};
use crate::name::{cut, shown};
use crate::widget::{Csp, LARGEST_PAGE, loads, sha256_hex, uncovered};

/// Pages that are read.
const MOST: usize = 20;
/// Faults of one page that are told.
const MOST_FAULTS: usize = 5;
/// What pages of older examples are called, which only `ChatGPT` shows.
const SKYBRIDGE: &str = "text/html+skybridge";
/// A list of origins, in the words of MCP Apps and of `ChatGPT`.
const LISTS: [(&str, &str); 3] =
    [("connectDomains", "connect_domains"), ("resourceDomains", "resource_domains"), ("frameDomains", "frame_domains")];

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    let mut pages: Vec<String> = Vec::new();
    for page in tour.learned.tools.iter().filter_map(|tool| Tool(tool).page()).filter(|page| page.starts_with("ui://"))
    {
        if !pages.iter().any(|known| known == page) {
            pages.push(page.to_owned());
        }
    }
    if pages.is_empty() {
        return Err("no tool has one".into());
    }
    for page in pages.iter().take(MOST) {
        read(tour, page).await;
    }
    Ok(format!("read {} of {}", pages.len().min(MOST), pages.len()))
}

async fn read<P>(tour: &mut Tour<'_, P>, page: &str) {
    let name = readable(&shown(page));
    let who = tour.who();
    let contents = match tour.want("resources/read", json!({ "uri": page })).await {
        Ok(result) => result.pointer("/contents/0").cloned(),
        Err(reason) => {
            tour.error(
                format!("the page {name} cannot be read: {reason}"),
                format!("{who} shows an empty frame where the page should be"),
                "serve the page as a resource under exactly the address the tool names",
            );
            return;
        }
    };
    let contents = contents.unwrap_or_default();
    let kind = contents.get("mimeType").and_then(Value::as_str).unwrap_or_default();
    if kind != PAGE {
        let severity =
            if kind == SKYBRIDGE { tour.severity(Severity::Warning, Severity::Error) } else { Severity::Error };
        tour.found(
            severity,
            format!("the page {name} has the media type \"{}\" instead of {PAGE}", readable(&cut(kind, 80))),
            "clients show resources of that type only",
            format!("set `mimeType` of the resource to {PAGE}"),
        );
    }
    let Some(html) = contents.get("text").and_then(Value::as_str).filter(|html| !html.trim().is_empty()) else {
        tour.error(
            format!("the page {name} is empty"),
            format!("{who} shows an empty frame where the page should be"),
            "put the whole page into `text` of the resource",
        );
        return;
    };
    if html.len() as u64 > LARGEST_PAGE {
        tour.warn(
            format!("the page {name} is {} MiB large", html.len() >> 20),
            "people wait for it each time it is shown",
            "make it smaller",
        );
    }
    let meta = contents.get("_meta").cloned().unwrap_or_default();
    judge_origins(tour, &name, html, &meta);
    judge_domain(tour, &name, &meta);
}

/// Whether the page says where it loads from, to both families of clients, and enough.
fn judge_origins<P>(tour: &mut Tour<'_, P>, name: &str, html: &str, meta: &Value) {
    let (standard, theirs) = (meta.pointer("/ui/csp"), meta.get("openai/widgetCSP"));
    let missing = match (standard, theirs) {
        (None, None) => Some("`ui.csp` and `openai/widgetCSP`"),
        (None, Some(_)) => Some("`ui.csp`, which Claude reads"),
        (Some(_), None) => Some("`openai/widgetCSP`, which ChatGPT reads"),
        (Some(_), Some(_)) => None,
    };
    if let Some(missing) = missing {
        tour.warn(
            format!("the page {name} does not say what it loads from where: {missing} is missing"),
            "a client that is told nothing lets the page load nothing; in ChatGPT this shows only once the app is published",
            "list the origins in both, with empty lists when it loads nothing",
        );
    }
    let list = |of: Option<&Value>, key: &str| -> Vec<String> {
        let list = of.and_then(|of| of.get(key)?.as_array()).into_iter().flatten();
        list.filter_map(|origin| origin.as_str().map(str::to_owned)).collect()
    };
    if standard.is_some() && theirs.is_some() {
        let only = |these: &[String], others: &[String]| -> Vec<String> {
            these.iter().filter(|origin| !others.contains(origin)).map(|origin| readable(&cut(origin, 80))).collect()
        };
        for (ours, their) in LISTS {
            let (standard, theirs) = (list(standard, ours), list(theirs, their));
            let differing = [only(&theirs, &standard), only(&standard, &theirs)].concat();
            if !differing.is_empty() {
                tour.warn(
                    format!(
                        "the page {name} lists different origins for ChatGPT (`{their}`) and for others (`{ours}`): {}",
                        differing.join(", ")
                    ),
                    "it works in one client and not in the other",
                    "write the same origins into both",
                );
            }
        }
    }
    let used = if tour.is_chatgpt() { theirs } else { standard };
    let of = |(ours, their): (&str, &str)| list(used, if tour.is_chatgpt() { their } else { ours });
    let [connect, resource, frame] = LISTS;
    let csp = Csp {
        connect_domains: of(connect),
        resource_domains: of(resource),
        frame_domains: of(frame),
        base_uri_domains: list(standard, "baseUriDomains"),
        redirect_domains: Vec::new(),
    };
    let found = loads(html);
    let lacking: Vec<String> = uncovered(&found, &csp, &[]).into_iter().map(|(load, _)| shown(&load.url)).collect();
    if !lacking.is_empty() {
        let first: Vec<String> = lacking.iter().take(MOST_FAULTS).map(|url| readable(url)).collect();
        let severity = if used.is_some() { Severity::Error } else { Severity::Warning };
        tour.found(
            severity,
            format!("the page {name} loads what it may not: {}", first.join(", ")),
            "the client forbids it without a word, and the page stays empty or broken",
            "list the origins in `ui.csp` and `openai/widgetCSP`, or put everything into the page",
        );
    }
}

/// Each client wants another thing of the page's domain.
fn judge_domain<P>(tour: &mut Tour<'_, P>, name: &str, meta: &Value) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let domain = text(meta.pointer("/ui/domain")).or_else(|| text(meta.get("openai/widgetDomain")));
    let Some(domain) = domain else { return };
    match tour.guise() {
        Guise::ChatGpt => {
            let origin = Url::parse(&domain).ok().map(|url| url.origin().ascii_serialization());
            if origin.as_deref() != Some(domain.trim_end_matches('/')) || !domain.starts_with("https://") {
                tour.warn(
                    format!(
                        "the page {name} has the domain \"{}\", which is no https origin",
                        readable(&cut(&domain, 100))
                    ),
                    "ChatGPT wants an origin such as https://example.com there, and refuses to publish the app",
                    "set `ui.domain` to the origin of the server for ChatGPT, or leave it out",
                );
            }
        }
        Guise::Claude => {
            let mut wanted = sha256_hex(tour.visit.url.as_str());
            wanted.truncate(32);
            wanted += ".claudemcpcontent.com";
            if domain != wanted {
                tour.warn(
                    format!("the page {name} has the domain \"{}\" instead of {wanted}", readable(&cut(&domain, 100))),
                    "Claude makes that name out of the server's address, and does not show pages with another",
                    "set `ui.domain` to that for Claude, or leave it out",
                );
            }
        }
    }
}
