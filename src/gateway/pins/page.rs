//! Upstreams' widget pages: what is read at their address is what was agreed to, or is told of, held or refused.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Pins, page_key};
use crate::adapter::McpAdapter;
use crate::call::{Downstream, Era, Sent};
use crate::caller::Caller;
use crate::catalog::pin::{Policy, UNREAD, page_digest, pages_of};
use crate::catalog::{Offer, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Gateway;
use crate::name::{ConnectorId, shown};
use crate::params::Params;

/// How long a page may take to be read for its digest.
const PATIENCE: Duration = Duration::from_secs(20);

impl Pins {
    /// What was agreed to of a page: its digest.
    fn agreed(&self, connector: &ConnectorId, uri: &str) -> Option<String> {
        let state = self.state();
        let locked = state.lock.connectors.get(connector.as_str())?;
        locked.tools.values().find_map(|pin| pin.pages.get(uri)).cloned()
    }

    /// What the pages of an upstream said when they were last read.
    pub(super) fn pages_now(&self, connector: &ConnectorId, offer: &Offer) -> BTreeMap<String, String> {
        let state = self.state();
        let now = |uri: String| {
            let digest = state.pages.get(&(connector.clone(), uri.clone()))?.clone();
            Some((uri, digest))
        };
        offer.tools.iter().flat_map(pages_of).filter_map(now).collect()
    }

    /// Notes what a page said; whether its tools are judged otherwise for that. One that says something else each
    /// time is judged once.
    pub(super) fn note_page(&self, connector: &ConnectorId, uri: &str, digest: &str) -> bool {
        let agreed = self.agreed(connector, uri);
        let differs = |digest: &str| agreed.as_deref().is_some_and(|agreed| agreed != digest);
        let mut state = self.state();
        let before = state.pages.insert((connector.clone(), uri.to_owned()), digest.to_owned());
        if before.as_deref().is_some_and(differs) == differs(digest) {
            return false;
        }
        state.revision += 1;
        true
    }
}

impl Gateway {
    /// What was read at an address of an upstream, as it may be shown.
    pub(in crate::gateway) async fn pinned_page(&self, place: &Place, sent: Sent) -> Result<Sent> {
        let live = self.live();
        let pinned = live.connectors.get(&place.connector).is_some_and(|connector| self.pins.covers(connector));
        if !pinned || !place.own.starts_with("ui://") {
            return Ok(sent);
        }
        let policy = self.pins.policy;
        let withheld = || {
            let uri = shown(&place.own);
            let message = format!("the page `{uri}` changed at its server and is withheld until its operator agrees");
            Error::new(ErrorKind::Unavailable, message)
        };
        let Some(agreed) = self.pins.agreed(&place.connector, &place.own) else {
            // No tool that is served shows itself by it.
            return if policy == Policy::Block && !sent.is_error { Err(withheld()) } else { Ok(sent) };
        };
        if sent.is_error {
            // A page that got another name is there as long as its tool is held.
            let kept = if policy == Policy::Hold { self.kept_page(&place.connector, &agreed).await } else { None };
            return Ok(kept.unwrap_or(sent));
        }
        let read: Value = serde_json::from_slice(&sent.json).unwrap_or_default();
        let digest = page_digest(&read);
        if self.pins.note_page(&place.connector, &place.own, &digest) {
            self.bulletin.changed.notify_one();
        }
        match policy {
            _ if digest == agreed || agreed == UNREAD => Ok(sent),
            Policy::Warn => Ok(sent),
            Policy::Hold => self.kept_page(&place.connector, &agreed).await.ok_or_else(withheld),
            Policy::Block => Err(withheld()),
        }
    }

    async fn kept_page(&self, connector: &ConnectorId, digest: &str) -> Option<Sent> {
        let store = self.store.as_ref().ok()?;
        let stored = store.get(&page_key(self.pins.file.scope(), connector.as_str(), digest)).await.ok()??;
        Some(Sent { json: stored.value, is_error: false, era: Era::Handshake })
    }

    /// Reads a page to know what it says; gives its digest, and what to keep of it.
    pub(super) async fn look_at_page(&self, mcp: &McpAdapter, uri: &str) -> Option<(String, Bytes)> {
        let downstream = Downstream::default();
        let request = mcp.request(&Caller::Local, "resources/read", Params::of("uri", &uri), &downstream);
        let sent = tokio::time::timeout(PATIENCE, request).await.ok()?.ok().filter(|sent| !sent.is_error)?;
        let read: Value = serde_json::from_slice(&sent.json).ok()?;
        let digest = page_digest(&read);
        // Of the result, what every generation of clients knows.
        let kept = json!({ "contents": read.get("contents") }).to_string();
        Some((digest, kept.into()))
    }
}
