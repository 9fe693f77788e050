//! What runs beside judging: pages are read, what is seen is recorded and kept, the lock is followed, changes are told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::file::{Stamp, Written};
use super::{SeenTools, all_of, descriptor_key, page_key, recall, seen_prefix, written};
use crate::catalog::Offer;
use crate::catalog::diff::unified;
use crate::catalog::pin::{Lock, Locked, Pin, Policy, UNREAD, pages_of, pinned};
use crate::gateway::{Connector, Gateway};
use crate::name::{ConnectorId, cut};
use crate::store::{Expected, Put};

/// How often the lock is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Pages of one connector that are read.
const MOST_PAGES: usize = 64;
/// Changes that are remembered as told.
const MOST_TOLD: usize = 10_000;
/// Changes of one connector that are logged at once, each for itself.
const MOST_LOGGED: usize = 10;
/// Characters of a diff in the log.
const LOGGED: usize = 4000;

/// What the keeper remembers between two rounds.
#[derive(Default)]
struct Rounds {
    /// The offers that were recorded, with what their pages said.
    recorded: HashMap<ConnectorId, (Arc<Offer>, BTreeMap<String, String>)>,
    /// Changes that were told.
    told: HashSet<String>,
    stamp: Option<Stamp>,
    /// Whether it was said that the lock is elsewhere.
    said_elsewhere: bool,
}

impl Gateway {
    /// Brings back what was agreed to word by word, before any upstream is asked.
    pub(in crate::gateway) async fn recall_pins(&self) {
        let lock = self.pins.state().lock.clone();
        self.recall_of(&lock).await;
    }

    async fn recall_of(&self, lock: &Lock) {
        let Ok(store) = &self.store else { return };
        let of = |(id, locked): (&String, &Locked)| {
            let id = id.clone();
            locked.tools.values().map(move |pin| (id.clone(), pin.form())).collect::<Vec<_>>()
        };
        let scope = self.pins.file.scope();
        let unknown: HashMap<String, (String, String)> = {
            let state = self.pins.state();
            let all = lock.connectors.iter().flat_map(of).filter(|known| !state.kept.contains_key(known));
            all.map(|(id, form)| (descriptor_key(scope, &id, &form), (id, form))).collect()
        };
        match recall(store.as_ref(), unknown.keys().cloned().collect()).await {
            Ok(found) => {
                let found =
                    found.iter().filter_map(|(key, text)| Some((unknown.get(key)?.clone(), text.as_str().into())));
                self.pins.state().kept.extend(found);
            }
            Err(error) => tracing::warn!(%error, "what was agreed to of upstreams' tools cannot be read"),
        }
    }

