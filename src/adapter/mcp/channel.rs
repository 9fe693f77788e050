//! One way to carry JSON-RPC messages to another MCP server and back.
//!
//! Results stay the bytes they were: nothing is read of them that is not needed.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Rejection};

/// What a request was answered: a result, JSON as it was sent, or a JSON-RPC error.
pub(super) type Answer = Result<Bytes, Rejection>;

/// A request on its way out.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) id: u64,
    pub(super) method: &'a str,
    /// The whole message.
    pub(super) text: String,
    /// What HTTP says beside it (2026-07-28).
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request was certainly not executed, and the connection is of no more use.
    NotSent(Error),
    /// The connection broke off.
    Broken(Error),
    /// This one exchange went wrong.
    Exchange(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(error) | Failure::Broken(error) | Failure::Exchange(error) => error,
        }
    }
}

/// A connection's bytes. Messages that are no answers go to the connection's inbox.
#[async_trait]
pub(super) trait Channel: fmt::Debug + Send + Sync {
    /// Sends a request and waits for its answer. Dropping the future forgets the request; it does
    /// not tell the upstream, unless the transport does so by itself.
    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answer, Failure>;
    /// Sends what wants no answer.
    async fn send(&self, text: String) -> Result<(), Failure>;
    /// Listens to what the upstream says unasked, once the handshake is over. Cancels `listening`
    /// when it does, or when there is nothing to listen to.
    async fn listen(&self, listening: CancellationToken) {
        listening.cancel();
    }
    /// Why it is closed.
    fn why(&self) -> Error;
    /// Says goodbye. Whatever is under way fails.
    async fn close(&self);
}

/// A message, taken apart no further than needed.
#[derive(Debug, Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    /// Reads a message; nothing when it is none.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(message).ok()
    }

    /// The request it answers, by the number we gave it.
    pub(super) fn answers(&self) -> Option<u64> {
        if self.method.is_some() || (self.result.is_none() && self.error.is_none()) {
            return None;
        }
        // Some servers turn every id into text.
        self.id?.get().trim_matches('"').parse().ok()
    }

    /// The answer it is. `message` is what it was read from.
    pub(super) fn answer(&self, message: &Bytes) -> Answer {
        match (self.result, self.error) {
            (Some(result), _) => Ok(message.slice_ref(result.get().as_bytes())),
            (None, Some(error)) => Err(rejection(error)),
            (None, None) => Err(rejection(RawValue::NULL)),
        }
    }

    /// The JSON-RPC error it is, whatever it answers.
    pub(super) fn rejection(&self) -> Option<Rejection> {
        self.error.map(rejection)
    }
}

fn rejection(error: &RawValue) -> Rejection {
    serde_json::from_str(error.get()).unwrap_or_else(|_| Rejection {
        code: -32603,
        message: "the upstream answered with an error that is none".into(),
        data: serde_json::from_str(error.get()).ok(),
    })
}

/// Requests of one stream that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<u64, oneshot::Sender<Result<Answer, Failure>>>>);

impl Pending {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Answer, Failure>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the answer to a request, from before it is sent.
    pub(super) fn wait(&self, id: u64) -> Waiting<'_> {
        let (sender, answer) = oneshot::channel();
        self.lock().insert(id, sender);
        Waiting { pending: self, id, answer }
    }

    /// Hands an answer to whom it is for. One nobody waits for is dropped.
    pub(super) fn settle(&self, id: u64, answer: Result<Answer, Failure>) {
        let waiting = self.lock().remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    /// The only request under way, if there is exactly one.
    pub(super) fn only(&self) -> Option<u64> {
        let pending = self.lock();
        let mut ids = pending.keys();
        ids.next().copied().filter(|_| ids.next().is_none())
    }

    /// Fails everything under way.
    pub(super) fn fail(&self, why: impl Fn() -> Error) {
        let all: Vec<_> = self.lock().drain().collect();
        for (_, waiting) in all {
            let _ = waiting.send(Err(Failure::Broken(why())));
        }
    }
}

/// A request that waits for its answer; forgotten when dropped.
pub(super) struct Waiting<'a> {
    pending: &'a Pending,
    id: u64,
    answer: oneshot::Receiver<Result<Answer, Failure>>,
}

impl Waiting<'_> {
    pub(super) async fn answer(mut self) -> Result<Answer, Failure> {
        let gone = || Failure::Broken(Error::new(ErrorKind::Unreachable, "the connection to the upstream is closed"));
        (&mut self.answer).await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.id);
    }
}
