//! Tells clients of both eras what changed: lists, and resources they asked about.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use futures_util::future::join_all;
use rmcp::model::{
    PromptListChangedNotification, ResourceListChangedNotification, ResourceUpdatedNotification,
    ResourceUpdatedNotificationParam, ServerNotification, SubscriptionFilter, ToolListChangedNotification,
};
use rmcp::{Peer, RoleServer, service::SubscriptionContext};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::downstream::{Cell, PATIENCE};
use crate::caller::Caller;
use crate::catalog::List;
use crate::gateway::{Gateway, Live};

/// The clients of the handshake era that want to hear of changes.
#[derive(Clone, Default)]
pub struct Audience(Arc<Mutex<Vec<Member>>>);

#[derive(Clone)]
struct Member {
    peer: Peer<RoleServer>,
    cell: Weak<Cell>,
    caller: Caller,
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audience").field(&self.present().len()).finish()
    }
}

impl Audience {
    /// Adds a client. It leaves by itself when its connection closes.
    pub(super) fn join(&self, peer: Peer<RoleServer>, cell: &Arc<Cell>, caller: Caller) {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| !member.peer.is_transport_closed());
        members.push(Member { peer, cell: Arc::downgrade(cell), caller });
    }

    fn present(&self) -> Vec<Member> {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| !member.peer.is_transport_closed());
        members.clone()
    }

    /// Announces every change, for as long as the gateway lives.
    pub async fn announce(self, gateway: Arc<Gateway>) {
        let mut news = News::of(&gateway);
        while let Some(change) = news.next().await {
            let live = gateway.live();
            let concerned = self.present().into_iter().filter(|member| match &change {
                Change::List(_) => true,
                Change::Resource(uri) => {
                    let watches = |cell: Arc<Cell>| cell.watches().contains_key(uri.as_ref());
                    member.cell.upgrade().is_some_and(watches) && change.is_for(&live, &member.caller)
                }
            });
            let tell = |member: Member| {
                let notification = change.notification();
                async move {
                    let _ = tokio::time::timeout(PATIENCE, member.peer.send_notification(notification)).await;
                }
            };
            join_all(concerned.map(tell)).await;
        }
    }
}

/// Runs one `subscriptions/listen` until it is cancelled or the server closes.
pub(super) async fn listen(
    subscription: &SubscriptionContext,
    gateway: &Arc<Gateway>,
    caller: &Caller,
    closing: &CancellationToken,
) {
    let mut news = News::of(gateway);
    let accepted = subscription.accepted();
    let live = gateway.live();
    let uris = accepted.resource_subscriptions.iter().flatten();
    let places = uris.filter_map(|uri| live.catalog.resource(uri, caller).ok());
    let places = places.filter(|place| live.catalog.lets_in(place, caller));
    let _watching: Vec<_> = places.filter_map(|place| gateway.watch_resource(&place)).collect();
    loop {
        let change = tokio::select! {
            change = news.next() => change,
            () = subscription.cancelled() => None,
            () = closing.cancelled() => None,
        };
        let Some(change) = change else { return };
        let hears = change.is_wanted(accepted) && change.is_for(&gateway.live(), caller);
        if hears && subscription.sink().send(change.notification()).await.is_err() {
            return;
        }
    }
}

/// What a client may be told.
enum Change {
    List(List),
    Resource(Arc<str>),
}

impl Change {
    fn notification(&self) -> ServerNotification {
        match self {
            Self::List(List::Tools) => {
                ServerNotification::ToolListChangedNotification(ToolListChangedNotification::default())
            }
            Self::List(List::Prompts) => {
                ServerNotification::PromptListChangedNotification(PromptListChangedNotification::default())
            }
            Self::List(List::Resources | List::Templates) => {
                ServerNotification::ResourceListChangedNotification(ResourceListChangedNotification::default())
            }
            Self::Resource(uri) => ServerNotification::ResourceUpdatedNotification(ResourceUpdatedNotification::new(
                ResourceUpdatedNotificationParam::new(uri.as_ref()),
            )),
        }
    }

    /// Whether a caller may hear of it: of a resource only who may read it.
    fn is_for(&self, live: &Live, caller: &Caller) -> bool {
        match self {
            Self::List(_) => true,
            Self::Resource(uri) => {
                let place = live.catalog.resource(uri, caller);
                place.is_ok_and(|place| live.catalog.lets_in(&place, caller))
            }
        }
    }

    fn is_wanted(&self, filter: &SubscriptionFilter) -> bool {
        match self {
            Self::List(List::Tools) => filter.tools_list_changed == Some(true),
            Self::List(List::Prompts) => filter.prompts_list_changed == Some(true),
            Self::List(List::Resources | List::Templates) => filter.resources_list_changed == Some(true),
            Self::Resource(uri) => {
                filter.resource_subscriptions.iter().flatten().any(|wanted| wanted.as_str() == uri.as_ref())
            }
        }
    }
}

/// Follows everything that changes. A change that comes while nobody waits is found at the next
/// wait; of resource updates, only so many are kept for a slow reader.
struct News {
    live: watch::Receiver<Arc<Live>>,
    seen: Arc<Live>,
    waiting: Vec<Change>,
    updates: broadcast::Receiver<Arc<str>>,
}

impl News {
    fn of(gateway: &Gateway) -> Self {
        let mut live = gateway.watch();
        let seen = Arc::clone(&live.borrow_and_update());
        Self { live, seen, waiting: Vec::new(), updates: gateway.updates() }
    }

    /// Waits for the next change; nothing when none can come.
    async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.waiting.pop() {
                return Some(change);
            }
            tokio::select! {
                changed = self.live.changed() => {
                    changed.ok()?;
                    let now = Arc::clone(&self.live.borrow_and_update());
                    let before = std::mem::replace(&mut self.seen, now);
                    let lists = [List::Tools, List::Prompts, List::Resources, List::Templates];
                    let other = lists.into_iter().filter(|list| !self.seen.lists_the_same(&before, *list));
                    self.waiting = other.map(Change::List).collect();
                    // Both are told by the same words.
                    if let [.., Change::List(List::Resources), Change::List(List::Templates)] = self.waiting.as_slice() {
                        self.waiting.pop();
                    }
                }
                updated = self.updates.recv() => match updated {
                    Ok(uri) => return Some(Change::Resource(uri)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        }
    }
}
