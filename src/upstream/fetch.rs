//! Small JSON documents from addresses that somebody else names: keys, metadata, answers about tokens.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, Method, StatusCode};
use reqwest::Request;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Host, Url};

use super::{Hop, Limit, Upstream};
use crate::error::{Error, ErrorKind};

/// How long one exchange may take in all, from the name to the last byte.
const TIME: Duration = Duration::from_secs(5);

/// Reads JSON: without redirects, in bounded time and size, over TLS, from public addresses.
#[derive(Debug, Clone)]
pub struct Fetcher {
    hop: Hop,
    allow_private: bool,
}

/// A document, and how long it says it holds.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The document.
    pub value: Value,
    /// For how long its sender lets it be kept; unsaid, none.
    pub max_age: Option<Duration>,
}

/// What an address answered, whatever its status.
#[derive(Clone)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; it may hold a secret.
    pub body: Bytes,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answered {
    /// The body, when it is JSON and says so.
    pub fn json(&self) -> Result<Value, FetchError> {
        let body = is_json(&self.headers).then(|| serde_json::from_slice(&self.body).ok()).flatten();
        body.ok_or(FetchError::NotJson)
    }
}

/// Why there is no document. The words name no address, for an address may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// We do not go to such an address.
    #[error("{0}")]
    Address(&'static str),
    /// It answered with another status than 200.
    #[error("the answer has status {}", .0.as_u16())]
    Status(StatusCode),
    /// It answered with something else than JSON.
    #[error("the answer is no JSON")]
    NotJson,
    /// The document is too large.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// It did not answer, or not in time.
    #[error("{0}")]
    Unreachable(String),
}

impl Fetcher {
    /// A way to such documents; `allow_private` lets it reach private addresses, and this machine without TLS.
    pub fn new(upstream: &Upstream, allow_private: bool) -> Result<Self, String> {
        let hop = upstream.hop(allow_private, Some(TIME)).map_err(|_| "this machine has no usable TLS roots")?;
        Ok(Self { hop, allow_private })
    }

    /// Whether this is an address we go to. Where a name leads is checked at the moment of connecting.
    pub fn check(&self, url: &Url) -> Result<(), FetchError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Address("the address must hold no user name or password"));
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_private && is_loopback(url) => Ok(()),
            "http" => Err(FetchError::Address(
                "the address must begin with https:// (http:// is for this machine only, where private addresses are allowed)",
            )),
            _ => Err(FetchError::Address("the address must begin with https://")),
        }
    }

    /// The JSON document at an address, of at most so many bytes.
    pub async fn json(&self, url: &Url, max_bytes: usize) -> Result<Fetched, FetchError> {
        self.exchange(Request::new(Method::GET, url.clone()), max_bytes).await
    }

    /// The JSON answer to a form, sent with a user name and a password.
    pub async fn ask(
        &self,
        url: &Url,
        (user, password): (&str, &SecretString),
        form: &[(&str, &str)],
        max_bytes: usize,
    ) -> Result<Fetched, FetchError> {
        let builder = self.hop.request(Method::POST, url.clone());
        let builder = builder.basic_auth(user, Some(password.expose_secret())).form(form);
        let request = builder.build().map_err(|_| FetchError::Address("no request can be made for the address"))?;
        self.exchange(request, max_bytes).await
    }

    /// A request for such an address, to be completed and sent by [`Fetcher::send`].
    pub fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.hop.request(method, url)
    }

    /// Sends a request and reads the answer, whatever its status, of at most so many bytes.
    pub async fn send(&self, mut request: Request, max_bytes: usize) -> Result<Answered, FetchError> {
        self.check(request.url())?;
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let exchange = async {
            let response = self.hop.once(request).await.map_err(|error| explain(&error, max_bytes))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let limit = Limit { bytes: max_bytes, setting: "" };
            let body = match limit.read(response).await {
                Ok(body) => body,
                // What a refusal says beside its status may be anything.
                Err(_) if !status.is_success() => Bytes::new(),
                Err(error) => return Err(explain(&error, max_bytes)),
            };
            Ok(Answered { status, headers, body })
        };
        let late = |_| FetchError::Unreachable("there was no answer in time".into());
        tokio::time::timeout(TIME, exchange).await.map_err(late)?
    }

    async fn exchange(&self, request: Request, max_bytes: usize) -> Result<Fetched, FetchError> {
        let answered = self.send(request, max_bytes).await?;
        if answered.status != StatusCode::OK {
            return Err(FetchError::Status(answered.status));
        }
        Ok(Fetched { value: answered.json()?, max_age: max_age(&answered.headers) })
    }
}

fn explain(error: &Error, max_bytes: usize) -> FetchError {
    if error.kind() == ErrorKind::TooLarge {
        return FetchError::TooLarge(max_bytes);
    }
    let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
    FetchError::Unreachable(format!("{}{cause}", error.message()))
}

/// Whether an address is one of this machine's own.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `application/json`, and all the types that are JSON by their ending.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// How long an answer may be kept, less the time that other caches kept it.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut seconds = None;
    for part in headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','))
    {
        let part = part.trim().to_ascii_lowercase();
        if matches!(part.as_str(), "no-store" | "no-cache") {
            return Some(Duration::ZERO);
        }
        let said = part.strip_prefix("max-age=").and_then(|text| text.trim_matches('"').parse::<u64>().ok());
        seconds = seconds.or(said);
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| age.parse().ok()).unwrap_or(0);
    seconds.map(|seconds| Duration::from_secs(seconds.saturating_sub(age)))
}
