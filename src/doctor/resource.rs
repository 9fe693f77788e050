//! What the server says of itself as a protected resource (RFC 9728).

use serde_json::Value;
use url::Url;

use super::tour::{Looked, Tour};
use super::wire::{is_safe, plain};
use super::{Severity, SignIn};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// How a place answered.
enum Found {
    Document(Value),
    Nothing,
    Wrong(String),
}

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    let url = tour.visit.url.clone();
    let root = with_path(&url, WELL_KNOWN);
    let path = url.path().trim_end_matches('/');
    let below = with_path(&url, &format!("{WELL_KNOWN}{path}"));
    let named = tour.learned.metadata_at.clone();

    let mut found: Vec<(Url, Value)> = Vec::new();
    let mut missing = Vec::new();
    let mut places: Vec<Url> = named.iter().cloned().collect();
    places.extend([below, root].into_iter().filter(|place| Some(place) != named.as_ref()));
    places.dedup();
    for place in places {
        match fetch(tour, &place).await {
            Found::Document(document) => found.push((place, document)),
            Found::Nothing => missing.push((place, "HTTP 404".to_owned())),
            Found::Wrong(reason) => missing.push((place, reason)),
        }
    }
    let Some((place, document)) = found.first().cloned() else { return Ok(nothing(tour, &missing)) };
    told_elsewhere(tour, named.as_ref(), &found, &missing);
    judge(tour, &document);
    tour.learned.resource = Some(document);
    Ok(format!("read at {}", plain(&place)))
}

/// No metadata at all: fine when nobody has to sign in.
fn nothing<P>(tour: &mut Tour<'_, P>, missing: &[(Url, String)]) -> String {
    if tour.learned.is_open() {
        let pages = missing.iter().filter(|(_, reason)| reason == PAGE).map(|(place, _)| plain(place));
        let pages: Vec<String> = pages.collect();
        if !pages.is_empty() {
            tour.warn(
                format!("a web page is at {}", pages.join(" and ")),
                "clients look there for JSON when they connect; a page makes some of them give up",
                "answer HTTP 404 there, best with a JSON body",
            );
        }
        return "none, and none is needed: the server is open to everybody".into();
    }
    let who = tour.who();
    let places: Vec<String> = missing.iter().map(|(place, reason)| format!("{} ({reason})", plain(place))).collect();
    let (severity, why) = if matches!(tour.visit.sign_in, SignIn::Token(_)) && !tour.is_chatgpt() {
        (Severity::Warning, "people have to type a key into Claude as a header".to_owned())
    } else {
        (Severity::Error, format!("{who} does not learn where to sign in; it cannot show an API key or a fixed token"))
    };
    tour.found(
        severity,
        format!("the server wants a token and does not say where to sign in: no resource metadata at {}", places.join(", ")),
        why,
        "serve the resource metadata (RFC 9728) there and name an OAuth sign-in server in it (in Switchboard: `--auth built-in`)",
    );
    String::new()
}

const PAGE: &str = "a web page";

async fn fetch<P>(tour: &mut Tour<'_, P>, place: &Url) -> Found {
    let answer = match tour.wire.get(place.clone()).await {
        Ok(answer) => answer,
        Err(reason) => return Found::Wrong(reason),
    };
    match answer.json() {
        _ if answer.status == 404 => Found::Nothing,
        _ if answer.is_page() => Found::Wrong(PAGE.into()),
        Some(document @ Value::Object(_)) if answer.is_ok() => Found::Document(document),
        Some(_) | None => Found::Wrong(answer.summary()),
    }
}

/// Whether clients that look in other places find the same.
fn told_elsewhere<P>(tour: &mut Tour<'_, P>, named: Option<&Url>, found: &[(Url, Value)], missing: &[(Url, String)]) {
    let who = tour.who();
    if let Some(named) = named
        && let Some((_, reason)) = missing.iter().find(|(place, _)| place == named)
    {
        tour.error(
            format!("the resource metadata cannot be read where the 401 answer says: {} ({reason})", plain(named)),
            format!("{who} does not learn where to sign in"),
            "correct the address in the `WWW-Authenticate` header, or serve the document there",
        );
    }
    if named.is_none() && tour.learned.is_challenged() {
        tour.warn(
            "the 401 answer does not say where the resource metadata is (`resource_metadata`)",
            "clients then try the usual places; some look at the root only, some below it",
            "add `resource_metadata=\"<address>\"` to the `WWW-Authenticate` header",
        );
    }
    for (place, reason) in missing.iter().filter(|(place, _)| Some(place) != named) {
        tour.note(
            format!("the resource metadata is not at {} ({reason})", plain(place)),
            "clients that do not read the `WWW-Authenticate` header look there",
            "serve the same document at both usual places",
        );
    }
    if let Some(((first, document), (other, _))) =
        found.first().zip(found.iter().find(|(_, other)| found.first().is_some_and(|(_, first)| first != other)))
    {
        let resource = document.get("resource").and_then(Value::as_str).unwrap_or_default();
        tour.warn(
            format!("the resource metadata at {} and {} differ", plain(first), plain(other)),
            "which one counts depends on the client",
            format!("serve one document at both places, with `resource` {resource}"),
        );
    }
}

fn judge<P>(tour: &mut Tour<'_, P>, document: &Value) {
    let who = tour.who();
    let url = tour.visit.url.clone();
    let correct = format!("set `resource` to {url} (in Switchboard: set BASE_URL or --public-url)");
    match document.get("resource").and_then(Value::as_str) {
        None => tour.error("the resource metadata has no `resource`", format!("{who} cannot use it"), correct),
        Some(resource) if resource == url.as_str() => {}
        Some(resource) if is_parent(resource, &url) => tour.warn(
            format!("the resource metadata is for {resource}, which is not quite the address {url}"),
            "some clients compare the two letter by letter, and tokens are made for the one that is written there",
            correct,
        ),
        Some(resource) => tour.error(
            format!("the resource metadata is for another address: `resource` is {resource}, not {url}"),
            format!("{who} asks for a token for that other address, or refuses to go on"),
            correct,
        ),
    }
    let list = |name: &str| document.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let servers = list("authorization_servers");
    match servers.first().and_then(Value::as_str).map(|server| (server, Url::parse(server))) {
        None => tour.error(
            "the resource metadata names no sign-in server",
            format!("{who} does not learn where to sign in"),
            "put the sign-in server's address into `authorization_servers`",
        ),
        Some((server, parsed)) => {
            if !parsed.is_ok_and(|server| is_safe(&server)) {
                tour.error(
                    format!("the sign-in server is not at an https address: {server}"),
                    format!("{who} does not sign in there"),
                    "give it an https address (in Switchboard: BASE_URL or --public-url)",
                );
            }
        }
    }
    if list("scopes_supported").iter().any(|scope| scope == "offline_access") {
        tour.warn(
            "the resource metadata lists the scope `offline_access`",
            "whether a client stays signed in is between it and the sign-in server, not the business of this server",
            "leave `offline_access` out of `scopes_supported` of the resource metadata",
        );
    }
}

/// The same, but for a slash at the end, or a folder above.
fn is_parent(resource: &str, url: &Url) -> bool {
    let Ok(parsed) = Url::parse(resource) else { return false };
    let above = parsed.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(above);
    parsed.origin() == url.origin()
        && parsed.query().is_none()
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Another path at the same origin.
pub(super) fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}
