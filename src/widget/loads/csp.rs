//! The lists of origins a page may use, read as a browser reads them in a content security policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Kind, Load};

/// Why an address without scheme and host cannot work.
pub const NOT_ABSOLUTE: &str = "not an absolute URL, and a page has no address of its own in a host";

/// Why an address cannot work that no list speaks for.
pub const NO_LIST: &str = "hosts allow this to no page";

/// The origins a page may use, such as `https://api.example.com` or `https://*.example.com`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Csp {
    /// Where its scripts may send requests and open connections.
    #[schemars(inner(regex(pattern = r"^(https?|wss?)://(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?$")))]
    pub connect_domains: Vec<String>,
    /// Where its scripts, styles, images, fonts and media may come from.
    #[schemars(inner(regex(pattern = r"^(https?|wss?)://(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?$")))]
    pub resource_domains: Vec<String>,
    /// What it may show in frames.
    #[schemars(inner(regex(pattern = r"^(https?|wss?)://(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?$")))]
    pub frame_domains: Vec<String>,
    /// What its `base` may be.
    #[schemars(inner(regex(pattern = r"^(https?|wss?)://(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?$")))]
    pub base_uri_domains: Vec<String>,
    /// Where links that the host opens may lead back from.
    #[schemars(inner(regex(pattern = r"^(https?|wss?)://(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?$")))]
    pub redirect_domains: Vec<String>,
}

/// The loads that a host would refuse, each with the name of the list that lacks its origin, [`NOT_ABSOLUTE`] or
/// [`NO_LIST`]. The origins in `own` count as if they stood in every list.
pub fn uncovered<'a>(loads: &'a [Load], csp: &Csp, own: &[&str]) -> Vec<(&'a Load, &'static str)> {
    loads.iter().filter_map(|load| Some((load, lack(load, csp, own)?))).collect()
}

fn lack(load: &Load, csp: &Csp, own: &[&str]) -> Option<&'static str> {
    let Ok(url) = Url::parse(&load.url) else { return Some(NOT_ABSOLUTE) };
    let (name, list) = match load.kind {
        Kind::Connect => ("connectDomains", &csp.connect_domains),
        Kind::Script | Kind::Style | Kind::Image | Kind::Font | Kind::Media => {
            ("resourceDomains", &csp.resource_domains)
        }
        Kind::Frame => ("frameDomains", &csp.frame_domains),
        Kind::Base => ("baseUriDomains", &csp.base_uri_domains),
        Kind::Form | Kind::Object | Kind::Other => return Some(NO_LIST),
    };
    let mut sources = list.iter().map(String::as_str).chain(own.iter().copied());
    if sources.any(|source| allows(source.trim(), &url)) { None } else { Some(name) }
}

/// Whether a source (`https:`, `example.com`, `https://*.example.com:8443/path/`) allows an address.
fn allows(source: &str, url: &Url) -> bool {
    if source == "*" {
        return ["https", "http", "wss", "ws"].contains(&url.scheme());
    }
    if let Some(scheme) = source.strip_suffix(':') {
        return scheme_allows(scheme, url.scheme());
    }
    // The page itself came by https, and a source without scheme means that of the page.
    let (scheme, rest) = source.split_once("://").unwrap_or(("https", source));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    scheme_allows(scheme, url.scheme())
        && host_allows(host, url.host_str().unwrap_or_default())
        && port_allows(port, url)
        && path_allows(path, url.path())
}

/// The secure form of an allowed scheme is allowed too. `https` does not stand for `wss`.
fn scheme_allows(source: &str, scheme: &str) -> bool {
    match source.to_ascii_lowercase().as_str() {
        "http" => ["http", "https"].contains(&scheme),
        "wss" => ["wss", "https"].contains(&scheme),
        "ws" => ["ws", "wss", "http", "https"].contains(&scheme),
        source => source == scheme,
    }
}

fn host_allows(source: &str, host: &str) -> bool {
    let source = source.to_ascii_lowercase();
    match source.strip_prefix('*') {
        Some("") => true,
        // The dot stays, so that the domain itself and those that only end alike are other hosts.
        Some(domain) => domain.starts_with('.') && host.len() > domain.len() && host.ends_with(domain),
        None => source == host,
    }
}

fn port_allows(source: Option<&str>, url: &Url) -> bool {
    match source {
        None => url.port().is_none(),
        Some("*") => true,
        Some(port) => port.parse().ok() == url.port_or_known_default(),
    }
}

/// A source's path without its first slash: all of a folder, or one file.
fn path_allows(source: &str, path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    if source.is_empty() || source.ends_with('/') { path.starts_with(source) } else { path == source }
}
