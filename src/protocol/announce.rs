//! Tells clients of both eras that the tools changed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use rmcp::{Peer, RoleServer, service::SubscriptionContext};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::gateway::Live;

/// How long one client may take to be told. A client that does not read misses the news.
const PATIENCE: Duration = Duration::from_secs(5);

/// The clients of the handshake era that want to hear of changes.
#[derive(Clone, Default)]
pub struct Audience(Arc<Mutex<Vec<Peer<RoleServer>>>>);

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audience").field(&self.present().len()).finish()
    }
}

impl Audience {
    /// Adds a client. It leaves by itself when its connection closes.
    pub(super) fn join(&self, peer: Peer<RoleServer>) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|peer| !peer.is_transport_closed());
        peers.push(peer);
    }

    fn present(&self) -> Vec<Peer<RoleServer>> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|peer| !peer.is_transport_closed());
        peers.clone()
    }

    /// Announces every change of the tools, for as long as the gateway lives.
    pub async fn announce(self, live: watch::Receiver<Arc<Live>>) {
        let mut lists = Lists::after(live);
        while lists.next().await {
            let tell = |peer: Peer<RoleServer>| async move {
                let _ = tokio::time::timeout(PATIENCE, peer.notify_tool_list_changed()).await;
            };
            join_all(self.present().into_iter().map(tell)).await;
        }
    }
}

/// Runs one `subscriptions/listen` until it is cancelled or the server closes.
pub(super) async fn listen(
    subscription: &SubscriptionContext,
    live: watch::Receiver<Arc<Live>>,
    closing: &CancellationToken,
) {
    let mut lists = Lists::after(live);
    let wanted = subscription.accepted().tools_list_changed == Some(true);
    loop {
        let another = tokio::select! {
            another = lists.next() => another,
            () = subscription.cancelled() => false,
            () = closing.cancelled() => false,
        };
        if !another || (wanted && subscription.sink().notify_tool_list_changed().await.is_err()) {
            return;
        }
    }
}

/// Follows the list of tools. A change that comes while nobody waits is found at the next wait.
struct Lists {
    live: watch::Receiver<Arc<Live>>,
    seen: Arc<Live>,
}

impl Lists {
    fn after(mut live: watch::Receiver<Arc<Live>>) -> Self {
        let seen = Arc::clone(&live.borrow_and_update());
        Self { live, seen }
    }

    /// Waits for other tools than the ones seen last; `false` when none can come.
    async fn next(&mut self) -> bool {
        while self.live.changed().await.is_ok() {
            let now = Arc::clone(&self.live.borrow_and_update());
            let before = std::mem::replace(&mut self.seen, now);
            if !self.seen.catalog.lists_the_same(&before.catalog) {
                return true;
            }
        }
        false
    }
}
