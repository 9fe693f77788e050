//! Pages and data for people beside `/mcp`: the dashboard, its stream, and pages' assets.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use axum::{body::Body, response::Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{self, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{Instant, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::DeskAccess;
use super::access::Access;
use super::guard::{Visitor, is_local};
use super::reply;
use crate::auth::password;
use crate::protocol::Server;
use crate::widget::Pages;

/// Who speaks in an error of these routes, as their clients expect it.
const BRAND: &str = "Switchboard";
/// How a browser is told to ask a person for the key.
pub(super) const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"switchboard\", charset=\"UTF-8\"");
/// The page that shows how the connectors are.
const DASHBOARD: &str = "connectors";
/// An overview is sent at least this often.
const INTERVAL: Duration = Duration::from_secs(15);
/// Readers of the stream at once.
pub(super) const READERS: usize = 100;
/// Changes within this time are one change.
const SETTLE: Duration = Duration::from_millis(250);
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
            let said = headers.get(AUTHORIZATION).and_then(|said| said.to_str().ok()).unwrap_or_default();
            let (scheme, shown) = said.split_once(' ').unwrap_or_default();
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            let shown = if is_bearer { Some(shown.trim().to_owned()) } else { password(said) };
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

/// Whether a request came from this machine itself, and not by way of a proxy or tunnel that ends here.
pub(super) fn is_direct(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let of_proxies = [header::FORWARDED.as_str(), "via", "x-real-ip", "true-client-ip", "cf-connecting-ip"];
    let is_of_proxy = |name: &str| name.starts_with("x-forwarded-") || of_proxies.contains(&name);
    let passed_on = headers.keys().any(|name| is_of_proxy(name.as_str()));
    peer.ip().to_canonical().is_loopback() && !passed_on && is_local(host)
}

fn denied(status: StatusCode, message: &str) -> Response {
    let mut response = reply::json(status, json!({ "detail": format!("[{BRAND}] {message}") }).to_string());
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
        return denied(StatusCode::NOT_FOUND, "the folder of pages holds no `connectors.html`");
    };
    let scripts = script_hashes(&html).map(|hash| format!("'sha256-{hash}'"));
    let scripts: Vec<String> = std::iter::once("'self'".to_owned()).chain(scripts).collect();
    let policy = format!("script-src {}; {POLICY}", scripts.join(" "));
    let mut response = reply::html(html.as_ref().to_owned());
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What its own policy says of each script that stands in a page: nothing that got in from elsewhere runs.
fn script_hashes(html: &str) -> impl Iterator<Item = String> {
    html.split("<script").skip(1).filter_map(|rest| {
        let (_, rest) = rest.split_once('>')?;
        let (script, _) = rest.split_once("</script")?;
        let hash = || BASE64_STANDARD.encode(digest::digest(&digest::SHA256, script.as_bytes()));
        (!script.trim().is_empty()).then(hash)
    })
}

/// How the connectors are: at once, when something changes, and now and then. A slow reader gets what is newest
/// when it reads, and nothing that was before.
pub(super) fn stream(server: &Server, readers: &Arc<Semaphore>, closing: CancellationToken) -> Response {
    let Ok(place) = Arc::clone(readers).try_acquire_owned() else {
        return denied(StatusCode::SERVICE_UNAVAILABLE, "too many read this already; try again later");
    };
    let server = server.clone();
    let events = async_stream::stream! {
        let _place = place;
        let (mut live, mut health) = server.watch();
        let mut tick = interval_at(Instant::now() + INTERVAL, INTERVAL);
        loop {
            live.mark_unchanged();
            health.mark_unchanged();
            let overview = server.overview();
            let data = json!({ "timestamp": overview.get("generatedAt"), "dashboard": overview });
            yield Ok::<_, Infallible>(format!("event: status\ndata: {data}\n\n"));
            let changed = tokio::select! {
                changed = live.changed() => changed.is_ok(),
                changed = health.changed() => changed.is_ok(),
                _ = tick.tick() => continue,
                () = closing.cancelled() => return,
            };
            if !changed {
                return;
            }
            if closing.run_until_cancelled(tokio::time::sleep(SETTLE)).await.is_none() {
                return;
            }
        }
    };
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// A file that pages load, for pages of any origin: clients show them on origins of their own.
pub(super) async fn asset(server: &Server, method: &Method, address: &str) -> Response {
    let Some((asset, for_ever)) = server.asset(address).await else {
        return denied(StatusCode::NOT_FOUND, "there is no such asset");
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
