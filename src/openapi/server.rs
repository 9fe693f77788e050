//! Where every path begins.

use std::collections::BTreeMap;

use url::Url;

use super::{
    dialect::Dialect,
    node::{Documents, Node},
};

/// Servers that are looked at.
const MOST: usize = 64;

/// The longest address of one.
const LONGEST: usize = 4_096;

/// What an address is made of besides the document.
pub(super) struct Around<'a> {
    pub(super) at: Option<&'a Url>,
    pub(super) variables: &'a BTreeMap<String, String>,
}

/// Where the document says its paths begin, or why that cannot be said.
pub(super) fn base(
    documents: &Documents<'_>,
    dialect: Dialect,
    root: Node<'_>,
    around: &Around<'_>,
) -> Result<Url, String> {
    match dialect {
        Dialect::Swagger2 => swagger(root, around.at),
        Dialect::OpenApi30 | Dialect::OpenApi31 => match root.get("servers").filter(|it| is_list(*it)) {
            Some(_) => one_of(documents, root, "", around),
            None => around.at.map(|at| origin(at.clone())).ok_or_else(|| "it names no server; say `baseUrl`".into()),
        },
    }
}

fn is_list(node: Node<'_>) -> bool {
    node.value.as_array().is_some_and(|items| !items.is_empty())
}

/// Where an operation's own path begins, when it says so.
pub(super) fn own(
    documents: &Documents<'_>,
    holder: Node<'_>,
    place: &str,
    around: &Around<'_>,
) -> Option<Result<Url, String>> {
    holder.get("servers").filter(|servers| is_list(*servers)).map(|_| one_of(documents, holder, place, around))
}

fn origin(mut at: Url) -> Url {
    at.set_path("/");
    at.set_query(None);
    at.set_fragment(None);
    at
}

fn swagger(root: Node<'_>, at: Option<&Url>) -> Result<Url, String> {
    let mut schemes = root.texts("schemes");
    let first = root.texts("schemes").next();
    let scheme = if schemes.any(|scheme| scheme == "https") { Some("https") } else { first };
    let path = root.text("basePath").unwrap_or("/");
    let base = match (root.text("host"), at) {
        (Some(host), at) => {
            let scheme = scheme.or_else(|| at.map(Url::scheme)).unwrap_or("https");
            Url::parse(&format!("{scheme}://{host}")).map_err(|error| format!("`host` {host:?}: {error}"))?
        }
        (None, Some(at)) => origin(at.clone()),
        (None, None) => return Err("it names no `host`; say `baseUrl`".into()),
    };
    web(base.join(&format!("/{}", path.trim_start_matches('/'))).map_err(|error| format!("`basePath`: {error}"))?)
}

fn one_of(documents: &Documents<'_>, holder: Node<'_>, place: &str, around: &Around<'_>) -> Result<Url, String> {
    let mut found: Vec<Url> = Vec::new();
    let mut failed = None;
    for (index, server) in holder.items("servers").take(MOST).enumerate() {
        let place = format!("{place}/servers/{index}");
        match address(documents, server, &place, around) {
            Ok(url) if found.contains(&url) => {}
            Ok(url) => found.push(url),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    // The same without encryption is no other choice.
    let twin = |url: &Url| {
        let mut twin = url.clone();
        url.scheme() == "http" && twin.set_scheme("https").is_ok() && found.contains(&twin)
    };
    let choices: Vec<&Url> = found.iter().filter(|url| !twin(url)).collect();
    match (choices.as_slice(), failed) {
        ([only], _) => Ok((*only).clone()),
        ([], failed) => Err(failed.unwrap_or_else(|| "it names no server; say `baseUrl`".into())),
        (several, _) => {
            let names: Vec<String> = several.iter().take(8).map(|url| format!("`{url}`")).collect();
            Err(format!("it names several servers: say one as `baseUrl`, such as {}", names.join(" or ")))
        }
    }
}

fn address(documents: &Documents<'_>, server: Node<'_>, place: &str, around: &Around<'_>) -> Result<Url, String> {
    let template = server.text("url").unwrap_or("/");
    let too_long = || format!("a server's address is longer than {LONGEST} bytes");
    if template.len() > LONGEST || !documents.read(template) {
        return Err(too_long());
    }
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("server {template:?} has an open `{{`"))?;
        let variable = server.get("variables").and_then(|variables| variables.get(name));
        let given = around.variables.get(name).map(String::as_str);
        let value = given.or_else(|| variable?.text("default"));
        let value = value.ok_or_else(|| format!("server {template:?} needs `serverVariables.{name}`, or `baseUrl`"))?;
        let known: Vec<&str> = variable.into_iter().flat_map(|variable| variable.texts("enum")).take(50).collect();
        if given.is_some() && !known.is_empty() && !known.contains(&value) {
            documents.remark(place, format!("`serverVariables.{name}` is none of {}", known.join(", ")));
        }
        if filled.len() + before.len() + value.len() > LONGEST {
            return Err(too_long());
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    let url = match (Url::parse(&filled), around.at) {
        (Ok(url), _) => url,
        (Err(url::ParseError::RelativeUrlWithoutBase), Some(at)) => {
            at.join(&filled).map_err(|error| format!("server {filled:?}: {error}"))?
        }
        (Err(url::ParseError::RelativeUrlWithoutBase), None) => {
            return Err(format!("server {filled:?} is relative and nobody knows to what; say `baseUrl`"));
        }
        (Err(error), _) => return Err(format!("server {filled:?}: {error}")),
    };
    web(url)
}

fn web(mut url: Url) -> Result<Url, String> {
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{url}` is no web address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a server's address holds no name and no password; say `baseUrl` and `credentials`".into());
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}
