//! An MCP server at an address: Streamable HTTP, with or without a session.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::channel::{Answer, Channel, Failure, Frame, Outgoing};
use super::dial::Party;
use super::events::Events;
use super::inbox::Inbox;
use super::link::{HANDSHAKE, PER_REQUEST};
use crate::adapter::Secrets;
use crate::credential::{Credential, CredentialSource};
use crate::error::{Error, ErrorKind, Rejection};
use crate::upstream::{Hop, Limit, never_sent, retry_after};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// An upstream's own words about a refusal are read this far, in bytes.
const REFUSAL: usize = 64 << 10;
/// A stream that broke off is taken up again this often before its request fails.
const RESUMPTIONS: usize = 5;
/// How long to wait before that, when the upstream does not say.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// The code by which widespread servers say that they know no such session.
const NO_SESSION: i32 = -32001;
/// A goodbye or a note that takes longer than this is given up.
const SHORT: Duration = Duration::from_secs(5);

/// Where and how an upstream is reached.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) hop: Hop,
    /// The largest answer to take.
    pub(super) largest: Limit,
}

impl Address {
    /// It, with a credential shown to it.
    pub(super) fn with(&self, credential: &Credential) -> Result<Self, Error> {
        let mut address = self.clone();
        credential.apply(&mut address.url, &mut address.headers)?;
        Ok(address)
    }
}

/// What an upstream is shown, and where the next comes from.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) source: Arc<dyn CredentialSource>,
    /// On whose behalf.
    pub(super) party: Party,
    /// What was shown last.
    pub(super) credential: Arc<Mutex<Credential>>,
}

impl Shown {
    /// What was shown last.
    fn last(&self) -> Credential {
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One exchange, with what is good to show now. When that is refused, nothing was done (RFC 9110, 15.5.2), and it
    /// is tried once more with another credential, if there is one. `closed` fires when there is none any more, and when
    /// what `is_bound` to one account would be shown another.
    pub(super) async fn exchange<F>(
        &self,
        address: &Address,
        closed: &CancellationToken,
        is_bound: bool,
        once: impl Fn(Address) -> F + Send + Sync,
    ) -> Result<Response, Failure>
    where
        F: Future<Output = Result<Response, Failure>> + Send,
    {
        let Self { source, party, credential } = self;
        let mut tried = false;
        loop {
            let now = party.credential(&**source).await.map_err(|error| {
                // Whoever disconnected shall not be listened to any more.
                if error.kind() == ErrorKind::NotConnected {
                    closed.cancel();
                }
                // Otherwise the connection is as good as it was: no other one would be better.
                Failure::Exchange(error)
            })?;
            // What a session knows is the account's that it was begun for.
            if is_bound && self.last().account != now.account {
                closed.cancel();
                let message = "the upstream is reached for another account now";
                return Err(Failure::NotSent(Error::new(ErrorKind::Unreachable, message)));
            }
            let address = address.with(&now).map_err(Failure::Exchange)?;
            credential.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&now);
            let response = once(address).await?;
            if tried || response.status() != StatusCode::UNAUTHORIZED || !party.refused(&**source, &now).await {
                return Ok(response);
            }
            tried = true;
        }
    }
}

/// A connection over Streamable HTTP. Nothing is open while nothing is under way, but for the
/// stream on which the upstream says things unasked.
#[derive(Debug)]
pub(super) struct Streamable {
    address: Address,
    shown: Shown,
    inbox: Arc<Inbox>,
    closed: CancellationToken,
    session: Mutex<Option<HeaderValue>>,
    version: Mutex<Option<HeaderValue>>,
    why: Mutex<Option<String>>,
}

impl Streamable {
    pub(super) fn new(address: &Address, shown: Shown, inbox: Arc<Inbox>, closed: CancellationToken) -> Self {
        let (session, version, why) = Default::default();
        Self { address: address.clone(), shown, inbox, closed, session, version, why }
    }

    fn session(&self) -> Option<HeaderValue> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn exchange(
        &self,
        method: Method,
        accept: HeaderValue,
        extra: Vec<(HeaderName, HeaderValue)>,
        body: Option<String>,
    ) -> Result<Response, Failure> {
        let once = |address| self.once(address, (method.clone(), accept.clone(), extra.clone(), body.clone()));
        self.shown.exchange(&self.address, &self.closed, self.session().is_some(), once).await
    }

