//! Documents from addresses as they were last seen, for a start while their address does not answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::name::ConnectorId;
use crate::store::{MAX_VALUE, Put, Store};
use crate::widget::sha256_hex;

/// How long a document is kept after it was last seen.
const KEPT: Duration = Duration::from_hours(24 * 90);

/// How a document was when it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
    /// Of its bytes, by SHA-256.
    pub(super) hash: Vec<u8>,
}

/// A document's entry in the store; its bytes stand in pieces of their own.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    seen: Seen,
    bytes: usize,
}

/// One connector's documents in the store.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    connector: ConnectorId,
    store: Option<Arc<dyn Store>>,
}

impl Kept {
    pub(super) fn new(connector: &ConnectorId, store: &Result<Arc<dyn Store>, String>) -> Self {
        Self { connector: connector.clone(), store: store.as_ref().ok().map(Arc::clone) }
    }

    /// Where a document stands. Its address may hold a secret, so only a hash of it is written.
    fn key(&self, url: &Url) -> String {
        let mut hash = sha256_hex(url.as_str());
        hash.truncate(32);
        format!("openapi/{}/{hash}", self.connector)
    }

    /// The document as it was last seen, when all of it is still there.
    pub(super) async fn get(&self, url: &Url) -> Option<(Bytes, Seen)> {
        let store = self.store.as_ref()?;
        let key = self.key(url);
        let record = store.get(&key).await.ok()??;
        let Record { seen, bytes } = serde_json::from_slice(&record.value).ok()?;
        let mut whole = BytesMut::new();
        for piece in 0..bytes.div_ceil(MAX_VALUE) {
            whole.extend_from_slice(&store.get(&format!("{key}/{piece}")).await.ok()??.value);
        }
        // Two processes may have written at once.
        (digest(&SHA256, &whole).as_ref() == seen.hash).then(|| (whole.freeze(), seen))
    }

    /// Keeps a document. When that fails, a later start has to do without it.
    pub(super) async fn put(&self, url: &Url, bytes: &Bytes, seen: &Seen) {
        let Some(store) = &self.store else { return };
        let key = self.key(url);
        let put = Put { expires: SystemTime::now().checked_add(KEPT), ..Put::default() };
        let record = Record { seen: seen.clone(), bytes: bytes.len() };
        let written = async {
            for (piece, start) in (0..bytes.len()).step_by(MAX_VALUE).enumerate() {
                let value = bytes.slice(start..bytes.len().min(start + MAX_VALUE));
                store.put(&format!("{key}/{piece}"), value, put).await?;
            }
            let record = serde_json::to_vec(&record).unwrap_or_default();
            store.put(&key, record.into(), put).await
        };
        if let Err(error) = written.await {
            tracing::warn!(connector = %self.connector, "its document is not kept for later: {error}");
        }
    }
}
