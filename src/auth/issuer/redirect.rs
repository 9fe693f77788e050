//! Where people are sent back to: which addresses may stand for a client, and when two are the same.

use url::{Host, Url};

/// The longest address.
const LONGEST: usize = 2000;

/// Addresses of the clients that a person types our own client's id into.
const KNOWN: &[&str] = &[
    "https://chatgpt.com/connector_platform_oauth_redirect",
    "https://claude.ai/api/mcp/auth_callback",
    "https://claude.com/api/mcp/auth_callback",
    "https://vscode.dev/redirect",
    "https://insiders.vscode.dev/redirect",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "cursor://anysphere.cursor-mcp/oauth/callback",
];
/// Behind this, ChatGPT has one segment for each connection.
const CHATGPT: &str = "https://chatgpt.com/connector/oauth/";

/// Whom an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A web site, which shows by its certificate whose it is.
    Web,
    /// A program on the person's own computer: any of them may listen there.
    Loopback,
    /// An app on the person's device: any of them may answer to this scheme.
    App,
}

/// Whom an address belongs to; `None`: nobody may be sent there.
pub(super) fn place(address: &str) -> Option<Place> {
    // Characters that parsers disagree about.
    let odd =
        |c: char| !c.is_ascii_graphic() || matches!(c, '\\' | '"' | '<' | '>' | '`' | '{' | '}' | '|' | '^' | '#');
    if address.len() > LONGEST || address.chars().any(odd) {
        return None;
    }
    let url = Url::parse(address).ok()?;
    let canonical = |address: &str| url.as_str() == address || url.as_str().strip_suffix('/') == Some(address);
    let canonical = canonical(address) || is_this_machine(&url) && canonical(&without_port_80(address));
    let named = !url.username().is_empty() || url.password().is_some();
    if !canonical || named || url.fragment().is_some() || !has_plain_host(&url) {
        return None;
    }
    match url.scheme() {
        "https" if url.host().is_some() => Some(if leads_here(&url) { Place::Loopback } else { Place::Web }),
        "http" if is_this_machine(&url) => Some(Place::Loopback),
        "cursor" if KNOWN.contains(&address) => Some(Place::App),
        // The scheme is a domain of the app's maker, turned round (RFC 8252, 7.1).
        scheme if scheme.contains('.') => Some(Place::App),
        _ => None,
    }
}

/// Whether the name of the host is one as there are names: others hold what parts words in a policy or a header.
fn has_plain_host(url: &Url) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(Host::Domain(name))) => name.bytes().all(plain),
        _ => true,
    }
}

/// Whether the host is the person's own computer, in any of the ways to write that.
fn leads_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            let inner = address.to_ipv4_mapped().is_some_and(|it| it.is_loopback() || it.is_unspecified());
            address.is_loopback() || address.is_unspecified() || inner
        }
        None => false,
    }
}

/// An address of this machine without a port that goes without saying.
fn without_port_80(address: &str) -> String {
    match address.strip_suffix(":80") {
        Some(address) => address.to_owned(),
        None => address.replacen(":80/", "/", 1).replacen(":80?", "?", 1),
    }
}

/// The three ways to write it that clients use (RFC 8252, 7.3, and `localhost`).
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.octets() == [127, 0, 0, 1],
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether the asked address is the registered one: the same text. On this machine the port is free, because a
/// program cannot know beforehand which one it gets.
pub(super) fn same(registered: &str, asked: &str) -> bool {
    if registered == asked {
        return true;
    }
    let loopback = |address: &str| {
        let mut url = Url::parse(address).ok().filter(|url| url.scheme() == "http" && is_this_machine(url))?;
        url.set_port(None).ok()?;
        Some(url)
    };
    matches!((loopback(registered), loopback(asked)), (Some(registered), Some(asked)) if registered == asked)
}

/// Whether the asked address is one of the clients we know, or a program on the person's own computer.
pub(super) fn is_known(asked: &str) -> bool {
    let segment = |rest: &str| {
        (1..=200).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let program = || Url::parse(asked).is_ok_and(|url| url.scheme() == "http" && is_this_machine(&url));
    KNOWN.contains(&asked) || asked.strip_prefix(CHATGPT).is_some_and(segment) || program()
}

/// What a person is shown of an address: its host with its port, or its scheme.
pub(super) fn shown(address: &str) -> String {
    match Url::parse(address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => authority(&url),
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => String::new(),
    }
}

/// What a page's policy has to name so that a form may end up at this address. A client's site may send people on to
/// another site of its own, and browsers hold that against the form; so all sites with a certificate are named.
pub(super) fn form_targets(address: &str) -> String {
    match Url::parse(address) {
        // Policies know no IPv6 addresses.
        Ok(url) if url.scheme() == "http" && matches!(url.host(), Some(Host::Ipv6(_))) => "https: http:".into(),
        Ok(url) if url.scheme() == "http" => "https: http://127.0.0.1:* http://localhost:*".into(),
        Ok(url) if url.scheme() != "https" => format!("https: {}:", url.scheme()),
        Ok(_) => "https:".into(),
        Err(_) => String::new(),
    }
}

/// Host and port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The address with these parameters behind it.
pub(super) fn with(address: &str, parameters: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse(address) else { return String::new() };
    url.query_pairs_mut().extend_pairs(parameters);
    url.into()
}
