//! The stream of how the connectors are. One task makes each event once, for all readers; behind what its connection
//! holds already, a slow reader gets what is newest, and nothing that was before.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_TYPE};
use serde_json::json;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, interval_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::protocol::Server;
use crate::telemetry::Held;

/// Readers at once.
const READERS: usize = 5000;
/// An event is made at least this often, as long as somebody reads.
const INTERVAL: Duration = Duration::from_secs(15);
/// Changes within this time are one change.
const SETTLE: Duration = Duration::from_millis(250);

/// One event, as it goes out.
#[derive(Debug, Clone)]
struct Event {
    id: Arc<str>,
    bytes: Bytes,
}

/// What readers read. Cheap to share.
#[derive(Debug, Clone)]
pub(super) struct Board {
    /// The newest event; none while nobody reads.
    newest: watch::Sender<Option<Event>>,
    /// Told when somebody begins to read.
    joined: Arc<Notify>,
    places: Arc<Semaphore>,
    /// Fires when streams have to end.
    closing: CancellationToken,
}

impl Board {
    /// A board without readers. When `closing` fires, their streams end.
    pub(super) fn new(closing: CancellationToken) -> Self {
        Self {
            newest: watch::Sender::default(),
            joined: Arc::default(),
            places: Arc::new(Semaphore::new(READERS)),
            closing,
        }
    }

    /// A stream for one more reader, `counted` as long as it lasts, unless there are too many. One that knows the newest
    /// event is told the next. It ends when the reader is no longer `welcome`.
    pub(super) fn read(
        &self,
        known: Option<String>,
        counted: Held,
        welcome: impl Fn() -> bool + Send + 'static,
    ) -> Option<Response> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (mut news, closing) = (self.newest.subscribe(), self.closing.clone());
        self.joined.notify_one();
        let events = async_stream::stream! {
            let _held = (place, counted);
            loop {
                let event = news.borrow_and_update().clone();
                if !welcome() {
                    return;
                }
                if let Some(event) = event.filter(|event| known.as_deref() != Some(&event.id)) {
                    yield Ok::<_, Infallible>(event.bytes);
                }
                tokio::select! {
                    changed = news.changed() => if changed.is_err() { return },
                    () = closing.cancelled() => return,
                }
            }
        };
        let mut response = Response::new(Body::from_stream(events));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Some(response)
    }

    /// Makes events while there are readers, until the streams have to end.
    pub(super) async fn write(self, server: Server) {
        let closing = self.closing.clone();
        // Events of an earlier process are none of ours.
        let mut named = (Uuid::new_v4().simple().to_string(), 0_u64);
        while closing.run_until_cancelled(self.joined.notified()).await.is_some() {
            let written = self.write_to_readers(&server, &mut named);
            if closing.run_until_cancelled(written).await.is_none() {
                return;
            }
            self.newest.send_replace(None);
        }
    }

    /// Makes events until nobody reads.
    async fn write_to_readers(&self, server: &Server, named: &mut (String, u64)) {
        let (mut live, mut health) = server.watch();
        let mut tick = interval_at(Instant::now() + INTERVAL, INTERVAL);
        while self.newest.receiver_count() > 0 {
            live.mark_unchanged();
            health.mark_unchanged();
            named.1 += 1;
            self.newest.send_replace(Some(event(server, &format!("{}-{}", named.0, named.1))));
            let changed = tokio::select! {
                changed = live.changed() => changed.is_ok(),
                changed = health.changed() => changed.is_ok(),
                _ = tick.tick() => continue,
                () = self.newest.closed() => return,
            };
            if !changed {
                return;
            }
            tokio::time::sleep(SETTLE).await;
        }
    }
}

/// How the connectors are now.
fn event(server: &Server, id: &str) -> Event {
    let overview = server.overview();
    // What was signed goes out as it was signed. Without a key or a manifest there is no map, and the dashboard says so.
    let signed = server.gateway().service_map().unwrap_or_else(|_| "null".into());
    let timestamp = json!(overview.get("generatedAt"));
    let bytes = format!(
        "event: status\nid: {id}\ndata: {{\"timestamp\":{timestamp},\"payload\":{signed},\"dashboard\":{overview}}}\n\n"
    );
    Event { id: id.into(), bytes: bytes.into() }
}
