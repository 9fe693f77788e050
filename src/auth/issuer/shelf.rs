//! The issuer's part of the store: records as JSON, each with its end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Trouble;
use crate::store::{Expected, Put, Store, Version};

/// Entries read at once where many are gone through.
const BATCH: usize = 100;

/// Records by key.
#[derive(Debug, Clone)]
pub(super) struct Shelf(Arc<dyn Store>);

/// A record, and the write it comes from.
pub(super) struct Kept<T> {
    pub(super) value: T,
    pub(super) version: Version,
}

impl Shelf {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// The record of this key.
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Kept<T>>, Trouble> {
        let Some(stored) = self.0.get(key).await? else { return Ok(None) };
        let value = parse(&stored.value)?;
        Ok(Some(Kept { value, version: stored.version }))
    }

    /// Keeps a record if the expectation holds: whether it did.
    pub(super) async fn keep<T: Serialize>(&self, key: &str, value: &T, put: Put) -> Result<bool, Trouble> {
        Ok(self.write(key, value, put).await?.is_some())
    }

    /// The same: the version it has now, if the expectation held.
    pub(super) async fn write<T: Serialize>(&self, key: &str, value: &T, put: Put) -> Result<Option<Version>, Trouble> {
        let value = serde_json::to_vec(value).map_err(|_| Trouble::Broken("a record cannot be written".into()))?;
        Ok(self.0.put(key, Bytes::from(value), put).await?)
    }

    /// Removes a record: whether it was there, and as expected.
    pub(super) async fn remove(&self, key: &str, expected: Expected) -> Result<bool, Trouble> {
        Ok(self.0.delete(key, expected).await?)
    }

    /// All records whose keys begin so, with their keys.
    pub(super) async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, Trouble> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let batch = self.0.list(prefix, after.as_deref(), BATCH).await?;
            for (key, stored) in &batch {
                found.push((key.clone(), parse(&stored.value)?));
            }
            match batch.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(found),
            }
        }
    }

    /// Removes all records whose keys begin so: how many there were.
    pub(super) async fn clear(&self, prefix: &str) -> Result<usize, Trouble> {
        let mut removed = 0;
        loop {
            let batch = self.0.list(prefix, None, BATCH).await?;
            if batch.is_empty() {
                return Ok(removed);
            }
            for (key, _) in batch {
                removed += usize::from(self.0.delete(&key, Expected::Any).await?);
            }
        }
    }

    /// Removes the first records whose keys begin so, in the order of their keys.
    pub(super) async fn drop_first(&self, prefix: &str, many: usize) -> Result<(), Trouble> {
        for (key, _) in self.0.list(prefix, None, many).await? {
            self.0.delete(&key, Expected::Any).await?;
        }
        Ok(())
    }

    /// How many records there are whose keys begin so.
    pub(super) async fn count(&self, prefix: &str) -> Result<u64, Trouble> {
        Ok(self.0.count(prefix).await?)
    }
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, Trouble> {
    // Which record it is would help, but keys hold names of people and of clients.
    serde_json::from_slice(value).map_err(|_| Trouble::Broken("a record in the store cannot be read".into()))
}

/// A new record that ends after this long.
pub(super) fn fresh(lasting: Duration) -> Put {
    Put { expected: Expected::Absent, ..lasting_for(lasting) }
}

/// A record, new or not, that ends after this long.
pub(super) fn lasting_for(lasting: Duration) -> Put {
    Put { expires: Some(SystemTime::now() + lasting), ..Put::default() }
}

/// The next version of a record, which ends after this long.
pub(super) fn after(version: Version, lasting: Duration) -> Put {
    Put { expected: Expected::Is(version), ..lasting_for(lasting) }
}

/// The time it is, in milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