    async fn once(
        &self,
        address: Address,
        (method, accept, extra, body): (Method, HeaderValue, Vec<(HeaderName, HeaderValue)>, Option<String>),
    ) -> Result<Response, Failure> {
        let mut headers = address.headers;
        headers.insert(ACCEPT, accept);
        headers.extend(self.session().map(|id| (SESSION_ID, id)));
        headers.extend(self.version.lock().unwrap_or_else(PoisonError::into_inner).clone().map(|it| (VERSION, it)));
        headers.extend(extra);
        let mut builder = address.hop.request(method, address.url).headers(headers);
        if let Some(body) = body {
            builder = builder.header(CONTENT_TYPE, JSON).body(body);
        }
        let request = builder.build().map_err(|error| {
            let message = "the connector's address makes no valid request";
            Failure::NotSent(Error::new(ErrorKind::Unavailable, message).because(error.without_url()))
        })?;
        address.hop.send(request).await.map_err(|error| {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.message().to_owned());
            self.closed.cancel();
            if never_sent(&error) { Failure::NotSent(error) } else { Failure::Broken(error) }
        })
    }

    /// Reads events until the answer to `id` comes, taking the stream up again where it breaks.
    async fn follow(&self, response: Response, id: u64) -> Result<Answer, Failure> {
        let mut events = Events::of(response, self.address.largest);
        let (mut last, mut wait) = (None, RETRY);
        for _ in 0..=RESUMPTIONS {
            let broken = loop {
                match events.next().await {
                    Some(Ok(event)) => {
                        last = event.id.or(last);
                        wait = event.retry.map_or(wait, Duration::from_millis).min(LONGEST_RETRY);
                        let Some(answer) = event.data.and_then(|data| self.take(data, Some(id))) else { continue };
                        return Ok(answer);
                    }
                    Some(Err(error)) if error.kind() == ErrorKind::TooLarge => return Err(Failure::Exchange(error)),
                    Some(Err(error)) => break error,
                    None => {
                        break Error::new(ErrorKind::Unreachable, "the upstream ended its stream without an answer");
                    }
                }
            };
            let resumable = last.as_deref().and_then(|last: &str| HeaderValue::from_str(last).ok());
            let Some(from) = resumable.filter(|_| self.session().is_some()) else {
                return Err(Failure::Exchange(broken));
            };
            tokio::time::sleep(wait).await;
            // Whatever becomes of this one, the request it asks after was sent.
            let again = self.exchange(Method::GET, EVENTS, vec![(LAST_EVENT_ID, from)], None).await;
            let again = again.map_err(|failure| Failure::Broken(failure.into()))?;
            if !again.status().is_success() {
                return Err(Failure::Exchange(broken));
            }
            events = Events::of(again, self.address.largest);
        }
        Err(Failure::Exchange(Error::new(ErrorKind::Unreachable, "the upstream's stream broke off again and again")))
    }

    /// Takes one message; the answer, when it is the one to `id`.
    fn take(&self, data: String, id: Option<u64>) -> Option<Answer> {
        let data = Bytes::from(data);
        let frame = Frame::parse(&data)?;
        if frame.answers().is_none() {
            self.inbox.receive(&frame, id);
            return None;
        }
        (frame.answers() == id).then(|| frame.answer(&data))
    }

    /// What a status that is no success means.
    async fn refused(&self, response: Response, id: u64) -> Result<Answer, Failure> {
        let status = response.status();
        let retry = retry_after(response.headers());
        let body = Limit { bytes: REFUSAL, setting: "" }.read(response).await.unwrap_or_default();
        let frame = Frame::parse(&body);
        let rejection = frame.as_ref().and_then(Frame::rejection);
        let answer = rejection.as_ref().filter(|_| frame.and_then(|frame| frame.answers()) == Some(id));
        // What answers this very request may come from its work, which is not done twice.
        let was_read = answer.is_some_and(|rejection| rejection.code != NO_SESSION);
        if self.session().is_some() && is_lost(status, rejection.as_ref(), was_read) {
            self.closed.cancel();
            if !was_read {
                return Err(Failure::NotSent(Error::new(ErrorKind::Unreachable, "the upstream forgot our session")));
            }
        }
        if let Some(rejection) = answer {
            return Ok(Err(rejection.clone()));
        }
        let Shown { source, party, .. } = &self.shown;
        if let Some(error) = party.unwelcome(&**source).filter(|_| status == StatusCode::UNAUTHORIZED) {
            return Err(Failure::Exchange(error));
        }
        let (kind, what) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                (ErrorKind::Unavailable, "the upstream refuses the connector's credential".to_owned())
            }
            StatusCode::TOO_MANY_REQUESTS => (ErrorKind::Busy, "the upstream is asked too often".to_owned()),
            _ => (ErrorKind::Upstream, "the upstream refused the request".to_owned()),
        };
        let retry =
            retry.map(|after| format!("; try again after {} s", after.as_secs_f64().ceil())).unwrap_or_default();
        let error = Error::new(kind, format!("{what} (HTTP {}){retry}", status.as_u16()));
        let said = String::from_utf8_lossy(body.get(..body.len().min(1000)).unwrap_or_default()).into_owned();
        let shown = self.shown.last();
        Err(Failure::Exchange(error.because(Secrets::of(shown.secrets()).hide(&said))))
    }
}

