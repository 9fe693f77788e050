//! Pages that clients may still hold: an address stands for what it said, for the last few versions, and so do the
//! addresses of what such a page loads.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Connector, Gateway};
use crate::caller::Caller;
use crate::catalog::{Shown, ShownPages};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Expected, MAX_KEY, MAX_VALUE, Put, Store, StoreError, Stored};
use crate::widget::{Asset, Bundle, is_asset_address, is_page_address};

/// Versions of a page that stay readable, the present one included.
const VERSIONS: usize = 5;
/// Versions looked at when old ones are dropped.
const LOOKED_AT: usize = 100;
/// How long a page is kept after the last start of a server that shows it.
const KEPT: Duration = Duration::from_hours(24 * 365);
/// How long new pages wait to be kept before they are shown.
const MOMENT: Duration = Duration::from_secs(2);
const PAGES: &str = "page/";
const ASSETS: &str = "asset/";

/// A page as it was published at some time.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    since: SystemTime,
    page: Shown,
}

impl Gateway {
    /// The page at this address, or at one it had, when this caller sees it.
    pub async fn page(&self, uri: &str, caller: &Caller) -> Result<Option<Arc<Shown>>> {
        let live = self.live();
        if let Some(page) = live.catalog.page(uri) {
            return Ok(Some(Arc::clone(page)).filter(|page| caller.sees(live.catalog.to_page(page))));
        }
        let (Some(key), Ok(store)) = (key(uri), &self.store) else { return Ok(None) };
        // What was taken away on purpose is not shown any longer.
        let shows = |connector: &Connector| live.shows(connector, caller);
        let in_use = |it: &&Arc<Connector>| it.checked.connector.enabled && has_page(it, uri) && shows(it);
        if live.connectors.values().find(in_use).is_none() {
            return Ok(None);
        }
        let stored = store.get(&key).await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "older pages cannot be read now; try again").because(error)
        })?;
        Ok(stored.and_then(|stored| read(&stored)).map(|kept| Arc::new(kept.page)))
    }

    /// A file that pages of now load, or that kept ones do; and whether it stays what it is.
    pub async fn asset(&self, address: &str) -> Option<(Asset, bool)> {
        let pages = self.live().pages().clone();
        if let Some((asset, for_ever)) = pages.bundle.asset(address) {
            return Some((asset.clone(), for_ever));
        }
        let store = self.store.as_ref().ok().filter(|_| is_asset_address(address))?;
        let stored = store.get(&format!("{ASSETS}{address}")).await.ok()??;
        Some((Asset::new(address, stored.value), true))
    }

    /// Keeps the pages of now for the time when they are old, and drops the oldest; gives whether all are kept.
    pub async fn keep_pages(&self) -> bool {
        let live = self.live();
        self.keep(live.catalog.pages(), &live.pages().bundle).await
    }

    /// Keeps pages that are to be shown from now on, so that no client holds one that could be lost. Waits for the
    /// store no longer than a moment: what is not kept now is kept later.
    pub async fn keep_next(&self, pages: &ShownPages, bundle: &Bundle) {
        let _ = tokio::time::timeout(MOMENT, self.keep(pages.all(), bundle)).await;
    }

    async fn keep(&self, pages: impl Iterator<Item = &Arc<Shown>>, bundle: &Bundle) -> bool {
        let Ok(store) = &self.store else { return true };
        let pages: BTreeMap<&str, &Arc<Shown>> = pages.map(|page| (page.uri.as_str(), page)).collect();
        let mut kept = self.kept.lock().await;
        kept.retain(|uri| pages.contains_key(uri.as_str()));
        for (uri, page) in &pages {
            if kept.contains(*uri) {
                continue;
            }
            match keep(store.as_ref(), page, bundle).await {
                Ok(()) => drop(kept.insert((*uri).to_owned())),
                Err(error) => tracing::warn!(%error, page = uri, "the page is not kept for later"),
            }
        }
        kept.len() == pages.len()
    }
}

async fn keep(store: &dyn Store, page: &Shown, bundle: &Bundle) -> Result<(), StoreError> {
    let Some(key) = key(&page.uri) else { return Ok(()) };
    let now = SystemTime::now();
    let put = Put { expires: now.checked_add(KEPT), ..Put::default() };
    let value = serde_json::to_vec(&Kept { since: now, page: page.clone() }).unwrap_or_default();
    store.put(&key, value.into(), put).await?;
    for address in &page.assets {
        if let Some((asset, true)) = bundle.asset(address).filter(|(asset, _)| asset.bytes.len() <= MAX_VALUE) {
            store.put(&format!("{ASSETS}{address}"), asset.bytes.clone(), put).await?;
        }
    }
    // The versions of this page, and of no other.
    let prefix = key.rsplit_once('-').map_or_else(|| key.clone(), |(name, _)| format!("{name}-"));
    let mut all = Vec::new();
    for (key, stored) in store.list(&prefix, None, LOOKED_AT).await? {
        match read(&stored) {
            Some(kept) if kept.page.name == page.name => all.push((kept.since, key)),
            Some(_) => {}
            // Nobody can read it any more.
            None => drop(store.delete(&key, Expected::Any).await?),
        }
    }
    all.sort();
    let surplus = all.len().saturating_sub(VERSIONS);
    for (_, old) in all.into_iter().take(surplus) {
        store.delete(&old, Expected::Any).await?;
    }
    Ok(())
}

fn read(stored: &Stored) -> Option<Kept> {
    serde_json::from_slice(&stored.value).ok()
}

/// Whether a connector shows pages of ours, and this address may be of one of them.
fn has_page(connector: &Connector, uri: &str) -> bool {
    let manifest = &connector.checked.connector;
    let path = uri.strip_prefix("ui://").and_then(|path| path.strip_prefix(manifest.id.as_str()));
    path.is_some_and(|path| path.starts_with('/')) && manifest.widgets().any(|widget| widget.page.is_some())
}

/// Where the page of this address is kept, when it is one of ours.
fn key(uri: &str) -> Option<String> {
    let key = format!("{PAGES}{}", uri.strip_prefix("ui://")?);
    (is_page_address(uri) && key.len() <= MAX_KEY).then_some(key)
}
