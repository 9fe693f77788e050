//! Pages and data beside `/mcp`, for who looks after the server: the dashboard, the service map, and pages' assets.

use std::net::SocketAddr;

use axum::response::Response;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{self, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::DeskAccess;
use super::access::Access;
use super::guard::{Visitor, is_local};
use super::http::LAST_EVENT;
use super::reply;
use super::stream::Board;
use crate::auth::password;
use crate::protocol::Server;
use crate::widget::{Pages, hash_source};

/// How a browser is told to ask a person for the key.
pub(super) const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"switchboard\", charset=\"UTF-8\"");
/// The page that shows how the connectors are.
const DASHBOARD: &str = "connectors";
/// What the dashboard may do: run script and style of its own and ours, and talk to us.
const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Why somebody may not see this, if so. Browsers ask a person for the key, as the password of any name.
pub(super) fn refusal(
    desk: &DeskAccess,
    access: &Access,
    visitor: Visitor,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Option<Response> {
    let denied = |status, message: &str| denied(&access.brand(), status, message);
    if visitor.foreign {
        return Some(denied(StatusCode::FORBIDDEN, "pages of other origins may not see this"));
    }
    match desk {
        DeskAccess::Everybody => None,
        DeskAccess::ThisMachine if is_direct(peer, headers) => None,
        DeskAccess::ThisMachine | DeskAccess::Nobody => {
            Some(denied(StatusCode::FORBIDDEN, "set CONNECTORS_API_KEY to let people with that key see this"))
        }
        DeskAccess::Key => {
            let (shown, is_bearer) = shown(headers);
            if shown.as_ref().is_some_and(|shown| access.is_operator(shown)) {
                return None;
            }
            let guessed = shown.and_then(|_| access.slow_down(visitor.address));
            let refuse = || {
                if is_bearer {
                    return denied(StatusCode::FORBIDDEN, "the API key is wrong");
                }
                denied(StatusCode::UNAUTHORIZED, "show the API key: `Authorization: Bearer <key>`")
            };
            Some(guessed.unwrap_or_else(refuse))
        }
    }
}

/// The key that a request shows, if it shows one, and whether as a bearer token.
fn shown(headers: &HeaderMap) -> (Option<String>, bool) {
    let said = headers.get(AUTHORIZATION).and_then(|said| said.to_str().ok()).unwrap_or_default();
    let (scheme, shown) = said.split_once(' ').unwrap_or_default();
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    (if is_bearer { Some(shown.trim().to_owned()) } else { password(said) }, is_bearer)
}

/// Whether a request came from this machine itself, and not by way of a proxy or tunnel that ends here.
pub(super) fn is_direct(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let of_proxies = [header::FORWARDED.as_str(), "via", "x-real-ip", "true-client-ip", "cf-connecting-ip"];
    let is_of_proxy = |name: &str| name.starts_with("x-forwarded-") || of_proxies.contains(&name);
    let passed_on = headers.keys().any(|name| is_of_proxy(name.as_str()));
    peer.ip().to_canonical().is_loopback() && !passed_on && is_local(host)
}

/// A no, in the form the clients of these routes expect.
fn denied(brand: &str, status: StatusCode, message: &str) -> Response {
    let mut response = reply::json(status, json!({ "detail": format!("[{brand}] {message}") }).to_string());
    if status == StatusCode::UNAUTHORIZED {
        let headers = response.headers_mut();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"switchboard\""));
        headers.append(WWW_AUTHENTICATE, BASIC);
    }
    response
}

/// The dashboard as a page of its own.
pub(super) fn dashboard(server: &Server, prefix: &str) -> Response {
    // It is on our own origin, wherever that is.
    let pages = Pages { base: Some(prefix.to_owned()), ..server.pages() };
    let page = pages.bundle.pages().get(DASHBOARD).and_then(|page| pages.placed(page).ok());
    let Some((html, _)) = page else {
        let live = server.gateway().live();
        return denied(live.brand(), StatusCode::NOT_FOUND, "the folder of pages holds no `connectors.html`");
    };
    let scripts: Vec<String> = std::iter::once("'self'".to_owned()).chain(script_sources(&html)).collect();
    let policy = format!("script-src {}; {POLICY}", scripts.join(" "));
    let mut response = reply::html(html.as_ref().to_owned());
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What its own policy says of each script that stands in a page: nothing that got in from elsewhere runs.
fn script_sources(html: &str) -> impl Iterator<Item = String> {
    html.split("<script").skip(1).filter_map(|rest| {
        let (_, rest) = rest.split_once('>')?;
        let (script, _) = rest.split_once("</script")?;
        (!script.trim().is_empty()).then(|| hash_source(script))
    })
}

/// The signed service map.
pub(super) fn service_map(server: &Server) -> Response {
    match server.gateway().service_map() {
        Ok(document) => reply::json(StatusCode::OK, document),
        Err(why) => denied(server.gateway().live().brand(), StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// How the connectors are, again and again, for as long as the key counts that the reader came with.
pub(super) fn stream(
    server: &Server,
    (desk, access): (&DeskAccess, &Access),
    board: &Board,
    headers: &HeaderMap,
) -> Response {
    let known = headers.get(LAST_EVENT).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let key = if matches!(desk, DeskAccess::Key) { shown(headers).0 } else { None };
    let access = access.clone();
    let welcome = move || key.as_ref().is_none_or(|key| access.is_operator(key));
    let counted = server.gateway().telemetry().metrics().stream("connectors");
    board.read(known, counted, welcome).unwrap_or_else(|| {
        let why = "too many read this already; try again later";
        denied(server.gateway().live().brand(), StatusCode::SERVICE_UNAVAILABLE, why)
    })
}

/// A file that pages load, for pages of any origin: clients show them on origins of their own.
pub(super) async fn asset(server: &Server, method: &Method, address: &str) -> Response {
    let Some((asset, for_ever)) = server.asset(address).await else {
        let live = server.gateway().live();
        return denied(live.brand(), StatusCode::NOT_FOUND, "there is no such asset");
    };
    let mut response = reply::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&asset.media_type).unwrap_or(OCTETS));
    headers.insert(CACHE_CONTROL, if for_ever { FOR_EVER } else { NOT_LONG });
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // One that is opened by itself does nothing in our name.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(asset.bytes.len()));
    if method != Method::HEAD {
        *response.body_mut() = asset.bytes.clone().into();
    }
    response
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const NOT_LONG: HeaderValue = HeaderValue::from_static("no-cache");
