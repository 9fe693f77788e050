//! What connections tell their connector.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};

/// What happened to one of a connector's connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    lists: Arc<Notify>,
    doubt: Arc<Notify>,
    demand: Arc<Notify>,
    updates: broadcast::Sender<Arc<str>>,
}

impl Signals {
    /// Signals of which resource updates go to `updates`.
    pub(super) fn new(updates: broadcast::Sender<Arc<str>>) -> Self {
        Self { lists: Arc::default(), doubt: Arc::default(), demand: Arc::default(), updates }
    }

    /// The upstream says that it has other tools, resources or prompts now.
    pub(super) fn lists_changed(&self) {
        self.lists.notify_one();
    }

    /// Waits for [`Self::lists_changed`]; many at once count as one.
    pub(super) async fn lists(&self) {
        self.lists.notified().await;
    }

    /// A call went unanswered: is the upstream still there?
    pub(super) fn doubted(&self) {
        self.doubt.notify_one();
    }

    pub(super) async fn doubt(&self) {
        self.doubt.notified().await;
    }

    /// Somebody wants a connection.
    pub(super) fn demanded(&self) {
        self.demand.notify_one();
    }

    pub(super) async fn demand(&self) {
        self.demand.notified().await;
    }

    /// A resource changed; its URI as it is published.
    pub(super) fn updated(&self, uri: String) {
        let _ = self.updates.send(uri.into());
    }
}
