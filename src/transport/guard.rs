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
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority};
use tracing::Instrument as _;
use url::{Host, Url};

use super::{
    HttpOptions,
    reply::{self, Code},
    strangers::{Address, Strangers, Work},
};
use crate::call::RequestId;
use crate::telemetry::{Ids, REQUEST};
use crate::widget::ASSETS;

/// Methods any route may have.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
/// Headers a page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, X-Request-Id");
/// Where anybody may read how to sign in.
const DISCOVERY: &str = "/.well-known/";
/// People find a request in the log by this.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How much of a refused name is repeated.
const LONGEST_NAME: usize = 100;

/// Decides who may talk to us from where.
#[derive(Debug)]
pub(super) struct Guard {
    options: HttpOptions,
    bound: IpAddr,
    strangers: Arc<Strangers>,
}

/// The path before `/mcp` as the client sees it; empty or `/prefix`.
#[derive(Debug, Clone)]
pub(super) struct Prefix(pub(super) String);

/// What is known of who makes a request, before anything is proved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    pub(super) address: Address,
    /// Whether it is a page of another origin.
    pub(super) foreign: bool,
}

impl Guard {
    pub(super) fn new(options: HttpOptions, bound: IpAddr, strangers: Arc<Strangers>) -> Self {
        Self { options, bound, strangers }
    }

    fn host_allowed(&self, authority: &Authority) -> bool {
        let host = authority.host().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        // A name before it is no host's.
        let is_host = !authority.as_str().contains('@');
        let is_ours = is_loopback(&host)
            || host.parse::<IpAddr>().is_ok_and(|address| address == self.bound)
            || self.options.public_url.as_ref().and_then(Url::host_str).is_some_and(|public| public == host)
            || self.options.allowed_hosts.iter().any(|allowed| matches_host(allowed, &host, authority.port_u16()));
        is_host && is_ours
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

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.options.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// What a trusted proxy says of the client's view; `None` from anybody else.
    fn forwarded<'a>(&self, peer: SocketAddr, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let value = headers.get(name)?.to_str().ok()?;
        self.trusts(peer.ip()).then(|| value.split(',').next().unwrap_or_default().trim())
    }

    /// Where a request comes from: the last hop that no proxy of ours made.
    fn address(&self, peer: SocketAddr, headers: &HeaderMap) -> Address {
        let hops = headers.get_all("x-forwarded-for").iter().filter_map(|hops| hops.to_str().ok());
        let hops: Vec<&str> = hops.flat_map(|hops| hops.split(',')).map(str::trim).collect();
        let mut address = peer.ip();
        for hop in hops.into_iter().rev() {
            let before = hop.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip()));
            match before {
                // A tunnel ends on this machine, and says by its last word who came.
                Ok(before) if self.trusts(address) || address.to_canonical().is_loopback() => address = before,
                Ok(_) | Err(_) => break,
            }
        }
        address.into()
    }

    fn prefix(&self, peer: SocketAddr, headers: &HeaderMap) -> Prefix {
        let forwarded = self.forwarded(peer, headers, "x-forwarded-prefix").filter(|prefix| is_path(prefix));
        let public = self.options.public_url.as_ref().map(Url::path);
        Prefix(forwarded.or(public).unwrap_or_default().trim_end_matches('/').to_owned())
    }

    /// Whether a page of another origin makes a request. A browser sends what it knows of us from any page.
    fn is_foreign(&self, peer: SocketAddr, request: &Request) -> bool {
        let headers = request.headers();
        let Some(origin) = headers.get(header::ORIGIN) else { return false };
        let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
        let Some(origin) = origin.map(|origin| origin.origin()) else { return true };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let own = host.or_else(|| request.uri().authority().map(Authority::as_str));
        let own = [own, self.forwarded(peer, headers, "x-forwarded-host")].into_iter().flatten();
        let own = own.flat_map(|host| ["http", "https"].map(|scheme| Url::parse(&format!("{scheme}://{host}"))));
        let own = own.flatten().map(|url| url.origin());
        !own.chain(self.options.public_url.iter().map(Url::origin)).any(|own| own == origin)
    }

    /// A request's path, without what stands before ours.
    fn own_path<'a>(&self, request: &'a Request) -> &'a str {
        let prefix = self.options.public_url.as_ref().map(|url| url.path().trim_end_matches('/')).unwrap_or_default();
        let path = request.uri().path();
        path.strip_prefix(prefix).filter(|path| path.starts_with('/')).unwrap_or(path)
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
        // Clients show pages on origins of their own, and what a page loads is no secret; no more is how to sign in.
        let path = self.own_path(request);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let is_public = reads && [ASSETS, DISCOVERY].iter().any(|public| path.starts_with(public));
        if is_public || self.origin_allowed(origin) {
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
    let id = RequestId::default();
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = match guard.refusal(peer, &request) {
        Some(refusal) => {
            tracing::debug!(%peer, "refused by its Host or Origin");
            reply::after(request.into_body(), refusal).await
        }
        None if request.method() == Method::OPTIONS => reply::empty(StatusCode::NO_CONTENT),
        None => {
            let prefix = guard.prefix(peer, request.headers());
            let address = guard.address(peer, request.headers());
            let work = Work::of(guard.own_path(&request));
            if let Some(refusal) = work.and_then(|work| guard.strangers.refusal(work, address)) {
                reply::after(request.into_body(), refusal).await
            } else {
                let foreign = guard.is_foreign(peer, &request);
                let extensions = request.extensions_mut();
                extensions.insert(prefix);
                extensions.insert(Visitor { address, foreign });
                extensions.insert(id);
                let span = tracing::info_span!(target: REQUEST, "request");
                Ids::give(&span, id.into(), None);
                next.run(request).instrument(span).await
            }
        }
    };
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    // The Origin check has decided already, so any page may read what is no page for a person.
    let headers = response.headers_mut();
    let is_page = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/html");
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_page) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
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
