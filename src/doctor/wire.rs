//! One exchange: bounded in size and time, no redirect followed.

use std::{
    error::Error as _,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
    redirect::Policy,
};
use serde_json::Value;
use url::{Host, Url};

use super::rpc::in_stream;
use super::tour::{Looked, Tour};
use crate::name::cut;

/// The most that is read of an answer, in bytes.
const LARGEST: usize = 8 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Slower than this a client may have given up: Claude waits so long for everything before the first call.
const SLOW: Duration = Duration::from_secs(10);

/// The HTTP client of a visit, and what took long.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client,
    slow: Vec<(String, Duration)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) peer: Option<SocketAddr>,
    pub(super) took: Duration,
}

/// How much of an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it; of a stream, what comes up to the answer.
    All,
    /// The same, for a person or a model that is not in a hurry.
    InTime,
    /// Its first lines only.
    Head,
}

impl Wire {
    pub(super) fn new() -> Result<Self, String> {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| format!("this machine has no usable TLS certificates: {error}"))?;
        Ok(Self { client, slow: Vec::new() })
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request. The words of a failure are for people.
    pub(super) async fn send(&mut self, request: RequestBuilder, wanted: Wanted) -> Result<Answer, String> {
        let request = request.build().map_err(|error| format!("the request cannot be made: {error}"))?;
        let what = format!("{} {}", request.method(), plain(request.url()));
        let started = Instant::now();
        let exchange = async {
            let mut response = self.client.execute(request).await.map_err(|error| explain(&error))?;
            let body = if wanted == Wanted::Head { String::new() } else { read(&mut response).await? };
            Ok::<_, String>((response, body))
        };
        let late = || format!("no answer came within {} seconds", PATIENCE.as_secs());
        let answered = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| late());
        let took = started.elapsed();
        if took > SLOW && wanted != Wanted::InTime {
            self.slow.push((what, took));
        }
        let (response, body) = answered??;
        let (status, headers, peer) = (response.status().as_u16(), response.headers().clone(), response.remote_addr());
        Ok(Answer { status, headers, body, peer, took })
    }

    /// Asks for a document.
    pub(super) async fn get(&mut self, url: Url) -> Result<Answer, String> {
        let request = self.request(Method::GET, url).header("Accept", "application/json");
        self.send(request, Wanted::All).await
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn kind(&self) -> &str {
        self.header(CONTENT_TYPE.as_str()).unwrap_or_default()
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    pub(super) fn is_page(&self) -> bool {
        self.kind().starts_with("text/html") || self.body.trim_start().get(..9).is_some_and(is_doctype)
    }

    /// Where a redirect leads.
    pub(super) fn leads_to(&self, from: &Url) -> Option<Url> {
        let location = self.header(LOCATION.as_str()).filter(|_| (300..400).contains(&self.status))?;
        from.join(location).ok()
    }

    /// The answer in a few words.
    pub(super) fn summary(&self) -> String {
        let value = self.json();
        let text = |name: &str| value.as_ref().and_then(|value| value.get(name)?.as_str());
        let said = match (text("error"), text("error_description")) {
            (Some(error), Some(more)) => format!("{error}: {more}"),
            (Some(error), None) => error.to_owned(),
            (None, _) => {
                let message = value.as_ref().and_then(|value| value.pointer("/error/message")?.as_str());
                message.map(str::to_owned).unwrap_or_default()
            }
        };
        let page = if said.is_empty() && self.is_page() { "a web page".to_owned() } else { said };
        let colon = if page.is_empty() { "" } else { ": " };
        readable(&format!("HTTP {}{colon}{}", self.status, cut(&page, 200)))
    }
}

fn is_doctype(start: &str) -> bool {
    start.eq_ignore_ascii_case("<!doctype")
}

async fn read(response: &mut Response) -> Result<String, String> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let streams = kind.starts_with("text/event-stream");
    let (mut body, mut seen) = (Vec::new(), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("the answer is larger than {} MiB", LARGEST >> 20));
        }
        body.extend_from_slice(&chunk);
        // A stream may stay open behind the answer.
        if streams && (body.ends_with(b"\n\n") || body.ends_with(b"\r\n\r\n")) {
            let events = body.get(seen..).unwrap_or_default();
            if in_stream(&String::from_utf8_lossy(events)).is_some() {
                break;
            }
            seen = body.len();
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Why an exchange failed, for people.
fn explain(error: &reqwest::Error) -> String {
    let causes: Vec<String> =
        std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
    let all = causes.join(": ");
    let has = |words: &[&str]| words.iter().any(|word| all.contains(word));
    if error.is_timeout() {
        "no answer came in time".into()
    } else if has(&["certificate", "UnknownIssuer", "NotValidForName"]) {
        format!("its TLS certificate is not valid ({})", causes.last().cloned().unwrap_or_default())
    } else if has(&["dns error", "failed to lookup"]) {
        "its name has no address (DNS)".into()
    } else if has(&["refused"]) {
        "nobody listens there (connection refused)".into()
    } else {
        causes.last().cloned().unwrap_or_else(|| "the exchange broke off".into())
    }
}

/// Text of another's, without what a terminal would obey.
pub(super) fn readable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An address without what may be secret.
pub(super) fn plain(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_password(None);
    let _ = url.set_username("");
    cut(url.as_str(), 300)
}

/// Whether an address is at this machine.
pub(super) fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether an address is one that the world cannot reach.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

/// Whether secrets may be sent there: https, or this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_here(url))
}

/// Whether clients would have waited so long.
pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    let slow = std::mem::take(&mut tour.wire.slow);
    let list: Vec<String> = slow.iter().map(|(what, took)| format!("{what} ({} s)", took.as_secs())).collect();
    if list.is_empty() {
        return Ok("no answer took longer than 10 seconds".into());
    }
    tour.warn(
        format!("answers took longer than 10 seconds: {}", list.join(", ")),
        "Claude gives each step of the connection 10 seconds; other clients have limits of their own",
        "find out what the server waits for; a free tunnel or a server that sleeps when unused often is the reason",
    );
    Ok(String::new())
}
