//! The 2024-11-05 transport: a stream of events out, messages in by POST.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, ready},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::response::{
    IntoResponse as _, Response,
    sse::{Event, KeepAlive, Sse},
};
use bytes::Bytes;
use http::StatusCode;
use rmcp::model::JsonRpcMessage;
use rmcp::{
    RoleServer,
    service::{RxJsonRpcMessage, TxJsonRpcMessage, serve_server_with_ct},
    transport::Transport,
};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

use super::{
    reply::{self, Code},
    session::Owner,
    under_way::UnderWay,
};
use crate::caller::Caller;
use crate::catalog::view::Asked;
use crate::protocol::{OverHttp, Parcels, Server, Wire};
use crate::telemetry::Held;

/// Messages waiting in a session, and requests under way. One more is refused inwards (503);
/// outwards the server waits.
const QUEUE: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Incoming = RxJsonRpcMessage<RoleServer>;
type Outgoing = TxJsonRpcMessage<RoleServer>;

/// All open streams.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    server: Server,
    open: Arc<Mutex<HashMap<Uuid, Stream>>>,
    most: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
struct Stream {
    owner: Owner,
    /// What the address it was opened at asks to be shown.
    asked: Asked,
    inbox: mpsc::Sender<Admitted>,
    places: Arc<Semaphore>,
    _counted: Arc<Held>,
}

/// A message with its place among the requests under way; what wants no answer needs none.
/// Boxed, because a queue has room for some of them from its start.
type Admitted = Box<(Incoming, Option<OwnedSemaphorePermit>)>;

impl Streams {
    /// Streams served by `server`, `most` at once, their work owned by `tasks`, until `stop`.
    pub(super) fn new(server: Server, most: usize, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { server, open: Arc::default(), most, tasks, stop }
    }

    /// Opens a stream. Its first event tells where to post; `prefix` is the path before ours as
    /// the client sees it.
    pub(super) fn open(&self, prefix: &str, owner: Owner, asked: Asked) -> Response {
        let id = Uuid::new_v4();
        let (inbox, incoming) = mpsc::channel(QUEUE);
        let (outbox, mut outgoing) = mpsc::channel::<Bytes>(QUEUE);
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.len() >= self.most {
                return busy("too many streams are open");
            }
            let counted = Arc::new(self.server.gateway().telemetry().metrics().session("sse"));
            let places = Arc::new(Semaphore::new(QUEUE));
            open.insert(id, Stream { owner, asked, inbox, places, _counted: counted });
        }
        let stop = self.stop.child_token();
        let leave = Leave { streams: self.clone(), id, _stop: stop.clone().drop_guard() };
        let (wire, ended) = (Wire(self.server.for_session()), stop.clone());
        let parcels = self.server.parcels().clone();
        self.tasks.spawn(async move {
            if let Ok(running) =
                serve_server_with_ct(wire, Ends { outbox, incoming, parcels, under_way: UnderWay::default() }, stop)
                    .await
            {
                let _ = running.waiting().await;
            }
        });
        let endpoint = format!("{prefix}/mcp/messages?sessionId={id}");
        let events = async_stream::stream! {
            let _leave = leave;
            yield Ok::<_, Infallible>(Event::default().event("endpoint").data(endpoint));
            loop {
                // Biased, so that answers already made leave before the stream ends.
                let message = tokio::select! {
                    biased;
                    message = outgoing.recv() => message,
                    () = ended.cancelled() => None,
                };
                let Some(message) = message else { break };
                yield Ok(Event::default().event("message").data(String::from_utf8_lossy(&message)));
            }
        };
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
    }

    /// Takes a message for a stream.
    pub(super) fn post(
        &self,
        id: Option<Uuid>,
        caller: Caller,
        body: &Bytes,
        mut parts: http::request::Parts,
    ) -> Response {
        let owner = Owner::of(&caller, &parts.headers);
        let stream = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            id.and_then(|id| open.get(&id)).filter(|stream| stream.owner == owner).cloned()
        };
        let Some(stream) = stream else {
            let message = "unknown session; open a stream with GET /mcp and post to the endpoint it names";
            return reply::error(StatusCode::NOT_FOUND, Code::InvalidRequest, message);
        };
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            let message = format!("the body is not JSON: {error}");
            return reply::error(StatusCode::BAD_REQUEST, Code::Parse, &message);
        }
        let Ok(mut message) = serde_json::from_slice::<Incoming>(&self.server.parcels().wrap(body)) else {
            return reply::error(StatusCode::BAD_REQUEST, Code::InvalidRequest, "the body is not one JSON-RPC message");
        };
        // The stream itself ends what is under way when its client leaves.
        let gone = CancellationToken::new();
        parts.extensions.insert(stream.asked);
        parts.extensions.insert(OverHttp { json_only: false, gone, caller });
        message.insert_extension(parts);
        let place = if matches!(message, JsonRpcMessage::Request(_)) {
            match stream.places.try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => return busy("too many requests of this session are under way; read their answers first"),
            }
        } else {
            None
        };
        match stream.inbox.try_send(Box::new((message, place))) {
            Ok(()) => reply::text(StatusCode::ACCEPTED, "Accepted"),
            Err(TrySendError::Full(_)) => busy("too many messages are waiting in this session"),
            Err(TrySendError::Closed(_)) => {
                reply::error(StatusCode::GONE, Code::InvalidRequest, "this session is closing")
            }
        }
    }
}

fn busy(message: &str) -> Response {
    let mut response = reply::error(StatusCode::SERVICE_UNAVAILABLE, Code::Internal, message);
    response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    response
}

/// Forgets a stream when its client goes away, and stops what it asked for.
struct Leave {
    streams: Streams,
    id: Uuid,
    _stop: DropGuard,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.streams.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The server's ends of a stream's two queues.
struct Ends {
    outbox: mpsc::Sender<Bytes>,
    parcels: Parcels,
    incoming: mpsc::Receiver<Admitted>,
    /// Places are given back when the answer has left, not when it is made: a client that does
    /// not read is not let in again.
    under_way: UnderWay<OwnedSemaphorePermit>,
}

impl Transport<RoleServer> for Ends {
    type Error = std::io::Error;

    fn send(&mut self, message: Outgoing) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let place = self.under_way.goes(&message);
        let (outbox, parcels) = (self.outbox.clone(), self.parcels.clone());
        async move {
            let json = serde_json::to_vec(&message)?;
            let sent = outbox.send(parcels.fill(json.into(), true)).await;
            drop(place);
            sent.map_err(std::io::Error::other)
        }
    }

    async fn receive(&mut self) -> Option<Incoming> {
        let (message, place) = *self.incoming.recv().await?;
        self.under_way.came(&message, place);
        Some(message)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.incoming.close();
        ready(Ok(()))
    }
}
