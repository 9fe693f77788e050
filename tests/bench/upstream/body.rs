//! Bodies of the upstream's answers: whole, in one chunk of unknown length, or an open stream of events.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::session::Leave;

/// A body of one of the upstream's answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Sent with its length.
    Whole(Option<Bytes>),
    /// Sent as servers send an event stream that ends: chunked, its length not known before.
    Chunk(Option<Bytes>),
    /// An event stream that lasts until the client goes; its session ends with it if it says so.
    Events { events: Receiver<Bytes>, _leave: Option<Leave> },
}

impl Answer {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match self.get_mut() {
            Self::Whole(bytes) | Self::Chunk(bytes) => Poll::Ready(bytes.take()),
            Self::Events { events, .. } => events.poll_recv(cx),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Chunk(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Chunk(_) | Self::Events { .. } => SizeHint::default(),
        }
    }
}
