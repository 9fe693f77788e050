//! The sealed part of the store: records that nobody reads without the key.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::seal::Seal;
use crate::store::{Expected, Put, Store, StoreError, Version};

/// What the keys of sealed records begin with, and of nothing else that has a value.
const SEALED: [&str; 6] = ["connect/", "credential/", "deployment/", "grant/", "oauth-client/", "registry/"];
/// Entries read at once where many are gone through.
const BATCH: usize = 100;

/// Sealed records by key.
#[derive(Clone)]
pub struct Safe {
    store: Arc<dyn Store>,
    seal: Arc<Seal>,
}

/// A record, and the write it comes from.
#[derive(Debug, Clone)]
pub struct Kept<T> {
    /// The record.
    pub value: T,
    /// The write it comes from.
    pub version: Version,
}

/// What lies in a seal.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    /// When it ends, in milliseconds since 1970; a record that is sealed anew has to end then, too.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    ends: Option<u64>,
    #[serde(rename = "v")]
    value: T,
}

impl fmt::Debug for Safe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Safe").field("seal", &self.seal).finish_non_exhaustive()
    }
}

impl Safe {
    /// Keeps records in `store`, sealed with `seal`.
    pub fn new(store: Arc<dyn Store>, seal: Arc<Seal>) -> Self {
        Self { store, seal }
    }

    /// The record of this key. One that cannot be opened is as if it were not there; the log says so.
    pub async fn read<T: DeserializeOwned + Serialize>(&self, key: &str) -> Result<Option<Kept<T>>, StoreError> {
        let Some(stored) = self.store.get(key).await? else { return Ok(None) };
        let opened = self.open::<T>(key, &stored.value);
        let opened = opened.inspect_err(|why| tracing::warn!(key, "a sealed record cannot be read: {why}"));
        let Ok((record, is_old)) = opened else { return Ok(None) };
        let mut version = stored.version;
        if is_old {
            let expires = record.ends.map(|ends| SystemTime::UNIX_EPOCH + Duration::from_millis(ends));
            // Somebody else may have written meanwhile; then theirs stays.
            let put = Put { expected: Expected::Is(version), expires };
            version = self.write(key, &record.value, put).await?.unwrap_or(version);
        }
        Ok(Some(Kept { value: record.value, version }))
    }

    /// Keeps a record if the expectation holds: the version it has now, if it did.
    pub async fn write<T: Serialize>(&self, key: &str, value: &T, put: Put) -> Result<Option<Version>, StoreError> {
        let ends = put.expires.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let ends = ends.map(|ends| u64::try_from(ends.as_millis()).unwrap_or(u64::MAX));
        let broken = |why: &dyn fmt::Display| StoreError::Unavailable(format!("a record cannot be sealed: {why}"));
        let plain = serde_json::to_vec(&Record { ends, value }).map(Zeroizing::new).map_err(|error| broken(&error))?;
        let sealed = self.seal.seal(key, &plain).map_err(|why| broken(&why))?;
        self.store.put(key, Bytes::from(sealed), put).await
    }

    /// Removes a record if it is there and as expected: whether it was.
    pub async fn remove(&self, key: &str, expected: Expected) -> Result<bool, StoreError> {
        self.store.delete(key, expected).await
    }

    /// Whether there is a record of this key, be it one that cannot be opened.
    pub async fn has(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.store.get(key).await?.is_some())
    }

    /// Takes the turn of this name, unless another process has it, who loses it after `time`: what to give it back
    /// with, when it is ours now.
    pub async fn take_turn(&self, key: &str, time: Duration) -> Result<Option<Version>, StoreError> {
        let put = Put { expected: Expected::Absent, expires: Some(SystemTime::now() + time) };
        self.store.put(key, Bytes::new(), put).await
    }

    /// Gives a turn back, unless it is another's by now.
    pub async fn end_turn(&self, key: &str, taken: Version) -> Result<(), StoreError> {
        self.store.delete(key, Expected::Is(taken)).await.map(drop)
    }

    /// Goes over all records: seals those anew that an older key sealed, so that it can go, and gives how many no key
    /// opens.
    pub async fn renew(&self) -> Result<usize, StoreError> {
        let mut closed = 0;
        for prefix in SEALED {
            let mut after: Option<String> = None;
            loop {
                let batch = self.store.list(prefix, after.as_deref(), BATCH).await?;
                for (key, stored) in batch.iter().filter(|(_, stored)| !stored.value.is_empty()) {
                    match self.seal.open(key, &stored.value) {
                        Ok(opened) if opened.is_old => drop(self.read::<Value>(key).await?),
                        Ok(_) => {}
                        Err(_) => closed += 1,
                    }
                }
                match batch.into_iter().next_back() {
                    Some((last, _)) => after = Some(last),
                    None => break,
                }
            }
        }
        Ok(closed)
    }

    /// All records whose keys begin so and that can be opened, with their keys.
    pub async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, Kept<T>)>, StoreError> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let batch = self.store.list(prefix, after.as_deref(), BATCH).await?;
            for (key, stored) in &batch {
                // How many cannot be opened is told at the start, and not each time.
                let opened = self.open::<T>(key, &stored.value).ok();
                let kept = opened.map(|(record, _)| Kept { value: record.value, version: stored.version });
                found.extend(kept.map(|kept| (key.clone(), kept)));
            }
            match batch.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(found),
            }
        }
    }

    /// The record, and whether an older key sealed it; else why not.
    fn open<T: DeserializeOwned>(&self, key: &str, sealed: &[u8]) -> Result<(Record<T>, bool), String> {
        let opened = self.seal.open(key, sealed).map_err(|why| why.to_string())?;
        // The error's words may quote the record.
        let record = serde_json::from_slice(&opened.plain).map_err(|_| "it is no such record")?;
        Ok((record, opened.is_old))
    }
}