    /// Records what upstreams say and follows the lock, until `stop`.
    pub(in crate::gateway) async fn keep_pins(self: Arc<Self>, stop: CancellationToken) {
        let mut live = self.live.subscribe();
        let mut rounds = Rounds { stamp: Some(self.pins.file.stamp()), ..Rounds::default() };
        loop {
            live.mark_unchanged();
            let Some(()) = stop.run_until_cancelled(self.round(&mut rounds)).await else { return };
            loop {
                tokio::select! {
                    changed = live.changed() => if changed.is_err() { return } else { break },
                    () = tokio::time::sleep(LOOK) => if self.follow_lock(&mut rounds).await { break },
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    async fn round(self: &Arc<Self>, rounds: &mut Rounds) {
        let live = self.live();
        rounds.recorded.retain(|id, _| live.connectors.contains_key(id));
        if rounds.told.len() > MOST_TOLD {
            rounds.told.clear();
        }
        let mut changed = false;
        for connector in live.connectors.values().filter(|connector| self.pins.covers(connector)) {
            // What stands in for tools until they are known is ours.
            if let Some(offer) = connector.offer().filter(|offer| !offer.is_provisional) {
                changed |= self.record(connector, &offer, rounds).await;
            }
        }
        if changed {
            let gateway = Arc::clone(self);
            let _ = tokio::task::spawn_blocking(move || gateway.refresh()).await;
        }
        self.tell_drifts(rounds);
        self.keep_surface().await;
    }

    /// Records what an upstream says now; whether it is judged otherwise for that.
    async fn record(self: &Arc<Self>, connector: &Connector, offer: &Arc<Offer>, rounds: &mut Rounds) -> bool {
        let id = &connector.checked.connector.id;
        let before = rounds.recorded.get(id).filter(|(known, _)| Arc::ptr_eq(known, offer));
        let pages = match before {
            None => self.look_at_pages(connector, offer).await,
            // What they said since, when somebody read them.
            Some((_, pages)) => {
                let now = self.pins.pages_now(id, offer);
                if now == *pages {
                    return false;
                }
                now
            }
        };
        let tools = all_of(offer);
        let agreed = self.pins.locked(id).unwrap_or_default();
        let agreed = |uri: &str| agreed.tools.values().find_map(|pin| pin.pages.get(uri)).cloned();
        let page = |uri: &str| pages.get(uri).cloned().or_else(|| agreed(uri));
        let named = tools.iter().filter_map(|tool| Some((tool.get("name")?.as_str()?.to_owned(), tool)));
        let pins: BTreeMap<String, (Pin, &Value)> =
            named.map(|(name, tool)| (name, (Pin::of(tool, page), tool))).collect();
        let seen = SeenTools { tools: pins.iter().map(|(name, (pin, _))| (name.clone(), pin.clone())).collect() };
        let kept = pins.values().map(|(pin, tool)| (pin.form(), written(tool))).collect();
        self.keep_seen(id, &seen, kept).await;
        rounds.recorded.insert(id.clone(), (Arc::clone(offer), pages.clone()));
        if let Some(locked) = self.pins.locked(id) {
            let unread = |pin: &Pin| pin.pages.iter().any(|(uri, it)| it == UNREAD && pages.contains_key(uri));
            if locked.tools.values().any(unread) {
                self.pin_pages(id, pages, rounds).await;
            }
            return true;
        }
        if self.pins.policy == Policy::Block {
            return true;
        }
        self.agree_at_first_sight(id, Locked { tools: seen.tools }, rounds).await;
        true
    }

    /// Forgets all that is known and kept of a connector that was taken away, unless another has its id by now: what
    /// comes after it under its name says nothing anybody agreed to.
    pub(in crate::gateway) async fn forget_pins(&self, id: &ConnectorId) {
        if self.live().connectors.contains_key(id) {
            return;
        }
        {
            let state = &mut *self.pins.state();
            state.lock.connectors.remove(id.as_str());
            state.kept.retain(|(connector, _), _| connector != id.as_str());
            state.revision += 1;
        }
        let (file, name) = (self.pins.file.clone(), id.as_str().to_owned());
        let edit = move || file.edit(|lock| drop(lock.connectors.remove(&name)));
        if let Ok(Err(why)) = tokio::task::spawn_blocking(edit).await {
            tracing::warn!(connector = %id, "it stays in the lock of tools: {why}");
        }
        let Ok(store) = &self.store else { return };
        let (store, scope, nothing) = (store.as_ref(), self.pins.file.scope(), HashSet::new());
        let swept = async {
            store.delete(&format!("{}{id}", seen_prefix(scope)), Expected::Any).await?;
            self.pins.shelf.sweep(store, &descriptor_key(scope, id.as_str(), ""), &nothing).await?;
            self.pins.shelf.sweep(store, &page_key(scope, id.as_str(), ""), &nothing).await
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, connector = %id, "what was kept of its tools could not be taken away");
        }
    }

    /// Keeps what is seen, word by word too.
    async fn keep_seen(&self, id: &ConnectorId, seen: &SeenTools, kept: Vec<(String, Bytes)>) {
        let scope = self.pins.file.scope();
        // What was agreed to, and what is seen now; what was seen in between is of no use.
        let agreed = self.pins.locked(id).unwrap_or_default();
        let pins = || agreed.tools.values().chain(seen.tools.values());
        let forms: HashSet<String> = pins().map(Pin::form).collect();
        {
            let mut state = self.pins.state();
            state.kept.retain(|(connector, form), _| connector != id.as_str() || forms.contains(form));
            for (form, text) in &kept {
                if let Ok(text) = std::str::from_utf8(text) {
                    state.kept.entry((id.as_str().to_owned(), form.clone())).or_insert_with(|| text.into());
                }
            }
        }
        let Ok(store) = &self.store else { return };
        let at = |form: &String| descriptor_key(scope, id.as_str(), form);
        let kept = kept.into_iter().map(|(form, text)| (at(&form), text)).collect();
        let key = format!("{}{id}", seen_prefix(scope));
        let value = serde_json::to_vec(seen).unwrap_or_default();
        let descriptors: HashSet<String> = forms.iter().map(at).collect();
        let digests = pins().flat_map(|pin| pin.pages.values());
        let pages: HashSet<String> = digests.map(|digest| page_key(scope, id.as_str(), digest)).collect();
        let result = async {
            let store = store.as_ref();
            self.pins.shelf.keep(store, kept).await?;
            store.put(&key, value.into(), Put::default()).await?;
            self.pins.shelf.sweep(store, &descriptor_key(scope, id.as_str(), ""), &descriptors).await?;
            self.pins.shelf.sweep(store, &page_key(scope, id.as_str(), ""), &pages).await
        };
        if let Err(error) = result.await {
            tracing::warn!(%error, connector = %id, "what the upstream says of its tools is not kept");
        }
    }

    /// Pins pages that could not be read when their tools were agreed to, and now were.
    async fn pin_pages(&self, id: &ConnectorId, pages: BTreeMap<String, String>, rounds: &mut Rounds) {
        let (file, name) = (self.pins.file.clone(), id.as_str().to_owned());
        let edit = move || {
            file.edit(|lock| {
                let tools = lock.connectors.get_mut(&name).into_iter().flat_map(|locked| locked.tools.values_mut());
                for (uri, digest) in tools.flat_map(|pin| &mut pin.pages) {
                    if let Some(now) = pages.get(uri).filter(|_| digest == UNREAD) {
                        digest.clone_from(now);
                    }
                }
            })
        };
        match tokio::task::spawn_blocking(edit).await {
            Ok(Ok(written)) => self.adopt_lock(written.lock),
            Ok(Err(why)) => tracing::warn!(connector = %id, "what its pages say is not pinned: {why}"),
            Err(error) => tracing::warn!(%error, connector = %id, "what its pages say is not pinned"),
        }
        rounds.stamp = Some(self.pins.file.stamp());
    }

    async fn agree_at_first_sight(&self, id: &ConnectorId, locked: Locked, rounds: &mut Rounds) {
        let (file, name) = (self.pins.file.clone(), id.as_str().to_owned());
        let agreed = locked.clone();
        let edit = move || {
            file.edit(|lock| {
                lock.connectors.entry(name).or_insert(agreed);
            })
        };
        let done = tokio::task::spawn_blocking(edit).await;
        let tools = locked.tools.len();
        match done {
            Ok(Ok(Written { lock, at, elsewhere })) => {
                self.adopt_lock(lock);
                if let Some(at) = at {
                    tracing::info!(connector = %id, tools, "pinned at first sight in {}", at.display());
                }
                if let Some(why) = elsewhere.filter(|_| !std::mem::replace(&mut rounds.said_elsewhere, true)) {
                    tracing::warn!("the lock of tools is kept in the data folder: {why}");
                }
            }
            Ok(Err(why)) => {
                tracing::warn!(connector = %id, "its tools are pinned until we stop, and not beyond: {why}");
                let mut state = self.pins.state();
                state.lock.connectors.entry(id.as_str().to_owned()).or_insert(locked);
                state.revision += 1;
            }
            Err(error) => tracing::warn!(%error, connector = %id, "its tools are not pinned"),
        }
        rounds.stamp = Some(self.pins.file.stamp());
    }

    /// What the pages of an upstream say that its tools show themselves by.
    async fn look_at_pages(&self, connector: &Connector, offer: &Offer) -> BTreeMap<String, String> {
        let id = &connector.checked.connector.id;
        let uris: BTreeSet<String> = offer.tools.iter().flat_map(pages_of).take(MOST_PAGES).collect();
        let Some(mcp) = connector.mcp().filter(|_| !uris.is_empty()) else { return BTreeMap::new() };
        let mut pages = BTreeMap::new();
        let mut kept = Vec::new();
        for uri in uris {
            let Some((digest, page)) = self.look_at_page(&mcp, &uri).await else { continue };
            self.pins.note_page(id, &uri, &digest);
            kept.push((page_key(self.pins.file.scope(), id.as_str(), &digest), page));
            pages.insert(uri, digest);
        }
        if let Ok(store) = &self.store
            && let Err(error) = self.pins.shelf.keep(store.as_ref(), kept).await
        {
            tracing::warn!(%error, connector = %id, "the upstream's pages are not kept");
        }
        pages
    }

    /// Takes over what others wrote into the lock; whether there was anything.
    async fn follow_lock(self: &Arc<Self>, rounds: &mut Rounds) -> bool {
        let stamp = self.pins.file.stamp();
        if rounds.stamp.replace(stamp) == Some(stamp) {
            return false;
        }
        let file = self.pins.file.clone();
        let lock = match tokio::task::spawn_blocking(move || file.read()).await {
            Ok(Ok(lock)) => lock,
            Ok(Err(problems)) => {
                for problem in problems {
                    tracing::error!("the lock of tools stays as it was: {problem}");
                }
                return false;
            }
            Err(_) => return false,
        };
        if lock == self.pins.state().lock {
            return false;
        }
        self.recall_of(&lock).await;
        tracing::info!("the lock of tools changed");
        self.adopt_lock(lock);
        // Who is in it no longer is pinned anew, where that is how it began.
        rounds.recorded.clear();
        let gateway = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || gateway.refresh()).await;
        true
    }

    fn adopt_lock(&self, lock: Lock) {
        let live = self.live();
        self.pins.adopt(lock, |id| live.connectors.keys().any(|known| known.as_str() == id));
    }

    /// Tells each change once, with what differs.
    fn tell_drifts(&self, rounds: &mut Rounds) {
        let live = self.live();
        for connector in live.connectors.values() {
            let id = &connector.checked.connector.id;
            let judged = live.judgement(id).and_then(|judgement| judgement.judged.as_ref());
            let drifts = judged.into_iter().flat_map(|judged| &judged.drifts);
            let new: Vec<_> = drifts.filter(|drift| rounds.told.insert(format!("{id} {}", drift.said()))).collect();
            if new.len() > MOST_LOGGED {
                let more = new.len() - MOST_LOGGED;
                tracing::warn!(connector = %id, "{more} more tools changed; `switchboard approve {id} --list` shows them");
            }
            for drift in new.into_iter().take(MOST_LOGGED) {
                let diff = self.diff_of(connector, &drift.tool).map(|diff| cut(&diff, LOGGED)).unwrap_or_default();
                let gap = if diff.is_empty() { "" } else { "\n" };
                tracing::warn!(connector = %id, "{}; `switchboard approve` agrees to it{gap}{diff}", drift.said());
            }
        }
    }

    /// What differs between a tool that was agreed to and the one of now.
    fn diff_of(&self, connector: &Connector, tool: &str) -> Option<String> {
        let id = &connector.checked.connector.id;
        let offer = connector.offer()?;
        let tools = all_of(&offer);
        let now = tools.iter().find(|it| it.get("name").is_some_and(|name| name == tool))?;
        let state = self.pins.state();
        let form = state.lock.connectors.get(id.as_str())?.tools.get(tool)?.form();
        let before: Value = serde_json::from_str(state.kept.get(&(id.as_str().to_owned(), form))?).ok()?;
        Some(unified(&pinned(&before), &pinned(now)))
    }
}
