//! The guard before every route: Host, Origin, CORS and forwarded headers.
//!
//! A page in a browser can send requests to this machine. A name that resolves here by DNS
//! rebinding is told by its `Host`, a foreign page by its `Origin`; both are refused.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority};
use url::{Host, Url};

use super::{
    HttpOptions,
    reply::{self, Code},
};
use crate::widget::ASSETS;

/// Methods any route may have.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
/// Headers a page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, X-Request-Id");
/// How much of a refused name is repeated.
const LONGEST_NAME: usize = 100;

/// Decides who may talk to us from where.
#[derive(Debug)]
pub(super) struct Guard {
    options: HttpOptions,
    bound: IpAddr,
}

/// The path before `/mcp` as the client sees it; empty or `/prefix`.
#[derive(Debug, Clone)]
pub(super) struct Prefix(pub(super) String);

impl Guard {
    pub(super) fn new(options: HttpOptions, bound: IpAddr) -> Self {
        Self { options, bound }
    }

    fn host_allowed(&self, authority: &Authority) -> bool {
        let host = authority.host().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        is_loopback(&host)
            || host.parse::<IpAddr>().is_ok_and(|address| address == self.bound)
            || self.options.public_url.as_ref().and_then(Url::host_str).is_some_and(|public| public == host)
            || self.options.allowed_hosts.iter().any(|allowed| matches_host(allowed, &host, authority.port_u16()))
    }

    fn origin_allowed(&self, origin: &str) -> bool {
        if self.options.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.trim_end_matches('/') == origin)
        {
            return true;
        }
        let Ok(origin) = Url::parse(origin) else { return false };
        let public = self.options.public_url.as_ref().is_some_and(|public| public.origin() == origin.origin());
        public || origin.host_str().is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])))
    }

    fn trusts(&self, peer: SocketAddr) -> bool {
        let address = peer.ip().to_canonical();
        self.options.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// What a trusted proxy says of the client's view; `None` from anybody else.
    fn forwarded<'a>(&self, peer: SocketAddr, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let value = headers.get(name)?.to_str().ok()?;
        self.trusts(peer).then(|| value.split(',').next().unwrap_or_default().trim())
    }

    fn prefix(&self, peer: SocketAddr, headers: &HeaderMap) -> Prefix {
        let forwarded = self.forwarded(peer, headers, "x-forwarded-prefix").filter(|prefix| is_path(prefix));
        let public = self.options.public_url.as_ref().map(Url::path);
        Prefix(forwarded.or(public).unwrap_or_default().trim_end_matches('/').to_owned())
    }

    /// Why a request is refused, if it is.
    fn refusal(&self, peer: SocketAddr, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let own = own.or_else(|| request.uri().authority().map(Authority::as_str)).unwrap_or_default();
        // A page can send any forwarded header through a proxy we trust, but not any Host.
        let named = [Some(own), self.forwarded(peer, headers, "x-forwarded-host")];
        let foreign = |name: &&str| !Authority::try_from(*name).is_ok_and(|authority| self.host_allowed(&authority));
        if let Some(foreign) = named.into_iter().flatten().find(foreign) {
            let message = format!(
                "the host `{}` is not allowed here; add it to ALLOWED_HOSTS (--allowed-host), or set BASE_URL (--public-url) to the address you are reached at",
                short(foreign)
            );
            return Some(reply::error(StatusCode::FORBIDDEN, Code::InvalidRequest, &message));
        }
        let origin = headers.get(header::ORIGIN)?.to_str().unwrap_or("null");
        // Clients show pages on origins of their own, and what a page loads is no secret.
        let prefix = self.options.public_url.as_ref().map(|url| url.path().trim_end_matches('/')).unwrap_or_default();
        let path = request.uri().path();
        let path = path.strip_prefix(prefix).unwrap_or(path);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let is_asset = reads && path.starts_with(ASSETS);
        if is_asset || self.origin_allowed(origin) {
            return None;
        }
        let message = format!(
            "the web origin `{}` is not allowed here; add it to ALLOWED_ORIGINS (--allowed-origin)",
            short(origin)
        );
        Some(reply::error(StatusCode::FORBIDDEN, Code::InvalidRequest, &message))
    }
}

/// The middleware over every route, unknown ones included.
pub(super) async fn watch(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = match guard.refusal(peer, &request) {
        Some(refusal) => {
            tracing::debug!(%peer, path = request.uri().path(), "refused by its Host or Origin");
            refusal
        }
        None if request.method() == Method::OPTIONS => reply::empty(StatusCode::NO_CONTENT),
        None => {
            let prefix = guard.prefix(peer, request.headers());
            request.extensions_mut().insert(prefix);
            next.run(request).await
        }
    };
    // The Origin check has decided already and there are no cookies, so any page may read.
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if let Some(asked) = asked {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        headers.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    } else if response.status() == StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    }
    response
}

/// Whether a `Host` header names this machine.
pub(super) fn is_local(host: &str) -> bool {
    Authority::try_from(host).is_ok_and(|authority| is_loopback(authority.host().trim_matches(['[', ']'])))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// `example.com`, `example.com:8443`, `*.example.com` or `*`.
fn matches_host(allowed: &str, host: &str, port: Option<u16>) -> bool {
    let allowed = allowed.to_ascii_lowercase();
    if allowed == "*" {
        return true;
    }
    if let Some(domain) = allowed.strip_prefix("*.") {
        return host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.'));
    }
    match Authority::try_from(allowed.as_str()) {
        Ok(authority) => {
            let same = Host::parse(authority.host()).ok() == Host::parse(host).ok() || authority.host() == host;
            same && (authority.port_u16().is_none() || authority.port_u16() == port)
        }
        Err(_) => allowed == host,
    }
}

/// A path that is only a path, so that it cannot become an address elsewhere.
fn is_path(prefix: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    prefix.starts_with('/') && !prefix.starts_with("//") && prefix.chars().all(fits)
}

fn short(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}
