//! Pages that clients may still hold: an address stands for what it said, for the last few versions.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::Gateway;
use crate::catalog::Shown;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Expected, Put, Store, StoreError, Stored};

/// Versions of a page that stay readable, the present one included.
const VERSIONS: usize = 5;
/// Versions looked at when old ones are dropped.
const LOOKED_AT: usize = 1000;

/// A page as it was published at some time.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    since: SystemTime,
    page: Shown,
}

impl Gateway {
    /// The page at this address, or at one it had.
    pub async fn page(&self, uri: &str) -> Result<Option<Arc<Shown>>> {
        if let Some(page) = self.live().catalog.page(uri) {
            return Ok(Some(Arc::clone(page)));
        }
        let (Some(key), Ok(store)) = (key(uri), &self.store) else { return Ok(None) };
        let stored = store.get(&key).await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "older pages cannot be read now; try again").because(error)
        })?;
        let kept = stored.and_then(|stored| serde_json::from_slice::<Kept>(&stored.value).ok());
        Ok(kept.map(|kept| Arc::new(kept.page)))
    }

    /// Keeps the pages of now for the time when they are old, and drops the oldest. `kept` are the ones that
    /// were there before.
    pub(super) async fn keep_pages(&self, kept: &mut BTreeSet<String>) {
        let Ok(store) = &self.store else { return };
        let live = self.live();
        for page in live.catalog.pages().filter(|page| !kept.contains(&page.uri)) {
            if let Err(error) = keep(store.as_ref(), page).await {
                tracing::warn!(%error, page = page.uri, "the page is not kept for later");
            }
        }
        *kept = live.catalog.pages().map(|page| page.uri.clone()).collect();
    }
}

async fn keep(store: &dyn Store, page: &Shown) -> Result<(), StoreError> {
    let Some(key) = key(&page.uri) else { return Ok(()) };
    let value = serde_json::to_vec(&Kept { since: SystemTime::now(), page: page.clone() }).unwrap_or_default();
    store.put(&key, value.into(), Put::default()).await?;
    let prefix = key.rsplit_once('-').map_or(key.as_str(), |(name, _)| name);
    let all = store.list(prefix, None, LOOKED_AT).await?;
    let read = |(key, stored): (String, Stored)| {
        let kept: Kept = serde_json::from_slice(&stored.value).ok()?;
        (kept.page.name == page.name).then_some((kept.since, key))
    };
    let mut all: Vec<(SystemTime, String)> = all.into_iter().filter_map(read).collect();
    all.sort();
    let surplus = all.len().saturating_sub(VERSIONS);
    for (_, old) in all.into_iter().take(surplus) {
        store.delete(&old, Expected::Any).await?;
    }
    Ok(())
}

/// Where a page of this address is kept.
fn key(uri: &str) -> Option<String> {
    let path = uri.strip_prefix("ui://")?;
    Some(format!("page/{path}"))
}
