//! The shared client, and one exchange with its redirects.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Request, Response, StatusCode, redirect::Policy};
use url::{Host, Url};

use super::guard::{PublicOnly, Refused, is_public};
use crate::error::{Again, Error, ErrorKind, Result};

/// Redirects followed in one exchange.
const MOST_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The HTTP clients that connectors share: one for each kind of access and connect timeout, because
/// each has its own pool and its own copy of the machine's certificates.
#[derive(Debug, Default)]
pub struct Upstream(Mutex<HashMap<(bool, Duration), Client>>);

/// Where a connector's requests may go.
#[derive(Debug, Clone)]
pub struct Hop {
    client: Client,
    allow_private: bool,
    public: Client,
}

impl Upstream {
    /// The way to one connector. Fails when the machine has no usable TLS roots.
    pub fn hop(&self, allow_private: bool, connect_timeout: Option<Duration>) -> reqwest::Result<Hop> {
        let timeout = connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let client = self.client(allow_private, timeout)?;
        Ok(Hop { client, allow_private, public: self.client(false, timeout)? })
    }

    fn client(&self, allow_private: bool, timeout: Duration) -> reqwest::Result<Client> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(allow_private, timeout)) {
            return Ok(client.clone());
        }
        let client = client(allow_private, timeout)?;
        clients.insert((allow_private, timeout), client.clone());
        Ok(client)
    }
}

fn client(allow_private: bool, connect_timeout: Duration) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        // A redirect is a new request, to be checked like the first one.
        .redirect(Policy::none())
        // A proxy would resolve names itself, behind the guard's back.
        .no_proxy()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(Duration::from_mins(1));
    if allow_private { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) }.build()
}

impl Hop {
    /// A request builder for this connector.
    pub fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request and follows no redirect: the answer is what the address itself says.
    pub async fn once(&self, request: Request) -> Result<Response> {
        check_literal(request.url(), self.allow_private)?;
        self.client.execute(request).await.map_err(|error| explain(&error))
    }

    /// Sends a request and follows its redirects. What leaves the origin goes to public addresses
    /// only, without the connector's headers; a request with a body is not sent elsewhere at all.
    pub async fn send(&self, request: Request) -> Result<Response> {
        check_literal(request.url(), self.allow_private)?;
        let origin = request.url().origin();
        let (mut method, mut url, mut headers) =
            (request.method().clone(), request.url().clone(), request.headers().clone());
        let mut response = self.client.execute(request).await.map_err(|error| explain(&error))?;
        for _ in 0..MOST_REDIRECTS {
            let Some(target) = redirect_target(&response, &url)? else { return Ok(response) };
            method = redirected_method(method, response.status())?;
            url = target;
            for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
                headers.remove(name);
            }
            let same = url.origin() == origin;
            if !same {
                headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))]);
            }
            check_literal(&url, same && self.allow_private)?;
            let client = if same { &self.client } else { &self.public };
            let mut request = Request::new(method.clone(), url.clone());
            *request.headers_mut() = headers.clone();
            response = client.execute(request).await.map_err(|error| explain_later(&error))?;
            response.extensions_mut().insert(Redirected);
        }
        if redirect_target(&response, &url)?.is_none() {
            return Ok(response);
        }
        Err(Error::new(ErrorKind::Upstream, format!("the upstream redirected more than {MOST_REDIRECTS} times")))
    }
}

/// Marks an answer that came from where an earlier one had sent us.
#[derive(Debug, Clone, Copy)]
pub struct Redirected;

/// Where a response points to, when it is a redirect.
fn redirect_target(response: &Response, from: &Url) -> Result<Option<Url>> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
    let Some(location) = location else { return Ok(None) };
    let target = location.to_str().ok().and_then(|location| from.join(location).ok());
    match target.filter(|url| matches!(url.scheme(), "http" | "https")) {
        Some(url) if from.scheme() == "https" && url.scheme() == "http" => {
            Err(Error::new(ErrorKind::Upstream, "the upstream redirected to an address without TLS"))
        }
        Some(url) => Ok(Some(url)),
        None => Err(Error::new(ErrorKind::Upstream, "the upstream redirected to something that is no web address")),
    }
}

/// How a redirect is followed: what has a body is not sent twice.
fn redirected_method(method: Method, status: StatusCode) -> Result<Method> {
    match method {
        Method::GET | Method::HEAD => Ok(method),
        _ if status == StatusCode::SEE_OTHER => Ok(Method::GET),
        _ => {
            let message = format!(
                "the upstream redirected a {method} request, which is not sent twice; its manifest has to name the new address"
            );
            Err(Error::new(ErrorKind::Upstream, message))
        }
    }
}

/// Addresses written as numbers never reach the resolver.
fn check_literal(url: &Url, allow_private: bool) -> Result<()> {
    if allow_private || is_public_literal(url) { Ok(()) } else { Err(refused()) }
}

/// Whether an address is none of a private network as it is written.
pub fn is_public_literal(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        Some(Host::Domain(_)) => true,
        None => false,
    }
}

fn refused() -> Error {
    let message = "the upstream's address is private, and its manifest does not allow that (`allowPrivate`; never for a redirect to another host)";
    Error::new(ErrorKind::Unreachable, message)
}

/// A failed exchange after another: whatever became of this one, the first was sent.
fn explain_later(error: &reqwest::Error) -> Error {
    let error = explain(error);
    if error.again().is_some() { error.of_exchange(Again::MAYBE) } else { error }
}

/// A failed exchange in words without addresses; the details go to the log.
fn explain(error: &reqwest::Error) -> Error {
    let causes: Vec<&(dyn std::error::Error + 'static)> =
        std::iter::successors(error.source(), |&cause| cause.source()).collect();
    let is_refused = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<Refused>()
            || cause
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref)
                .is_some_and(|inner| inner.downcast_ref::<Refused>().is_some())
    };
    if causes.iter().copied().any(is_refused) {
        return refused();
    }
    let what = if error.is_timeout() {
        "the upstream did not answer in time"
    } else if error.is_connect() {
        "the upstream could not be reached"
    } else {
        "the exchange with the upstream broke off"
    };
    // The URL may hold a credential, so only the causes are kept.
    let causes = causes.iter().map(ToString::to_string).collect::<Vec<String>>().join(": ");
    let again = if error.is_connect() { Again::NEVER_SENT } else { Again::MAYBE };
    Error::new(ErrorKind::Unreachable, what).because(causes).of_exchange(again)
}

/// Whether a failed exchange never began, so that a second try repeats nothing.
pub fn never_sent(error: &Error) -> bool {
    error.again() == Some(Again::NEVER_SENT)
}
