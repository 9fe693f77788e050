//! What is kept word by word, by what it says: descriptors and pages that were agreed to, or that wait for it.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;

use crate::store::{Expected, MAX_VALUE, Put, Store, StoreError};

/// How long it is kept after the last start of a server that met it.
const KEPT: Duration = Duration::from_hours(24 * 365);
/// Writes or reads at once.
const AT_ONCE: usize = 64;

/// What this process has put there already.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Shelf(Mutex<HashSet<String>>);

impl Shelf {
    /// Puts texts there, each under its key, unless this process did so already. What is too large is left out.
    pub(in crate::gateway) async fn keep(
        &self,
        store: &dyn Store,
        texts: Vec<(String, Bytes)>,
    ) -> Result<(), StoreError> {
        let put = Put { expires: SystemTime::now().checked_add(KEPT), ..Put::default() };
        let mut left: Vec<(String, Bytes)> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            texts.into_iter().filter(|(key, text)| !known.contains(key) && text.len() <= MAX_VALUE).collect()
        };
        while !left.is_empty() {
            let some: Vec<_> = left.drain(..left.len().min(AT_ONCE)).collect();
            let writes = some.iter().map(|(key, text)| store.put(key, text.clone(), put));
            join_all(writes).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(some.into_iter().map(|(key, _)| key));
        }
        Ok(())
    }

    /// Takes away what is kept under prefixes and no longer of use.
    pub(in crate::gateway) async fn sweep(
        &self,
        store: &dyn Store,
        prefix: &str,
        stays: &HashSet<String>,
    ) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let page = store.list(prefix, after.as_deref(), AT_ONCE).await?;
            after = page.last().map(|(key, _)| key.clone());
            let gone = page.iter().map(|(key, _)| key).filter(|key| !stays.contains(*key));
            for key in gone {
                store.delete(key, Expected::Any).await?;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            }
            if page.len() < AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// What is kept under these keys, as far as it is there and is text.
pub async fn recall(store: &dyn Store, keys: Vec<String>) -> Result<Vec<(String, String)>, StoreError> {
    let mut found = Vec::new();
    for some in keys.chunks(AT_ONCE) {
        let reads = join_all(some.iter().map(|key| store.get(key))).await;
        for (key, read) in some.iter().zip(reads) {
            let text = read?.and_then(|stored| String::from_utf8(stored.value.into()).ok());
            found.extend(text.map(|text| (key.clone(), text)));
        }
    }
    Ok(found)
}
