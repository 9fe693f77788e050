//! What runs beside calls: connectors' connections, and snapshots of what they come to offer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Connector, Gateway, Live};
use crate::adapter::{Adapter, Phase};
use crate::name::ConnectorId;

/// Pages that could not be kept are tried again after this long.
const KEEP_AGAIN: Duration = Duration::from_mins(1);

/// How much is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Connections: for a command that ends soon.
    Connections,
    /// Health and pages too: for a server.
    Everything,
}

impl Gateway {
    /// Keeps connectors running until `stop`, and leaves nothing of theirs behind.
    pub async fn tend(self: Arc<Self>, upkeep: Upkeep, stop: CancellationToken) {
        // Before any upstream says anything, so that what it says is judged by what was agreed to.
        if stop.run_until_cancelled(self.recall_pins()).await.is_none() {
            return;
        }
        let mut live = self.live.subscribe();
        let mut tended: BTreeMap<ConnectorId, (Arc<Connector>, CancellationToken)> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        if upkeep == Upkeep::Everything {
            let (keeper, keyring) = (Arc::clone(&self), Arc::clone(&self.keyring));
            let (stop_pages, stop_logins) = (stop.clone(), stop.clone());
            tasks.spawn(async move { keeper.keep_all_pages(&stop_pages).await });
            tasks.spawn(async move { keyring.tend(stop_logins).await });
            tasks.spawn(Arc::clone(&self).deploy_all(stop.clone()));
            tasks.spawn(Arc::clone(&self).keep_pins(stop.clone()));
            tasks.spawn(Arc::clone(&self).keep_together(stop.clone()));
        }
        loop {
            let now = Arc::clone(&live.borrow_and_update());
            tended.retain(|id, (connector, over)| {
                let stays = now.connectors.get(id).is_some_and(|now| Arc::ptr_eq(now, connector));
                if !stays {
                    over.cancel();
                }
                stays
            });
            for (id, connector) in &now.connectors {
                if let Some(adapter) = connector.usable().filter(|_| !tended.contains_key(id)) {
                    let over = stop.child_token();
                    tended.insert(id.clone(), (Arc::clone(connector), over.clone()));
                    if upkeep == Upkeep::Everything {
                        tasks.spawn(self.prober.clone().watch(Arc::clone(connector), over.clone()));
                    }
                    tasks.spawn(async move { adapter.tend(over).await });
                }
            }
            tokio::select! {
                changed = live.changed() => if changed.is_err() { break },
                () = self.bulletin.changed.notified() => {
                    // Thousands of tools take a while to put in order, and calls go on meanwhile. Not
                    // by `block_in_place`: the thread would end later, and with a thread end the
                    // programs that were started on it.
                    let gateway = Arc::clone(&self);
                    let _ = tokio::task::spawn_blocking(move || gateway.refresh()).await;
                }
                Some(_) = tasks.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        for (_, over) in tended.values() {
            over.cancel();
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Keeps every version of the pages, each as it comes.
    async fn keep_all_pages(&self, stop: &CancellationToken) {
        let mut live = self.live.subscribe();
        loop {
            live.mark_unchanged();
            let Some(all) = stop.run_until_cancelled(self.keep_pages()).await else { return };
            let again = if all { None } else { Some(KEEP_AGAIN) };
            let later = async {
                match again {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = live.changed() => if changed.is_err() { return },
                () = later => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Waits until every connector has started or failed to. To be asked while [`Self::tend`] runs.
    pub async fn settled(&self) {
        let mut live = self.live.subscribe();
        while live.borrow_and_update().is_starting(|_| true) {
            if live.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Live {
    /// Whether what some connector offers is not known yet because it is starting.
    pub(super) fn is_starting(&self, which: impl Fn(&Connector) -> bool) -> bool {
        self.start(which).next().is_some()
    }

    /// How many connectors there are whose offer is not known yet because they are starting.
    pub fn starting(&self) -> usize {
        self.start(|_| true).count()
    }

    fn start(&self, which: impl Fn(&Connector) -> bool) -> impl Iterator<Item = &Arc<Connector>> {
        let starts = move |(id, connector): &(&ConnectorId, &Arc<Connector>)| {
            let is_starting = |adapter: &Arc<dyn Adapter>| {
                // What it offers may be known already, and on its way into the next snapshot.
                adapter.offer().is_some() || adapter.status().phase == Phase::Starting
            };
            which(connector)
                && !self.known.contains(*id)
                && connector.usable().as_ref().is_some_and(|adapter| adapter.learns() && is_starting(adapter))
        };
        self.connectors.iter().filter(starts).map(|(_, connector)| connector)
    }
}
