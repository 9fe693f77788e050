//! An MCP server of 2024-11-05: a stream of events in, messages out by POST.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use url::Url;

use super::channel::{Answer, Channel, Failure, Frame, Outgoing, Pending};
use super::events::Events;
use super::inbox::Inbox;
use super::streamable::Address;
use crate::credential::Credential;
use crate::error::{Error, ErrorKind};

/// A connection over the older transport. It lives as long as its stream.
#[derive(Debug)]
pub(super) struct Sse {
    address: Address,
    endpoint: Url,
    pending: Arc<Pending>,
    closed: CancellationToken,
    _reading: DropGuard,
}

impl Sse {
    /// Opens the stream and waits for the address to post to, which has to be of the same origin.
    pub(super) async fn open(
        address: &Address,
        credential: &Credential,
        inbox: Arc<Inbox>,
        closed: CancellationToken,
    ) -> Result<Self, Failure> {
        let address = address.with(credential).map_err(Failure::Exchange)?;
        let builder = address.hop.request(Method::GET, address.url.clone()).headers(address.headers.clone());
        let request = builder.header(ACCEPT, HeaderValue::from_static("text/event-stream")).build();
        let request = request.map_err(|_| odd("the connector's address makes no valid request"))?;
        let response = address.hop.send(request).await.map_err(Failure::NotSent)?;
        if !response.status().is_success() {
            let message = format!("the upstream opened no stream (HTTP {})", response.status().as_u16());
            return Err(Failure::Exchange(Error::new(ErrorKind::Upstream, message)));
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
        Ok(Self { address, endpoint, pending, closed, _reading: reading.drop_guard() })
    }

    async fn post(&self, text: String) -> Result<(), Failure> {
        let builder =
            self.address.hop.request(Method::POST, self.endpoint.clone()).headers(self.address.headers.clone());
        let request = builder.header(CONTENT_TYPE, "application/json").body(text).build();
        let request = request.map_err(|_| odd("the upstream's endpoint makes no valid request"))?;
        let response = self.address.hop.send(request).await.map_err(Failure::Broken)?;
        if response.status().is_success() {
            return Ok(());
        }
        let status = response.status().as_u16();
        if status == 404 {
            self.closed.cancel();
            return Err(Failure::NotSent(gone()));
        }
        let message = format!("the upstream did not take the message (HTTP {status})");
        Err(Failure::Exchange(Error::new(ErrorKind::Upstream, message)))
    }
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