/// Whether a refusal says that the session is gone: 404 by the specification, and what widespread
/// servers say instead. What `was_read` counts only when it speaks of a session: 404 may be about anything.
fn is_lost(status: StatusCode, rejection: Option<&Rejection>, was_read: bool) -> bool {
    let speaks_of_it = rejection.is_some_and(|rejection| rejection.message.to_ascii_lowercase().contains("session"));
    match status {
        StatusCode::NOT_FOUND => speaks_of_it || !was_read,
        StatusCode::BAD_REQUEST => speaks_of_it,
        _ => false,
    }
}

fn is(response: &Response, kind: &str) -> bool {
    let said = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|said| said.trim().eq_ignore_ascii_case(kind))
}

#[async_trait]
impl Channel for Streamable {
    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answer, Failure> {
        let Outgoing { id, method, text, mut headers } = outgoing;
        if !headers.is_empty() {
            headers.push((VERSION, HeaderValue::from_static(PER_REQUEST)));
        }
        let response = self.exchange(Method::POST, BOTH, headers, Some(text)).await?;
        if !response.status().is_success() {
            return self.refused(response, id).await;
        }
        if method == "initialize" {
            let id = response.headers().get(SESSION_ID).cloned();
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = id;
        }
        let answer = if is(&response, "text/event-stream") {
            self.follow(response, id).await?
        } else {
            let body = self.address.largest.read(response).await.map_err(Failure::Exchange)?;
            let frame = Frame::parse(&body).filter(|frame| frame.answers() == Some(id));
            let nonsense = || Failure::Exchange(Error::new(ErrorKind::Upstream, "the upstream's answer is no MCP"));
            frame.ok_or_else(nonsense)?.answer(&body)
        };
        if let ("initialize", Ok(result)) = (method, &answer) {
            let said: Option<serde_json::Value> = serde_json::from_slice(result).ok();
            let version = said.as_ref().and_then(|result| result.get("protocolVersion")?.as_str()).unwrap_or(HANDSHAKE);
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = HeaderValue::from_str(version).ok();
        }
        Ok(answer)
    }

    async fn send(&self, text: String) -> Result<(), Failure> {
        let sent = tokio::time::timeout(SHORT, self.exchange(Method::POST, BOTH, Vec::new(), Some(text))).await;
        let late = || Failure::Exchange(Error::new(ErrorKind::Timeout, "the upstream did not take a notification"));
        sent.map_err(|_| late())?.map(drop)
    }

    /// The stream on which the upstream says things unasked, opened again when it ends.
    async fn listen(&self, listening: CancellationToken) {
        let mut listening = Some(listening.drop_guard());
        let (mut last, mut wait) = (None::<HeaderValue>, RETRY);
        while self.session().is_some() {
            let from = last.clone().map(|last| (LAST_EVENT_ID, last)).into_iter().collect();
            let Ok(response) = self.exchange(Method::GET, EVENTS, from, None).await else { return };
            if !response.status().is_success() || !is(&response, "text/event-stream") {
                // Not every server has one.
                return;
            }
            listening.take();
            let mut events = Events::of(response, self.address.largest);
            while let Some(Ok(event)) = events.next().await {
                last = event.id.and_then(|id| HeaderValue::from_str(&id).ok()).or(last);
                wait = event.retry.map_or(wait, Duration::from_millis).clamp(RETRY / 10, LONGEST_RETRY);
                if let Some(data) = event.data {
                    self.take(data, None);
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn why(&self) -> Error {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        Error::new(ErrorKind::Unreachable, why.as_deref().unwrap_or("the connection was closed"))
    }

    /// Ends the session, where there is one.
    async fn close(&self) {
        if self.session().is_some() {
            let _ = tokio::time::timeout(SHORT, self.exchange(Method::DELETE, BOTH, Vec::new(), None)).await;
        }
        self.closed.cancel();
    }
}
