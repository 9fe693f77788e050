//! A stream of server-sent events, each no larger than allowed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sse_stream::{Sse, SseStream};

use crate::error::{Error, ErrorKind};
use crate::upstream::Limit;

/// Events as they come.
pub(super) struct Events {
    inner: Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
    since_last: Arc<AtomicUsize>,
    largest: Limit,
}

impl Events {
    /// The events of a response, each within `largest`.
    pub(super) fn of(response: reqwest::Response, largest: Limit) -> Self {
        let since_last = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&since_last);
        let body = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(|error| std::io::Error::other(error.without_url()))?;
            if count.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len() > largest.bytes.saturating_add(64 << 10) {
                return Err(std::io::Error::other(TooLarge));
            }
            Ok::<Bytes, std::io::Error>(chunk)
        });
        Self { inner: Box::pin(SseStream::from_bytes_stream(body)), since_last, largest }
    }

    /// The next event; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Sse, Error>> {
        let event = self.inner.next().await?;
        self.since_last.store(0, Ordering::Relaxed);
        Some(event.map_err(|error| {
            if error.to_string().contains(TOO_LARGE) {
                return self.largest.exceeded("the upstream's answer");
            }
            Error::new(ErrorKind::Unreachable, "the upstream's stream broke off").because(error.to_string())
        }))
    }
}

const TOO_LARGE: &str = "an event is larger than allowed";

#[derive(Debug, thiserror::Error)]
#[error("{TOO_LARGE}")]
struct TooLarge;
