//! An MCP server of 2024-11-05: a stream of events in, messages out by POST.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use url::Url;

use super::channel::{Answer, Channel, Failure, Frame, Outgoing, Pending};
use super::events::Events;
use super::inbox::Inbox;
use super::streamable::{Address, Shown};
use crate::error::{Error, ErrorKind};

/// A connection over the older transport. It lives as long as its stream.
#[derive(Debug)]
pub(super) struct Sse {
    address: Address,
    shown: Shown,
    endpoint: Url,
    pending: Arc<Pending>,
    closed: CancellationToken,
    _reading: DropGuard,
}

impl Sse {
    /// Opens the stream and waits for the address to post to, which has to be of the same origin.
    pub(super) async fn open(
        address: &Address,
        shown: Shown,
        inbox: Arc<Inbox>,
        closed: CancellationToken,
    ) -> Result<Self, Failure> {
        let open = |address: Address| async move {
            let builder = address.hop.request(Method::GET, address.url).headers(address.headers);
            let request = builder.header(ACCEPT, HeaderValue::from_static("text/event-stream")).build();
            let request = request.map_err(|_| odd("the connector's address makes no valid request"))?;
            address.hop.send(request).await.map_err(Failure::NotSent)
        };
        let response = shown.exchange(address, &closed, false, open).await?;
        if !response.status().is_success() {
            return Err(refused(&response, "opened no stream"));
        }
        let base = response.url().clone();
        let mut events = Events::of(response, address.largest);
        let endpoint = loop {
            let event = events.next().await.ok_or_else(|| odd("the upstream's stream ended before it began"))?;
            let event = event.map_err(Failure::Exchange)?;
            if event.event.as_deref() == Some("endpoint") {
                break event.data.unwrap_or_default();
            }
        };
        let endpoint = base.join(endpoint.trim()).ok().filter(|endpoint| endpoint.origin() == base.origin());
        let endpoint = endpoint.ok_or_else(|| odd("the upstream wants messages sent to another place"))?;
        let pending = Arc::new(Pending::default());
        let reading = CancellationToken::new();
        let read = {
            let (pending, closed) = (Arc::clone(&pending), closed.clone());
            async move {
                while let Some(Ok(event)) = events.next().await {
                    let Some(data) = event.data.map(Bytes::from) else { continue };
                    let Some(frame) = Frame::parse(&data) else { continue };
                    match frame.answers() {
                        Some(id) => pending.settle(id, Ok(frame.answer(&data))),
                        None => inbox.receive(&frame, None),
                    }
                }
                closed.cancel();
                pending.fail(gone);
            }
        };
        TaskTracker::new().spawn(reading.clone().run_until_cancelled_owned(read));
        Ok(Self { address: address.clone(), shown, endpoint, pending, closed, _reading: reading.drop_guard() })
    }

    async fn post(&self, text: String) -> Result<(), Failure> {
        let post = |address: Address| {
            let builder = address.hop.request(Method::POST, self.endpoint.clone()).headers(address.headers);
            let request = builder.header(CONTENT_TYPE, "application/json").body(text.clone()).build();
            async move {
                let request = request.map_err(|_| odd("the upstream's endpoint makes no valid request"))?;
                address.hop.send(request).await.map_err(Failure::Broken)
            }
        };
        let response = self.shown.exchange(&self.address, &self.closed, true, post).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => {
                self.closed.cancel();
                Err(Failure::NotSent(gone()))
            }
            status => {
                // Whom the upstream does not know any more, it shall not go on telling things.
                if status == StatusCode::UNAUTHORIZED {
                    self.closed.cancel();
                }
                Err(refused(&response, "did not take the message"))
            }
        }
    }
}

/// What a status that is no success means.
fn refused(response: &Response, what: &str) -> Failure {
    let status = response.status();
    let (kind, what) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            (ErrorKind::Unavailable, "refuses the connector's credential")
        }
        _ => (ErrorKind::Upstream, what),
    };
    Failure::Exchange(Error::new(kind, format!("the upstream {what} (HTTP {})", status.as_u16())))
}

fn odd(message: &str) -> Failure {
    Failure::Exchange(Error::new(ErrorKind::Upstream, message))
}

fn gone() -> Error {
    Error::new(ErrorKind::Unreachable, "the upstream closed its stream")
}

#[async_trait]
impl Channel for Sse {
    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answer, Failure> {
        if self.closed.is_cancelled() {
            return Err(Failure::NotSent(gone()));
        }
        let waiting = self.pending.wait(outgoing.id);
        self.post(outgoing.text).await?;
        tokio::select! {
            biased;
            answer = waiting.answer() => answer,
            () = self.closed.cancelled() => Err(Failure::Broken(gone())),
        }
    }

    async fn send(&self, text: String) -> Result<(), Failure> {
        self.post(text).await
    }

    fn why(&self) -> Error {
        gone()
    }

    async fn close(&self) {
        self.closed.cancel();
        self.pending.fail(gone);
    }
}
